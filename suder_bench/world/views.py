"""What can be known of a picture, in one form: as it is seen, as it was drawn, or as a text tells it.

A view answers three questions about its n things: how likely each fits a phrase, how likely a relation holds between two,
and how likely each lies in a part of the picture.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from suder_bench.world.perception import Percept
from suder_bench.world.scenes import OPPOSITE, Phrase, Scene
from suder_bench.world.sentences import ANYTHING, Fact, Placed, Related, Shown
from suder_bench.world.vocabulary import ACTIONS, SIZE

_AXES = {"left of": (0, 1), "right of": (0, -1), "above": (1, 1), "below": (1, -1)}
_SYMMETRIC = ("next to", "touches")


class View(Protocol):
    def fits(self, phrase: Phrase) -> np.ndarray:
        """(n,) probabilities that a thing is there and is what the phrase says; its count is left out."""
        ...

    def relates(self, kind: str) -> np.ndarray:
        """(n, n) probabilities that row `kind` column; the diagonal is 0."""
        ...

    def lies(self, place: str) -> np.ndarray:
        """(n,) probabilities that the centre is in 'top left', 'top', ... 'bottom right'."""
        ...


@dataclass(frozen=True)
class PerceptView:
    """What perception sees, as sure as it is."""

    percept: Percept

    def fits(self, phrase: Phrase) -> np.ndarray:
        found = []
        for seen in self.percept.objects:
            p = seen.confidence
            p *= 1.0 if phrase.noun == ANYTHING else seen.nouns.get(phrase.noun, 0.0)
            for wanted, known in ((phrase.color, seen.colors), (phrase.texture, seen.textures), (phrase.form, seen.forms)):
                p *= 1.0 if wanted is None else known.get(wanted, 0.0)
            found.append(p)
        return np.array(found, dtype=float)

    def relates(self, kind: str) -> np.ndarray:
        if kind in ACTIONS:
            known = np.zeros((len(self.percept.objects),) * 2)
            for c in self.percept.connectors:
                if c.kind == kind:
                    known[c.actor, c.patient] = c.confidence
            return known
        depth = np.array([seen.depth for seen in self.percept.objects])
        return spatial(kind, self._boxes(), depth)

    def lies(self, place: str) -> np.ndarray:
        return located(place, self._boxes())

    def _boxes(self) -> np.ndarray:
        """(n, 4) in the pixels of a world picture."""
        width, height = self.percept.size
        boxes = np.array([seen.box for seen in self.percept.objects], dtype=float).reshape(-1, 4)
        return boxes * [SIZE / width, SIZE / height, SIZE / width, SIZE / height]


@dataclass(frozen=True)
class SceneView:
    """What was drawn."""

    scene: Scene

    def fits(self, phrase: Phrase) -> np.ndarray:
        return np.array([_agrees(phrase, (t.noun, t.color, t.texture, t.form)) for t in self.scene.things], dtype=float)

    def relates(self, kind: str) -> np.ndarray:
        things, relation = self.scene.things, self.scene.relation
        if kind not in ACTIONS:
            return spatial(kind, self._boxes(), np.arange(len(things)))
        known = np.zeros((len(things),) * 2)
        if relation is not None and relation.kind == kind:
            actor, patient = self.scene.order[relation.first], self.scene.order[relation.second]
            known[actor, patient] = 1
            if kind == "touches":
                known[patient, actor] = 1
        return known

    def lies(self, place: str) -> np.ndarray:
        return located(place, self._boxes())

    def _boxes(self) -> np.ndarray:
        return np.array([t.box for t in self.scene.things], dtype=float).reshape(-1, 4)


class ToldView:
    """What a text says, taken as all there is: a thing without a texture is solid, one without a form has the common one."""

    def __init__(self, facts: Iterable[Fact]) -> None:
        facts = tuple(facts)
        self._things: list[Phrase] = []
        for fact in facts:
            if isinstance(fact, Shown):
                self._tell(fact)
        self._related = [fact for fact in facts if isinstance(fact, Related)]
        self._placed = [fact for fact in facts if isinstance(fact, Placed)]

    def _tell(self, fact: Shown) -> None:
        """Things told of for the first time are added; a known one may become better known."""
        phrase = fact.phrase
        fitting = [i for i, known in enumerate(self._things) if _compatible(phrase, known)]
        if fact.definite and fitting:
            self._things[fitting[0]] = _together(self._things[fitting[0]], phrase)
        else:
            more = max(0, phrase.count - len(fitting)) if fact.exact else phrase.count
            self._things += [phrase] * more

    def fits(self, phrase: Phrase) -> np.ndarray:
        known = [(t.noun, t.color, t.texture or "solid", t.form or "") for t in self._things]
        return np.array([_agrees(phrase, attributes) for attributes in known], dtype=float)

    def relates(self, kind: str) -> np.ndarray:
        n = len(self._things)
        known = np.zeros((n, n))
        for fact in self._related:
            rows, columns = self.fits(fact.first), self.fits(fact.second)
            if OPPOSITE.get(fact.kind, fact.kind) == OPPOSITE.get(kind, kind):
                turned = fact.kind != kind
                known = np.maximum(known, np.outer(columns, rows) if turned else np.outer(rows, columns))
            if fact.kind == kind and kind in _SYMMETRIC:
                known = np.maximum(known, np.outer(columns, rows))
        np.fill_diagonal(known, 0)
        return known

    def lies(self, place: str) -> np.ndarray:
        known = np.zeros(len(self._things))
        for fact in self._placed:
            if fact.place == place:
                known = np.maximum(known, self.fits(fact.phrase))
        return known


def _agrees(phrase: Phrase, known: tuple[str, str | None, str, str]) -> bool:
    wanted = (None if phrase.noun == ANYTHING else phrase.noun, phrase.color, phrase.texture, phrase.form)
    return all(w is None or w == k for w, k in zip(wanted, known, strict=True))


def _compatible(one: Phrase, other: Phrase) -> bool:
    nouns = one.noun == other.noun or ANYTHING in (one.noun, other.noun)
    pairs = ((getattr(one, key), getattr(other, key)) for key in ("color", "texture", "form"))
    return nouns and all(a is None or b is None or a == b for a, b in pairs)


def _together(one: Phrase, other: Phrase) -> Phrase:
    noun = other.noun if one.noun == ANYTHING else one.noun
    return Phrase(noun, 1, one.color or other.color, one.texture or other.texture, one.form or other.form)


def spatial(kind: str, boxes: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """(n, n) probabilities of a relation of places or of depth between (n, 4) boxes in the pixels of a world picture.

    A side needs boxes that are apart and the larger offset along its axis; beside means less than two cells apart;
    depth needs boxes that overlap.
    """
    low, high = boxes[:, None, :2], boxes[:, None, 2:]
    gap = np.maximum(boxes[None, :, :2] - high, low - boxes[None, :, 2:])
    offset = (boxes[None, :, :2] + boxes[None, :, 2:] - low - high) / 2
    if kind in _AXES:
        axis, sign = _AXES[kind]
        along, across = sign * offset[..., axis], np.abs(offset[..., 1 - axis])
        found = _sigmoid((along - across) / 3) * _sigmoid(gap[..., axis] + 4)
    elif kind == "next to":
        apart = gap.max(axis=-1)
        found = _sigmoid(apart + 4) * _sigmoid((14 - apart) / 1.5)
    elif kind in ("in front of", "behind"):
        nearer = depth[:, None] > depth[None, :] if kind == "in front of" else depth[:, None] < depth[None, :]
        found = nearer * _sigmoid(-gap.max(axis=-1) - 4)
    else:
        raise ValueError(f"'{kind}' is no relation of the world")
    found = np.array(found, dtype=float)
    np.fill_diagonal(found, 0)
    return found


def located(place: str, boxes: np.ndarray) -> np.ndarray:
    """(n,) probabilities that the centres of (n, 4) boxes lie in a ninth of the picture; the middle is a quarter wide."""
    found = np.ones(len(boxes))
    for axis, (less, more) in enumerate((("left", "right"), ("top", "bottom"))):
        centre = (boxes[:, axis] + boxes[:, axis + 2]) / 2 - SIZE / 2
        before, after = _sigmoid((-centre - 8) / 0.6), _sigmoid((centre - 8) / 0.6)
        words = place.split()
        found = found * (before if less in words else after if more in words else 1 - before - after)
    return found


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(x, -50, 50)))
