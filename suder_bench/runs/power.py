"""What a pilot says of a comparison that is still to be made: how many questions and seeds a difference needs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from suder_bench import seeds
from suder_bench.errors import UserError
from suder_bench.planning import Variances
from suder_bench.runs.paired import Half, Side, halves, scored_by_all

SEEDS = (1, 2, 3, 5, 10)
POINT = 100
"""Points of a whole scale."""


def power(
    pilots: Sequence[Side],
    base: Sequence[Side],
    difference: float,
    only: Sequence[str] | None = None,
    *,
    wanted: float,
    level: float,
) -> dict[str, Any]:
    """The document that `suder-bench power --json` prints: for each metric what finds so many points of `difference`.

    Several `pilots` are the seeds of one training, and several of the `base` those of another. Without a base the comparison is
    taken to be with a run as varied as the pilot that has nothing in common with it, the worst case. Raises `UserError` where
    the runs measured different things, or where two trainings have other numbers of seeds.
    """
    if len(base) > 1 and len(base) != len(pilots):
        raise UserError(
            f"{len(pilots)} pilots and {len(base)} of --base cannot be told apart by seeds; give as many of both, or one --base"
        )
    every = [*pilots, *base]
    names = scored_by_all(every, only)
    return {
        "schema": 1,
        "difference": difference,
        "power": wanted,
        "level": level,
        "pilots": [str(side.path) for side in pilots],
        "base": [str(side.path) for side in base],
        "paired": bool(base),
        "world": every[0].recipe["world"],
        "benchmarks": {name: _benchmark(name, pilots, base, difference, wanted, level) for name in names},
    }


def _benchmark(
    name: str, pilots: Sequence[Side], base: Sequence[Side], difference: float, wanted: float, level: float
) -> dict[str, Any]:
    found, clusters = halves(name, [*pilots, *base])
    mine, theirs = found[: len(pilots)], found[len(pilots) :]
    metrics = [metric for metric in mine[0][1] if all(metric in of for _, of, _ in found)]
    return {
        "headline": mine[0][0].headline,
        "paper_metrics": list(mine[0][0].paper_metrics),
        "clusters": clusters,
        "metrics": {one: _metric(one, mine, theirs, clusters, difference, wanted, level) for one in metrics},
    }


def _metric(
    metric: str,
    mine: Sequence[Half],
    theirs: Sequence[Half],
    clusters: int,
    difference: float,
    wanted: float,
    level: float,
) -> dict[str, Any]:
    rows, others = ([(of[metric], own) for _, of, own in side] for side in (mine, theirs))
    averaged = seeds.mean(rows)
    parts, times, few = averaged.components, 2.0, averaged.metric.few_clusters  # of two runs that have nothing in common
    if others:
        found = seeds.difference(others, rows)
        parts, times, few = found.components, 1.0, found.few_clusters
    whole = _whole(rows[0][0].scale, averaged.metric.value)
    told: dict[str, Any] = {"value": averaged.metric.value, "n": averaged.metric.n, "point": whole / POINT}
    told |= {} if few is None else {"few_clusters": few}
    if parts is None:
        return {**told, "variances": None, "detectable": None, "needed": []}
    count, resting = len(rows), few or clusters
    one = Variances(times * parts.prompts * resting, times * parts.seeds * count, times * parts.pictures * resting * count)
    needed = []
    for trained in SEEDS if count > 1 else (1,):
        questions = one.questions(difference * whole / POINT, trained, power=wanted, level=level)
        every = None if questions is None else math.ceil(questions * clusters / resting)
        n = None if every is None else round(every * averaged.metric.n / clusters)
        needed.append({"seeds": trained, "clusters": every, "n": n})
    detectable = one.detectable(resting, count, power=wanted, level=level)
    return {**told, "variances": asdict(one), "detectable": detectable, "needed": needed}


def _whole(scale: tuple[float, float] | None, value: float) -> float:
    """What has 100 points: a scale from end to end. Of one without an upper end, as of GenEval 2's sums, 100 is full marks."""
    if scale is None:
        return 1.0 if abs(value) <= 1 else POINT
    return scale[1] - scale[0] if math.isfinite(scale[1]) else POINT
