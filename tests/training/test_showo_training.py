"""A small random Show-o, trained by the same commands: both ways of its estimate, resume, checkpoints that load by themselves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from models.showo.small_showo import write_folder
from safetensors.torch import load_file
from small_trainings import Killed, Train, die_at, rows, timeless

from suder_bench.models import reference
from suder_bench.models.protocols import ImageSampling, Trainable
from suder_bench.training.recipe import read_recipe

WEIGHTS = "pytorch_model.safetensors"
ALGORITHMS = ("simpo", "grpo", "diffu-grpo")


@pytest.fixture(scope="module")
def showo(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_folder(tmp_path_factory.mktemp("models") / "small"))


def loaded(name: str) -> Trainable:
    model = reference.choose(name).load(device="cpu", dtype="float32")
    assert isinstance(model, Trainable)
    return model


def drawn(model: Trainable) -> list[list[int]]:
    return model.draw(["a red ball", "two boxes"], seeds=[1, 2], sampling=ImageSampling(guidance=2.0, steps=4)).tokens.tolist()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_it_trains_goes_on_and_is_one_folder(algorithm: str, train: Train, showo: str) -> None:
    chosen = (f"model={showo}", f"algorithm={algorithm}", "sampling.steps=3")
    assert train("whole", *chosen) == 0
    assert rows("whole")[-1]["gen/loss"] != 0  # GRPO's first is
    assert rows("whole")[-1]["und/loss"] != 0
    with die_at(2), pytest.raises(Killed):
        train("killed", *chosen)
    assert train("killed", *chosen, resume=True) == 0
    assert timeless("killed") == timeless("whole")
    folder, start = Path("whole/checkpoint-3"), loaded(showo)
    assert all((folder / name).is_file() for name in ("magvitv2/pytorch_model.safetensors", "tokenizer.json"))
    assert json.loads((folder / "config.json").read_text())["model_type"] == "showo"
    before, after = (load_file(Path(one) / WEIGHTS) for one in (showo, folder))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert {"showo.lm_head.weight", "showo.model.embed_tokens.weight", "showo.model.layers.0.mlp.fc1.weight"} <= changed
    trained = loaded(str(folder))
    assert drawn(trained) == drawn(loaded("killed/checkpoint-3"))
    tokens = start.draw(["a ball"], seeds=[0], sampling=ImageSampling(steps=2)).tokens
    assert torch.equal(trained.decode_tokens(tokens), start.decode_tokens(tokens))  # the image tokenizer never learns


def test_one_update_leaves_a_ratio_of_one(train: Train, showo: str) -> None:
    chosen = ("algorithm=diffu-grpo", "strategy=only-gen", "grpo.num_iterations=2", "trainer.save_steps=2")
    assert train("run", f"model={showo}", *chosen, "trainer.learning_rate=0", "trainer.max_steps=4") == 0
    assert [(row["gen/ratio"], row["gen/kl"]) for row in rows("run")] == [(1.0, 0.0)] * 4


@pytest.mark.parametrize("algorithm", ["grpo", "diffu-grpo"])
def test_no_ratios_are_taken_where_some_codes_stand_for_others(
    algorithm: str, train: Train, showo: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train("run", f"model={showo}?estimator=elbo&draws=2", f"algorithm={algorithm}") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"algorithm: {algorithm} takes ratios of single tokens, which the estimate 'elbo (draws 2)' of model" in line
    assert line.endswith("choose another in model, such as estimator=one-step, or algorithm=simpo")


@pytest.mark.parametrize("credit", ["boxes", "guidance"])
def test_parts_of_its_pictures_are_credited(credit: str, train: Train, showo: str) -> None:
    chosen = ("algorithm=diffu-grpo", "strategy=only-gen", "reward.gen=srum", "srum.cells=2", f"srum.credit={credit}")
    assert train("run", f"model={showo}", *chosen, "trainer.max_steps=1", "sampling.steps=2") == 0
    assert 0 < rows("run")[0]["gen/credit"] <= 1


def test_the_estimator_goes_with_the_model(train: Train, showo: str, capsys: pytest.CaptureFixture[str]) -> None:
    asked = f"{showo}?estimator=one-step&drop=0.3&fill=hide&draws=2"
    assert train("run", f"model={asked}", "trainer.max_steps=1", "sampling.steps=2") == 0
    said = "one-step (drop 0.3, fill hide, draws 2)"
    assert f"suder-bench: the likelihood of pictures is estimated: {said}" in capsys.readouterr().err.splitlines()
    assert said in json.loads(Path("run/model.json").read_text())["settings"]["image likelihood"]
    checkpoint = reference.choose(asked).at(Path("run/checkpoint-1"))
    assert checkpoint.load(device="cpu", dtype="float32").estimator == said  # type: ignore[attr-defined]


def test_one_that_clip_sees_for_is_not_trained(train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_folder(tmp_path / "clip")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"w_clip_vit": True}))
    assert train("run", f"model={folder}") == 2
    assert "it understands with a frozen other model (CLIP-ViT) (adapter 'showo')" in capsys.readouterr().err


def test_adapters_learn_in_its_layers(train: Train, showo: str) -> None:
    assert train("run", f"model={showo}", "lora.r=2", "trainer.max_steps=1", "sampling.steps=2") == 0
    start, trained = loaded(showo).network.state_dict(), loaded("run/checkpoint-1").network.state_dict()
    changed = {name for name, weight in trained.items() if not torch.equal(weight, start[name])}
    assert changed
    assert all(name.endswith(("proj.weight", "dense.weight", "fc1.weight", "fc2.weight")) for name in changed)


def test_unknown_parts_are_told_with_its_own(train: Train, showo: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert train("run", f"model={showo}", "trainable=generation_head") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "unknown trainable part 'generation_head'" in line
    assert line.endswith("(choices: language_model, lm_head)")


def test_captions_end_where_it_reads_no_further(train: Train, showo: str, capsys: pytest.CaptureFixture[str]) -> None:
    longer = (f"model={showo}", "sampling.max_completion_length=23", "sampling.steps=2", "trainer.max_steps=1")
    assert train("run", *longer) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "--set sampling.max_completion_length=23: sampling.max_completion_length: model" in line
    assert line.endswith("scores no caption of 23 tokens to its end, but of 22 at most; set sampling.max_completion_length=22")
    assert train("run", *longer, "strategy=only-gen") == 0


@pytest.mark.parametrize(("name", "steps"), [("show-o", 18), ("show-o-512", 50)])
def test_recipes_name_every_open_choice(name: str, steps: int, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = read_recipe(name)
    asked = reference.choose(recipe.model, fetch=False)
    assert asked.adapter == "showo"
    assert asked.asked == {"estimator": "one-step", "drop": "0.15", "fill": "mask", "draws": "1"}
    assert (recipe.algorithm, recipe.sampling.guidance, recipe.sampling.steps) == ("diffu-grpo", 6.0, steps)
    assert recipe.sampling.max_completion_length == 126
    assert recipe.trainer["learning_rate"] == 3e-6
