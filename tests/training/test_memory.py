"""The estimate of a training's memory, held against what a small model really allocates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from allocated import Allocated
from models.tiny import tiny_image_processor, tiny_janus_model, tiny_tokenizer
from PIL import Image

from suder_bench.models import packed
from suder_bench.models.janus import JanusModel
from suder_bench.models.janus.sizes import sizes_of
from suder_bench.models.protocols import ImageSampling, TextSampling
from suder_bench.models.reference import ModelReference
from suder_bench.training.memory import Estimate, estimate
from suder_bench.training.policy import Policy
from suder_bench.training.recipe import Lora, Recipe, Rewards, Sampling, read_recipe

SAMPLES, LONGEST = 16, 48
CAPTIONS = ["a red ball left of two blue boxes and of three striped hearts behind a tall yellow tree"] * SAMPLES
RECIPE = Recipe(
    num_generations=4,
    global_batch_size=4,
    sampling=Sampling(batch_size=SAMPLES, max_completion_length=LONGEST, guidance=5.0),
    reward=Rewards(batch_size=SAMPLES),
    trainer={"per_device_train_batch_size": 4},
)
"""Sixteen samples of four items, all drawn, written and scored at once."""


@pytest.fixture(scope="module")
def model() -> JanusModel:
    """Small, but the parts that dominate in a large one dominate."""
    network = tiny_janus_model(hidden=128, layers=6, heads=4, image_size=64, codes=1024)
    return JanusModel(network, tiny_tokenizer(), tiny_image_processor(64))


@pytest.fixture(scope="module")
def tokens(model: JanusModel) -> torch.Tensor:
    return model.draw(CAPTIONS, seeds=range(SAMPLES), sampling=ImageSampling(guidance=1)).tokens


@pytest.fixture(autouse=True)
def unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody asks for the memory of a model so small that its weights are copied for sampling; and mode `Allocated` cannot
    look into oneDNN's tensors."""
    monkeypatch.setattr(packed, "MUCH", 0)


def of(recipe: Recipe, model: JanusModel, processes: int = 1) -> Estimate:
    return estimate(recipe, sizes_of(model.model.config), model.anatomy, processes=processes)


def peak(do: Callable[[], Any]) -> int:
    with Allocated() as allocated:
        do()
    return allocated.peak


def test_what_is_counted_is_what_is_alive_at_once() -> None:
    with Allocated() as allocated:
        first = torch.ones(1000)
        second = first * 2  # 8,000 bytes
        total = (second + 1).view(10, 100)  # 12,000
        del first, second
        torch.ones(1500)  # 4,000 and 6,000
        del total
    assert (allocated.peak, allocated.now) == (12_000, 0)


@pytest.mark.parametrize("lora", [None, Lora(r=3)])
def test_weights_gradients_and_the_optimizer_are_counted_exactly(lora: Lora | None) -> None:
    network = tiny_janus_model(hidden=64, layers=2, heads=4)
    model = JanusModel(network, tiny_tokenizer(), tiny_image_processor())
    recipe = replace(RECIPE, lora=lora)
    expected = of(recipe, model).kept
    assert expected["weights"] == sum(one.nbytes for one in network.parameters())
    policy = Policy.of(recipe, model)
    learning = [one for one in policy.parameters() if one.requires_grad]
    optimizer = torch.optim.AdamW(learning)
    for one in learning:
        one.grad = torch.zeros_like(one)
    optimizer.step()
    assert expected["gradients"] == sum(one.grad.nbytes for one in learning if one.grad is not None)
    states = [one for state in optimizer.state.values() for one in state.values() if one.dim()]
    assert expected["optimizer"] == sum(one.nbytes for one in states)
    assert expected["copies"] == 0


@pytest.mark.parametrize("guidance", [1.0, 5.0])
def test_drawing(model: JanusModel, guidance: float) -> None:
    found = of(replace(RECIPE, sampling=replace(RECIPE.sampling, guidance=guidance)), model)
    sampling = ImageSampling(guidance=guidance)
    drawn = peak(lambda: model.draw(CAPTIONS, seeds=range(SAMPLES), sampling=sampling))
    assert drawn == pytest.approx(found.passing["drawing"], rel=0.1)
    assert found.cache > 0.8 * drawn


@pytest.mark.parametrize(
    ("trainer", "dtype"), [({"deepspeed": "zero2", "bf16": True}, torch.bfloat16), ({"bf16": True}, torch.float32)]
)
def test_drawing_and_updating_in_sixteen_bits(trainer: dict[str, Any], dtype: torch.dtype) -> None:
    """DeepSpeed casts all weights, autocast each for its use, and keeps what it cast of those that learn."""
    network = tiny_janus_model(hidden=128, layers=6, heads=4, image_size=64, codes=1024).to(dtype)
    model = JanusModel(network, tiny_tokenizer(), tiny_image_processor(64))
    recipe = replace(RECIPE, strategy="only-gen", trainer={**RECIPE.trainer, **trainer})
    policy, found = Policy.of(recipe, model), of(recipe, model)
    policy.train()
    learning = sum(one.numel() for one in policy.parameters() if one.requires_grad)
    cast = 0 if dtype == torch.bfloat16 else 2 * learning
    assert found.kept["weights"] == sum(one.nbytes for one in network.parameters()) + cast

    def draw() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=bool(cast)):
            model.draw(CAPTIONS, seeds=range(SAMPLES), sampling=ImageSampling(guidance=5))

    assert peak(draw) == pytest.approx(cast + found.passing["drawing"], rel=0.15)
    samples = model.draw(CAPTIONS[:8], seeds=range(8), sampling=ImageSampling(guidance=1)).tokens.tolist()

    def update() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=bool(cast)):
            loss = policy("gen", CAPTIONS[:8], samples)[0].mean()
        loss.backward()

    update()
    assert peak(update) == pytest.approx(cast + found.passing["updating"], rel=0.3)


