"""What a dry run of a training tells: what would fail later fails now, what is not here is named, and nothing is made."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from models.janus import original_layout
from models.test_lora import saved
from models.tiny import tiny_janus_model, tiny_tokenizer
from PIL import Image
from safetensors.torch import save_file

from suder_bench.cli import main
from suder_bench.training import preview
from suder_bench.training.strategies import Training


@pytest.fixture
def here(tmp_path: Path, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with `recipe.yaml`."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    Path("recipe.yaml").write_text(yaml.safe_dump(settings))
    return tmp_path / "here"


@pytest.fixture
def told(here: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """told("num_generations=4", ...): the status of the dry run, the facts, and the lines on stderr; nothing is made."""

    def told(*sets: str) -> tuple[int, list[str], list[str]]:
        before = sorted(here.rglob("*"))
        chosen = [word for one in sets for word in ("--set", one)]
        status = main(["train", "--config", "recipe.yaml", "--out", "new", *chosen, "--dry-run"])
        shown = capsys.readouterr()
        assert sorted(here.rglob("*")) == before
        facts = [line.removeprefix("# ") for line in shown.out.splitlines() if line.startswith("# ")]
        return status, facts, [line.removeprefix("suder-bench: ") for line in shown.err.splitlines()]

    return told


def test_prompts_are_counted_and_pictures_decoded(told: Any, settings: dict[str, Any]) -> None:
    prompts, images = settings["data"]["prompts"][0], settings["data"]["images"][0]
    status, facts, said = told()
    assert (status, said) == (0, [])
    assert facts[:3] == [
        f"4 prompts of {prompts}",
        f"4 pictures of {images}, 4 of which were looked at",
        "an epoch is 2 steps of 2 prompts and pictures",
    ]


def test_updates_on_the_same_samples_are_steps_too(told: Any) -> None:
    _, facts, _ = told("algorithm=grpo", "grpo.num_iterations=2", "trainer.save_steps=2")
    assert facts[2] == "an epoch is 4 steps of 2 prompts and pictures, 2 on the same samples"


@pytest.mark.parametrize("scale", ["tiny", "janus-pro-1b", "janus-pro-7b"])
def test_memory_is_estimated_at_each_scale(scale: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--config", scale, "--dry-run"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("#")]
    said = [i for i, line in enumerate(lines) if line.startswith("# memory of each of 1 processes: about ")]
    assert len(said) == 1
    kept, passing, *_ = lines[said[0] + 1 :]
    assert re.fullmatch(r"#   kept: weights [\d.]+ [GM]iB,.* gradients [\d.]+ [GM]iB, optimizer [\d.]+ [GM]iB", kept)
    assert re.search(
        r"drawing [\d.]+ [GM]iB \(cache [\d.]+ [GM]iB, logits [\d.]+ MiB\), writing .*, scoring .*, updating ", passing
    )
    assert any("memory of each of 8 processes" in line for line in lines) == (scale != "tiny")


@pytest.mark.parametrize("form", ["settings", "original layout", "adapters"])
def test_memory_is_that_of_the_same_weights_in_another_form(
    form: str, here: Path, told: Any, settings: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    start = settings["model"]
    if form == "adapters":
        (here / "lora").mkdir()
        config = {"peft_type": "LORA", "r": 1, "lora_alpha": 1, "base_model_name_or_path": str(start)}
        (here / "lora/adapter_config.json").write_text(json.dumps(config))
        save_file({"base_model.model.x": torch.zeros(1)}, here / "lora/adapter_model.safetensors")
    if form == "original layout":
        original_layout.write(here / "original", tiny_janus_model(vision_heads=16), tiny_tokenizer())
        start = saved(tiny_janus_model(vision_heads=16), here / "port")
    other = {"settings": f"{start}?allow_nonfinite=true", "original layout": "original", "adapters": "lora"}[form]
    memories = []
    for model in (start, other):
        assert main(["train", "--config", "recipe.yaml", "--set", f"model={model}", "--dry-run"]) == 0
        memories.append([line for line in capsys.readouterr().out.splitlines() if line.startswith(("# memory", "#   "))])
    assert memories[0] == memories[1]
    assert memories[0][0].startswith("# memory of each of 1 processes: about ")


def test_memory_of_an_unknown_model_is_not_guessed(told: Any) -> None:
    _, facts, _ = told("model=somebody/a-model")
    assert "memory: unknown until the configuration of somebody/a-model is here" in facts


def test_only_what_is_trained_is_looked_at(told: Any) -> None:
    status, facts, said = told("strategy=only-gen", "data.images=[{source: ./nowhere}]")
    assert (status, said) == (0, [])
    assert [fact for fact in facts if "pictures" in fact] == []


WRONG = [
    ("data.prompts=[p.json]", "p.json, entry 2: no prompt; each entry is a text, or an object like"),
    ("data.prompts=[p.jsonl]", "p.jsonl:1: not JSON"),
    ("data.prompts=[empty.txt]", "prompt file empty.txt holds no prompt"),
    ("data.prompts=[prompts.csv]", "unknown prompt source 'prompts.csv'"),
    (
        "data.images=[{source: broken}]",
        "1 of 3 pictures that were looked at cannot be read, first broken/1.png is not a readable",
    ),
    ("data.images=[{source: broken, count: 9}]", "picture source 'broken' holds 3 pictures, 9 are asked for"),
    ("data.images=[{source: empty}]", "picture source 'empty' holds no pictures"),
    ("data.images=[{source: empty.txt}]", "picture source 'empty.txt' is a file, and neither a folder nor *.parquet"),
    ("data.images=[{source: broken.parquet}]", "picture source 'broken.parquet' cannot be read"),
    ("data.images=[{source: hub:nobody}]", "picture source 'hub:nobody' is no set of the hub"),
    ("global_batch_size=3", "global_batch_size 3 is no multiple of trainer.per_device_train_batch_size 2 x 1 processes"),
    ("global_batch_size=8", "global_batch_size 8 is more than there is (4 prompts, 4 pictures)"),
    ("reward.gen=dsrr", "unknown reward 'dsrr'"),
    ("reward.gen={dsr: 0}", "reward.gen is dsr: 0.0; give a reward a finite weight"),
    ("reward.gen=evaluator:pope", "unknown reward 'evaluator:pope'"),
    ("reward.judges.clip=nobody", "unknown clip judge 'nobody'"),
    ("sampling.steps=4", "sampling.steps: model "),
    ("model=empty", "model folder 'empty' holds no config.json"),
    ("model=folder:empty", "model 'folder:empty' cannot be trained"),
    ("trainer.optim=adamw_bnb_8bit", "optim adamw_bnb_8bit and lr_scheduler_type constant cannot be used so: "),
    ("trainer.lr_scheduler_type=cosine_with_min_lr", "lr_scheduler_type cosine_with_min_lr cannot be used so: "),
    ("trainer.deepspeed=p.jsonl", "trainer.deepspeed: p.jsonl is not a readable JSON file"),
    ("trainer.report_to=tensorbord", "unknown tracker 'tensorbord'; did you mean 'tensorboard'?"),
    ("trainer.report_to=[none, tensorboard]", "'none' stands alone; leave out the others"),
    ("trainer.report_to=flyte", "flyte cannot be used here: FlyteCallback requires flytekit to be installed. Run `pip install"),
]


@pytest.fixture
def files(here: Path) -> None:
    Path("p.json").write_text('["a", 3]')
    Path("p.jsonl").write_text("a\n")
    Path("empty.txt").touch()
    Path("empty").mkdir()
    Path("broken.parquet").write_text("PAR1")
    Path("broken").mkdir()
    for i in range(3):
        Image.new("RGB", (64, 64), (i, 0, 0)).save(f"broken/{i}.png")
    Path("broken/1.png").write_bytes(Path("broken/1.png").read_bytes()[:60])


@pytest.mark.parametrize(("setting", "says"), WRONG)
def test_what_will_fail_is_told_in_one_line(files: None, told: Any, setting: str, says: str) -> None:
    status, facts, said = told(setting)
    assert (status, facts, len(said)) == (2, [], 1)
    assert says in said[0]


@pytest.mark.parametrize(
    "setting", ["trainer.report_to=wandbb", "trainer.report_to=flyte", "reward.und=dsrr", "model=empty", "sampling.steps=4"]
)
def test_the_training_says_the_same_before_it_reads_data(files: None, here: Path, told: Any, setting: str, monkeypatch, capsys):
    """Without --dry-run: one line, before data are read and a model is loaded."""
    _, _, said = told(setting)
    monkeypatch.setattr(Training, "_data", lambda self: pytest.fail("data were read"))
    assert main(["train", "--config", "recipe.yaml", "--out", "new", "--device", "cpu", "--set", setting]) == 2
    assert capsys.readouterr().err.splitlines() == [f"suder-bench: {said[0]}"]


def test_what_is_not_here_is_named_and_the_rest_looked_at(told: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preview, "find_spec", lambda name: None)
    sets = ["data.prompts=[mine.txt, t2i-compbench:official]", "data.images=[{source: ./journeydb, count: 4}, {source: world}]"]
    status, facts, said = told(*sets, "model=somebody/a-model", "lora.r=4")
    assert status == 0
    assert said == []
    assert facts[0] == "2,800 pictures of world"
    assert [line for line in facts if line.startswith("missing")] == [
        'missing: the package peft is not installed; run: pip install -c constraints.txt ".[train]"',
        "missing: weights of somebody/a-model are not here; run: hf download somebody/a-model",
        f"missing: --set {sets[0]}: data.prompts: prompt file mine.txt does not exist;"
        " give a file with one prompt a line, or another source",
        "missing: prompts t2i-compbench:official are not here; run: suder-bench data fetch t2i-compbench",
        f"missing: --set {sets[1]}: data.images: picture source './journeydb': there is no such folder;"
        " put the pictures there, or name another source",
    ]


def test_pictures_of_the_hub_are_not_fetched(told: Any) -> None:
    status, facts, said = told("data.images=[{source: hub:org/name, count: 4}]")
    assert (status, said) == (0, [])
    assert facts[1] == "pictures of org/name are fetched when the training starts; nothing was looked at"


def test_of_many_pictures_some_are_decoded_evenly(told: Any, files: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preview, "LOOKED_AT", 2)
    for i in range(3, 6):
        Image.new("RGB", (64, 64)).save(f"broken/{i}.png")
    status, facts, _ = told("data.images=[{source: broken}]")
    assert (status, facts[1]) == (0, "6 pictures of broken, 2 of which were looked at")
