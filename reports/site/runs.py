"""What a site shows: run folders, every evaluated checkpoint of training runs, and comparisons of rewards."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from suder_bench.errors import UserError
from suder_bench.reports import door, measured
from suder_bench.reports.measured import Scores, Training

COMPARISON = "compare.json"
"""What `reward compare` leaves in its folder."""

_STEP = re.compile(r"step-([0-9]+)")


@dataclass(frozen=True)
class Shown:
    """One finished run folder; `trained` tells how its checkpoint came about, '' for one that was not trained here;
    `origin` is the folder that was given."""

    label: str
    path: Path
    summary: Mapping[str, Any]
    trained: str = ""
    origin: Path = Path()

    @property
    def scores(self) -> dict[str, Scores]:
        return {name: Scores(self.path, self.summary, name) for name in self.summary["benchmarks"]}


def is_comparison(path: Path) -> bool:
    return (path / COMPARISON).is_file()


def not_comparisons(paths: Sequence[Path]) -> list[Path]:
    """The runs among what was given. Raises `UserError` where there is none."""
    runs = [path for path in paths if not is_comparison(path)]
    if not runs:
        raise UserError(
            f"{paths[0]} is a comparison of rewards; give a run for the tables too, or look at it with: suder-bench view "
            f"{measured.quoted(paths[0])}"
        )
    return runs


def is_training(path: Path) -> bool:
    return (path / "recipe.yaml").is_file()


def read(paths: Sequence[Path]) -> list[Shown]:
    """The run folders, and those of the training runs step by step, in the order given; labels are told apart by folders.

    Raises `UserError` for a run that is missing or not finished, with the command that makes it.
    """
    found = [
        one
        for path in dict.fromkeys(paths)
        if not is_comparison(path)
        for one in (_evaluations(path) if is_training(path) else [_run(path)])
    ]
    return _told_apart(found)


def read_comparison(path: Path) -> dict[str, Any]:
    """compare.json. Raises `UserError` when it is not one of this version."""
    try:
        content: dict[str, Any] = json.loads(door.read_bytes(path / COMPARISON, path))
        if content["schema"] != 1:
            raise ValueError(f"schema {content['schema']}")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(
            f"{path / COMPARISON} is not readable ({error}); make it anew with: suder-bench reward compare --model MODEL "
            f"--out {measured.quoted(path)}"
        ) from None
    return content


def _run(path: Path) -> Shown:
    [row] = measured.read([path])
    return Shown(row.label, path, measured.read_summary(path), str(row.training or ""), path)


def _evaluations(path: Path) -> Iterator[Shown]:
    """The start model and every checkpoint that has been evaluated. Raises `UserError` where there is none."""
    measured.read([path])
    run = door.training(path)
    folders = [
        (int(found[1]), door.run(file.parent, path))
        for file in path.glob("evaluations/step-*/*/summary.json")
        if (found := _step(file))
    ]
    for step, folder in sorted(folders):
        training = Training.read(run, step)
        label = f"{training.label}, step {step:,}" if step else f"{run.model}, step 0"
        yield Shown(label, folder, measured.read_summary(folder), str(training) if step else "", path)


def _step(summary: Path) -> re.Match[str] | None:
    return _STEP.fullmatch(summary.parents[1].name)


def _told_apart(runs: Sequence[Shown]) -> list[Shown]:
    """A label that runs of several folders share begins with what tells the folders apart; one that a folder's suites share
    ends with the suite."""
    named = []
    for one in runs:
        alike = [other for other in runs if other.label == one.label]
        origins = {other.origin for other in alike}
        label = f"{_ending(one.origin, origins)}: {one.label}" if len(origins) > 1 else one.label
        siblings = sum(other.origin == one.origin for other in alike)
        named.append(replace(one, label=f"{label}, {one.path.name}" if siblings > 1 else label))
    return named


def _ending(path: Path, others: Collection[Path]) -> str:
    """As few of the last parts of a path as no other one ends with."""
    for count in range(1, len(path.parts) + 1):
        ending = path.parts[-count:]
        if sum(other.parts[-count:] == ending for other in others) == 1:
            return str(Path(*ending))
    return str(path)
