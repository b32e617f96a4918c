"""Numeracy: what a prompt counts, and what the detections are worth."""

from __future__ import annotations

import pytest
from answering import official
from parses import parse

from suder_bench.errors import UserError
from suder_bench.evaluators.judges.protocols import Detection
from suder_bench.evaluators.t2i_compbench.numeracy import Vocabulary, counted_objects, score_numeracy, without_duplicates

WORDS = Vocabulary(
    ("dog", "cat", "mouse", "sheep", "traffic light", "man"), ("dogs", "cats", "mice", "sheep", "traffic lights", "men")
)


def seen(*labels: str) -> list[Detection]:
    """Detections that do not touch."""
    return [Detection(label, 0.9, (50.0 * i, 0, 50.0 * i + 20, 20)) for i, label in enumerate(labels)]


@pytest.mark.parametrize(
    ("prompt", "counted"),
    [
        ("three dogs and a cat", [("dog", 3), ("cat", 1)]),
        ("one mouse stood near eight mice", [("mouse", 1), ("mouse", 8)]),
        ("two sheep and a sheep", [("sheep", 2), ("sheep", 1)]),
        ("two traffic lights and an old dog , one cat", [("traffic light", 2), ("cat", 1)]),
        ("two traffic light", [("traffic light", 1)]),
        ("one traffic lights", [("traffic lights", 1)]),
        ("one men", [("man", 1)]),
        ("a cat and two", [("cat", 1)]),
    ],
)
def test_counted_objects(prompt, counted):
    assert counted_objects(prompt, parse(prompt), WORDS) == counted


@pytest.mark.parametrize("prompt", ["two dog", "dogs and cats", "", "a"])
def test_a_prompt_that_counts_nothing_is_refused(prompt):
    with pytest.raises(UserError, match=r"new_objects\.txt"):
        counted_objects(prompt, parse(prompt), WORDS)


@pytest.mark.parametrize(
    ("counted", "detections", "score"),
    [
        pytest.param([("dog", 3), ("cat", 1)], seen("dog", "dog", "cat"), 0.75, id="16-one-count-wrong"),
        pytest.param([("dog", 1)], [Detection("dog", 0.9, (0, 0, 20, 20))] * 4, 1.0, id="17-identical-boxes-count-once"),
        pytest.param([("dog", 1)], seen("cat"), 0.0, id="absent"),
        pytest.param([("man", 2)], seen("person", "person"), 1.0, id="people"),
        pytest.param([("table", 2)], seen("coffee table", "side table"), 1.0, id="part-of-a-name"),
        pytest.param([("table", 1)], seen("coffee table", "table"), 1.0, id="exact-name-first"),
        pytest.param([("fish", 1), ("goldfish", 1)], seen("goldfish"), 1.0, id="renamed-for-those-after"),
        pytest.param([("dog", 1)], [], 0.0, id="nothing-detected"),
    ],
)
def test_score(counted, detections, score):
    assert score_numeracy(counted, detections).score == pytest.approx(score)


def test_the_reason_counts():
    finding = score_numeracy([("dog", 3), ("cat", 1)], seen("dog", "dog", "cat"))
    assert finding.reason == "expected 3 dog, found 2; expected 1 cat, found 1"


@pytest.mark.parametrize(
    ("box", "label", "kept"),
    [
        ((0, 0, 100, 100), "cat", 2),
        ((1, 1, 99, 99), "dog", 1),
        ((10, 10, 20, 20), "dog", 1),
        ((50, 0, 150, 100), "dog", 2),
    ],
)
def test_duplicates(box, label, kept):
    assert len(without_duplicates([Detection("dog", 0.9, (0, 0, 100, 100)), Detection(label, 0.8, box)])) == kept


def test_the_vocabulary_file(tmp_path):
    file = tmp_path / "new_objects.txt"
    file.write_text("Dog - dogs\r\nmouse - mice\n\n")
    assert Vocabulary.read(file) == Vocabulary(("dog", "mouse"), ("dogs", "mice"))
    file.write_text("dog - dogs\ncat\n")
    with pytest.raises(UserError, match=r"new_objects\.txt:2"):
        Vocabulary.read(file)


def test_every_official_prompt_counts_something():
    vocabulary = Vocabulary.read(official("t2i_compbench/new_objects.txt"))
    lines = official("t2i_compbench/numeracy_val.txt").read_text().splitlines()
    prompts = [line.strip() for line in lines if line.strip()]
    for prompt in prompts:
        assert counted_objects(prompt, parse(prompt.replace(",", " ,").replace(".", " .")), vocabulary)
