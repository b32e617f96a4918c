"""What commands are told of the model besides its name: `--base`, `--allow-nonfinite`, `--trust-remote-code`, `--rehash`."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from models.test_lora import adapters, saved, sixteen_heads
from models.tiny import write_checkpoint
from safetensors.torch import load_file, save_file

from suder_bench import registry
from suder_bench.cli import main
from suder_bench.models import digests
from suder_bench.models.janus import JanusModel
from suder_bench.models.reference import choose

pytestmark = pytest.mark.usefixtures("fakes")
SEEN = "model.vision_model.embeddings.patch_embedding.weight"
"""A weight that no drawing computes with."""

UP = "model.language_model.layers.1.mlp.up_proj.weight"
MARK = f"2 NaN or infinite numbers in 1 of {{}} weights, such as {SEEN} (--allow-nonfinite)"


def broken(start: Path, folder: Path, weight: str = SEEN) -> Path:
    """A copy with two numbers that are none."""
    shutil.copytree(start, folder)
    weights = {name: tensor.clone() for name, tensor in load_file(folder / "model.safetensors").items()}
    weights[weight].view(-1)[:2] = torch.tensor([torch.nan, torch.inf])
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    return folder


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(digests.REHASH, raising=False)
    return write_checkpoint(tmp_path / "start")


@pytest.fixture
def odd(start: Path) -> Path:
    """In the folder of a training that began with `start`."""
    folder = broken(start, Path("r/checkpoint-5").absolute())
    (folder / "trainer_state.json").write_text("{}")
    Path("r/recipe.yaml").write_text("model: start\nstrategy: unified\n")
    return folder


def command(name: str, *others: str) -> list[str]:
    data = str(Path(__file__).parent)
    return [*name.split(), *others, "--benchmark", "drawing", "--device", "cpu", "--data", data, "--limit", "3"]


def read(file: str) -> Any:
    return json.loads(Path(file).read_text())


def mark() -> str:
    return MARK.format(len(load_file("start/model.safetensors")))


def test_numbers_of_such_weights_never_stand_unmarked(odd: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command("run", "--model", str(odd), "--out", "out")) == 2
    assert "with --allow-nonfinite" in capsys.readouterr().err
    assert main(command("run", "--model", str(odd), "--allow-nonfinite", "--out", "out")) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert f"marked drawing: {mark()}; not comparable with published numbers" in shown
    assert read("out/run.json")["model"]["name"] == f"{odd}?allow_nonfinite=true"
    assert read("out/run.json")["model"]["settings"]["weights not finite"] == mark().removesuffix(" (--allow-nonfinite)")
    assert read("out/summary.json")["benchmarks"]["drawing"]["deviations"] == [mark()]
    assert main(["score", "out", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["benchmarks"]["drawing"]["deviations"] == [mark()]
    assert main(command("run", "--model", "start", "--out", "plain")) == 0
    capsys.readouterr()
    assert main(["compare", "plain", "out"]) == 0
    assert mark() in " ".join(capsys.readouterr().out.split())
    assert choose(f"{odd}?allow_nonfinite=true").label == "checkpoint-5-allow_nonfinite"


def test_finite_weights_are_not_marked(start: Path) -> None:
    assert main(command("run", "--model", str(start), "--allow-nonfinite", "--out", "out")) == 0
    assert "deviations" not in read("out/summary.json")["benchmarks"]["drawing"]
    assert JanusModel.load("start?allow_nonfinite=true").fingerprint == JanusModel.load("start").fingerprint


def test_a_response_that_is_no_number_is_still_a_failure(start: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken(start, Path("worse"), UP)
    assert main(command("run", "--model", "worse", "--allow-nonfinite", "--out", "out")) == 1
    found = read("out/summary.json")["benchmarks"]["drawing"]
    assert found["failed"] > 0
    assert not any(metric["n"] for metric in found["metrics"].values())


def test_track_marks_a_checkpoint_and_not_the_start(odd: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command("track", "r", "--allow-nonfinite", "--json")) == 0
    steps = json.loads(capsys.readouterr().out)["benchmarks"]["drawing"]["steps"]
    assert [(row["step"], row.get("marked")) for row in steps] == [(0, None), (5, mark())]
    assert read("r/evaluations/step-5/drawing/run.json")["model"]["name"] == f"{odd.relative_to(Path.cwd())}?allow_nonfinite=true"
    with Path("r/evaluations/curves.csv").open(newline="") as file:
        assert {(row["step"], row["marked"]) for row in csv.DictReader(file)} == {("0", ""), ("5", mark())}
    assert main(command("track", "r", "--allow-nonfinite")) == 0
    told = capsys.readouterr()
    assert "evaluated before: drawing at steps 0, 5" in told.err
    assert f"marked step 5, drawing: {mark()}; not comparable" in " ".join(told.out.split())


def test_a_comparison_of_rewards_is_marked(
    odd: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(registry.TABLE, "rewards", {**registry.TABLE["rewards"], "red": "fake_rewards:Red"})
    registry.table.cache_clear()
    Path("prompts.txt").write_text("a star\na ball\n")
    asked = ["--model", str(odd), "--allow-nonfinite", "--rewards", "red", "--samples", "2", "--limit", "2", "--captions", "0"]
    where = ["--device", "cpu", "--data", str(Path(__file__).parent)]
    for prompts, out in (("drawing", "out"), ("prompts.txt", "mine")):
        assert main(["reward", "compare", *asked, *where, "--prompts", prompts, "--out", out]) == 0
        assert read(f"{out}/compare.json")["deviations"] == [mark()]
        assert f"marked: {mark()}" in " ".join(capsys.readouterr().out.split())
    assert read("out/samples/run.json")["model"]["name"] == f"{odd}?allow_nonfinite=true"


def test_steps_that_are_not_captured_are_recorded(start: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With every number as it was."""
    assert main(command("run", "--model", "start", "--out", "plain")) == 0
    assert main(command("run", "--model", "start", "--no-capture", "--out", "out")) == 0
    model = read("out/run.json")["model"]
    assert model["name"] == "start?no_capture=true"
    assert model["settings"].pop("steps of drawing") == "one kernel at a time (--no-capture)"
    assert model["settings"] == read("plain/run.json")["model"]["settings"]
    metrics = [read(f"{out}/summary.json")["benchmarks"]["drawing"]["metrics"] for out in ("plain", "out")]
    assert metrics[0] == metrics[1]
    capsys.readouterr()
    assert main(["train", "--config", "tiny", "--set", "model=start", "--no-capture", "--dry-run"]) == 0
    assert "model: start?no_capture=true\n" in capsys.readouterr().out
    assert main(command("run", "--model", "fake:red", "--no-capture", "--out", "other")) == 2
    assert "--no-capture says nothing to a model of adapter 'fake'" in capsys.readouterr().err


