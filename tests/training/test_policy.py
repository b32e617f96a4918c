"""The model that learns: what it says of samples, what of it learns, and checkpoints that any reader of Janus takes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from transformers import AutoTokenizer, JanusForConditionalGeneration

from suder_bench.errors import UserError
from suder_bench.models import reference
from suder_bench.models.janus import JanusModel
from suder_bench.models.protocols import ImageSampling, Task, TextSampling
from suder_bench.training.policy import ADAPTER_FILE, Policy, load_model
from suder_bench.training.recipe import Lora, Recipe, Rewards, Sampling

PROMPTS = ["a red ball", "three striped hearts and a small green cup", "a star"]
PICTURES = [Image.fromarray(np.random.default_rng(i).integers(0, 256, (32, 32, 3), dtype=np.uint8)) for i in range(3)]
LORA = Lora(r=2, lora_alpha=8, target_modules=("q_proj", "down_proj"))

PARTS = JanusModel.anatomy.parts
Make = Callable[..., Policy]


@pytest.fixture
def make(tiny_folder: Path) -> Make:
    """A policy on the tiny Janus, with fields of the recipe."""

    def policy(folder: Path = tiny_folder, **changes: object) -> Policy:
        recipe = replace(Recipe(), **changes)  # type: ignore[arg-type]
        return Policy.of(recipe, load_model(reference.choose(str(folder)), recipe, device="cpu", dtype="float32"))

    return policy


def sampled(policy: Policy, task: Task) -> list[list[int]]:
    """A sample of each prompt or picture; captions of different lengths."""
    if task == "gen":
        sampling = ImageSampling(guidance=2.0)
        return policy.adapter.draw(PROMPTS, seeds=range(3), sampling=sampling).tokens.tolist()
    asked = [policy.adapter.caption_request] * 3
    shown = [[picture] for picture in PICTURES]
    written = policy.adapter.write(shown, asked, seeds=range(3), sampling=TextSampling(1.0, 9))
    return [[*ids[: 4 + i], int(policy.adapter.end_token)] for i, ids in enumerate(written)]


def scored(policy: Policy, task: Task, samples: list[list[int]] | None = None) -> torch.Tensor:
    found: torch.Tensor = policy(task, PROMPTS if task == "gen" else PICTURES, samples or sampled(policy, task))[0]
    return found


def shaken(policy: Policy, scale: float = 0.02) -> Policy:
    """Every weight that learns moved a little, as training would."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in policy.parameters():
            if parameter.requires_grad:
                parameter += scale * torch.randn(parameter.shape, generator=generator)
    return policy


def gradients(policy: Policy, task: Task, samples: list[list[int]] | None = None) -> dict[str, torch.Tensor | None]:
    policy.zero_grad()
    scored(policy, task, samples).mean().backward()
    return {name.removeprefix("network."): parameter.grad for name, parameter in policy.named_parameters()}


def inside(name: str, parts: set[str]) -> bool:
    return any(name.startswith(f"{PARTS[part]}.") for part in parts)


# Scores


def test_pictures_score_as_the_model_scores_them(make: Make) -> None:
    policy = make()
    samples = sampled(policy, "gen")
    logprobs, entropy = policy("gen", PROMPTS, samples)
    assert logprobs.shape == entropy.shape == (3 * 16,)
    assert torch.equal(logprobs, policy.adapter.image_logprobs(PROMPTS, torch.tensor(samples)).flatten())
    assert bool((entropy >= 0).all())
    assert not entropy.requires_grad


def test_captions_score_as_the_model_scores_them(make: Make) -> None:
    policy = make()
    samples = sampled(policy, "und")
    assert len({len(sample) for sample in samples}) > 1
    logprobs, entropy = policy("und", PICTURES, samples)
    assert logprobs.shape == entropy.shape == (sum(map(len, samples)),)
    asked = [policy.adapter.caption_request] * 3
    assert torch.equal(logprobs, torch.cat(policy.adapter.answer_scores(PICTURES, asked, samples).logprobs))


