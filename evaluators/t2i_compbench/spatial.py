"""T2I-CompBench's 2D spatial relations: the two objects of a prompt, found by UniDet, and how they lie to each other.

Boxes are in the frame that UniDet sees (the short side 479 pixels, the long side at most 480), so that 150 pixels mean
the same in every picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from PIL import Image

from suder_bench.evaluators.judges.protocols import Box, Detection, Detector, Parse, PromptedDetector
from suder_bench.evaluators.t2i_compbench.finding import Finding

SHORT_SIDE, LONG_SIDE = 479, 480
DETECTION_THRESHOLD = 0.1
NEAR = 150
"""Pixels: two objects are near each other when one of their distances is less."""

OVERLAP = 0.1
FLOOR = 0.5
"""A score below this counts as nothing."""

PERSONS = frozenset({"girl", "boy", "man", "woman"})
NEAR_WORDS = ("next to", "on side of", "near")
RELATION_WORDS = (
    "on side of",
    "next to",
    "near",
    "on the left of",
    "on the right of",
    "on the bottom of",
    "on the top of",
    "on top of",
)
PREPOSITIONS = frozenset({"on top of", "on bottom of", "on the left", "on the right", "next to", "on side of", "near"})
REPAIRED_WORDS = {"on top of": "on the top of", "on bottom of": "on the bottom of"}


@dataclass(frozen=True)
class Query:
    """The two objects a prompt speaks of and the word between them; None where the prompt could not be read."""

    first: str | None
    second: str | None
    relation: str | None

    @property
    def nouns(self) -> list[str]:
        """The objects that are known, each once."""
        return [noun for noun in dict.fromkeys((self.first, self.second)) if noun is not None]


def frame_size(width: int, height: int) -> tuple[int, int]:
    """(width, height) of a picture in UniDet's frame: short side 479, then long side at most 480, fractions cut off."""
    short, long = min(width, height), max(width, height)
    new_short, new_long = SHORT_SIDE, int(SHORT_SIDE * long / short)
    if new_long > LONG_SIDE:
        new_short, new_long = int(LONG_SIDE * new_short / new_long), LONG_SIDE
    return (new_short, new_long) if width <= height else (new_long, new_short)


def to_frame(picture: Image.Image) -> Image.Image:
    """The picture as UniDet sees it."""
    return picture.resize(frame_size(*picture.size), Image.Resampling.BILINEAR)


def detect(
    pictures: Sequence[Image.Image], asked: Sequence[Sequence[str]], detector: Detector | PromptedDetector
) -> list[list[Detection]]:
    """Detections above 0.1 of each picture, most confident first, boxes in the frame.

    `asked` are the nouns that matter in each picture; only a detector without classes of its own needs them.
    """
    frames = [to_frame(picture) for picture in pictures]
    found = detector.detect_named(frames, asked) if isinstance(detector, PromptedDetector) else detector.detect(frames)
    return [[detection for detection in objects if detection.score > DETECTION_THRESHOLD] for objects in found]


def iou(a: Box, b: Box) -> float:
    """Intersection over union of two boxes of real-valued corners; 0 for boxes without area."""
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height
    return width * height / union if union > 0 else 0.0


def relation_2d(relation: str | None, a: Box, b: Box) -> float:
    """How well box `a` stands in `relation` to box `b`, in [0, 1]; 0 for a word it does not know.

    With d = centre(b) - centre(a): near needs |dx| or |dy| below 150 pixels; a side needs the right sign on the longer
    axis, and loses to 0.1 / IoU where the boxes overlap. y grows downward.
    """
    dx = (b[0] + b[2]) / 2 - (a[0] + a[2]) / 2  # centres first, as the script does: a box is nowhere from itself
    dy = (b[1] + b[3]) / 2 - (a[1] + a[3]) / 2
    if relation in NEAR_WORDS:
        return 1.0 if abs(dx) < NEAR or abs(dy) < NEAR else NEAR / max(abs(dx), abs(dy))
    holds = {
        "on the right of": dx < 0 and abs(dx) > abs(dy),
        "on the left of": dx > 0 and abs(dx) > abs(dy),
        "on the bottom of": dy < 0 and abs(dy) > abs(dx),
        "on the top of": dy > 0 and abs(dy) > abs(dx),
    }
    if relation is None or not holds.get(relation, False):
        return 0.0
    overlap = iou(a, b)
    return 1.0 if overlap < OVERLAP else OVERLAP / overlap


