"""Two runs compared metric by metric on the prompts that both answered, where they measured the same thing."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from suder_bench import registry, stats
from suder_bench.benchmark import Benchmark
from suder_bench.errors import UserError, unknown
from suder_bench.records import Sample, Statistic, Verdict
from suder_bench.runs.deviations import deviations
from suder_bench.runs.plan import plan
from suder_bench.runs.recipe import settings_of
from suder_bench.runs.recomputed import recomputed
from suder_bench.runs.roles import by_metric
from suder_bench.runs.score import judged_before
from suder_bench.runs.store import RunFolder


@dataclass(frozen=True)
class Read:
    """A benchmark over the data of one run, that run's verdicts, and the metrics that lack a judge there."""

    benchmark: Benchmark
    rows: Sequence[tuple[Sample, Verdict]]
    open: tuple[str, ...]


@dataclass(frozen=True)
class Side:
    """One of the two runs: its folder as the user wrote it, and its run.json."""

    path: Path
    recipe: Mapping[str, Any]
    read: dict[str, Read] = field(default_factory=dict, compare=False, repr=False)
    """What `_read` has read of it, which decodes every picture."""

    @classmethod
    def open(cls, path: Path) -> Side:
        """Raises `UserError` when there is no scored run in the folder."""
        recipe = RunFolder(path).read()
        if recipe is None:
            raise UserError(f"{path} holds no run.json; give two run folders, as in: suder-bench compare runs/a runs/b")
        return cls(path, recipe)

    @property
    def scored(self) -> list[str]:
        """The benchmarks whose judges were there: of one that asks judges run.json names them."""
        judges = self.recipe.get("judges", {})
        asks = {name: registry.load("benchmarks", name).judge_roles for name in self.recipe["benchmarks"]}
        return [name for name, roles in asks.items() if name in judges and (judges[name] or not roles)]

    def judges(self, name: str) -> dict[str, str]:
        """Who judged a benchmark, by role."""
        judges = self.recipe["judges"][name]
        return {role: f"{judge['backend']} {judge['fingerprint'][:8]}" for role, judge in judges.items()}


def compare(a: Side, b: Side, only: Sequence[str] | None = None) -> dict[str, Any]:
    """The document that `suder-bench compare --json` prints. Raises `UserError` where the two runs measured different things."""
    shared = [name for name in a.scored if name in b.scored]
    if not shared:
        scored = "; ".join(f"{side.path} scored {', '.join(side.scored) or 'nothing'}" for side in (a, b))
        raise UserError(f"no benchmark to compare: {scored}; finish a run by repeating its command")
    for name in only or []:
        if name not in shared:
            raise unknown("benchmark of both runs", name, shared)
    names = [name for name in shared if not only or name in only]
    for name in names:
        _refuse_difference(name, a, b)
    return {
        "schema": 1,
        "a": _told(a, names),
        "b": _told(b, names),
        "world": a.recipe["world"],
        "benchmarks": {name: _benchmark(name, a, b) for name in names},
    }


def _told(side: Side, names: Sequence[str]) -> dict[str, Any]:
    """Which run it is, and what sets its numbers apart from its benchmarks' own, if anything does."""
    marks = [f"{name}: {mark}" for name in names for mark in deviations(side.recipe, name)]
    return {"run": str(side.path), "model": side.recipe["model"]["name"]} | ({"deviations": marks} if marks else {})


def mean_difference(name: str, metrics: Sequence[str], a: Side, b: Side) -> stats.Paired:
    """The unweighted mean of some metrics of a benchmark in both runs, and the difference b - a with its interval.

    `n` counts what the metrics average over (pictures, questions, groups), in the run that has fewer.
    Raises `UserError` where the two runs measured different things, and for a metric that one of them lacks.
    """
    for side in (a, b):
        if name not in side.scored:
            raise UserError(f"{side.path} has not scored {name}; finish a run by repeating its command")
    _refuse_difference(name, a, b)
    (_, of_a, clusters_a), (_, of_b, clusters_b), _ = _shared(name, a, b)
    for metric in metrics:
        if metric not in of_a or metric not in of_b:
            raise unknown(f"metric of {name}", metric, set(of_a) & set(of_b))
    mean_a, mean_b = (_mean([of[metric] for metric in metrics]) for of in (of_a, of_b))
    found = stats.paired({"": mean_a}, clusters_a, {"": mean_b}, clusters_b)[""]
    return replace(found, n=min(mean_a.n, mean_b.n))


def _mean(parts: Sequence[Statistic]) -> Statistic:
    return Statistic(of=lambda weights: np.mean([part.of(weights) for part in parts], axis=0), n=sum(part.n for part in parts))