def test_pictures_may_be_scored_under_guidance(make: Make) -> None:
    policy = make(sampling=Sampling(likelihood_guidance=3.0))
    samples = sampled(policy, "gen")
    guided = policy.adapter.image_scores(PROMPTS, torch.tensor(samples), guidance=3.0).logprobs
    assert torch.equal(scored(policy, "gen", samples), torch.cat(guided))
    assert not torch.allclose(scored(make(), "gen", samples), torch.cat(guided))


def test_the_recipe_sets_the_request_and_what_the_reward_scores(tiny_folder: Path) -> None:
    recipe = Recipe(sampling=Sampling(caption_request="What is it?"), reward=Rewards(score_end=True))
    model = load_model(reference.choose(str(tiny_folder)), recipe, device="cpu", dtype="float32")
    assert (model.caption_request, model.score_end) == ("What is it?", True)
    assert model.name == str(tiny_folder)


def test_a_model_that_cannot_learn_is_refused() -> None:
    with pytest.raises(
        UserError, match=r"^model 'folder:x' cannot be trained: it draws no pictures \(adapter 'folder'\); give a"
    ):
        load_model(reference.choose("folder:x"), Recipe(), device="cpu", dtype="float32")


# What learns


@pytest.mark.parametrize("task", ["gen", "und"])
@pytest.mark.parametrize("trainable", [("language_model", "lm_head", "generation_head"), tuple(PARTS)], ids=["usual", "all"])
def test_only_the_trainable_parts_get_gradients_and_idle_ones_zeros(make: Make, trainable: tuple[str, ...], task: Task) -> None:
    policy = make(trainable=trainable).train()
    used = {"gen": {"generation_head", "generation_aligner"}, "und": {"lm_head", "aligner"}}[task] | {"language_model"}
    for name, gradient in gradients(policy, task).items():
        if not inside(name, set(trainable)):
            assert gradient is None, name
        elif inside(name, used):
            assert gradient is not None, name
            assert gradient.abs().sum() > 0, name
        else:
            assert gradient is not None, name
            assert not gradient.any(), name


@pytest.mark.parametrize("changes", [{}, {"trainable": tuple(PARTS)}, {"lora": LORA}])
def test_neither_the_vision_tower_nor_the_image_tokenizer_ever_learns(make: Make, changes: dict[str, object]) -> None:
    learning = {name for name, parameter in make(**changes).named_parameters() if parameter.requires_grad}
    assert learning
    assert not any(part in name for name in learning for part in ("vision_model", "vqmodel", "generation_embeddings"))


def test_fewer_parts_may_learn(make: Make) -> None:
    policy = make(trainable=("generation_head",))
    learning = [name for name, parameter in policy.named_parameters() if parameter.requires_grad]
    assert learning
    assert all(name.startswith("network.model.generation_head.") for name in learning)
    assert all(gradient is None or not gradient.any() for gradient in gradients(policy, "und").values())


def test_an_unknown_part_is_told(make: Make) -> None:
    policy = make()
    with pytest.raises(UserError, match="unknown trainable part 'vision_tower'"):
        Policy(policy.adapter, trainable=["vision_tower"])


def test_frozen_parts_stay_as_the_rewards_know_them(make: Make) -> None:
    policy = make().train()
    assert policy.training
    assert policy.network.model.language_model.layers[0].training
    others = [
        policy.network.model.vision_model,
        policy.network.model.vqmodel,
        policy.network.model.aligner,
        policy.network.lm_head,
    ]
    assert not any(part.training for part in others)
    policy.eval()
    assert not any(module.training for module in policy.modules())


# Checkpoints


@pytest.fixture
def start(tiny_folder: Path, tmp_path: Path) -> Path:
    """A checkpoint of a training, with a guidance of its own."""
    folder = tmp_path / "start"
    shutil.copytree(tiny_folder, folder)
    generation = json.loads((folder / "generation_config.json").read_text())
    generation.pop("_from_model_config", None)
    (folder / "generation_config.json").write_text(json.dumps({**generation, "guidance_scale": 2.0}))
    (folder / "trainer_state.json").write_text('{"epoch": 3}')
    (folder / "adapter_config.json").write_text("{}")  # of adapters that are merged
    return folder


