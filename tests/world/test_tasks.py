"""The world's test files: same bytes, official formats, and answers that the pictures confirm."""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onlooker
import pytest

from suder_bench.errors import UserError
from suder_bench.evaluators.geneval import GenEval
from suder_bench.evaluators.geneval2 import GenEval2
from suder_bench.evaluators.hallusionbench import HallusionBench
from suder_bench.evaluators.llavabench import LlavaBench
from suder_bench.evaluators.mmbench import MMBench
from suder_bench.evaluators.pope import Pope
from suder_bench.evaluators.seedbench import SeedBench
from suder_bench.evaluators.t2i_compbench import T2ICompBench
from suder_bench.evaluators.t2i_reasonbench import T2IReasonBench
from suder_bench.evaluators.wise import WiseLegacy, WiseVerified
from suder_bench.suites import PAPER
from suder_bench.world import tasks, write_geneval, write_pope
from suder_bench.world.examples import stream
from suder_bench.world.language import split_of
from suder_bench.world.vocabulary import NOUNS
from suder_bench.world.write_t2i_compbench import SHARES

TRACKS = ("random", "popular", "adversarial")
QUICK = "89eb270ea82b878f98f59cf3894ddf3e3d2323d786442f7925a30b7dd96de117"
"""Digest of the quick files of the paper's benchmarks of this version."""
NEWER = "96e1135a93e2fc1c3ac86f3ecdac3f0f0015efd8f919b88cb660820ccc28c355"
"""The same of the others."""
CATEGORIES = ("color", "shape", "texture", "spatial", "non_spatial", "complex", "3d_spatial", "numeracy")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    tasks.write(folder, size="quick")
    return folder