def _refuse_difference(name: str, a: Side, b: Side) -> None:
    """Numbers of one name that measured two things must not be subtracted. Some judges may differ, since not each is in every
    metric."""
    entries = a.recipe["benchmarks"][name], b.recipe["benchmarks"][name]
    for what in ("protocol", "prompt_style", "data", "text", "rules"):
        if all(what in entry for entry in entries):
            _refuse(name, what.replace("_", " "), a, b, entries[0][what], entries[1][what])
    mine, theirs = a.judges(name), b.judges(name)
    if mine and not any(judge == theirs.get(role) for role, judge in mine.items()):
        _refuse_judges(name, a, b)


def _refuse_judges(name: str, a: Side, b: Side) -> None:
    told = [", ".join(f"{role} {judge}" for role, judge in side.judges(name).items()) for side in (a, b)]
    _refuse(name, "judges", a, b, *told)


def _refuse(name: str, what: str, a: Side, b: Side, left: str, right: str) -> None:
    if left != right:
        raise UserError(
            f"{a.path} and {b.path} cannot be compared: {name} {what} are {left} and {right};"
            " run one of them again like the other, or choose another --benchmark"
        )


def _benchmark(name: str, a: Side, b: Side) -> dict[str, Any]:
    (one, of_a, clusters_a), (_, of_b, clusters_b), shared = _shared(name, a, b)
    found = stats.paired(of_a, clusters_a, of_b, clusters_b)
    apart = _judged_differently(name, a, b)
    return {
        "headline": one.headline,
        "paper_metrics": list(one.paper_metrics),
        "clusters": shared,
        **({"judged_differently": apart} if apart else {}),
        "metrics": {metric: paired.document() for metric, paired in found.items()},
    }


_Half = tuple[Benchmark, dict[str, Statistic], list[str]]


def _shared(name: str, a: Side, b: Side) -> tuple[_Half, _Half, int]:
    """Of each run the benchmark, its statistics over the clusters that both have, and the cluster of every row of these; and how
    many they are. Metrics that were judged differently are left out."""
    sides = _read(name, a), _read(name, b)
    one, other = ({sample.cluster for sample, _ in side.rows} for side in sides)
    shared = one & other
    if not shared:
        raise UserError(f"{a.path} and {b.path} have no {name} prompt in common; run one of them again with the other's --limit")
    apart = _judged_differently(name, a, b)
    halves = []
    for side in sides:
        rows = [row for row in side.rows if row[0].cluster in shared]
        found = {metric: one for metric, one in side.benchmark.statistics(rows).items() if metric not in apart}
        halves.append((side.benchmark, found, [sample.cluster for sample, _ in rows]))
    if not all(statistics for _, statistics, _ in halves):
        _refuse_judges(name, a, b)
    return halves[0], halves[1], len(shared)


def _judged_differently(name: str, a: Side, b: Side) -> list[str]:
    """The metrics that the two runs do not have by the same judges, all of them there.

    Raises `UserError` where judges differ and the benchmark does not say which metrics these are in.
    """
    sides = _read(name, a), _read(name, b)
    asked = by_metric(sides[0].benchmark, [sample for side in sides for sample, _ in side.rows])
    if not asked:
        _refuse_judges(name, a, b)
    mine, theirs = a.judges(name), b.judges(name)
    differ = {metric for metric, roles in asked.items() if any(mine.get(role) != theirs.get(role) for role in roles)}
    return sorted(differ.union(*(side.open for side in sides)))


def _read(name: str, side: Side) -> Read:
    if name in side.read:
        return side.read[name]
    found = recomputed(side.path, rows=True)  # tells what was edited since
    scored = found.scored.pop(name, None) if found else None
    if found is None or scored is None:
        side.read[name] = _judged_before(name, side)
    else:
        gone = found.gone[name]
        rows = [row for row in scored.rows if (row[0].id, row[1].repeat) not in gone] if gone else scored.rows
        side.read[name] = Read(scored.benchmark, rows, scored.unjudged.metrics if scored.unjudged else ())
    if not side.read[name].rows:
        raise UserError(f"{side.path} has no {name} verdicts of this version; score it again: suder-bench score {side.path}")
    return side.read[name]


def _judged_before(name: str, side: Side) -> Read:
    settings = settings_of(side.recipe, judges={}, offline=True)
    [task] = plan(replace(settings, benchmarks=(name,)), lambda line: print(line, file=sys.stderr))
    if task.data != side.recipe["benchmarks"][name]["data"]:
        raise UserError(
            f"the {name} files of {side.path} are not the ones it was made with; put those back, or run it again with --fresh"
        )
    rows, unjudged = judged_before(task, side.recipe["judges"][name], RunFolder(side.path))
    return Read(task.benchmark, rows, unjudged.metrics if unjudged else ())
