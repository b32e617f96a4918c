"""GenEval from the command line with small random networks: everything as in a step-by-step reference."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import geneval_reference as reference
import mmdet_two
import numpy as np
import pytest
import tiny_detector
import tiny_judges
from PIL import Image

from suder_bench.cli import main
from suder_bench.data.source import write_world
from suder_bench.evaluators.geneval import TAGS, GenEval
from suder_bench.records import Verdict

NAMES = ["".join(letters) for letters in np.random.default_rng(0).permutation([[a, b] for a in "cdefghij" for b in "klmnopqrst"])]
"""80 class names in an order of their own."""


@pytest.fixture(scope="module")
def detector(tmp_path_factory) -> Path:
    return tiny_detector.save(tmp_path_factory.mktemp("detector"))


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    return tiny_judges.clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture
def verdicts(monkeypatch) -> list[Verdict]:
    """Every verdict that GenEval passes, as it passes it."""
    passed: list[Verdict] = []
    judge = GenEval.verdicts

    def spy(self, answered, judges):
        for verdict in judge(self, answered, judges):
            passed.append(verdict)
            yield verdict

    monkeypatch.setattr(GenEval, "verdicts", spy)
    return passed


def picture(number: int) -> Image.Image:
    """One in six has GenEval's shape; the detector is done with the long ones in a quarter of the time."""
    return tiny_detector.scene(*((64, 64) if number % 6 == 0 else (320, 24) if number % 2 else (24, 320)), number)


