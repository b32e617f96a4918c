"""How far two judges agree about the same responses: Cohen's kappa with quadratic weights, and an interval by clusters.

With squared distances as weights, kappa is 1 - E[(a - b)^2] / E'[(a - b)^2], where E' takes the two judges' scores as if they had
nothing to do with each other (Cohen 1968, "Weighted kappa"). For right and wrong that is Cohen's kappa without weights, and for
scores on a scale it is Lin's concordance; no classes need be made of them.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from suder_bench import stats
from suder_bench.errors import UserError, unknown
from suder_bench.records import Statistic, Verdict
from suder_bench.runs.paired import Side
from suder_bench.runs.plan import Task, plan
from suder_bench.runs.recipe import settings_of
from suder_bench.runs.score import Identity, filing
from suder_bench.runs.store import RunFolder

LEAST = 1e-12
"""A spread by chance below this is none: both judges always say the same one thing."""

SAME = 1e-9
RIGHT = "correct"


@dataclass(frozen=True)
class Seat:
    """A judge, or several by role, of a run, and their verdicts by sample, repeat and digest."""

    run: str
    judges: Mapping[str, str]
    verdicts: Mapping[tuple[str, int, str], Verdict] = field(repr=False)

    def document(self) -> dict[str, Any]:
        return {"run": self.run, "judges": dict(self.judges)}


def agreement(sides: Sequence[Side], only: Sequence[str] | None = None) -> dict[str, Any]:
    """The document that `suder-bench compare --judges --json` prints: every two judges of one or of several runs that judged the
    same responses. Raises `UserError` where there are no two."""
    names = list(dict.fromkeys(name for side in sides for name in side.scored))
    for name in only or ():
        if name not in names:
            raise unknown("scored benchmark", name, names)
    found = {name: pairs for name in names if not only or name in only if (pairs := _pairs(name, sides))}
    if not found:
        runs = " and ".join(str(side.path) for side in sides)
        raise UserError(
            f"{runs}: no responses that two judges of this version have judged; judge again by another, as in: suder-bench score"
            f" {sides[0].path} --judge ROLE=BACKEND, which keeps the verdicts that are there"
        )
    return {"schema": 1, "world": any(side.recipe["world"] for side in sides), "benchmarks": found}


def kappa(a: np.ndarray, b: np.ndarray) -> Statistic:
    """Of two judges' scores, (rows,) each. NaN where both always say the same one thing."""
    middle = (a.mean() + b.mean()) / 2  # the nearer to zero the sums, the more of their digits count
    a, b = a - middle, b - middle

    def combine(sums: Sequence[np.ndarray]) -> np.ndarray:
        n, of_a, of_b, squares, products = sums
        apart, chance = squares / n - 2 * products / n, squares / n - 2 * of_a * of_b / n**2
        return np.where(chance > LEAST, 1 - apart / chance, np.nan)

    return Statistic.of_sums([np.ones(len(a)), a, b, a**2 + b**2, a * b], combine, n=len(a))


def _pairs(name: str, sides: Sequence[Side]) -> list[dict[str, Any]]:
    seats, clusters = [], dict[str, str]()
    for side in sides:
        if name in side.scored:
            task = _task(name, side)
            clusters |= {sample.id: sample.cluster for sample in task.samples}
            seats += _seats(task, side)
    pairs = [_pair(one, other, clusters) for one, other in itertools.combinations(seats, 2)]
    return [pair for pair in pairs if pair is not None]


def _task(name: str, side: Side) -> Task:
    settings = settings_of(side.recipe, judges={}, offline=True)
    [task] = plan(replace(settings, benchmarks=(name,)), lambda line: print(line, file=sys.stderr))
    if task.data != side.recipe["benchmarks"][name]["data"]:
        raise UserError(f"the {name} files of {side.path} are not the ones it was made with; put those back")
    return task


def _seats(task: Task, side: Side) -> list[Seat]:
    folder = RunFolder(side.path)
    known: list[Identity] = [*folder.seated(task.name), side.recipe["judges"][task.name]]
    responses = folder.responses(task.name, repair=False, pictures=False)
    seats: dict[frozenset[str], Seat] = {}
    for identity in known:
        keys = frozenset(filing(task, identity).values())
        if keys in seats:
            continue
        verdicts = {
            key: verdict
            for key, verdict in folder.verdicts(task.name, keys, repair=False).items()
            if responses.digest(key[:2]) == key[2]
        }
        told = {role: f"{judge['backend']} {judge['fingerprint'][:8]}" for role, judge in identity.items()}
        seats[keys] = Seat(str(side.path), told, verdicts)
    return [seat for seat in seats.values() if seat.verdicts]


def _pair(a: Seat, b: Seat, clusters: Mapping[str, str]) -> dict[str, Any] | None:
    """None where they judged nothing in common."""
    both = [key for key in a.verdicts if key in b.verdicts]
    if not both:
        return None
    rows = [(a.verdicts[key], b.verdicts[key]) for key in both]
    names = dict.fromkeys(name for one, other in rows for name in one.scores if name in other.scores)
    if all(verdict.correct is not None for row in rows for verdict in row):
        names = {RIGHT: None, **names}
    measures = {}
    for name in names:
        values = np.array([[_value(verdict, name) for verdict in row] for row in rows])
        there = np.isfinite(values).all(axis=1)
        if there.any():
            own = [clusters.get(key[0], key[0]) for key, kept in zip(both, there, strict=True) if kept]
            measures[name] = _measure(values[there], own) | {"left_out": int((~there).sum())}
    return {"a": a.document(), "b": b.document(), "responses": len(both), "measures": measures}


def _measure(values: np.ndarray, clusters: Sequence[str]) -> dict[str, Any]:
    a, b = values.T
    found = stats.metric(kappa(a, b), clusters).document()
    binary = bool(np.isin(values, (0.0, 1.0)).all())
    return {
        "kappa": found.pop("value"),
        **found,
        "weights": "none" if binary else "quadratic",
        "same": float((np.abs(a - b) < SAME).mean()),
        "mean_a": float(a.mean()),
        "mean_b": float(b.mean()),
    }


def _value(verdict: Verdict, name: str) -> float:
    if name == RIGHT and verdict.correct is not None:
        return float(verdict.correct)
    return float(verdict.scores.get(name, np.nan))