def nouns(parse: Parse) -> tuple[str | None, str | None]:
    """The first and the last noun of a text, people as "person"."""
    found = [token.text for token in parse.tokens if token.pos == "NOUN"]
    return (_person(found[0]), _person(found[-1])) if found else (None, None)


def first_word(prompt: str, words: Sequence[str]) -> str | None:
    """The first of `words`, in their order, that the prompt contains."""
    return next((word for word in words if word in prompt), None)


def simple_query(prompt: str, parse: Parse) -> Query:
    """How the category `spatial` is read: first noun, relation, last noun."""
    return Query(*nouns(parse), first_word(prompt, RELATION_WORDS))


def complex_query(prompt: str, parse: Parse, *, fixed: bool = False) -> Query:
    """How the category `complex` is read: the nouns around a preposition, if exactly two are found.

    The official script finds "on top of" in the prompt and then scores only "on the top of", so that such prompts
    always get 0. `fixed` lets the two words mean the same ("on bottom of" likewise).
    """
    relation = first_word(prompt, (*RELATION_WORDS, "on bottom of") if fixed else RELATION_WORDS)
    if fixed and relation is not None:
        relation = REPAIRED_WORDS.get(relation, relation)
    words = [token.text for token in parse.tokens]
    objects: list[str] = []
    for start in range(len(words)):
        length = next((n for n in (3, 2, 1) if " ".join(words[start : start + n]) in PREPOSITIONS), None)
        if length is not None:
            around = (_noun_before(parse, start), _noun_after(parse, start + length))
            objects += [noun for noun in around if noun is not None]
    if len(objects) != 2:
        return Query(None, None, relation)
    return Query(_person(objects[0]), _person(objects[1]), relation)


def score_2d(query: Query, detections: Sequence[Detection]) -> Finding:
    """A quarter of each object's confidence and half of the relation; below 0.5 it is 0.

    The most confident detection of exactly that class stands for an object, so twice the same noun is one box.
    """
    first, second = (_best(noun, detections) for noun in (query.first, query.second))
    score, holds = 0.25 * sum(float(found.score) for found in (first, second) if found is not None), 0.0
    if first is not None and second is not None:
        holds = relation_2d(query.relation, first.box, second.box)
        score += 0.5 * holds
    return Finding(score if score >= FLOOR else 0.0, *explain(query, first, second, holds))


def judge_spatial(
    pictures: Sequence[Image.Image], queries: Sequence[Query], detector: Detector | PromptedDetector
) -> list[Finding]:
    """All pictures in one call of the detector."""
    found = detect(pictures, [query.nouns for query in queries], detector)
    return [score_2d(query, objects) for query, objects in zip(queries, found, strict=True)]


def explain(query: Query, first: Detection | None, second: Detection | None, holds: float) -> tuple[str, dict[str, Any]]:
    """The reason and the details of a finding: how far the relation holds, or which object is missing."""
    found = [one for one in (first, second) if one is not None]
    details = {
        "query": [query.first, query.relation, query.second],
        "objects": [{"class": one.label, "score": round(float(one.score), 4), "box": [*map(_tenth, one.box)]} for one in found],
    }
    if query.first is None or query.second is None:
        return "the prompt names no two objects to look for", details
    absent = [noun for noun, one in ((query.first, first), (query.second, second)) if one is None]
    if absent:
        return f"not found: {', '.join(dict.fromkeys(absent))}", details
    amount = "yes" if holds == 1 else "no" if holds == 0 else f"partly ({holds:.2f})"
    return f"{query.first} {query.relation} {query.second}: {amount}", details


def _tenth(pixels: float) -> float:
    return round(float(pixels), 1)


def _best(noun: str | None, detections: Sequence[Detection]) -> Detection | None:
    return next((detection for detection in detections if detection.label == noun), None)


def _person(noun: str) -> str:
    return "person" if noun in PERSONS else noun


def _noun_before(parse: Parse, start: int) -> str | None:
    return next((token.text for token in reversed(parse.tokens[:start]) if token.pos in ("NOUN", "PROPN")), None)


def _noun_after(parse: Parse, start: int) -> str | None:
    rest = parse.tokens[start:]
    noun = next((token.text for token in rest if token.pos == "NOUN"), None)
    if noun is not None:
        return noun
    return next((token.text for token, after in pairwise(rest) if token.pos == "PROPN" and after.pos != "PROPN"), None)
