"""Two runs compared metric by metric on the prompts that both answered, where they measured the same thing."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from suder_bench import registry, seeds, stats
from suder_bench.benchmark import Benchmark
from suder_bench.errors import UserError, unknown
from suder_bench.hypotheses import holm
from suder_bench.records import Sample, Statistic, Verdict
from suder_bench.runs.deviations import deviations
from suder_bench.runs.plan import Task, plan
from suder_bench.runs.recipe import settings_of
from suder_bench.runs.recomputed import recomputed
from suder_bench.runs.roles import by_metric
from suder_bench.runs.score import judged_before
from suder_bench.runs.store import RunFolder
from suder_bench.runs.table import shown_metrics


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
    """What `rows` has read of it, which decodes every picture."""

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

    def asked(self, name: str) -> Task:
        """What the run asked of a benchmark. Raises `UserError` where its files are not there, or others."""
        settings = settings_of(self.recipe, judges={}, offline=True)
        [task] = plan(replace(settings, benchmarks=(name,)), lambda line: print(line, file=sys.stderr))
        if task.data != self.recipe["benchmarks"][name]["data"]:
            raise UserError(
                f"the {name} files of {self.path} are not the ones it was made with; put those back, or run it again with --fresh"
            )
        return task

    def rows(self, name: str) -> Read:
        """What the run's verdicts on a benchmark are, read once. Raises `UserError` where there are none of this version."""
        if name in self.read:
            return self.read[name]
        found = recomputed(self.path, rows=True, strict=True)
        scored = found.scored.pop(name, None) if found else None
        if found is None or scored is None:
            self.read[name] = _judged_before(name, self)
        else:
            gone = found.gone[name]
            rows = [row for row in scored.rows if (row[0].id, row[1].repeat) not in gone] if gone else scored.rows
            self.read[name] = Read(scored.benchmark, rows, scored.unjudged.metrics if scored.unjudged else ())
        if not self.read[name].rows:
            raise UserError(f"{self.path} has no {name} verdicts of this version; score it again: suder-bench score {self.path}")
        return self.read[name]

    def judges(self, name: str) -> dict[str, str]:
        """Who judged a benchmark, by role."""
        judges = self.recipe["judges"][name]
        return {role: f"{judge['backend']} {judge['fingerprint'][:8]}" for role, judge in judges.items()}


def compare(a: Side, b: Side, only: Sequence[str] | None = None, *, verbose: bool = False) -> dict[str, Any]:
    """The document that `suder-bench compare --json` prints, with p-values adjusted for all of the metrics that its table shows.

    Raises `UserError` where the two runs measured different things.
    """
    names = scored_by_all([a, b], only)
    benchmarks = {name: _benchmark(name, a, b) for name in names}
    return {
        "schema": 1,
        "a": _told(a, names),
        "b": _told(b, names),
        "world": a.recipe["world"],
        "adjusted": {"method": "holm", "tests": _adjust(benchmarks, verbose)},
        "benchmarks": benchmarks,
    }


def scored_by_all(sides: Sequence[Side], only: Sequence[str] | None = None) -> list[str]:
    """The benchmarks that all runs have scored, or of these `only` some.

    Raises `UserError` where there are none, and where the runs measured different things by the name of one.
    """
    shared = [name for name in sides[0].scored if all(name in side.scored for side in sides)]
    if not shared:
        scored = "; ".join(f"{side.path} scored {', '.join(side.scored) or 'nothing'}" for side in sides)
        raise UserError(f"no benchmark to compare: {scored}; finish a run by repeating its command")
    for name in only or []:
        if name not in shared:
            raise unknown("benchmark of both runs" if len(sides) == 2 else "scored benchmark", name, shared)
    names = [name for name in shared if not only or name in only]
    for name in names:
        for side in sides[1:]:
            _refuse_difference(name, sides[0], side)
    return names


def _adjust(benchmarks: Mapping[str, Any], verbose: bool) -> int:
    """Puts `p_adjusted` beside each p of the table of all benchmarks, which are as many as is returned: one family."""
    shown = [entry["metrics"][name] for entry in benchmarks.values() for name in shown_metrics(entry, verbose)]
    tested = [row for row in shown if row["p"] is not None]
    for row, p in zip(tested, holm([row["p"] for row in tested]), strict=True):
        row["p_adjusted"] = p
    return len(tested)