def json_lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def digests(folder: Path) -> dict[str, str]:
    files = (f for f in folder.rglob("*") if f.is_file())
    return {str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


def test_the_same_bytes_again_and_for_one_benchmark_alone(data: Path, tmp_path: Path) -> None:
    for name in tasks.WRITERS:
        tasks.write(tmp_path / name, size="quick", benchmarks=[name])
        folder = name.replace("-", "_")
        assert digests(tmp_path / name / folder) == digests(data / folder)
        assert sorted(f.name for f in (tmp_path / name).iterdir()) == sorted([folder, "world.json"])


@pytest.mark.parametrize(
    ("benchmarks", "digest"), [(PAPER, QUICK), ([name for name in tasks.WRITERS if name not in PAPER], NEWER)]
)
def test_the_files_are_those_of_their_version(tmp_path: Path, benchmarks: Sequence[str], digest: str) -> None:
    """Pictures count by their pixels, because their bytes depend on the versions of Pillow and zlib."""
    data = tmp_path / "data"
    tasks.write(data, size="quick", benchmarks=benchmarks)
    csv.field_size_limit(sys.maxsize)
    summed = hashlib.sha256()
    for file in sorted(f for f in data.rglob("*") if f.is_file()):
        summed.update(str(file.relative_to(data)).encode())
        if file.suffix == ".png":
            summed.update(pixels(file))
        elif file.suffix == ".tsv":
            with file.open(newline="") as opened:
                for row in csv.DictReader(opened, delimiter="\t"):
                    image = row.pop("image")
                    summed.update(json.dumps(row).encode())
                    summed.update(image.encode() if image.isdigit() else pixels(base64.b64decode(image)))
        else:
            summed.update(file.read_bytes())
    assert (tasks.VERSION, summed.hexdigest()) == ("4", digest), (
        "the world's files changed: bump VERSION in suder_bench/world/version.py, so that cached files are written anew,"
        " and pin version and digest here"
    )


def pixels(source: Path | bytes) -> bytes:
    return onlooker.open_image(source).convert("RGB").tobytes()


def test_the_marker_tells_version_size_and_seed(data: Path) -> None:
    marker = json.loads((data / "world.json").read_text())
    assert (marker["version"], marker["size"], marker["seed"]) == (tasks.VERSION, "quick", 7963)
    assert marker["benchmarks"] == list(tasks.WRITERS)


@pytest.mark.parametrize(("size", "benchmarks"), [("quick", ["geneva"]), ("quik", None)])
def test_unknown_names_are_refused_before_anything_is_written(tmp_path: Path, size: str, benchmarks: list[str] | None) -> None:
    with pytest.raises(UserError, match="did you mean"):
        tasks.write(tmp_path / "new", size=size, benchmarks=benchmarks)
    assert not (tmp_path / "new").exists()


LOADERS = (GenEval, T2ICompBench, Pope, HallusionBench, LlavaBench, MMBench, SeedBench)
LOADERS += (GenEval2, T2IReasonBench, WiseVerified, WiseLegacy)


@pytest.mark.parametrize("load", LOADERS)
def test_the_loaders_of_official_files_read_them(data: Path, load: Any) -> None:
    samples = load(data).samples()
    assert samples
    assert len({s.id for s in samples}) == len(samples)
    for image in {image for sample in samples for image in sample.images}:
        assert onlooker.open_image(image).size == (64, 64)


# GenEval


def test_geneval_has_six_tags_in_official_order(data: Path) -> None:
    rows = json_lines(data / "geneval" / "evaluation_metadata.jsonl")
    assert list(dict.fromkeys(r["tag"] for r in rows)) == list(write_geneval.PROMPTS)
    assert len({r["prompt"] for r in rows}) == len(rows)
    assert Counter(r["tag"] for r in rows)["single_object"] == 12
    assert (data / "geneval" / "object_names.txt").read_text().split() == list(NOUNS)


def test_geneval_clauses_say_what_the_prompts_say(data: Path) -> None:
    for row in json_lines(data / "geneval" / "evaluation_metadata.jsonl"):
        include, words = row["include"], row["prompt"].removeprefix("a photo of ")
        assert ("exclude" in row) == (row["tag"] == "counting")
        if row["tag"] == "counting":
            (clause,) = include
            assert row["exclude"] == [{"class": clause["class"], "count": clause["count"] + 1}]
            assert words.split()[0] == ["two", "three", "four"][clause["count"] - 2]
        if row["tag"] == "position":
            reference, placed = include
            kind, target = placed["position"]
            assert target == 0
            assert "position" not in reference
            assert words.split(f" {kind} ")[0].endswith(placed["class"])
            assert words.endswith(reference["class"])
        if row["tag"] == "color_attr":
            assert [f"{c['color']} {c['class']}" for c in include] == [part.split(" ", 1)[1] for part in words.split(" and ")]
        if row["tag"] not in ("single_object", "counting", "colors"):
            assert split_of(row["tag"], row["prompt"]) == "val"


# T2I-CompBench


def test_t2i_compbench_splits_are_disjoint_and_distinct(data: Path) -> None:
    for category in CATEGORIES:
        train, val = ((data / "t2i_compbench" / f"{category}_{s}.txt").read_text().splitlines() for s in ("train", "val"))
        assert (len(train), len(val)) == (70, 10)
        assert len(set(train)) == len(train)
        assert len(set(val)) == len(val)
        assert not {t.lower() for t in train} & {t.lower() for t in val}


def test_complex_lists_are_parts_of_the_category(data: Path) -> None:
    folder = data / "t2i_compbench"
    for split in ("train", "val"):
        lists = [(folder / f"complex_{split}_{p}.txt").read_text().splitlines() for p in SHARES]
        assert all(lists)
        together = (folder / f"complex_{split}.txt").read_text().splitlines()
        assert sorted(line for part in lists for line in part) == sorted(together)
    lines = (folder / "new_objects.txt").read_text().splitlines()
    assert "ball - balls" in lines
    assert [line.split(" - ")[0] for line in lines] == list(NOUNS)


# POPE


def test_pope_questions_alternate_and_the_pictures_confirm_them(data: Path) -> None:
    pictures: dict[str, set[str]] = {}
    for track in TRACKS:
        rows = json_lines(data / "pope" / f"coco_pope_{track}.json")
        assert [r["question_id"] for r in rows] == list(range(1, len(rows) + 1))
        assert [r["label"] for r in rows] == ["yes", "no"] * (len(rows) // 2)
        assert len({(r["image"], r["text"]) for r in rows}) == len(rows)
        for row in rows:
            if row["image"] not in pictures:
                pictures[row["image"]] = {t.noun for t in onlooker.seen(data / "pope" / "images" / row["image"]).things}
            there = pictures[row["image"]]
            noun = row["text"].removeprefix("Is there a").split()[-4]
            assert row["text"].endswith(f"{noun} in the image?")
            assert (noun in there) == (row["label"] == "yes")
    assert len(pictures) == 40


def test_pope_tracks_share_pictures_and_positives_but_not_denials(data: Path) -> None:
    rows = {t: json_lines(data / "pope" / f"coco_pope_{t}.json") for t in TRACKS}
    positives = {t: [(r["image"], r["text"]) for r in rows[t] if r["label"] == "yes"] for t in TRACKS}
    assert positives["random"] == positives["popular"] == positives["adversarial"]
    denied = {t: [r["text"] for r in rows[t] if r["label"] == "no"] for t in TRACKS}
    for a, b in [("random", "popular"), ("random", "adversarial"), ("popular", "adversarial")]:
        assert sum(x != y for x, y in zip(denied[a], denied[b], strict=True)) > 0.4 * len(denied[a])
    assert len(set(denied["popular"])) < len(set(denied["random"]))


def test_pope_nouns_differ_in_frequency_and_company() -> None:
    crowds = [write_pope.nouns(write_pope.crowd(stream("test", i))) for i in range(200)]
    often = Counter(noun for crowd in crowds for noun in crowd)
    assert often["ball"] > 1.5 * often["cross"]
    balls = [crowd for crowd in crowds if "ball" in crowd and len(crowd) > 1]
    company = Counter(noun for crowd in balls for noun in crowd if noun != "ball")
    assert company.most_common(1)[0][0] == "mushroom"


# HallusionBench


def test_hallusionbench_answers_flip_with_the_edit_and_the_pictures_confirm_them(data: Path) -> None:
    rows = json.loads((data / "hallusionbench" / "HallusionBench.json").read_text())
    answers: dict[tuple[str, ...], dict[str, str]] = defaultdict(dict)
    for row in rows:
        key = tuple(row[k] for k in ("category", "subcategory", "set_id", "question_id"))
        assert row["visual_input"] not in answers[key]
        answers[key][row["visual_input"]] = row["gt_answer"]
        assert (row["filename"] is None) == (row["visual_input"] == "0")
        assert row["figure_id"] == str(int(row["visual_input"]) - (row["category"] == "VD"))
        if row["filename"]:
            assert row["filename"] == f"./{row['category']}/{row['subcategory']}/{row['set_id']}_{row['figure_id']}.png"
            scene = onlooker.seen(data / "hallusionbench" / "images" / row["filename"])
            assert onlooker.yes_no(scene, row["question"]) == (row["gt_answer"] == "1"), row
    for (category, *_), by_figure in answers.items():
        assert sorted(by_figure) == (["1", "2"] if category == "VD" else ["0", "1", "2"])
        assert by_figure["1"] != by_figure["2"]
        assert by_figure.get("0", by_figure["1"]) == by_figure["1"]
    assert Counter(r["gt_answer"] for r in rows)["1"] == len(rows) / 2
    assert {(r["category"], r["subcategory"]) for r in rows} >= {("VD", "figure"), ("VD", "math"), ("VS", "chart"), ("VS", "map")}


# LLaVA-Bench


def test_llavabench_has_ten_times_the_official_numbers_and_a_reference_for_each(tmp_path: Path) -> None:
    tasks.write(tmp_path, size="full", benchmarks=["llavabench"])
    folder = tmp_path / "llavabench"
    asked, answers = json_lines(folder / "questions.jsonl"), json_lines(folder / "answers_gpt4.jsonl")
    contexts = {r["image"]: r["caption"] for r in json_lines(folder / "context.jsonl")}
    assert Counter(r["category"] for r in asked) == {"conv": 170, "detail": 150, "complex": 280}
    assert len({r["image"] for r in asked}) == len(contexts) == 240
    assert [r["question_id"] for r in asked] == [r["question_id"] for r in answers] == list(range(600))
    assert len({(r["image"], r["text"]) for r in asked}) == 600
    for question, answer in zip(asked, answers, strict=True):
        assert answer["prompt"] == question["text"]
        if question["category"] == "detail":
            assert answer["text"] == " ".join(contexts[question["image"]])
    rules = json.loads((folder / "rule.json").read_text())
    assert set(rules) == {"llava_bench_conv", "llava_bench_detail", "llava_bench_complex"}


def test_llavabench_contexts_describe_the_pictures(data: Path) -> None:
    for row in json_lines(data / "llavabench" / "context.jsonl"):
        scene = onlooker.seen(data / "llavabench" / "images" / row["image"])
        looks = Counter(" ".join(w for w in (t.form, t.color, t.texture.replace("solid", ""), t.noun) if w) for t in scene.things)
        said = [s.removesuffix(".").split(" ", 1)[1] for s in row["caption"] if s.startswith(("A ", "An "))]
        assert Counter(said) == looks


# MMBench


def mmbench_rows(data: Path) -> list[dict[str, str]]:
    csv.field_size_limit(sys.maxsize)
    with (data / "mmbench" / "MMBench_DEV_EN.tsv").open(newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def test_mmbench_passes_rotate_the_options(data: Path) -> None:
    groups: dict[int, list[dict[str, str]]] = defaultdict(list)
    for row in mmbench_rows(data):
        groups[int(row["index"]) % 1_000_000].append(row)
    assert len(groups) == 48
    assert len({len(g) for g in groups.values()}) > 1
    for index, group in groups.items():
        options = [group[0][letter] for letter in "ABCD" if group[0][letter]]
        assert [int(r["index"]) for r in group] == [index + k * 1_000_000 for k in range(len(options))]
        right = group[0][group[0]["answer"]]
        for k, row in enumerate(group):
            assert [row[letter] for letter in "ABCD" if row[letter]] == options[k:] + options[:k]
            assert row[row["answer"]] == right
            assert (row["image"] == str(index)) == (k > 0)
    main = [g[0] for g in groups.values()]
    assert set(Counter(r["l2-category"] for r in main).values()) == {8}


def test_mmbench_answers_are_confirmed_by_the_pictures(data: Path) -> None:
    main = [row for row in mmbench_rows(data) if int(row["index"]) < 1_000_000]
    for row in main:
        options = [row[letter] for letter in "ABCD" if row[letter]]
        assert right_options(base64.b64decode(row["image"]), row["question"], options) == [row[row["answer"]]]


# SEED-Bench


def test_seedbench_has_nine_dimensions_with_four_choices(data: Path) -> None:
    document = json.loads((data / "seedbench" / "SEED-Bench.json").read_text())
    assert document["question_type"] == {
        name: number
        for number, name in enumerate(
            [
                "Scene Understanding",
                "Instance Identity",
                "Instance Attributes",
                "Instance Location",
                "Instances Counting",
                "Spatial Relation",
                "Instance Interaction",
                "Visual Reasoning",
                "Text Understanding",
            ],
            start=1,
        )
    }
    rows = document["questions"]
    assert Counter(r["question_type_id"] for r in rows) == dict.fromkeys(range(1, 10), 10)
    assert len({r["question_id"] for r in rows}) == len(rows)
    letters = Counter(r["answer"] for r in rows)
    assert max(letters.values()) - min(letters.values()) <= 6
    for row in rows:
        options = [row[f"choice_{x}"] for x in "abcd"]
        assert len(set(options)) == 4
        picture = data / "seedbench" / "images" / row["data_id"]
        assert right_options(picture, row["question"], options) == [options["ABCD".index(row["answer"])]]


def right_options(picture: Path | bytes, question: str, options: list[str]) -> list[str]:
    """The options that are right of the picture, read from its pixels alone."""
    scene = onlooker.seen(picture)
    if question == "Which description fits the image?":
        return [o for o in options if onlooker.fits(scene, o)]
    if question == "Which of these is in the image?":
        return [o for o in options if onlooker.number(scene, o.split()[-1])]
    answer = onlooker.answer(scene, question) or ""
    if " touches " in answer:
        first, second = answer.removeprefix("The ").removesuffix(".").split(" touches the ")
        return [o for o in options if o in (answer, f"The {second} touches the {first}.")]
    return [o for o in options if o == answer]
