"""Small draws that the question makers share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

import numpy as np

from suder_bench.world import facts
from suder_bench.world.scenes import Scene, Thing
from suder_bench.world.vocabulary import NOUNS

Rng = np.random.Generator
T = TypeVar("T")


def one(rng: Rng, choices: Sequence[T]) -> T:
    return choices[int(rng.integers(len(choices)))]


def mixed(rng: Rng, choices: Iterable[T]) -> list[T]:
    items = list(choices)
    return [items[i] for i in rng.permutation(len(items))]


def near_first(rng: Rng, near: Iterable[str], others: Iterable[str], *, but: Iterable[str] = ()) -> list[str]:
    """Wrong answers: those in play first, then the rest, each part shuffled."""
    excluded = set(but)
    ordered = dict.fromkeys([*mixed(rng, sorted(set(near))), *mixed(rng, others)])
    return [word for word in ordered if word not in excluded]


def named(scene: Scene) -> list[tuple[Thing, str]]:
    """Things with a name that tells them from all others."""
    return [(t, known) for t in scene.things if (known := facts.name(scene, t))]


def absent(scene: Scene) -> list[str]:
    return [n for n in NOUNS if facts.count(scene, n) == 0]
