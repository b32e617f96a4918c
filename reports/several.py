"""Trainings that differ in nothing but their seed, as one row: the mean over them, with an interval that covers another seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from suder_bench import seeds, stats
from suder_bench.errors import UserError
from suder_bench.reports.measured import Measured, Scores
from suder_bench.runs.jsonl import plain
from suder_bench.runs.paired import Side, halves, scored_by_all


def together(rows: Sequence[Measured], side: Callable[[Path], Side], say: Callable[[str], None]) -> list[Measured]:
    """The rows, those of one recipe and step as one in the place of the first, whose `members` they are.

    `side` opens a run; what cannot be averaged stays apart, and `say` is told why: other questions or judges, no verdicts.
    """
    groups: dict[object, dict[int, Measured]] = {}
    for row in rows:
        if (key := _recipe(row)) is not None and row.training and row.training.seed is not None:
            groups.setdefault(key, {}).setdefault(row.training.seed, row)
    found: dict[int, Measured] = {}
    gone: set[int] = set()
    for members in (list(group.values()) for group in groups.values() if len(group) > 1):
        try:
            found[id(members[0])] = _together(members, side)
            gone |= {id(one) for one in members[1:]}
        except UserError as why:
            say(f"suder-bench: {len(members)} seeds of {members[0].label} stand apart: {why}")
    made = [found.get(id(row), row) for row in rows if id(row) not in gone]
    labels = [row.label for row in made]
    made = [
        replace(row, label=f"{row.label} ({', '.join(map(str, row.runs))})")
        if row.members and labels.count(row.label) > 1
        else row
        for row in made
    ]
    renamed = {one.label: row.label for row in made for one in row.members}
    return [replace(row, base=renamed.get(row.base, row.base)) for row in made]


def _recipe(row: Measured) -> object:
    """What is the same of all seeds; None of what was not trained."""
    made = row.training
    return (made.start, made.recipe, made.step, row.world) if made and made.recipe else None


def _together(members: Sequence[Measured], side: Callable[[Path], Side]) -> Measured:
    """Raises `UserError` where they cannot be averaged."""
    first = members[0]
    assert first.training is not None
    names = list(dict.fromkeys(name for one in members for name in one.scores))
    for one in members:
        if lacking := [name for name in names if name not in one.scores]:
            raise UserError(f"{', '.join(map(str, one.runs))} is not scored on {', '.join(lacking)}, as another is")
    scores = {name: _averaged(name, [one.scores[name] for one in members], side) for name in names}
    label = f"{first.training.label}, {len(members)} seeds"
    return replace(first, label=label, fingerprint="", scores=scores, members=tuple(members))


def _averaged(name: str, members: Sequence[Scores], side: Callable[[Path], Side]) -> Scores:
    first = members[0]
    for one in members:
        if one.unbacked:
            raise UserError(one.unbacked)
        if not first.alike(one):
            raise UserError(f"{first.run} and {one.run} were not asked or judged alike on {name}")
    sides = [side(one.run) for one in members]
    scored_by_all(sides, [name])
    found, _ = halves(name, sides)
    metrics = {}
    for metric, told in first.entry["metrics"].items():
        if all(metric in of and metric in one.entry["metrics"] for (_, of, _), one in zip(found, members, strict=True)):
            averaged = seeds.mean([(of[metric], clusters) for _, of, clusters in found], resamples=stats.RESAMPLES)
            marks = {what: told[what] for what in ("judges", "without") if what in told}
            parts = asdict(averaged.components) if averaged.components else None
            spread = {"values": averaged.values, "components": parts}
            metrics[metric] = averaged.metric.document() | marks | {"seeds": spread}
    counts = {what: sum(one.entry[what] for one in members) for what in ("n_responses", "skipped", "failed")}
    entry: dict[str, Any] = plain({**first.entry, **counts, "metrics": metrics})
    if "unjudged" in entry:
        entry["unjudged"]["responses"] = sum(one.entry["unjudged"]["responses"] for one in members if "unjudged" in one.entry)
    summary = {**first.summary, "benchmarks": {**first.summary["benchmarks"], name: entry}}
    return replace(first, summary=summary, members=tuple(one.run for one in members))
