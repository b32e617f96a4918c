"""What a training has seen of the benchmarks that it is scored on: its prompts against theirs, and the scores without these."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from suder_bench.errors import UserError
from suder_bench.reports import door
from suder_bench.reports.measured import Measured
from suder_bench.reports.overlap import Overlap, overlap
from suder_bench.runs.paired import Side


def looked_for(rows: Sequence[Measured], side: Callable[[Path], Side], say: Callable[[str], None]) -> list[Measured]:
    """The rows, those of trainings with what their prompts share with each benchmark of pictures, or why nobody knows; and the
    models they began with over the same prompts, as the first of their trainings has them."""
    known: dict[Path, list[str] | str] = {}
    return [_looked_for(row, _prompts_of(row, rows, known, say), side) for row in rows]


def _prompts_of(
    row: Measured, rows: Sequence[Measured], known: dict[Path, list[str] | str], say: Callable[[str], None]
) -> tuple[list[str] | str, str]:
    """The prompts of the row's training, or of the first that began with it and drew, whose label comes with them."""
    trained = next((one for one in (row, *rows) if (one is row or row.starts(one)) and _draws(one)), None)
    if trained is None or trained.training is None:
        return [], ""
    if trained.training.run not in known:
        try:
            known[trained.training.run] = _prompts(trained, say)
        except UserError as error:
            known[trained.training.run] = str(error)
    return known[trained.training.run], "" if trained is row else trained.label


def _draws(row: Measured) -> bool:
    return row.training is not None and row.training.strategy != "only-und"


def _looked_for(row: Measured, prompts: tuple[list[str] | str, str], side: Callable[[Path], Side]) -> Measured:
    trained, label = prompts
    if isinstance(trained, str):
        return replace(row, unseen=trained)
    seen = {}
    for name, scores in row.scores.items() if trained else ():
        try:
            found = None if scores.unbacked else _overlap(name, trained, [side(run) for run in scores.runs])
        except UserError as error:
            return replace(row, unseen=str(error))
        if found is not None:
            seen[name] = replace(found, of=label)
    return replace(row, seen=seen)


def _prompts(row: Measured, say: Callable[[str], None]) -> list[str]:
    """Those of the training; none where its recipe does not name them. Raises `UserError` where they are not there."""
    assert row.training is not None
    recipe = door.recipe(row.training.run)
    data = recipe.get("data")
    sources = data.get("prompts") if isinstance(data, dict) else None
    sources = [sources] if isinstance(sources, str) else sources
    if not isinstance(sources, list) or not sources:
        return []
    folders = [one.summary["recipe"]["data"].get("folder") for one in row.scores.values() if not one.unbacked]
    return door.training_prompts([str(one) for one in sources], row.training.run, [Path(one) for one in folders if one], say)


def _overlap(benchmark: str, prompts: Sequence[str], sides: Sequence[Side]) -> Overlap | None:
    """Its scores are means over the runs. None for a benchmark of questions; raises `UserError` where data are not there."""
    asked = sides[0].asked(benchmark)
    if not asked.draws:
        return None
    found = overlap(asked.samples, prompts)
    if not found.shared:
        return found
    each = [_without(found, benchmark, side) for side in sides]
    return replace(found, without={name: _mean([one.get(name) for one in each]) for name in each[0]})


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if len(known) == len(values) else None


def _without(found: Overlap, benchmark: str, side: Side) -> dict[str, float | None]:
    read = side.rows(benchmark)
    left = [row for row in read.rows if row[0].id not in found.shared]
    if not left:
        return {}
    with np.errstate(divide="ignore", invalid="ignore"):
        values = {name: float(one.of(np.ones(len(left)))) for name, one in read.benchmark.statistics(left).items()}
    return {name: value if np.isfinite(value) else None for name, value in values.items()}
