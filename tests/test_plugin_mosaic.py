"""The plug-in's second model, `mosaic`: a family that suder-bench has never heard of is evaluated, trained, killed and resumed by
the commands that train any other, from its entry point alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file
from small_trainings import rows, same, timeless

from suder_bench import registry
from suder_bench.cli import main
from suder_bench.models.protocols import ImageSampling
from suder_bench.testing import check_model

PROMPTS = ("a red wall", "a black night sky", "a white field", "a blue sheet of paper")


@pytest.fixture
def plugin(installed: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The installed plug-in's entry points are seen in this process."""
    monkeypatch.syspath_prepend(installed)
    registry.table.cache_clear()
    yield
    registry.table.cache_clear()


@pytest.fixture(scope="session")
def mosaic(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint, made as the module says."""
    folder = tmp_path_factory.mktemp("mosaic") / "start"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(installed), os.environ.get("PYTHONPATH", "")])}
    subprocess.run([sys.executable, "-m", "suder_bench_example.mosaic", folder], check=True, cwd=folder.parent, env=environment)
    return folder


@pytest.fixture
def model(plugin: None, mosaic: Path) -> Any:
    return registry.load("models", "mosaic").load(str(mosaic), device="cpu", dtype="float32")


@pytest.fixture
def train(plugin: None, mosaic: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """`train("run", "algorithm=grpo", ..., resume=True)`, twelve steps of four prompts and four pictures; returns the status."""
    monkeypatch.chdir(tmp_path)
    Path("prompts.txt").write_text("\n".join(PROMPTS))
    Path("pictures").mkdir()
    rng = np.random.default_rng(0)
    for i, color in enumerate(np.eye(4, 3, dtype=np.uint8)):
        speckled = np.where(rng.random((4, 4, 1)) < 0.5, rng.integers(2, size=(4, 4, 3)), color).astype(np.uint8)
        Image.fromarray(255 * speckled).save(f"pictures/{i}.png")
    recipe = {
        "model": f"mosaic:{mosaic}",
        "num_generations": 8,
        "global_batch_size": 4,
        "data": {"prompts": ["prompts.txt"], "images": ["pictures"]},
        "sampling": {"max_completion_length": 8},
        "samples_steps": 0,
        "trainer": {
            "learning_rate": 2e-3,
            "lr_scheduler_type": "constant",
            "warmup_steps": 0,
            "max_steps": 12,
            "per_device_train_batch_size": 4,
            "save_strategy": "steps",
            "save_steps": 2,
        },
    }
    Path("recipe.yaml").write_text(yaml.safe_dump(recipe))

    def run(out: str, *sets: str, resume: bool = False) -> int:
        chosen = [word for one in sets for word in ("--set", one)]
        return main(["train", "--config", "recipe.yaml", "--out", out, "--device", "cpu", *chosen, *["--resume"] * resume])

    return run


def test_it_keeps_every_protocol(model: Any) -> None:
    assert check_model(model) == ["TextToImage", "ImageToText", "TextLikelihood", "DualLikelihood", "Trainable"]


def test_its_own_reward_picks_the_purer_mosaics(model: Any) -> None:
    asked = [prompt for prompt in PROMPTS for _ in range(16)]
    tokens = model.draw(asked, seeds=range(64), sampling=ImageSampling(guidance=1)).tokens
    right = (tokens == torch.tensor([2, 1, 0, 4]).repeat_interleave(16)[:, None]).double().mean(dim=1).view(4, 16)
    reward = registry.load("rewards", "dsr").load(model).score_images(asked, model.decode_tokens(tokens))
    best = torch.tensor(reward).view(4, 16).argmax(dim=1, keepdim=True)
    assert right.gather(1, best).mean() > right.mean() + 0.05


FAULTS: dict[str, tuple[str, Callable[[Any], Any], str]] = {
    "forgets a weight": (
        "saved",
        lambda saved: lambda folder: {name: one for name, one in saved(folder).items() if name != "tile_head.bias"},
        "saved gives other names",
    ),
    "saves other weights": (
        "save",
        lambda save: lambda folder, weights: save(folder, {name: one + 1 for name, one in weights.items()}),
        "saved gives other weights",
    ),
    "decodes to bytes": ("decode_tokens", lambda decode: lambda tokens: 255 * decode(tokens), r"outside \[-1, 1\]"),
    "cannot learn": ("image_scores", lambda scores: torch.no_grad()(scores), "of task gen have no gradient"),
    "touches what is idle": (
        "anatomy",
        lambda own: replace(own, idle={"gen": (), "und": ()}),
        "not reach the part word",
    ),
    "has no such part": ("anatomy", lambda own: replace(own, usual=("head",)), "speaks of head, which is none of its parts"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_it_might_do_wrong_is_named(fault: str, model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    name, wrapped, told = FAULTS[fault]
    monkeypatch.setattr(model, name, wrapped(getattr(model, name)))
    with pytest.raises(AssertionError, match=told):
        check_model(model)


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["simpo", "grpo"])
def test_killed_it_goes_on_with_the_same_losses(algorithm: str, train: Callable[..., int], installed: Path) -> None:
    chosen = (f"algorithm={algorithm}", "trainer.max_steps=40", "guard.action=off")
    options = [word for one in chosen for word in ("--set", one)]
    assert train("whole", *chosen) == 0
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(installed), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-c", "import sys; from suder_bench.cli import main; sys.exit(main())", "train"]
    command += ["--config", "recipe.yaml", "--out", "run", "--device", "cpu", *options]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, env=environment) as process:
        while len(list(Path("run").glob("checkpoint-*/trainer_state.json"))) < 2:
            assert process.poll() is None
            time.sleep(0.01)
        process.kill()
    assert not Path("run/finished.json").exists()
    assert train("run", *chosen, resume=True) == 0
    assert timeless("run") == timeless("whole")
    last = [load_file(f"{run}/checkpoint-40/model.safetensors") for run in ("run", "whole")]
    assert same(*last)


@pytest.mark.parametrize("algorithm", ["simpo", "grpo"])
def test_its_rewards_rise(algorithm: str, train: Callable[..., int]) -> None:
    assert train("run", f"algorithm={algorithm}", "trainer.max_steps=20", "reward.scorer=frozen") == 0
    for task in ("gen", "und"):
        reward = [row[f"{task}/reward"] for row in rows("run")]
        assert sum(reward[-5:]) > sum(reward[:5])


@pytest.mark.parametrize("algorithm", ["simpo", "grpo"])
def test_its_codes_are_credited_one_by_one(algorithm: str, train: Callable[..., int]) -> None:
    """By what the prompt adds, which any model tells that can be trained; srum's probabilities are more than it has."""
    chosen = (f"algorithm={algorithm}", "strategy=only-gen", "srum.credit=guidance", "trainer.max_steps=2")
    assert train("run", *chosen) == 0
    assert [0 < row["gen/credit"] <= 1 for row in rows("run")] == [True] * 2
    assert train("other", *chosen, "srum.credit=boxes", "reward.gen=srum") == 2


def test_its_checkpoints_are_tracked_and_evaluated(train: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    """The folder is enough to name one: its config.json says whose it is."""
    assert train("run", "trainer.save_steps=6") == 0
    Path("data").mkdir()
    asked = ["--benchmark", "brightness", "--data", "data", "--json"]
    capsys.readouterr()
    assert main(["track", "run", *asked]) == 0
    steps = json.loads(capsys.readouterr().out)["benchmarks"]["brightness"]["steps"]
    assert [one["step"] for one in steps] == [0, 6, 12]
    assert main(["run", "--model", "run/checkpoint-12", *asked]) == 0
    entry = json.loads(capsys.readouterr().out)["benchmarks"]["brightness"]
    assert entry["metrics"]["accuracy"]["value"] == steps[-1]["value"]
    assert entry["n_responses"] == 16


def test_two_in_turns(train: Callable[..., int]) -> None:
    assert (
        train("run", "strategy=separate", "trainer.max_steps=-1", "trainer.num_train_epochs=2", "trainer.save_strategy=epoch")
        == 0
    )
    assert {path.name for path in Path("run").glob("*/checkpoint-2")} == {"checkpoint-2"}


def test_its_own_reward_is_compared(
    plugin: None, mosaic: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()
    compared = ["--rewards", "dsr,brightness", "--prompts", "brightness", "--samples", "4", "--data", "data", "--json"]
    assert main(["reward", "compare", "--model", f"mosaic:{mosaic}", *compared]) == 0
    rewards = json.loads(capsys.readouterr().out)["pictures"]["rewards"]
    assert rewards["dsr"]["best"]["value"] >= rewards["dsr"]["worst"]["value"]


def test_what_it_will_meet_is_told_beforehand(train: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--config", "recipe.yaml", "--dry-run"]) == 0
    assert "# memory: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("chosen", "told"),
    [
        ("lora.r=4", "lora: the language model has no linear layers that adapters could go into; leave lora out"),
        ("trainable=[trunk,lm_head]", "unknown trainable part 'lm_head'; did you mean"),
        ("trainer.gradient_checkpointing=true", "trainer.gradient_checkpointing: the network of model 'mosaic:"),
        ("algorithm=diffu-grpo", "diffu-grpo is for an estimated likelihood, but that of model 'mosaic:"),
        ("model=mosaic:nowhere", "no mosaic in 'nowhere': nowhere/model.safetensors is missing;"),
    ],
)
def test_what_it_cannot_is_told_in_a_line(
    chosen: str, told: str, train: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert train("run", chosen) == 2
    assert told in capsys.readouterr().err.splitlines()[-1]


def test_only_what_a_recipe_names_learns(train: Callable[..., int], mosaic: Path) -> None:
    assert train("run", "trainable=[tile_head]", "trainer.max_steps=2") == 0
    before, after = load_file(mosaic / "model.safetensors"), load_file("run/checkpoint-2/model.safetensors")
    assert {name for name in before if not torch.equal(before[name], after[name])} == {"tile_head.weight", "tile_head.bias"}


class Half:
    """Draws and answers, and has no likelihoods."""

    generate = answer = load = None


@pytest.mark.parametrize(
    ("model", "why"),
    [
        ("flat:honest", "it answers no questions (adapter 'flat')"),
        ("diffusers:org/pipeline", "it answers no questions (adapter 'diffusers')"),
        ("vlm:org/reader", "it draws no pictures (adapter 'vlm')"),
        ("folder:pictures", "it draws no pictures (adapter 'folder')"),
        ("openai:large@http://127.0.0.1:9", "it runs behind an address, where its weights are out of reach (adapter 'openai')"),
        ("emu3:org/gen+org/chat", "one checkpoint draws and another understands, so that neither could learn from itself"),
        ("emu3:org/both", "an Emu3 is only evaluated here, and samples no ids that it could learn from (adapter 'emu3')"),
        ("showo:showlab/show-o-w-clip-vit", "it understands with a frozen other model (CLIP-ViT) (adapter 'showo')"),
        ("half:way", "it does not tell how likely pictures are (adapter 'half')"),
    ],
)
def test_why_a_model_cannot_be_trained_is_told_in_a_line(
    model: str, why: str, train: Callable[..., int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    models = {**registry.TABLE["models"], "half": f"{__name__}:Half"}
    monkeypatch.setattr(registry, "TABLE", {**registry.TABLE, "models": models})
    registry.table.cache_clear()
    assert train("run", f"model={model}") == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert f"model '{model}' cannot be trained: {why}" in said
    assert said.endswith("give a checkpoint that draws, answers and scores both ways, such as tiny-janus")
