"""Drawing and answering where there are no 64-bit floats, as on Apple's mps; by a stand-in that computes on the CPU."""

from __future__ import annotations

import pytest
import torch
from models.on_mps import MPS, Factories, mps, put
from models.tiny import tiny_image_processor, tiny_janus_model, tiny_tokenizer
from PIL import Image

from suder_bench.errors import UserError
from suder_bench.machine import choose_device, choose_dtype
from suder_bench.models.janus import JanusModel
from suder_bench.models.protocols import ImageSampling, TextSampling
from suder_bench.models.sampling import choose, noise_of

PROMPTS = ["a red ball", "a photo of three striped hearts behind a tall yellow tree", "two blue boxes"]


def janus() -> JanusModel:
    return JanusModel(tiny_janus_model(), tiny_tokenizer(), tiny_image_processor())


def test_the_stand_in_refuses_what_mps_refuses() -> None:
    shares = put(torch.rand(2, 3))
    assert shares.device == MPS
    with pytest.raises(TypeError, match="float64"):
        shares.double()
    with pytest.raises(TypeError, match="float64"):
        shares.to(torch.float64)
    with pytest.raises(RuntimeError, match="two devices"):
        shares + torch.rand(2, 3)
    assert shares.cpu().double().device.type == "cpu"


def test_choosing_is_the_cpus() -> None:
    logits = torch.randn(64, 500)
    uniform = noise_of(range(64), 1, MPS)[:, 0]
    assert (uniform.device.type, uniform.dtype) == ("cpu", torch.float64)
    for temperature in (0.0, 0.7, 1.0):
        with Factories():
            chosen = choose(put(logits), temperature, uniform)
        assert chosen.device == MPS
        assert torch.equal(chosen.cpu(), choose(logits, temperature, uniform))


@pytest.mark.parametrize("guidance", [1.0, 5.0])
def test_pictures_and_answers_are_the_cpus(guidance: float) -> None:
    here, there = janus(), janus()
    sampling, text = ImageSampling(guidance=guidance), TextSampling(temperature=1.0, max_new_tokens=20)
    shown = [[Image.new("RGB", (40, 20), (200, 30, 0))], [], []]
    drawn = here.draw(PROMPTS, seeds=range(3), sampling=sampling)
    written = here.write(shown, PROMPTS, seeds=range(3), sampling=text)
    with mps(there.model):
        assert there.model.device == MPS
        assert torch.equal(there.draw(PROMPTS, seeds=range(3), sampling=sampling).tokens, drawn.tokens)
        assert there.write(shown, PROMPTS, seeds=range(3), sampling=text) == written
        there.generate(PROMPTS, seeds=range(3), sampling=sampling)


def test_self_rewards_are_the_cpus() -> None:
    here, there = janus(), janus()
    pictures = [Image.new("RGB", (32, 32), (0, 30 * i, 90)) for i in range(3)]
    with torch.no_grad():
        texts, images = here.text_logprobs(pictures, PROMPTS), here.image_logprobs(PROMPTS, here.tokenize_images(pictures))
        with mps(there.model):
            assert all(torch.equal(a.cpu(), b) for a, b in zip(there.text_logprobs(pictures, PROMPTS), texts, strict=True))
            assert torch.equal(there.image_logprobs(PROMPTS, there.tokenize_images(pictures)).cpu(), images)


def test_mps_is_taken_when_it_is_asked_for_and_here(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_dtype("auto", "mps") == "float32"
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert choose_device("mps") == "mps"
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(UserError, match="device 'mps' is not available on this machine; use --device cpu"):
        choose_device("mps")
