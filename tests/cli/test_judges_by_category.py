"""Judges are asked for by what is there: what lacks one is told and left open, and the rest is scored, kept and compared."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from PIL import Image

from suder_bench.cli import main
from suder_bench.data.source import write_world
from suder_bench.evaluators.geneval import GenEval
from suder_bench.evaluators.t2i_compbench import CATEGORIES, T2ICompBench
from suder_bench.evaluators.t2i_compbench.benchmark import ORIGINAL

EACH = 2
"""Prompts of a category, a picture to each."""

LACKING = {
    "detector-2d": "file:/nowhere",
    "detector-3d": "file:/nowhere",
    "depth": "official:/nowhere",
    "clip": "official:/nowhere",
    "vqa": "official:/nowhere",
    "parser": "official:/nowhere",
}
"""A back-end of each role that cannot be loaded."""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The first two prompts of each of the world's categories."""
    write_world(tmp_path / "data", size="quick", benchmarks=["t2i-compbench"])
    for category in CATEGORIES:
        file = tmp_path / f"data/t2i_compbench/{category}_val.txt"
        file.write_text("\n".join(file.read_text().splitlines()[:EACH]))
    return tmp_path / "data"


@pytest.fixture
def made(tmp_path: Path, data: Path) -> Path:
    bench = T2ICompBench(data)
    for number, sample in enumerate(bench.samples()):
        file = tmp_path / "made" / bench.image_path(sample, 0)
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (64, 64), (10 * number, 250 - 10 * number, 99)).save(file)
    return tmp_path / "made"


def without(*roles: str) -> list[str]:
    return [word for role in roles for word in ("--judge", f"{role}={LACKING[role]}")]


def score(made: Path, data: Path, *options: str) -> int:
    options = ("--device", "cpu", *options)
    return main(["score", "--benchmark", "t2i-compbench", "--images", str(made), "--data", str(data), *options])


def run(made: Path, data: Path, out: Path, *options: str) -> int:
    wanted = ["run", "--model", f"folder:{made}", "--benchmark", "t2i-compbench", "--repeats", "1", "--data", str(data)]
    return main([*wanted, "--device", "cpu", "--out", str(out), *options])


def entry(shown: str) -> dict[str, Any]:
    document = json.loads(shown)
    jsonschema.validate(document, json.loads(files("suder_bench.runs").joinpath("summary.schema.json").read_text()))
    return dict(document["benchmarks"]["t2i-compbench"])


def summary(out: Path) -> dict[str, Any]:
    return entry((out / "summary.json").read_text())


def verdicts(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "verdicts/t2i-compbench/0.jsonl").read_text().splitlines()]


