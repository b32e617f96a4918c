"""A training run over its steps, as a site draws it: the evaluations' metrics and everything that was logged."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from suder_bench.reports import door
from suder_bench.runs.jsonl import number, read_object
from suder_bench.training.curves import Point, read_points

POINTS = 400
"""Of a logged quantity at most: a curve is no wider than so many pixels."""

BRANCHES = ("", "gen", "und")
"""The folders that log: the run's own, or those of the two models of the separate strategy."""


def curves(run: Path) -> dict[str, Any]:
    """{"scores": a curve for each metric of the paper in each suite that scored it, "logged": {name: [[step, value], ...]}}.

    NaN is left out.
    """
    door.evaluations(run)
    points = read_points(run / "evaluations")
    panels: dict[tuple[str, str, str], list[Point]] = {}
    for point in points:
        if point.headline or point.tag:
            panels.setdefault((point.benchmark, point.metric, point.suite), []).append(point)
    scores = [
        {
            "benchmark": benchmark,
            "metric": metric,
            "suite": suite,
            "headline": own[0].headline,
            "world": own[0].world,
            "few_clusters": any(one.few_clusters is not None for one in own),
            "points": [[one.step, one.value, one.low, one.high] for one in own if one.value is not None],
        }
        for (benchmark, metric, suite), own in panels.items()
    ]
    return {"scores": scores, "logged": {name: _thinned(values) for name, values in sorted(logged(run).items())}}


def logged(run: Path) -> dict[str, list[tuple[int, float]]]:
    """Numbers by name over the steps; a step that was done again after a resume counts as done last."""
    found: dict[str, dict[int, float]] = {}
    for branch in BRANCHES:
        file = run / branch / "metrics.jsonl"
        for line in door.read_bytes(file, run).splitlines() if file.is_file() else ():
            row: dict[str, Any] = {}
            with suppress(ValueError):  # the training may be writing to it
                row = read_object(line)
            step = number(row.pop("step", None))
            for name, value in row.items() if step is not None else ():
                if (found_value := number(value)) is not None:
                    found.setdefault(f"{name} ({branch})" if branch else name, {})[int(step or 0)] = found_value
    return {name: sorted(values.items()) for name, values in found.items()}


def _thinned(values: Sequence[tuple[int, float]]) -> list[list[float]]:
    """Means of neighbours where there are more than `POINTS`."""
    size = -(-len(values) // POINTS)
    blocks = [values[i : i + size] for i in range(0, len(values), size)] if values else []
    return [[block[-1][0], sum(value for _, value in block) / len(block)] for block in blocks]
