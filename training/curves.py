"""Scores and rewards over training steps: curves.csv and curves.png, from the evaluations' summaries and metrics.jsonl."""

from __future__ import annotations

import csv
import io
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from suder_bench import plots, registry, suites
from suder_bench.plots import GREY, LETTERS, OKABE_ITO, PANEL, STYLE, label_ends
from suder_bench.runs.jsonl import number, read_object, replace_file
from suder_bench.runs.recomputed import recomputed
from suder_bench.runs.table import FEW_CLUSTERS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Series = Sequence[tuple[int, float]]

COLUMNS = ("step", "suite", "benchmark", "metric", "value", "low", "high", "n")
REWARDS = ("gen/reward", "und/reward")

SMOOTHING = 20
"""A reward's running mean takes one in so many of the steps to either side."""

_STEP = re.compile(r"step-([0-9]+)")
_VALUES = ("value", "low", "high", "n", "few_clusters")


@dataclass(frozen=True)
class Point:
    """One metric of one evaluation. `headline`: it stands for its benchmark; `tag`: it is one of the paper's other columns;
    `marked`: what sets it apart from its benchmark's own."""

    step: int
    suite: str
    benchmark: str
    metric: str
    value: float | None
    low: float | None
    high: float | None
    n: int
    headline: bool
    tag: bool
    world: bool
    few_clusters: int | None = None
    marked: str = ""


def read_points(evaluations: Path) -> list[Point]:
    """Every metric of the finished evaluations in `evaluations`/step-N/SUITE, in order of step."""
    folders = [(int(step[1]), folder) for folder in evaluations.glob("step-*/*") if (step := _STEP.fullmatch(folder.parent.name))]
    return [point for step, folder in sorted(folders) for point in _points(step, folder)]


def _points(step: int, folder: Path) -> Iterator[Point]:
    found = recomputed(folder)
    summary: dict[str, Any] = dict(found.summary) if found else {"benchmarks": {}, "world": False}
    for name, entry in summary["benchmarks"].items():
        for metric, values in entry["metrics"].items():
            headline = metric == entry["headline"]
            tag = metric in entry["paper_metrics"] and not headline
            world = bool(summary["world"])
            known = {key: values[key] for key in _VALUES if key in values}
            marked = "; ".join(entry.get("deviations", ()))
            yield Point(step, folder.name, name, metric, **known, headline=headline, tag=tag, world=world, marked=marked)


def read_rewards(run: Path) -> dict[str, list[tuple[int, float]]]:
    """The rewards of a training run by name, a (step, mean) each, from its metrics.jsonl or those of its two models.

    A step that was done again after a resume counts as done last.
    """
    found: dict[str, dict[int, float]] = {name: {} for name in REWARDS}
    for folder in (run, run / "gen", run / "und"):
        for row in _rows(folder / "metrics.jsonl"):
            for name in REWARDS:
                value, step = number(row.get(name)), row.get("step")
                if value is not None and isinstance(step, int) and number(step) is not None:
                    found[name][step] = value
    return {name: sorted(values.items()) for name, values in found.items() if values}


def write_csv(points: Sequence[Point], file: Path) -> None:
    """A row per metric; an empty cell where there is no value or no interval, and a column `marked` where any row is."""
    content = io.StringIO()
    writer = csv.writer(content, lineterminator="\n")
    columns = (*COLUMNS, "marked") if any(point.marked for point in points) else COLUMNS
    writer.writerow(columns)
    writer.writerows([getattr(point, column) for column in columns] for point in points)
    replace_file(file, content.getvalue().encode())


def draw(points: Sequence[Point], rewards: Mapping[str, Series], file: Path, title: str) -> None:
    """A panel per benchmark, its headline with the 95 % interval, and a panel per reward; all share the axis of steps.

    Raises `UserError` without matplotlib. Draws nothing where there is nothing to draw.
    """
    plots.check_installed(file)
    from matplotlib import rc_context
    from matplotlib.ticker import MaxNLocator

    panels = _panels(points)
    count = len(panels) + len(rewards)
    if not count:
        return
    columns = 2 if count in (2, 4) else min(count, 3)
    rows = -(-count // columns)
    last = max([point.step for point in points] + [step for values in rewards.values() for step, _ in values]) or 1
    with rc_context(STYLE):
        figure = plots.blank(columns * PANEL[0], rows * PANEL[1] + 0.5)
        axes = [figure.add_subplot(rows, columns, index + 1) for index in range(count)]
        for index, ax in enumerate(axes):
            ax.set_xlim(-0.02 * last, 1.02 * last)
            ax.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10], integer=True))
            ax.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
            if index + columns >= count:
                ax.set_xlabel("training step", color=GREY)
        for ax, (name, own) in zip(axes, panels.items(), strict=False):
            _draw_scores(ax, name, own)
        for ax, (name, values) in zip(axes[len(panels) :], rewards.items(), strict=True):
            _draw_reward(ax, name, values)
        figure.suptitle(title, x=0.01, ha="left", fontsize=10, fontweight="bold")
        note = textwrap.fill(_note(points), int(columns * PANEL[0] * LETTERS))
        figure.supxlabel(note, x=0.01, ha="left", fontsize=7, color=GREY)
        plots.save(figure, file)


