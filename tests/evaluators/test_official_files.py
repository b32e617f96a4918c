"""The official files of both generation benchmarks, whole: counts and facts of their specifications."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from answering import OFFICIAL, official

from suder_bench.data.catalogue import OfficialFile, catalogue
from suder_bench.evaluators.geneval import TAGS, GenEval
from suder_bench.evaluators.t2i_compbench import CATEGORIES, T2ICompBench, training_prompts


@pytest.mark.parametrize("file", catalogue(), ids=lambda file: f"{file.folder}/{file.name}")
def test_the_catalogue_describes_the_official_file(file: OfficialFile) -> None:
    official(f"{file.folder}/{file.name}")
    assert file.state(OFFICIAL) == "present"


@pytest.fixture
def geneval() -> GenEval:
    return GenEval(official("geneval/evaluation_metadata.jsonl").parent)


def test_geneval_has_553_prompts_in_six_tags(geneval: GenEval) -> None:
    samples = geneval.samples()
    assert [sample.id for sample in samples] == [f"{index:05d}" for index in range(553)]
    assert len({sample.prompt for sample in samples}) == 553
    counts = Counter(sample.truth["tag"] for sample in samples)
    assert counts == dict(zip(TAGS, (80, 99, 80, 94, 100, 100), strict=True))
    in_order = [tag for tag in TAGS for _ in range(counts[tag])]
    assert [sample.truth["tag"] for sample in samples] == in_order
    assert len(geneval.object_names) == 80


def test_geneval_asks_for_what_its_specification_says(geneval: GenEval) -> None:
    truths = [sample.truth for sample in geneval.samples()]
    counting = [truth for truth in truths if "exclude" in truth]
    assert {truth["tag"] for truth in counting} == {"counting"}
    assert Counter(truth["include"][0]["count"] for truth in counting) == {2: 26, 3: 28, 4: 26}
    assert all(truth["exclude"][0]["count"] == truth["include"][0]["count"] + 1 for truth in counting)
    places = [truth["include"][1]["position"] for truth in truths if truth["tag"] == "position"]
    assert Counter(relation for relation, _ in places) == {"below": 28, "right of": 27, "above": 26, "left of": 19}
    assert {target for _, target in places} == {0}
    assert {clause["class"] for truth in truths for clause in truth["include"]} <= set(geneval.object_names)


@pytest.fixture
def compbench() -> Path:
    return official("t2i_compbench/color_val.txt").parent


def test_t2i_compbench_has_300_prompts_in_each_of_eight_categories(compbench: Path) -> None:
    samples = T2ICompBench(compbench).samples()
    assert Counter(sample.truth["category"] for sample in samples) == dict.fromkeys(CATEGORIES, 300)
    assert len({(sample.truth["category"], sample.prompt) for sample in samples}) == 2400
    lists = Counter(sample.truth["list"] for sample in samples if sample.truth["category"] == "complex")
    assert lists == {"action": 212, "spatial": 58, "spatialaction": 30}


def test_t2i_compbench_trains_on_700_prompts_in_each(compbench: Path) -> None:
    prompts = training_prompts(compbench)
    assert {category: len(lines) for category, lines in prompts.items()} == dict.fromkeys(CATEGORIES, 700)
    assert not any(prompt != prompt.strip() or not prompt for lines in prompts.values() for prompt in lines)
    assert all(700 - len(set(prompts[category])) in range(5, 22) for category in ("color", "shape", "texture"))
    held_out = {sample.prompt for sample in T2ICompBench(compbench).samples() if sample.truth["category"] == "spatial"}
    assert len(held_out & set(prompts["spatial"])) == 2
    samples = T2ICompBench(compbench).training_samples()
    assert [sample.prompt for sample in samples] == [prompt for lines in prompts.values() for prompt in lines]
    lists = Counter(sample.truth["list"] for sample in samples if sample.truth["category"] == "complex")
    assert lists == {"action": 504, "spatial": 130, "spatialaction": 66}
