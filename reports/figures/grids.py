"""Pictures that several models, or the checkpoints of a training, drew from the same prompts and seeds, as in Figures 7 and 8."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from suder_bench.errors import UserError
from suder_bench.records import Verdict
from suder_bench.reports import door
from suder_bench.reports.figures.figure import Figure, Picture, Pictures
from suder_bench.reports.measured import Measured, evolution, quoted, read
from suder_bench.runs.plan import Task, evenly, plan
from suder_bench.runs.recipe import settings_of
from suder_bench.runs.score import filing

BENCHMARKS = {7: "t2i-compbench", 8: "geneval"}
"""Whose prompts a figure shows."""

ROWS = 6
COLUMNS = 6


@dataclass(frozen=True)
class Drawer:
    """A model with the run folder of its pictures; `key` is equal where prompts and seeds are the same."""

    label: str
    fingerprint: str
    run: Path
    key: tuple[object, ...]
    world: bool


def build(number: int, paths: Sequence[Path]) -> list[Figure]:
    """A grid for each set of prompts and seeds that two models at least have drawn.

    The prompts are spread evenly over the benchmark's order and each shows its first picture, so that nobody picked them.
    Raises `UserError` where no two models share any.
    """
    benchmark = BENCHMARKS[number]
    groups: dict[tuple[object, ...], list[Drawer]] = {}
    for drawer in _drawers(paths, benchmark):
        group = groups.setdefault(drawer.key, [])
        if drawer.fingerprint not in [other.fingerprint for other in group]:
            group.append(drawer)
    figures: list[Figure] = []
    kinds: dict[str, int] = {}
    for group in groups.values():
        if len(group) > 1:
            kind = "world" if group[0].world else "real"
            kinds[kind] = kinds.get(kind, 0) + 1
            suffix = f"-{kinds[kind]}" if kinds[kind] > 1 else ""
            figures.append(_figure(number, f"figure-{number}-{kind}{suffix}", group))
    if not figures:
        training = next((path for path in paths if (path / "recipe.yaml").is_file()), Path("runs/tiny"))
        raise UserError(
            f"Figure {number} shows what two models drew of the same {benchmark} prompts with one seed, and no two did; "
            f"draw them with: suder-bench track {quoted(training)} --benchmark {benchmark}"
        )
    return figures


def _drawers(paths: Sequence[Path], benchmark: str) -> list[Drawer]:
    trainings = [path for path in dict.fromkeys(paths) if (path / "recipe.yaml").is_file()]
    found = []
    for path in dict.fromkeys(paths):
        if path in trainings:
            rows = [(f"step {row.training.step:,}" if row.training else row.model, row) for row in evolution(path)]
            several = len(trainings) > 1
            rows = [(f"{path.name}, {label}" if several and row.training else label, row) for label, row in rows]
        elif (path / "compare.json").is_file():
            continue
        else:
            rows = [(row.label, row) for row in read([path])]
        found += [_drawer(label, row, benchmark) for label, row in rows if _draws(row, benchmark)]
    return found


def _draws(row: Measured, benchmark: str) -> bool:
    scores = row.scores.get(benchmark)
    return scores is not None and "seed" in scores.summary["recipe"] and (scores.run / "images" / benchmark).is_dir()


def _drawer(label: str, row: Measured, benchmark: str) -> Drawer:
    scores = row.scores[benchmark]
    recipe = scores.summary["recipe"]
    key = (scores.summary["world"], scores.planned.get("data"), recipe["seed"])
    return Drawer(label, row.fingerprint or str(scores.run), scores.run, key, scores.summary["world"])


def _figure(number: int, name: str, group: Sequence[Drawer]) -> Figure:
    benchmark = BENCHMARKS[number]
    shown = group
    if len(group) > COLUMNS:
        shown = [group[round(i * (len(group) - 1) / (COLUMNS - 1))] for i in range(COLUMNS)]
    tasks = [_task(drawer, benchmark) for drawer in shown]
    drawn = [_first_pictures(drawer.run, task) for drawer, task in zip(shown, tasks, strict=True)]
    common = [sample for sample in tasks[0].samples if all(sample.id in own for own in drawn)]
    if not common:
        runs = ", ".join(str(drawer.run) for drawer in shown)
        raise UserError(f"Figure {number} finds no prompt whose first picture is in all of {runs}; repeat what made them")
    prompts = tuple((sample.prompt, tuple(own[sample.id] for own in drawn)) for sample in evenly(common, ROWS))
    notes = [f"Prompts spread evenly over {benchmark}, the first picture of each."]
    if any(picture.lines for _, pictures in prompts for picture in pictures):
        notes.append("Below each: the benchmark's verdict.")
    if len(shown) < len(group):
        notes.append(f"{len(shown)} of {len(group)} models, spread evenly.")
    if group[0].world:
        notes.append("Prompts and verdicts are of the embedded world.")
    subject, words = f"Samples of {benchmark} prompts", "drawn with the same seeds"
    return Figure(number, name, subject, words, Pictures(tuple(one.label for one in shown), prompts), tuple(notes))


def _task(drawer: Drawer, benchmark: str) -> Task:
    """The run's samples, read again. Raises `UserError` where its data are not there any more."""
    recipe = door.document(drawer.run, "run.json")
    assert recipe is not None  # a run without one has no row
    settings = settings_of({**recipe, "benchmarks": {benchmark: None}}, judges={}, offline=True)
    [task] = plan(replace(settings, suite=benchmark), lambda line: None)
    return task


def _first_pictures(run: Path, task: Task) -> dict[str, Picture]:
    """The first picture of each sample, with its verdict by the run's last judges where that is there."""
    _, verdicts = door.judged(run, task.name, {(sample.id, 0) for sample in task.samples})
    keys = set(filing(task, (door.document(run, "run.json") or {}).get("judges", {}).get(task.name, {})).values())
    mine = [pair for pair in verdicts if pair[0] in keys] or verdicts  # the benchmark's code may have changed since
    judged = {(one.sample, one.digest): _told(one) for _, one in mine}
    return {
        one.sample: Picture(door.inside(run / one.image, run), judged.get((one.sample, one.digest), ()))
        for one in door.responses(run, task.name).values()
        if one.repeat == 0 and one.image and (run / one.image).is_file()
    }


def _told(verdict: Verdict) -> tuple[str, ...]:
    """Right or wrong, or the score where the benchmark has no such words."""
    if verdict.correct is not None:
        return ("right" if verdict.correct else "wrong",)
    score = verdict.scores.get("score")
    return () if score is None or math.isnan(score) else (f"{score:z.2f}",)
