"""GenEval's rules as pure functions: which detections count, where one box lies of another, what makes a picture right.

Ghosh et al. 2023, "GenEval: An Object-Focused Framework for Evaluating Text-to-Image Alignment".
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from suder_bench.evaluators.judges.protocols import Box, Detection

COLORS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white")
RELATIONS = ("left of", "right of", "above", "below")
MAX_OBJECTS = 16
FAINT = 0.1
"""Detections below are told nobody."""
BACKGROUND = 153
"""The grey (#999) that stands around an object when its colour is asked."""

Found = Mapping[str, Sequence[Detection]]
Colors = Mapping[tuple[str, int], str]
"""(noun, place among the found objects of that noun) -> colour."""


@dataclass(frozen=True)
class Clause:
    """One thing a prompt asks for; `position` is (relation, index of the clause it refers to)."""

    noun: str
    count: int
    color: str | None = None
    position: tuple[str, int] | None = None

    @staticmethod
    def parse(record: Mapping[str, Any]) -> Clause:
        """Read a clause of the metadata file. Raises `ValueError` or `KeyError` on anything the rules cannot judge."""
        color, position = record.get("color"), record.get("position")
        if not isinstance(record["class"], str) or type(record["count"]) is not int:
            raise ValueError(f"class {record['class']!r} or count {record['count']!r} is no text or no whole number")
        if position is not None and (len(position) != 2 or type(position[1]) is not int):
            raise ValueError(f"position {position!r} is not a relation and the number of a clause")
        if color is not None and color not in COLORS:
            raise ValueError(f"unknown color '{color}' (choices: {', '.join(COLORS)})")
        if position is not None and position[0] not in RELATIONS:
            raise ValueError(f"unknown position '{position[0]}' (choices: {', '.join(RELATIONS)})")
        return Clause(record["class"], record["count"], color, None if position is None else (position[0], position[1]))


@dataclass(frozen=True)
class Task:
    """What the metadata asks of one picture. All of `include` must be there, none of `exclude`."""

    tag: str
    include: tuple[Clause, ...]
    exclude: tuple[Clause, ...] = ()

    @staticmethod
    def parse(record: Mapping[str, Any]) -> Task:
        """Read a line of the metadata file. Raises `ValueError` or `KeyError`, also where a clause refers to a later one."""
        include = tuple(map(Clause.parse, record["include"]))
        for place, clause in enumerate(include):
            if clause.position is not None and not 0 <= clause.position[1] < place:
                raise ValueError(f"clause {place} is placed by clause {clause.position[1]}, which is not before it")
        return Task(record["tag"], include, tuple(map(Clause.parse, record.get("exclude", ()))))


def found_objects(detections: Sequence[Detection], tag: str) -> dict[str, list[Detection]]:
    """Detections by class, most confident first: strictly above 0.3 (0.9 when counting), at most 16 of a class.

    Of equal confidences, in a detector's float32, the last comes first: the official script sorts upwards and reads backwards.
    """
    threshold = np.float32(_threshold(tag))
    found: dict[str, list[Detection]] = {}
    for detection in sorted(detections, key=lambda detection: np.float32(detection.score))[::-1]:
        same = found.setdefault(detection.label, []) if np.float32(detection.score) > threshold else None
        if same is not None and len(same) < MAX_OBJECTS:
            same.append(detection)
    return found


def overlooked(task: Task, detections: Sequence[Detection], found: Found) -> list[str]:
    """What was seen of the nouns asked for without being sure enough to count, in words; no verdict depends on it.

    Told when counting, where it may be one too many, and of a noun of which too few were found.
    """
    threshold, told = _threshold(task.tag), []
    for noun, count in {clause.noun: clause.count for clause in (*task.exclude, *task.include)}.items():
        scores = [np.float32(one.score) for one in detections if one.label == noun]
        faint = sorted((score for score in scores if FAINT <= score <= np.float32(threshold)), reverse=True)
        if faint and (task.tag == "counting" or len(found.get(noun, ())) < count):
            sure = ", ".join(f"{score:.2f}" for score in faint)
            more = " more" if found.get(noun) else ""
            told.append(f"{len(faint)}{more} {_named(len(faint), noun)} not above {threshold} ({sure})")
    return told


def _threshold(tag: str) -> float:
    return 0.9 if tag == "counting" else 0.3


def colors_to_ask(task: Task, found: Found) -> list[tuple[str, int]]:
    """The found objects whose colour the verdict depends on: the `count` most confident of each clause with a colour."""
    asked = (
        (clause.noun, place)
        for clause in task.include
        if clause.color is not None and len(found.get(clause.noun, ())) >= clause.count
        for place in range(clause.count)
    )
    return list(dict.fromkeys(asked))


def isolate(picture: Image.Image, detection: Detection) -> Image.Image:
    """The object on plain #999, cut to its box. The detection needs a mask of the picture's size."""
    pixels = np.where(np.asarray(detection.mask, dtype=bool)[..., None], np.asarray(picture), np.uint8(BACKGROUND))
    x0, y0, x1, y1 = map(round, detection.box)
    return Image.fromarray(pixels.astype(np.uint8)).crop((x0, y0, x1, y1))


def relative_position(a: Box, b: Box) -> frozenset[str]:
    """Where `a` lies with respect to `b`; two relations can hold at once, and overlapping boxes may have none.

    With o = centre(a) - centre(b) and r = max(|o| - 0.1 (dim(a) + dim(b)), 0) sign(o) on each axis, r / |o| must pass 0.5.
    """
    offset = [(a[axis] + a[axis + 2] - b[axis] - b[axis + 2]) / 2 for axis in (0, 1)]
    size = [abs(a[axis + 2] - a[axis]) + abs(b[axis + 2] - b[axis]) for axis in (0, 1)]
    revised = [math.copysign(max(abs(o) - 0.1 * s, 0), o) for o, s in zip(offset, size, strict=True)]
    if all(abs(r) < 1e-3 for r in revised):
        return frozenset()
    dx, dy = (r / math.hypot(*offset) for r in revised)
    holds = {"left of": dx < -0.5, "right of": dx > 0.5, "above": dy < -0.5, "below": dy > 0.5}
    return frozenset(relation for relation, is_so in holds.items() if is_so)


def ruling(task: Task, found: Found, colors: Colors) -> list[str]:
    """Everything that is wrong with a picture, in words; an empty list is a right picture.

    `colors` holds the colour of every object in `colors_to_ask`. Objects that nobody asked for are never wrong, except
    through `exclude`.
    """
    faults: list[str] = []
    matched: list[Sequence[Detection] | None] = []
    for clause in task.include:
        candidates = found.get(clause.noun, ())[: clause.count]
        target = None if clause.position is None else matched[clause.position[1]]
        fault = _clause_fault(clause, task, candidates, target, colors)
        faults += [fault] if fault else []
        matched.append(None if fault else candidates)
    for clause in task.exclude:
        there = len(found.get(clause.noun, ()))
        if there >= clause.count:
            faults.append(f"expected fewer than {_several(clause.count, clause.noun)}, found {there}")
    return faults


def _clause_fault(
    clause: Clause, task: Task, candidates: Sequence[Detection], target: Sequence[Detection] | None, colors: Colors
) -> str | None:
    if len(candidates) < clause.count:
        return f"expected {_several(clause.count, clause.noun)}, found {len(candidates)}"
    if clause.color is not None:
        seen = [colors[clause.noun, place] for place in range(clause.count)]
        if seen.count(clause.color) < clause.count:
            if clause.count == 1:
                return f"expected a {clause.color} {clause.noun}, the most confident {clause.noun} is {seen[0]}"
            return f"expected {_several(clause.count, f'{clause.color} {clause.noun}')}, the most confident are {', '.join(seen)}"
    if clause.position is not None:
        relation, place = clause.position
        other = task.include[place].noun
        if target is None:
            return f"expected {clause.noun} {relation} {other}, no target: {other} was not found as asked"
        for placed in candidates:
            for reference in target:
                relations = relative_position(placed.box, reference.box)
                if relation not in relations:
                    actual = " and ".join(name for name in RELATIONS if name in relations) or "neither beside, above nor below"
                    return f"expected {clause.noun} {relation} {other}, it is {actual}"
    return None


def _several(count: int, noun: str) -> str:
    return f"{count} {_named(count, noun)}"


def _named(count: int, noun: str) -> str:
    return noun if count == 1 else f"{noun}{'es' if noun.endswith(('s', 'x', 'sh', 'ch')) else 's'}"