def test_writing(model: JanusModel) -> None:
    pictures = [Image.new("RGB", (64, 64), (60 * i, 0, 0)) for i in range(4) for _ in range(4)]
    sampling = TextSampling(temperature=1.0, max_new_tokens=LONGEST)
    requests = [model.caption_request] * SAMPLES
    written = peak(lambda: model.write([[one] for one in pictures], requests, seeds=range(SAMPLES), sampling=sampling))
    assert written == pytest.approx(of(RECIPE, model).passing["writing"], rel=0.4)  # whose columns come 64 at a time


@torch.no_grad()
def test_scoring(model: JanusModel, tokens: torch.Tensor) -> None:
    pixels = model.decode_tokens(tokens)
    of_pictures = peak(lambda: model.text_logprobs(pixels, CAPTIONS))
    of_captions = peak(lambda: model.image_logprobs(CAPTIONS, tokens))
    assert max(of_pictures, of_captions) == pytest.approx(of(RECIPE, model).passing["scoring"], rel=0.25)


@pytest.mark.parametrize("guidance", [1.0, 2.0])
@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("task", ["gen", "und"])
def test_updating(model: JanusModel, tokens: torch.Tensor, task: Any, checkpointing: bool, guidance: float) -> None:
    strategy: Any = f"only-{task}"
    recipe = replace(RECIPE, strategy=strategy, sampling=replace(RECIPE.sampling, likelihood_guidance=guidance))
    recipe = replace(recipe, trainer={**recipe.trainer, "gradient_checkpointing": checkpointing})
    policy = Policy.of(recipe, model)
    if checkpointing:
        policy.activation_checkpointing_enable()
    policy.train()
    rows = 8  # the best and the worst of four
    contexts = CAPTIONS[:rows] if task == "gen" else [Image.new("RGB", (64, 64))] * rows
    samples = tokens[:rows].tolist() if task == "gen" else [list(range(20, 20 + LONGEST))] * rows

    def update() -> None:
        policy(task, contexts, samples)[0].mean().backward()

    update()  # whose gradients are then there
    allocated = peak(update)
    model.model.gradient_checkpointing_disable()
    assert allocated == pytest.approx(of(recipe, model).passing["updating"], rel=0.3)


def test_janus_pro_7b_needs_what_its_audit_found() -> None:
    recipe = read_recipe("janus-pro-7b")
    sizes = JanusModel.sizes(ModelReference(recipe.model, "janus", recipe.model))
    assert sizes is not None
    before = replace(recipe, sampling=replace(recipe.sampling, batch_size=128))
    assert estimate(before, sizes, JanusModel.anatomy, processes=8).cache == 256 * 576 * 30 * 2 * 4096 * 2  # 72.5 GB
    found = estimate(recipe, sizes, JanusModel.anatomy, processes=8)
    assert found.kept["weights"] == pytest.approx(2 * 7.42e9, rel=0.005)
    assert found.total < 80e9
    assert estimate(recipe, sizes, JanusModel.anatomy, processes=1).total > 80e9  # the optimizer is shared by no one


def test_copies_and_shards_are_counted(model: JanusModel) -> None:
    weights = sum(one.nbytes for one in model.model.parameters())
    copies = {
        "unified": RECIPE,
        "frozen": replace(RECIPE, reward=replace(RECIPE.reward, scorer="frozen")),
        "grpo": replace(RECIPE, algorithm="grpo"),
        "separate": replace(RECIPE, strategy="separate"),
        "separate grpo": replace(RECIPE, strategy="separate", algorithm="grpo"),
        "fsdp": replace(RECIPE, trainer={**RECIPE.trainer, "fsdp": "full_shard"}),
    }
    found = {name: of(recipe, model).kept["copies"] // weights for name, recipe in copies.items()}
    assert found == {"unified": 0, "frozen": 1, "grpo": 1, "separate": 1, "separate grpo": 2, "fsdp": 1}
    shared = of(copies["fsdp"], model, processes=4).kept
    alone = of(RECIPE, model).kept
    assert {name: alone[name] // shared[name] for name in ("weights", "gradients", "optimizer")} == dict.fromkeys(
        ("weights", "gradients", "optimizer"), 4
    )


def test_it_is_told_in_three_lines(model: JanusModel) -> None:
    found = Estimate({"weights": 3 * 2**30, "copies": 0}, {"drawing": 2**30, "updating": 2**29}, 2**29, 2**20)
    assert found.told(8) == [
        "memory of each of 8 processes: about 4.0 GiB, while drawing",
        "  kept: weights 3.0 GiB",
        "  at times: drawing 1.0 GiB (cache 512.0 MiB, logits 1.0 MiB), updating 512.0 MiB",
    ]
