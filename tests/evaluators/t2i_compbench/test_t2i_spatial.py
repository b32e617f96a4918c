"""2D relations: reading the prompt, the geometry, the score."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parses import parse
from PIL import Image

from suder_bench.evaluators.judges.protocols import Detection
from suder_bench.evaluators.t2i_compbench.spatial import (
    Query,
    complex_query,
    frame_size,
    iou,
    judge_spatial,
    relation_2d,
    score_2d,
    simple_query,
)


def square(x: float, y: float, side: float = 20) -> tuple[float, float, float, float]:
    """A box around a centre."""
    return (x - side / 2, y - side / 2, x + side / 2, y + side / 2)


def pair(dx: float, dy: float, a: float = 0.9, b: float = 0.8) -> list[Detection]:
    return [Detection("cat", a, square(200, 200)), Detection("dog", b, square(200 + dx, 200 + dy))]


def asked(relation: str) -> Query:
    return Query("cat", "dog", relation)


RIGHT = asked("on the right of")


@pytest.mark.parametrize(
    ("query", "detections", "score"),
    [
        pytest.param(RIGHT, pair(-200, 50), 0.925, id="6-right-of"),
        pytest.param(RIGHT, pair(200, 50), 0.0, id="8-wrong-side-falls-below-the-floor"),
        pytest.param(RIGHT, pair(200, 50, 1.0, 1.0), 0.5, id="8-unless-both-are-certain"),
        pytest.param(RIGHT, pair(-200, 50, 0.99)[:1], 0.0, id="9-one-object-only"),
        pytest.param(asked("near"), pair(400, 100), 0.925, id="10-near-on-one-axis"),
        pytest.param(asked("near"), pair(300, 200, 0.9, 0.9), 0.7, id="11-half-near"),
        pytest.param(asked("on the left of"), pair(100, 100), 0.0, id="12-diagonal"),
        pytest.param(asked("on top of"), pair(0, 200), 0.0, id="13-unknown-word"),
        pytest.param(Query("dog", "dog", "next to"), pair(300, 300), 0.9, id="14-twice-the-same-noun-is-one-box"),
        pytest.param(RIGHT, [], 0.0, id="nothing-detected"),
        pytest.param(Query(None, None, "near"), pair(0, 0), 0.0, id="prompt-not-read"),
    ],
)
def test_score(query, detections, score):
    assert score_2d(query, detections).score == pytest.approx(score, abs=1e-12)


def test_overlap_takes_from_a_side():
    """Edge case 7: IoU 0.2 gives half of the relation."""
    a, b = (0.0, 0.0, 30.0, 10.0), (-20.0, 0.0, 10.0, 10.0)
    assert iou(a, b) == pytest.approx(0.2)
    finding = score_2d(RIGHT, [Detection("cat", 0.9, a), Detection("dog", 0.8, b)])
    assert finding.score == pytest.approx(0.425 + 0.25)
    assert finding.reason == "cat on the right of dog: partly (0.50)"


def test_the_first_detection_of_a_class_stands_for_it():
    detections = [
        Detection("cat", 0.9, square(200, 200)),
        Detection("cat", 0.8, square(400, 200)),
        Detection("dog", 0.7, square(100, 200)),
    ]
    assert score_2d(RIGHT, detections).score == pytest.approx(0.25 * 0.9 + 0.25 * 0.7 + 0.5)


@pytest.mark.parametrize("side", ["left", "right", "top", "bottom"])
def test_a_box_is_on_no_side_of_itself(side):
    box = (109.3, 231.8, 270.6, 347.1)  # 231.8 + 347.1 - 231.8 - 347.1 is not 0
    assert relation_2d(f"on the {side} of", box, box) == 0


@pytest.mark.parametrize(("relation", "dx", "dy"), [("left", 1, 0), ("right", -1, 0), ("top", 0, 1), ("bottom", 0, -1)])
def test_each_side_holds_in_its_direction_only(relation, dx, dy):
    scores = {
        (x, y): relation_2d(f"on the {relation} of", square(0, 0), square(100 * x, 100 * y))
        for x, y in ((1, 0), (-1, 0), (0, 1), (0, -1))
    }
    assert scores == {direction: float(direction == (dx, dy)) for direction in scores}


corner, side = st.integers(0, 480), st.integers(1, 200)
boxes = st.tuples(corner, corner, side, side).map(lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3]))


@given(boxes, boxes)
def test_near_is_symmetric_and_sides_are_opposite(a, b):
    assert relation_2d("near", a, b) == relation_2d("next to", b, a)
    for word, other in (("left", "right"), ("top", "bottom")):
        here, there = relation_2d(f"on the {word} of", a, b), relation_2d(f"on the {other} of", b, a)
        assert here == pytest.approx(there)
        assert 0 <= here <= 1
        assert 0 in (here, relation_2d(f"on the {other} of", a, b))


@pytest.mark.parametrize(
    ("size", "frame"),
    [
        ((512, 512), (479, 479)),
        ((64, 64), (479, 479)),
        ((1024, 768), (480, 360)),
        ((576, 1024), (270, 480)),
        ((480, 479), (480, 479)),
    ],
)
def test_frame(size, frame):
    assert frame_size(*size) == frame


def test_the_detector_sees_the_frame_once_and_weak_detections_are_dropped():
    class Detector:
        backend, exact, fingerprint = "scripted", False, "0"
        sizes: list = []  # noqa: RUF012

        def detect(self, pictures):
            self.sizes.append([picture.size for picture in pictures])
            return [[Detection("cat", 0.9, square(300, 200)), Detection("dog", 0.1, square(100, 200))]] * len(pictures)

    detector = Detector()
    findings = judge_spatial([Image.new("RGB", (64, 64)), Image.new("RGB", (64, 32))], [RIGHT, RIGHT], detector)
    assert detector.sizes == [[(479, 479), (480, 240)]]
    assert [finding.reason for finding in findings] == ["not found: dog"] * 2


@pytest.mark.parametrize(
    ("prompt", "tagged", "query"),
    [
        (
            "a girl on the top of a frog",
            "a/DET girl/NOUN on/ADP the/DET top/NOUN of/ADP a/DET frog/NOUN",
            ("person", "frog", "on the top of"),
        ),
        ("a bus near a traffic light", "a/DET bus/NOUN near/ADP a/DET traffic/NOUN light/NOUN", ("bus", "light", "near")),
        ("red and blue", "red/ADJ and/CCONJ blue/ADJ", (None, None, None)),
        ("a dog next to a dog", "a/DET dog/NOUN next/ADJ to/ADP a/DET dog/NOUN", ("dog", "dog", "next to")),
    ],
)
def test_simple_prompts(prompt, tagged, query):
    assert simple_query(prompt, parse(tagged)) == Query(*query)


@pytest.mark.parametrize(
    ("tagged", "official", "fixed"),
    [
        (
            "The/DET red/ADJ hat/NOUN was/AUX on/ADP top/NOUN of/ADP the/DET brown/ADJ coat/NOUN rack/NOUN ./PUNCT",
            ("hat", "coat", "on top of"),
            ("hat", "coat", "on the top of"),
        ),
        (
            "The/DET cat/NOUN is/AUX on/ADP the/DET left/NOUN of/ADP the/DET soft/ADJ pillow/NOUN",
            ("cat", "pillow", "on the left of"),
            None,
        ),
        ("Rex/PROPN lay/VERB near/ADP New/PROPN York/PROPN City/PROPN today/ADV", ("Rex", "City", "near"), None),
        ("a/DET cat/NOUN near/ADP a/DET boy/NOUN near/ADP a/DET tree/NOUN", (None, None, "near"), None),
        ("it/PRON sat/VERB near/ADP it/PRON", (None, None, "near"), None),
        ("a/DET cat/NOUN on/ADP bottom/NOUN of/ADP a/DET box/NOUN", ("cat", "box", None), ("cat", "box", "on the bottom of")),
    ],
)
def test_complex_prompts(tagged, official, fixed):
    words = parse(tagged)
    prompt = " ".join(token.text for token in words.tokens)
    if official:
        assert complex_query(prompt, words) == Query(*official)
    if fixed:
        assert complex_query(prompt, words, fixed=True) == Query(*fixed)


def test_on_top_of_counts_when_fixed():
    words = parse("a/DET cat/NOUN on/ADP top/NOUN of/ADP a/DET dog/NOUN")
    above = pair(0, 200)
    assert score_2d(complex_query("a cat on top of a dog", words), above).score == 0
    assert score_2d(complex_query("a cat on top of a dog", words, fixed=True), above).score == pytest.approx(0.925)
