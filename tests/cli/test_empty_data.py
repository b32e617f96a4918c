"""Data files that hold nothing are refused by name, before anything is made: a score over no prompt is no score."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes import Drawing

from suder_bench import registry
from suder_bench.cli import main
from suder_bench.data.source import write_world
from suder_bench.errors import UserError
from suder_bench.evaluators.t2i_compbench import CATEGORIES, T2ICompBench

VAL = (
    *(f"{category}_val" for category in CATEGORIES),
    *(f"complex_val_{name}" for name in ("action", "spatial", "spatialaction")),
)
FILES = {
    "geneval": ["evaluation_metadata.jsonl", "object_names.txt"],
    "t2i-compbench": [*(f"{name}.txt" for name in VAL), "new_objects.txt"],
    "pope": ["coco_pope_random.json", "coco_pope_popular.json", "coco_pope_adversarial.json"],
    "hallusionbench": ["HallusionBench.json"],
    "llavabench": ["questions.jsonl", "context.jsonl", "answers_gpt4.jsonl", "rule.json"],
    "mmbench": ["MMBench_DEV_EN.tsv"],
    "seedbench": ["SEED-Bench.json"],
}
EMPTY = {
    "nothing": lambda content: "",
    "blank lines": lambda content: "\n \n",
    "an empty list": lambda content: "[]",
    "a heading": lambda content: content.split("\n")[0] + "\n",
    "no questions": lambda content: json.dumps({**json.loads(content), "questions": []}),
}
CASES = [(name, file, "nothing") for name, files in FILES.items() for file in files]
CASES += [("geneval", "evaluation_metadata.jsonl", "blank lines"), ("t2i-compbench", "complex_val_action.txt", "blank lines")]
CASES += [("pope", "coco_pope_popular.json", "an empty list"), ("hallusionbench", "HallusionBench.json", "an empty list")]
CASES += [("mmbench", "MMBench_DEV_EN.tsv", "a heading"), ("seedbench", "SEED-Bench.json", "no questions")]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    write_world(folder, size="quick")
    return folder


@pytest.fixture
def emptied(world: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    name, file, how = request.param
    place = world / name.replace("t2i-compbench", "t2i_compbench") / file
    content = place.read_bytes()
    place.write_text(EMPTY[how](content.decode()))
    yield place
    place.write_bytes(content)


@pytest.mark.parametrize(("emptied", "name"), [(case, case[0]) for case in CASES], indirect=["emptied"], ids=map("-".join, CASES))
def test_an_empty_file_is_refused_by_name(
    emptied: Path, name: str, world: Path, tmp_path: Path, fakes: None, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = ["--benchmark", name, "--data", str(world), "--device", "cpu", "--out", str(tmp_path / "r")]
    assert main(["run", "--model", "fake:right", *wanted, "--limit", "2"]) == 2
    (told,) = capsys.readouterr().err.splitlines()
    assert str(emptied) in told
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize("name", ["color_train", "complex_train_spatial"])
def test_an_empty_file_of_training_prompts_is_refused_by_name(world: Path, name: str) -> None:
    place = world / f"t2i_compbench/{name}.txt"
    content = place.read_bytes()
    place.write_text("\n")
    with pytest.raises(UserError, match=f"{name}.txt is empty"):
        T2ICompBench(world).training_samples()
    place.write_bytes(content)


def test_a_benchmark_of_another_package_without_samples_is_refused_too(
    fakes: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Drawing, "samples", lambda self: [])
    assert registry.load("benchmarks", "drawing") is Drawing
    assert main(["run", "--model", "fake:right", "--benchmark", "drawing", "--data", str(tmp_path), "--device", "cpu"]) == 2
    assert "drawing: its data hold nothing to ask" in capsys.readouterr().err