def prompts(objects: list[dict[str, list[Any]]], pictures: list[Image.Image], colors: reference.Colors) -> list[dict[str, Any]]:
    """For each picture a prompt whose answer it is about every second time, in the tags by turns."""
    return [prompt(TAGS[i % 6], i // 6 % 2 == 0, objects[i], pictures[i], colors, i) for i in range(len(pictures))]


def prompt(
    tag: str, right: bool, objects: dict[str, list[Any]], picture: Image.Image, colors: Any, number: int
) -> dict[str, Any]:
    absent = next(name for name in NAMES if name not in objects)
    one, other, *_ = [*sorted(objects, key=lambda name: -objects[name][0][0][4]), absent, absent]

    def colored(name: str) -> dict[str, Any]:
        seen = colors(picture, objects[name][:1], name)[0] if name in objects else "red"
        return {"class": name, "count": 1, "color": seen if right else reference.COLORS[number % 10]}

    record: dict[str, Any] = {"tag": tag, "prompt": f"picture {number}"}
    match tag:
        case "single_object":
            return record | {"include": [{"class": one if right else absent, "count": 1}]}
        case "two_object":
            return record | {"include": [{"class": name, "count": 1} for name in (one, other if right else absent)]}
        case "counting":
            count = max(1, len([box for box, _ in objects.get(one, ()) if box[4] > 0.9]) - (not right))
            return record | {"include": [{"class": one, "count": count}], "exclude": [{"class": one, "count": count + 1}]}
        case "colors":
            return record | {"include": [colored(one)]}
        case "color_attr":
            return record | {"include": [colored(one), colored(other)]}
    pairs = [(a, b, sorted(reference.relations(objects[a][0], objects[b][0]))) for a in objects for b in objects]
    placed, target, relation = next(((a, b, found[0]) for a, b, found in pairs if found and right), (other, one, "above"))
    return record | {"include": [{"class": target, "count": 1}, {"class": placed, "count": 1, "position": [relation, 0]}]}


def lay_out(folder: Path, records: list[dict[str, Any]], pictures: list[Image.Image]) -> tuple[Path, Path]:
    """The official layout: folders of pictures, and the data that they answer."""
    images, data = folder / "images", folder / "geneval"
    data.mkdir(parents=True)
    (data / "object_names.txt").write_text("\n".join(NAMES) + "\n")
    (data / "evaluation_metadata.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    for number, (record, drawn) in enumerate(zip(records, pictures, strict=True)):
        (images / f"{number:05d}/samples").mkdir(parents=True)
        (images / f"{number:05d}/metadata.jsonl").write_text(json.dumps(record) + "\n")
        drawn.save(images / f"{number:05d}/samples/0000.png")
    return images, data


def score(images: Path, data: Path, out: Path, *judges: str) -> dict[str, Any]:
    """GenEval's entry in what the command writes. Random networks cannot know known answers; the world's judges must."""
    options = [part for judge in judges for part in ("--judge", judge)] + ["--no-known-answers"] * bool(judges)
    argv = ["score", "--benchmark", "geneval", "--images", str(images), "--data", str(data), "--out", str(out)]
    assert main([*argv, *options, "--offline", "--device", "cpu"]) == 0
    entry = json.loads(out.read_text())["benchmarks"]["geneval"]
    assert entry["failed"] == 0
    return entry


@pytest.mark.parametrize("count", [12, pytest.param(60, marks=pytest.mark.slow)])
@pytest.mark.parametrize("back_end", ["transformers", "mmdet 2"])
def test_verdicts_boxes_and_colours_are_the_official_scripts(count, back_end, tmp_path, detector, clip, verdicts):
    if back_end == "mmdet 2" and not pytest.importorskip("mmcv").__version__.startswith("1."):
        pytest.skip("mmdet 2 is not installed")
    infer = mmdet_two.inference(detector) if back_end == "mmdet 2" else reference.mask2former(detector)
    colors, pictures = reference.Colors.read(clip), [picture(number) for number in range(count)]
    objects = []
    for number, drawn in enumerate(pictures):
        drawn.save(tmp_path / f"{number}.png")
        objects.append(reference.found_in(tmp_path / f"{number}.png", "single_object", infer, NAMES))
    images, data = lay_out(tmp_path, prompts(objects, pictures, colors), pictures)
    entry = score(images, data, tmp_path / "out.json", f"detector=official:{detector}", f"color=official:{clip}")
    expected = reference.evaluate(images, infer, colors, NAMES)
    assert len(verdicts) == len(expected) == count
    for verdict, row in zip(verdicts, expected.values(), strict=True):
        assert verdict.correct is row["correct"], verdict.reason
        assert verdict.reason
        found: dict[str, list[Any]] = {}
        for one in verdict.details["objects"]:
            found.setdefault(one["class"], []).append(one)
        assert {name: [one["box"] for one in own] for name, own in found.items()} == {
            name: [box[:4].tolist() for box, _ in own] for name, own in row["objects"].items()
        }
        for name, own in found.items():
            assert [one["score"] for one in own] == pytest.approx([box[4] for box, _ in row["objects"][name]], abs=2e-4)
            asked = {(name, place): one["color"] for place, one in enumerate(own) if "color" in one}
            assert asked == {ask: color for ask, color in row["colors"].items() if ask[0] == name}
    summary = reference.summarise(expected)
    assert {name: entry["metrics"][name]["value"] for name in summary} == pytest.approx(summary)
    assert 0.2 < np.mean([verdict.correct for verdict in verdicts]) < 0.8
    assert {role: judge["exact"] for role, judge in entry["judges"].items()}["detector"] is False
    assert all(judge["unchecked"] for judge in entry["judges"].values())


@pytest.mark.parametrize("judges", ["world", pytest.param("networks", marks=pytest.mark.slow)])
def test_sixty_blank_pictures_score_nothing_each_for_a_reason(judges, tmp_path, detector, clip, verdicts):
    if judges == "world":
        write_world(tmp_path / "data", size="quick", benchmarks=["geneval"])
        data = tmp_path / "data/geneval"
        records = [json.loads(line) for line in (data / "evaluation_metadata.jsonl").read_text().splitlines()]
        records = [record for tag in TAGS for record in [record for record in records if record["tag"] == tag][:10]]
        chosen: tuple[str, ...] = ()
    else:
        data = None
        chosen = (f"detector=official:{detector}", f"color=official:{clip}")
        records = [prompt(TAGS[i % 6], False, {}, picture(i), None, i) for i in range(60)]
    assert len(records) == 60
    shades = [Image.new("RGB", (64, 64) if judges == "world" else (320, 24), (4 * i,) * 3) for i in range(60)]
    images, own = lay_out(tmp_path / "blank", records, shades)
    entry = score(images, data or own, tmp_path / "out.json", *chosen)
    assert len(verdicts) == 60
    assert all(not verdict.correct and "expected" in verdict.reason for verdict in verdicts)
    assert {tag: entry["metrics"][tag]["value"] for tag in (*TAGS, "overall")} == dict.fromkeys((*TAGS, "overall"), 0.0)