def test_a_folder_of_one_category_needs_the_judges_of_that_category_alone(
    made: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (made / "color").rename(tmp_path / "alone" if (tmp_path / "alone").mkdir() else tmp_path / "alone/color")
    assert score(tmp_path / "alone", data, "--json", *without("detector-2d", "detector-3d", "depth", "clip")) == 0
    shown = capsys.readouterr()
    found = entry(shown.out)
    assert (found["n_responses"], found["failed"]) == (EACH, 0)
    assert set(found["judges"]) == {"vqa", "parser"}
    assert found["metrics"]["color"]["judges"] == ["vqa", "parser"]
    assert "unjudged" not in found
    assert found["metrics"]["average"]["without"] == ["shape", "texture", "spatial", "non_spatial", "complex"]
    assert "without" not in found["metrics"]["color"]
    assert "/nowhere" not in shown.err  # the others are not even looked for
    assert score(tmp_path / "alone", data) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "t2i-compbench: average without shape, texture, spatial, non_spatial, complex; not comparable" in told


def test_what_lacks_a_judge_is_told_and_the_rest_is_scored(made: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert score(made, data, "--json") == 0
    whole = entry(capsys.readouterr().out)
    assert score(made, data, "--json", *without("detector-3d")) == 1
    found = entry(capsys.readouterr().out)
    assert found["unjudged"] == {"responses": 2 * EACH, "roles": ["detector-3d"], "metrics": ["3d_spatial", "numeracy"]}
    kept = (*ORIGINAL, "average")
    assert found["metrics"] == {name: whole["metrics"][name] for name in kept}
    assert set(found["judges"]) == {"vqa", "detector-2d", "depth", "clip", "parser"}
    assert score(made, data, *without("detector-3d")) == 1
    table = capsys.readouterr().out
    assert f"{2 * EACH} not judged" in table
    assert "lacks detector-3d, and so has no 3d_spatial, numeracy" in " ".join(table.split())
    assert " failed" not in table


def test_a_mean_over_categories_is_not_given_without_one_of_them(
    made: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert score(made, data, "--json", *without("detector-2d")) == 1
    found = entry(capsys.readouterr().out)
    assert {"spatial", "average"} <= set(found["unjudged"]["metrics"])
    assert {"spatial", "average"}.isdisjoint(found["metrics"])
    assert {"color", "non_spatial", "numeracy"} <= set(found["metrics"])
    assert score(made, data, "--json", *without("parser")) == 1
    assert set(entry(capsys.readouterr().out)["metrics"]) == {"non_spatial"}


def test_a_judge_that_comes_later_judges_only_what_waited_for_it(
    made: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "r"
    assert run(made, data, out, *without("detector-2d", "depth")) == 1
    first = verdicts(out)
    assert {row["sample"].split("/")[0] for row in first}.isdisjoint({"spatial", "3d_spatial"})
    assert {"color", "non_spatial", "numeracy"} <= set(summary(out)["metrics"])
    assert main(["score", str(out), "--judge", "detector-2d=world", "--judge", "depth=world"]) == 0
    assert verdicts(out)[: len(first)] == first
    whole = summary(out)
    assert "unjudged" not in whole
    assert {*CATEGORIES, "average"} <= set(whole["metrics"])
    assert len(verdicts(out)) == len(CATEGORIES) * EACH
    capsys.readouterr()
    assert main(["score", str(out), *without("detector-2d", "depth")]) == 1  # what they said before still counts
    assert summary(out) == whole
    shown = capsys.readouterr()
    assert "t2i-compbench: what detector-2d, depth judged before still counts" in shown.err
    assert "lacks" not in shown.out
    assert run(made, data, tmp_path / "new", "--json") == 0
    assert entry(capsys.readouterr().out)["metrics"] == whole["metrics"]


def test_another_judge_of_one_category_leaves_the_verdicts_on_the_others(made: Path, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "r"
    assert run(made, data, out) == 0
    before = {row["sample"]: row["judges"] for row in verdicts(out)}
    assert main(["score", str(out), "--judge", "clip=tiny-clip", "--no-known-answers"]) == 0
    again = [row["sample"] for row in verdicts(out)[len(before) :]]
    assert set(again) >= {name for name in before if name.startswith("non_spatial/")}
    assert {name.split("/")[0] for name in again} <= set(CATEGORIES)


def test_a_preview_judges_what_it_can(made: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(made, data, tmp_path / "r", "--dry-run", "--json", *without("detector-2d")) == 0
    shown = capsys.readouterr()
    told = json.loads(shown.out)["benchmarks"]["t2i-compbench"]
    assert 0 < told["score"]["left"] < len(CATEGORIES) * EACH
    assert "detector-2d" in shown.err


def test_runs_are_compared_in_what_the_same_judges_judged(
    made: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(made, data, tmp_path / "a") == 0
    assert run(made, data, tmp_path / "b", "--judge", "clip=tiny-clip") == 0
    assert run(made, data, tmp_path / "c", *without("detector-3d")) == 1
    capsys.readouterr()
    assert main(["compare", str(tmp_path / "a"), str(tmp_path / "b"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["benchmarks"]["t2i-compbench"]
    assert {"non_spatial", "average"} <= set(found["judged_differently"])
    assert {"color", "shape", "texture", "spatial", "3d_spatial", "numeracy"} <= set(found["metrics"])
    assert set(found["metrics"]).isdisjoint(found["judged_differently"])
    assert main(["compare", str(tmp_path / "a"), str(tmp_path / "c")]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "t2i-compbench: not by the same judges in both, and left out: 3d_spatial, numeracy" in told


def test_geneval_asks_for_colours_only_where_a_prompt_does(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_world(tmp_path / "data", size="quick", benchmarks=["geneval"])
    bench = GenEval(tmp_path / "data")
    tags = {sample.truth["tag"]: set[tuple[str, ...]]() for sample in bench.samples()}
    for sample in bench.samples():
        tags[sample.truth["tag"]].add(bench.roles_of(sample))
        file = tmp_path / "made" / bench.image_path(sample, 0)
        file.parent.mkdir(parents=True)
        Image.new("RGB", (64, 64)).save(file)
    assert tags["counting"] == tags["single_object"] == {("detector",)}
    assert tags["colors"] == tags["color_attr"] == {("detector", "color")}
    options = ["--images", str(tmp_path / "made"), "--data", str(tmp_path / "data"), "--json", "--device", "cpu"]
    assert main(["score", "--benchmark", "geneval", "--judge", "color=official:/nowhere", *options]) == 1
    found = json.loads(capsys.readouterr().out)["benchmarks"]["geneval"]
    assert {"colors", "color_attr", "overall"} <= set(found["unjudged"]["metrics"])
    assert {"single_object", "two_object", "counting", "position"} == set(found["metrics"])
