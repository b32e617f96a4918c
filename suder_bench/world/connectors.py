"""Actions between things: the sign drawn in the gap for 'holds' and 'points at', the boxes for the other two."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, permutations

import numpy as np

from suder_bench.world.render import arms
from suder_bench.world.vocabulary import CELL

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Connector:
    """`actor` does `kind` to `patient`; both are indices of things. `confidence` is in [0, 1]."""

    kind: str
    actor: int
    patient: int
    confidence: float


def connect(boxes: Sequence[Box], confidences: Sequence[float], ink: np.ndarray) -> tuple[Connector, ...]:
    """Every action with a trace in the picture, surest first. `ink` is the (H, W) coverage of the signs."""
    found = [*_signs(boxes, ink), *_contacts(boxes)]
    sure = [replace(c, confidence=c.confidence * min(confidences[c.actor], confidences[c.patient])) for c in found]
    return tuple(sorted((c for c in sure if c.confidence > 0.01), key=lambda c: -c.confidence))


def _signs(boxes: Sequence[Box], ink: np.ndarray) -> Iterator[Connector]:
    if not ink.any():
        return
    for a, b in combinations(range(len(boxes)), 2):
        left, right = (a, b) if boxes[a][0] < boxes[b][0] else (b, a)
        window = _gap(boxes[left], boxes[right], ink)
        if window is None:
            continue
        alike = {
            (kind, *pair): _likeness(arms(kind, window.shape[1], rightward=pair[0] == left), window)
            for kind in ("holds", "points at")
            for pair in ((a, b), (b, a))
        }
        best = max(alike.values())
        total = sum(math.exp((x - best) / 0.03) for x in alike.values())
        for (kind, actor, patient), x in alike.items():
            yield Connector(kind, actor, patient, math.exp((x - best) / 0.03) / total * _sigmoid((best - 0.5) / 0.06))


def _likeness(sign: np.ndarray, window: np.ndarray) -> float:
    """Tanimoto's coefficient of two coverages: 1 where they are equal."""
    both = float((sign * window).sum())
    return both / max(float((sign**2).sum() + (window**2).sum()) - both, 1e-6)


def _gap(left: Box, right: Box, ink: np.ndarray) -> np.ndarray | None:
    """The ink between two things in a row, two cells high; None where they are no row or have no gap of two cells."""
    x0, x1 = round(left[2]), round(right[0])
    middle = round((max(left[1], right[1]) + min(left[3], right[3])) / 2)
    apart = CELL <= x1 - x0 <= 3 * CELL
    level = min(left[3], right[3]) - max(left[1], right[1]) >= CELL
    if not apart or not level or middle < CELL or middle + CELL > len(ink):
        return None
    return ink[middle - CELL : middle + CELL, x0:x1]


def _contacts(boxes: Sequence[Box]) -> Iterator[Connector]:
    for a, b in permutations(range(len(boxes)), 2):
        (ax0, ay0, ax1, ay1), (bx0, by0, bx1, by1) = boxes[a], boxes[b]
        apart = (max(ax0, bx0) - min(ax1, bx1), max(ay0, by0) - min(ay1, by1))
        if min(apart) < -CELL:
            yield Connector("touches", a, b, _sigmoid((3 - abs(max(apart))) / 0.6))
        over = max(bx0 - ax0, by0 - ay0, ax1 - bx1, ay1 - by1)
        if (ax1 - ax0) * (ay1 - ay0) < 0.5 * (bx1 - bx0) * (by1 - by0):
            # A thing in front of another sticks out of its box by a cell.
            yield Connector("is inside", a, b, _sigmoid((2 - over) / 0.6))


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-max(min(x, 50.0), -50.0)))