@pytest.mark.parametrize("lacking", ["generation_kwargs", "all"])
def test_a_checkpoint_draws_in_transformers_itself(make: Make, start: Path, tmp_path: Path, lacking: str) -> None:
    """Although the start lacks what transformers needs for it, as tiny-janus once did."""
    file = start / "generation_config.json"
    generation = {**json.loads(file.read_text()), "_from_model_config": True}
    del generation["generation_kwargs"]
    file.write_text(json.dumps(generation)) if lacking != "all" else file.unlink()
    make(start).save(tmp_path / "saved")
    model = JanusForConditionalGeneration.from_pretrained(tmp_path / "saved")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "saved")
    asked = tokenizer("<bos>a star<begin_of_image>", add_special_tokens=False, return_tensors="pt")
    assert model.generate(**asked, generation_mode="image", do_sample=True).shape == (1, 16)
    assert model.generation_config.guidance_scale == (2.0 if lacking != "all" else None)


@pytest.mark.parametrize("gathered", [False, True])
@pytest.mark.parametrize("lora", [None, LORA], ids=["full", "lora"])
def test_a_checkpoint_is_an_ordinary_folder(make: Make, start: Path, tmp_path: Path, lora: Lora | None, gathered: bool) -> None:
    policy = shaken(make(start, lora=lora))
    policy.save(tmp_path / "saved", policy.state_dict() if gathered else None)
    chosen = reference.choose(str(tmp_path / "saved"))
    assert (chosen.adapter, chosen.world, chosen.guidance) == ("janus", True, 2.0)
    saved = JanusModel.load(str(tmp_path / "saved"))
    assert saved.world
    atol = 1e-5 if lora else 0.0
    for task in ("gen", "und"):
        samples = sampled(policy, task)
        found = saved.image_scores(PROMPTS, torch.tensor(samples)) if task == "gen" else None
        found = found or saved.answer_scores(PICTURES, [saved.caption_request] * 3, samples)
        ours = scored(policy, task, samples)
        torch.testing.assert_close(torch.cat(found.logprobs), ours, atol=atol, rtol=0)
        assert not torch.allclose(ours, scored(make(), task, samples), atol=1e-3)
    left = {file.name for file in start.iterdir()} - {"trainer_state.json", "adapter_config.json"}
    assert {file.name for file in (tmp_path / "saved").iterdir()} == left | ({ADAPTER_FILE} if lora else set())
    for name in left - {"config.json", "model.safetensors"}:
        assert (tmp_path / "saved" / name).read_bytes() == (start / name).read_bytes()


@pytest.mark.parametrize("lora", [None, LORA], ids=["full", "lora"])
def test_a_resumed_policy_is_the_saved_one(make: Make, tmp_path: Path, lora: Lora | None) -> None:
    policy, fresh = shaken(make(lora=lora)), make(lora=lora)
    policy.save(tmp_path)
    fresh.load(tmp_path)
    saved, loaded = policy.state_dict(), fresh.state_dict()
    assert saved.keys() == loaded.keys()
    assert all(torch.equal(saved[name], loaded[name]) for name in saved)


