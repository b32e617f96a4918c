"""Objects of equal confidence: their order, the sixteen that count, and the verdicts, as in the official script."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import geneval_reference
import numpy as np
import pytest
from PIL import Image

from suder_bench.evaluators.geneval.rules import COLORS, RELATIONS, Task, colors_to_ask, found_objects, ruling
from suder_bench.evaluators.judges.protocols import Box, Detection

NAMES = ["cat", "dog", "bench"]
TAGS = ["single_object", "two_object", "counting", "colors", "position", "color_attr"]
CONFIDENCES = [0.25, 0.3, 0.31, 0.5, 0.5 + 2**-24, 0.9, 0.91, 0.95, 0.99]
"""0.5 + 2**-24 is 0.5 in float32."""


def hue(box: Box) -> str:
    """Every object has a colour, and objects of equal confidence seldom the same."""
    return COLORS[int(7 * box[0] + 13 * box[1] + box[2]) % len(COLORS)]


def picture(rng: random.Random) -> list[np.ndarray]:
    """(n, 5) boxes with confidences of each class, many of them equal."""
    classes = []
    for _ in NAMES:
        few = rng.sample(CONFIDENCES, rng.choice([1, 2, 4]))
        corners = [(rng.randint(0, 60), rng.randint(0, 60)) for _ in range(rng.choice([0, 1, 2, 3, 5, 8, 20]))]
        rows = [(x, y, x + rng.randint(1, 30), y + rng.randint(1, 30), rng.choice(few)) for x, y in corners]
        classes.append(np.array(rows, dtype=np.float32).reshape(-1, 5))
    return classes


def record(rng: random.Random) -> dict[str, Any]:
    tag, (one, other), number = rng.choice(TAGS), rng.sample(NAMES, 2), rng.choice([1, 2, 3, 15, 16])
    first, second = {"class": one, "count": rng.choice([1, 1, 1, 2])}, {"class": other, "count": 1}
    include: dict[str, list[dict[str, Any]]] = {
        "single_object": [first],
        "two_object": [first, second],
        "counting": [first | {"count": number}],
        "colors": [first | {"color": rng.choice(COLORS[:3])}],
        "position": [second, first | {"position": [rng.choice(RELATIONS), 0]}],
        "color_attr": [first | {"color": rng.choice(COLORS[:3])}, second | {"color": rng.choice(COLORS[:3])}],
    }
    exclude = [{"class": one, "count": number + 1}] if tag == "counting" else []
    return {"tag": tag, "include": include[tag], "exclude": exclude}


def test_thousands_of_pictures_are_judged_as_officially() -> None:
    rng, verdicts = random.Random(7), []
    for _ in range(4000):
        classes, wanted = picture(rng), record(rng)
        task = Task.parse(wanted)
        detections = [
            Detection(name, float(row[4]), tuple(map(float, row[:4])))
            for name, rows in zip(NAMES, classes, strict=True)
            for row in rows
        ]
        found = found_objects(sorted(detections, key=lambda detection: -detection.score), task.tag)
        colors = {(noun, place): hue(found[noun][place].box) for noun, place in colors_to_ask(task, found)}
        official = geneval_reference.found_in(Path(), task.tag, lambda path, rows=classes: (rows, rows), NAMES)  # type: ignore[misc]
        assert {noun: [one.box for one in objects] for noun, objects in found.items()} == {
            noun: [tuple(box[:4].tolist()) for box, _ in objects] for noun, objects in official.items()
        }
        classify = lambda image, objects, noun: [hue(tuple(box)) for box, _ in objects]  # noqa: E731
        right, _ = geneval_reference.judge(Image.new("RGB", (1, 1)), official, wanted, classify)  # type: ignore[arg-type]
        assert (not ruling(task, found, colors)) is right
        verdicts.append(right)
    assert 0.1 < np.mean(verdicts) < 0.9


@pytest.mark.parametrize("tag", ["colors", "counting"])
def test_the_last_of_equals_comes_first_and_sixteen_are_kept(tag: str) -> None:
    equals = [Detection("cat", 0.95, (float(place), 0, place + 1, 1)) for place in range(20)]
    assert found_objects(equals, tag)["cat"] == equals[:3:-1]


def test_confidences_are_equal_where_a_detector_cannot_tell_them_apart() -> None:
    one, other = Detection("cat", 0.5 + 2**-26, (0, 0, 1, 1)), Detection("cat", 0.5, (1, 0, 2, 1))
    assert found_objects([one, other], "colors")["cat"] == [other, one]