def _told(side: Side, names: Sequence[str]) -> dict[str, Any]:
    """Which run it is, and what sets its numbers apart from its benchmarks' own, if anything does."""
    marks = [f"{name}: {mark}" for name in names for mark in deviations(side.recipe, name)]
    return {"run": str(side.path), "model": side.recipe["model"]["name"]} | ({"deviations": marks} if marks else {})


def mean_difference(name: str, metrics: Sequence[str], a: Side | Sequence[Side], b: Side | Sequence[Side]) -> stats.Paired:
    """The unweighted mean of some metrics of a benchmark in both runs, and the difference b - a with its interval.

    A side of several runs are the seeds of one training: theirs is the mean over them, on the prompts that all have, and the
    interval covers another seed too (`suder_bench.seeds`).
    `n` counts what the metrics average over (pictures, questions, groups), in the run that has fewest.
    Raises `UserError` where the runs measured different things, and for a metric that one of them lacks.
    """
    both = [[side] if isinstance(side, Side) else list(side) for side in (a, b)]
    every = [side for sides in both for side in sides]
    for side in every:
        if name not in side.scored:
            raise UserError(f"{side.path} has not scored {name}; finish a run by repeating its command")
    for side in every[1:]:
        _refuse_difference(name, every[0], side)
    found, _ = halves(name, every)
    for metric in metrics:
        if any(metric not in of for _, of, _ in found):
            raise unknown(f"metric of {name}", metric, set.intersection(*(set(of) for _, of, _ in found)))
    rows = [(_mean([of[metric] for metric in metrics]), clusters) for _, of, clusters in found]
    difference = seeds.difference(rows[: len(both[0])], rows[len(both[0]) :])
    return replace(difference, n=min(one.n for one, _ in rows))


def _mean(parts: Sequence[Statistic]) -> Statistic:
    if len(parts) == 1:
        return parts[0]
    return replace(stats.linear([(1 / len(parts), part) for part in parts]), n=sum(part.n for part in parts))


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
    both, shared = halves(name, [a, b])
    (one, of_a, clusters_a), (_, of_b, clusters_b) = both
    found = stats.paired(of_a, clusters_a, of_b, clusters_b)
    apart = _judged_differently(name, [a, b])
    return {
        "headline": one.headline,
        "paper_metrics": list(one.paper_metrics),
        "clusters": shared,
        **({"judged_differently": apart} if apart else {}),
        "metrics": {metric: paired.document() for metric, paired in found.items()},
    }


Half = tuple[Benchmark, dict[str, Statistic], list[str]]


def halves(name: str, sides: Sequence[Side]) -> tuple[list[Half], int]:
    """Of each run the benchmark, its statistics over the clusters that all have, and the cluster of every row of these; and how
    many they are. Metrics that were judged differently are left out."""
    read = [side.rows(name) for side in sides]
    shared = set.intersection(*({sample.cluster for sample, _ in side.rows} for side in read))
    if not shared:
        told = " and ".join(str(side.path) for side in sides)
        raise UserError(f"{told} have no {name} prompt in common; run one of them again with the other's --limit")
    apart = _judged_differently(name, sides)
    found = []
    for side in read:
        rows = [row for row in side.rows if row[0].cluster in shared]
        own = {metric: one for metric, one in side.benchmark.statistics(rows).items() if metric not in apart}
        found.append((side.benchmark, own, [sample.cluster for sample, _ in rows]))
    if not all(statistics for _, statistics, _ in found):
        _refuse_judges(name, sides[0], sides[-1])
    return found, len(shared)


def _judged_differently(name: str, sides: Sequence[Side]) -> list[str]:
    """The metrics that the runs do not have by the same judges, all of them there.

    Raises `UserError` where judges differ and the benchmark does not say which metrics these are in.
    """
    read = [side.rows(name) for side in sides]
    asked = by_metric(read[0].benchmark, [sample for side in read for sample, _ in side.rows])
    if not asked:
        for side in sides[1:]:
            _refuse_judges(name, sides[0], side)
    told = [side.judges(name) for side in sides]
    differ = {
        metric for metric, roles in asked.items() if any(own.get(role) != told[0].get(role) for own in told for role in roles)
    }
    return sorted(differ.union(*(side.open for side in read)))


def _judged_before(name: str, side: Side) -> Read:
    task = side.asked(name)
    rows, unjudged = judged_before(task, side.recipe["judges"][name], RunFolder(side.path))
    return Read(task.benchmark, rows, unjudged.metrics if unjudged else ())