def smooth(values: Sequence[float], window: int) -> np.ndarray:
    """The mean of each value and its neighbours, `window` (odd) in all and fewer at the ends."""
    half = window // 2
    return np.array([np.mean(values[max(0, i - half) : i + half + 1]) for i in range(len(values))])


def _rows(file: Path) -> Iterator[dict[str, Any]]:
    """The whole lines of a file that the training may be writing to."""
    for line in file.read_bytes().splitlines() if file.is_file() else ():
        with suppress(ValueError):
            yield read_object(line)


def _panels(points: Sequence[Point]) -> dict[str, list[Point]]:
    """The points of each panel by its title, in the order of the paper's tables."""
    order = list(suites.SUITES["all"])
    found: dict[tuple[str, str], list[Point]] = {}
    for point in points:
        found.setdefault((point.benchmark, point.suite), []).append(point)
    keys = sorted(found, key=lambda key: (order.index(key[0]) if key[0] in order else len(order), key))
    alone = {benchmark: sum(key[0] == benchmark for key in keys) == 1 for benchmark, _ in keys}
    return {benchmark if alone[benchmark] else f"{benchmark} ({suite})": found[benchmark, suite] for benchmark, suite in keys}


def _draw_scores(ax: Axes, name: str, points: Sequence[Point]) -> None:
    headline = [point for point in points if point.headline and point.value is not None]
    if not headline:
        ax.set_title(name, fontweight="bold")
        return
    steps, values, low, high = _columns(headline)
    if steps[0] == 0:
        ax.axhline(values[0], color="#999999", linewidth=0.7, linestyle=(0, (4, 3)))
    ax.fill_between(steps, low, high, color="#BBBBBB", alpha=0.6, linewidth=0)
    if len(steps) == 1:  # a band of no width is not seen
        ax.vlines(steps, low, high, color="#BBBBBB", linewidth=4)
    ends = [(steps[-1], values[-1], _short(headline[0].metric), "black")]
    for index, (metric, tag) in enumerate(_tags(points).items()):
        tag_steps, tag_values, _, _ = _columns(tag)
        color = OKABE_ITO[index % len(OKABE_ITO)]
        style = "-" if index < len(OKABE_ITO) else (0, (5, 2))
        ax.plot(tag_steps, tag_values, color=color, linewidth=0.9, linestyle=style, marker="o", markersize=1.8)
        ends.append((tag_steps[-1], tag_values[-1], _short(metric), color))
    ax.plot(steps, values, color="black", linewidth=1.6, marker="o", markersize=3.5)
    ax.set_title(name if len(ends) > 1 else f"{name}: {headline[0].metric}", fontweight="bold")
    if len(ends) > 1:
        label_ends(ax, ends)


def _short(metric: str) -> str:
    return metric.rpartition("/")[2].replace("_", " ")


def _draw_reward(ax: Axes, name: str, values: Series) -> None:
    color = OKABE_ITO[REWARDS.index(name)]
    steps, rewards = zip(*values, strict=True)
    window = max(1, len(values) // SMOOTHING) * 2 - 1
    ax.plot(steps, rewards, color=color, linewidth=0.5, alpha=0.35)
    ax.plot(steps, smooth(rewards, window), color=color, linewidth=1.2)
    ax.set_title(f"{name}" + (f", mean of {window} steps" if window > 1 else ""), fontweight="bold")


def _tags(points: Sequence[Point]) -> dict[str, list[Point]]:
    """The paper's other columns of a benchmark of generation, which share the headline's scale."""
    found: dict[str, list[Point]] = {}
    if points[0].benchmark in registry.table("benchmarks"):
        draws = registry.load("benchmarks", points[0].benchmark).kind == "generation"
        for point in points:
            if draws and point.tag and point.value is not None:
                found.setdefault(point.metric, []).append(point)
    return found


def _columns(points: Sequence[Point]) -> tuple[np.ndarray, ...]:
    rows = [(point.step, point.value, point.low, point.high) for point in points]
    return tuple(np.array(column, dtype=float) for column in zip(*rows, strict=True))


def _note(points: Sequence[Point]) -> str:
    world = " Scored on the embedded world, not comparable with published numbers." if any(p.world for p in points) else ""
    few = f" Some points are {FEW_CLUSTERS}." if any(p.few_clusters is not None for p in points) else ""
    marks = dict.fromkeys(f" Marked: step {p.step}, {p.benchmark}: {p.marked}." for p in points if p.marked)
    marked = "".join(marks)
    return f"Grey: 95 % interval of the headline (bold). Dashed: the model before training.{few}{world}{marked}" if points else ""