def test_a_checkpoint_may_lie_in_several_files(make: Make, tmp_path: Path) -> None:
    policy, fresh = shaken(make()), make()
    policy.network.save_pretrained(tmp_path, max_shard_size="100KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    fresh.load(tmp_path)
    assert torch.equal(scored(fresh, "gen"), scored(policy, "gen"))


# LoRA


def test_only_adapters_learn_and_they_start_as_nothing(make: Make) -> None:
    policy = make(lora=LORA).train()
    samples = {task: sampled(policy, task) for task in ("gen", "und")}
    for task in ("gen", "und"):
        assert torch.equal(scored(policy, task, samples[task]), scored(make(), task, samples[task]))
        found = gradients(policy, task)
        assert {name for name, gradient in found.items() if gradient is not None} == {name for name in found if ".lora_" in name}
        for name, gradient in found.items():
            assert gradient is None or "lora_A" in name or gradient.abs().sum() > 0, name  # A learns once B is not 0
    targets = {name.split(".lora_")[0].rpartition(".")[2] for name in found if ".lora_" in name}
    assert targets == set(LORA.target_modules)


def test_adapters_start_from_the_trainings_seed(make: Make) -> None:
    def first(seed: int) -> dict[str, torch.Tensor]:
        state = make(lora=LORA, trainer={"seed": seed}).state_dict()
        return {name: weights for name, weights in state.items() if "lora_A" in name}

    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    one, two = first(1), first(1)
    assert torch.equal(torch.rand(1), expected)  # the other draws are left alone
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not any(torch.equal(weights, first(2)[name]) for name, weights in one.items())


def test_merging_leaves_the_adapters_in_place(make: Make, tmp_path: Path) -> None:
    policy = shaken(make(lora=LORA))
    before = {name: weights.clone() for name, weights in policy.state_dict().items()}
    policy.save(tmp_path)
    assert all(torch.equal(weights, before[name]) for name, weights in policy.state_dict().items())
    merged, name = load_file(tmp_path / "model.safetensors"), "model.language_model.layers.0.self_attn.q_proj"
    a, b = (before[f"network.{name}.lora_{one}.default.weight"] for one in "AB")
    torch.testing.assert_close(merged[f"{name}.weight"], before[f"network.{name}.base_layer.weight"] + 8 / 2 * b @ a)


def test_adapters_of_another_recipe_are_refused(make: Make, tmp_path: Path) -> None:
    make(lora=LORA).save(tmp_path)
    with pytest.raises(UserError, match=rf"{ADAPTER_FILE} holds the adapters of another recipe; resume with that recipe$"):
        make(lora=Lora(r=2, target_modules=("k_proj",))).load(tmp_path)


def test_adapters_for_layers_that_are_not_there(make: Make) -> None:
    with pytest.raises(UserError, match=r"^lora.target_modules query: \S") as told:
        make(lora=Lora(target_modules=("q_proj", "query")))
    assert "\n" not in str(told.value)


# Memory and precision


@pytest.mark.parametrize("task", ["gen", "und"])
@pytest.mark.parametrize("lora", [None, LORA], ids=["full", "lora"])
def test_gradient_checkpointing_gives_the_same_gradients(make: Make, task: Task, lora: Lora | None) -> None:
    plain, saving = (shaken(make(lora=lora)).train() for _ in range(2))
    saving.activation_checkpointing_enable()
    samples = sampled(plain, task)
    calls: list[int] = []
    saving.network.model.language_model.layers[1].mlp.register_forward_pre_hook(lambda *_: calls.append(1))
    expected, found = gradients(plain, task, samples), gradients(saving, task, samples)
    assert len(calls) == 2  # once more on the way back
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, msg=name)
    features, _ = saving.adapter._features(PICTURES)
    assert not features.requires_grad  # the vision tower keeps nothing for a way back


def test_gradient_checkpointing_does_not_touch_sampling(make: Make) -> None:
    plain, saving = make(), make().train()
    saving.activation_checkpointing_enable()
    for task in ("gen", "und"):
        assert sampled(saving, task) == sampled(plain, task)
    with torch.no_grad():
        ours = saving.adapter.text_logprobs(PICTURES, PROMPTS)
        assert all(map(torch.equal, ours, plain.adapter.text_logprobs(PICTURES, PROMPTS)))


@pytest.mark.parametrize("lora", [None, LORA], ids=["full", "lora"])
def test_weights_of_32_bits_may_compute_in_16(make: Make, lora: Lora | None) -> None:
    policy = make(lora=lora).train()
    for task in ("gen", "und"):
        samples = sampled(policy, task)
        exact = scored(policy, task, samples)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = scored(policy, task, samples)
            assert sampled(policy, task) is not None
        assert found.dtype == torch.float32
        assert not torch.equal(found, exact)
        torch.testing.assert_close(found, exact, atol=0.5, rtol=0)
        policy.zero_grad()
        found.mean().backward()
        for parameter in policy.parameters():
            if parameter.requires_grad:
                assert parameter.grad is not None
                assert parameter.grad.dtype == torch.float32
                assert bool(parameter.grad.isfinite().all())
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.no_grad():
        pixels = policy.adapter.decode_tokens(torch.tensor(sampled(policy, "gen")))
        scores = policy.adapter.text_logprobs(pixels, PROMPTS)
    assert pixels.dtype == torch.float32
    assert all(bool(one.isfinite().all()) for one in scores)