def test_a_training_and_a_conversion_take_it_along(odd: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--config", "tiny", "--set", f"model={odd}", "--allow-nonfinite", "--dry-run"]) == 0
    assert f"model: {odd}?allow_nonfinite=true\n" in capsys.readouterr().out
    assert main(["convert", str(odd), "converted"]) == 2
    assert main(["convert", str(odd), "converted", "--allow-nonfinite"]) == 0
    assert not load_file("converted/model.safetensors")[SEEN].isfinite().all()


@pytest.mark.parametrize("name", [["run"], ["track"], ["reward", "compare"], ["convert"], ["train"]])
def test_every_command_that_takes_a_model_takes_them(name: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*name, "--help"]) == 0
    shown = capsys.readouterr().out
    assert all(option in shown for option in ("--base", "--allow-nonfinite", "--trust-remote-code", "--rehash"))


@pytest.mark.parametrize(
    "asked",
    [
        ["convert", "start", "converted"],
        ["train", "--config", "tiny", "--set", "model=start", "--dry-run"],
        ["track", "r", "--benchmark", "drawing", "--data", "."],
        ["reward", "compare", "--model", "start", "--prompts", "drawing", "--data", "."],
    ],
)
def test_a_janus_has_no_code_to_trust(odd: Path, asked: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*asked, "--trust-remote-code"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "--trust-remote-code says nothing to a model of adapter 'janus', which runs no code of a checkpoint" in line


# --base


@pytest.fixture
def bases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two models in `one` and `two`, and `lora` for the first of them."""
    monkeypatch.chdir(tmp_path)
    model = sixteen_heads()
    saved(model, Path("one"))
    with torch.no_grad():
        model.lm_head.weight.mul_(2)
    saved(model, Path("two"))
    adapters(Path("lora"), Path("one"))


@pytest.mark.usefixtures("bases")
def test_another_base_than_the_adapters_name(capsys: pytest.CaptureFixture[str]) -> None:
    run = command("run", "--model", "lora", "--base", "two")
    assert main([*run, "--out", "out"]) == 0
    model = read("out/run.json")["model"]
    assert model["name"] == "janus:two+lora"
    assert model["fingerprint"] == JanusModel.load("two+lora").fingerprint != JanusModel.load("one+lora").fingerprint
    assert choose("lora", base="two").label == "two+lora"
    assert main([*run, "--out", "out"]) == 0  # which goes on
    capsys.readouterr()
    assert main(command("run", "--model", "lora", "--out", "out")) == 2
    assert "was made with model weights" in capsys.readouterr().err


@pytest.mark.usefixtures("bases")
def test_a_base_with_settings() -> None:
    chosen = choose("lora", {"allow_nonfinite": "true"}, base="two")
    assert (chosen.name, chosen.checkpoints) == ("janus:two+lora?allow_nonfinite=true", ("two", "lora"))
    assert choose(chosen.name, base="two") == chosen
    assert choose(chosen.name) == chosen
    assert choose("lora?allow_nonfinite=true", base="two") == chosen
    chosen.check()


@pytest.mark.usefixtures("bases")
def test_weights_alone_have_no_other_base(tmp_path: Path) -> None:
    (tmp_path / "step").mkdir()
    shutil.copy("one/model.safetensors", "step")
    assert choose("step", base="two").checkpoints == ("two", "step")
    assert main(command("run", "--model", "step", "--base", "two", "--out", "out")) == 0
    weights = JanusModel.load("one").parts["weights"]
    assert read("out/run.json")["model"]["parts"]["weights"] == weights


@pytest.mark.usefixtures("bases")
def test_a_folders_name_may_hold_a_plus() -> None:
    Path("lora").rename("my+lora")
    assert choose("my+lora", base="two").checkpoints == ("two", "my+lora")


@pytest.mark.usefixtures("bases")
def test_the_base_goes_into_recipes_and_conversions(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--config", "tiny", "--set", "model=lora", "--base", "two", "--dry-run"]) == 0
    assert "model: janus:two+lora\n" in capsys.readouterr().out
    assert main(["convert", "lora", "whole", "--base", "two"]) == 0
    weights = load_file("whole/model.safetensors")
    assert torch.equal(weights["lm_head.weight"], load_file("two/model.safetensors")["lm_head.weight"])
    query = "model.language_model.layers.0.self_attn.q_proj.weight"
    assert not torch.equal(weights[query], load_file("two/model.safetensors")[query])
    Path("r/checkpoint-5").parent.mkdir()
    shutil.copytree("one", "r/checkpoint-5")
    Path("r/checkpoint-5/trainer_state.json").write_text("{}")
    Path("r/recipe.yaml").write_text("model: lora\nstrategy: unified\n")
    assert main(command("track", "r", "--base", "two")) == 0
    names = [read(f"r/evaluations/step-{step}/drawing/run.json")["model"]["name"] for step in (0, 5)]
    assert names == ["janus:two+lora", "r/checkpoint-5"]


@pytest.mark.usefixtures("bases")
@pytest.mark.parametrize(
    ("model", "base", "told"),
    [
        ("one", "two", "--base two is for LoRA adapters or weights alone, but 'one' has a config.json: it is a whole model"),
        ("tiny-janus", "two", "but 'tiny-janus' has no adapter_config.json"),
        ("lora", "nowhere", "--base 'nowhere' is neither a folder nor a hub id (ORG/NAME)"),
        ("lora", "lora", "model 'lora' holds LoRA adapters alone, not the model that they go into"),
        ("lora", "", "--base '' is neither a folder nor a hub id"),
        ("lora", "pipeline", "model 'pipeline' is a pipeline of diffusers (model_index.json), not one model"),
        ("janus:one+lora", "two", "model 'janus:one+lora' and --base both give a base; leave one out"),
        ("lora", "two-narrow", "is (16, 32) in the base, (32, 64) here; give the base it was trained on"),
        ("lora", "two-shallow", "which the base does not have; give the base it was trained on"),
    ],
)
def test_a_base_that_does_not_fit(model: str, base: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    if base == "two-narrow":
        write_checkpoint(Path(base), hidden=16)
    if base == "pipeline":
        shutil.copytree("one", "pipeline/unet")
        Path("pipeline/model_index.json").write_text("{}")
    if base == "two-shallow":
        write_checkpoint(Path(base), layers=1)
    capsys.readouterr()
    assert main(command("run", "--model", model, "--base", base, "--out", "out")) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert told in line
    assert not Path("out").exists()


@pytest.mark.usefixtures("bases")
def test_a_base_given_twice_is_no_choice(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command("run", "--model", "lora", "--base", "one", "--base", "two")) == 2
    assert "--base is given twice, as 'one' and 'two'; leave one out" in capsys.readouterr().err


@pytest.mark.usefixtures("bases")
def test_a_base_may_be_said_again_as_it_was(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chosen = choose("lora", base="two")
    assert choose(chosen.name, base="janus:two") == chosen
    assert choose(chosen.name, base=str(tmp_path / "two")) == chosen
    shipped = choose("lora", base="tiny-janus")
    recipe = ["train", "--config", "tiny", "--set", f"model={shipped.name}", "--dry-run"]
    assert main([*recipe, "--base", "two"]) == 2
    assert "both give a base" in capsys.readouterr().err
    assert choose(shipped.name, base="tiny-janus") == shipped


# --rehash


def test_rehash_holds_a_finished_run_to_its_weights(
    start: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(digests, "LARGE", 1)
    monkeypatch.setattr(digests, "FRESH", 0)
    monkeypatch.setenv(digests.REHASH, "0")  # which is put back after the test
    run = command("run", "--model", str(start), "--out", "out")
    assert main(run) == 0
    for entry in (digests.cache_folder() / "digests").iterdir():
        entry.write_text(json.dumps(read(str(entry)) | {"sha256": "0" * 64}))
    digests._sha256.cache_clear()
    assert main(command("run", "--model", str(start), "--out", "wrong")) == 0
    assert read("wrong/run.json")["model"]["parts"]["weights"] == "0" * 64
    capsys.readouterr()
    assert main([*run[:-2], "--limit", "3", "--rehash"]) == 0
    assert f"{start}/model.safetensors: the digest that was kept of it, 000000000000, was wrong" in caplog.text
    assert main(command("run", "--model", str(start), "--out", "wrong", "--rehash")) == 2
    assert "was made with model weights 000000000000" in capsys.readouterr().err
