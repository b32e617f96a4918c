"""The step that can be captured: on any device the tokens of the step that grows, and on CUDA the same in a graph."""

from __future__ import annotations

import pytest
import torch
from models.tiny import tiny_image_processor, tiny_janus_model, tiny_tokenizer

from suder_bench.models.janus import JanusModel
from suder_bench.models.janus import sampler as janus_sampler
from suder_bench.models.janus.sampler import Drawing
from suder_bench.models.protocols import ImageSampling
from suder_bench.models.sampling import NoNumbersError
from suder_bench.models.static import capturable

PROMPTS = ["a red ball", "a photo of three striped hearts behind a tall yellow tree", "a red ball", "a star"] * 4
cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


def janus(*, heads: int = 2, shared: int = 2, device: str = "cpu") -> JanusModel:
    network = tiny_janus_model(heads=heads)
    config = network.config.text_config
    config.num_key_value_heads = shared
    torch.manual_seed(0)
    network.model.language_model = type(network.model.language_model)(config).eval()
    return JanusModel(network.to(device), tiny_tokenizer(), tiny_image_processor())


def drawing(model: JanusModel, guidance: float, temperature: float = 1.0, *, static: bool) -> Drawing:
    rows = [model._generation_ids(prompt) for prompt in PROMPTS]
    rows += [model._blank(row) for row in rows] if guidance != 1 else []
    sampling = ImageSampling(temperature, guidance)
    with torch.no_grad():
        return Drawing(model.model, rows, seeds=range(len(PROMPTS)), sampling=sampling, return_logprobs=True, static=static)


@pytest.mark.parametrize(("guidance", "temperature"), [(1.0, 1.0), (5.0, 1.0), (5.0, 0.0)])
@pytest.mark.parametrize(("heads", "shared"), [(2, 2), (4, 2)])
@pytest.mark.parametrize("window", [5, 96])
def test_the_static_step_draws_what_the_growing_one_does(
    guidance: float, temperature: float, heads: int, shared: int, window: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(janus_sampler, "WINDOW", window)
    model = janus(heads=heads, shared=shared)
    growing, static = (drawing(model, guidance, temperature, static=which) for which in (False, True))
    with torch.no_grad():
        growing.draw(capture=False)
        static.draw(capture=False)
    assert torch.equal(static.tokens, growing.tokens)
    torch.testing.assert_close(static.logprobs, growing.logprobs, atol=1e-5, rtol=0)


def test_a_static_step_leaves_everything_where_it_is() -> None:
    """What a graph was captured with is what it reads and writes at every replay."""
    one = drawing(janus(), 5.0, static=True)
    one.decoder.look(one.steps)
    tensors = {
        name: value for part in (one, one.decoder) for name, value in vars(part).items() if isinstance(value, torch.Tensor)
    }
    places = {name: value.data_ptr() for name, value in tensors.items()}
    with torch.no_grad():
        one.step()
        one.step()
    assert {name: vars(one).get(name, vars(one.decoder).get(name)).data_ptr() for name in places} == places
    assert int(one.k) == 2
    assert not {"x", "k", "tokens", "noise", "logprobs", "sound", "column", "positions"} - set(places)


def test_drawing_goes_on_where_a_step_cannot_be_captured(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing:
        def __init__(self, work: object, device: torch.device) -> None:
            pass

        def record(self) -> None:
            raise RuntimeError("operation not permitted when stream is capturing\nand more")

    monkeypatch.setattr(janus_sampler, "Captured", Refusing)
    model = janus()
    eager, refused = (drawing(model, 5.0, static=True) for _ in range(2))
    with torch.no_grad():
        eager.draw(capture=False)
        with pytest.warns(
            UserWarning, match=r"to the same tokens but slower \(operation not permitted when stream is capturing\)"
        ):
            refused.draw(capture=True)
    assert torch.equal(refused.tokens, eager.tokens)


def test_logits_without_numbers_are_told() -> None:
    model = janus()
    with torch.no_grad():
        model.model.model.generation_head.vision_head.bias[3] = torch.nan
        one = drawing(model, 5.0, static=True)
        with pytest.raises(NoNumbersError):
            one.draw(capture=False)


def test_only_plain_weights_on_cuda_are_captured() -> None:
    model = janus()
    assert not capturable(model.model.model.language_model, model.model.model.generation_head)


@cuda
@pytest.mark.parametrize("guidance", [1.0, 5.0])
def test_a_captured_step_draws_what_the_eager_ones_do(guidance: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(janus_sampler, "WINDOW", 5)
    model = janus(device="cuda")
    sampling = ImageSampling(guidance=guidance)
    assert capturable(model.model.model.language_model, model.model.model.generation_head)
    captured = model.draw(PROMPTS, seeds=range(len(PROMPTS)), sampling=sampling, return_logprobs=True)
    model.capture = False
    eager = model.draw(PROMPTS, seeds=range(len(PROMPTS)), sampling=sampling, return_logprobs=True)
    assert torch.equal(captured.tokens, eager.tokens)
    assert torch.equal(captured.logprobs, eager.logprobs)


@cuda
def test_hooks_and_autocast_are_not_captured() -> None:
    model = janus(device="cuda").model.model.language_model
    assert capturable(model)
    with torch.autocast("cuda", dtype=torch.bfloat16):
        assert not capturable(model)
    model.layers[0].register_forward_hook(lambda *_: None)
    assert not capturable(model)
