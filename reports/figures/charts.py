"""Bars, radars and lines of the paper's figures, drawn. To be called inside `rc_context(STYLE)`."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from suder_bench import plots
from suder_bench.plots import COLUMN, GREY, LETTERS, OKABE_ITO, PAGE
from suder_bench.reports.figures.figure import Chart, Figure, Mark, Series

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

PALE = "#BBBBBB"
"""The model before training."""

SMALL = 7
DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 1.5, 1, 1.5)))
MARKERS = "osD^vP"
"""Besides its colour, what tells a line from others on grey paper."""

WORDS = (20, 2)
"""Letters in a line of a label, and its lines at most; the CSV has all of it."""

BAR, LINE = 0.2, 0.13
"""Inches of height that a bar takes with its space, and a line of its label or of notes."""

NEAREST = 0.02
"""Of an axis of scores, from its one end to the other."""

TOPS = (0.25, 0.5, 1.0)
"""Where an axis of bars may end: the first that no bar or interval of its panel goes beyond."""

LINES = (1.75, 0.62)
"""Inches of height of a row of panels of lines, and of all that is above and below them."""


def draw(figure: Figure, chart: Chart) -> Drawing:
    """The chart with its title and notes, as wide as it stands in print."""
    draws = {"bars": _bars, "radar": _radar, "lines": _lines}
    drawing = draws[chart.kind](chart)
    width = int(drawing.get_figwidth() * LETTERS)
    drawing.suptitle(textwrap.fill(figure.subject, int(width * 0.75)), x=0.01, ha="left", fontsize=9, fontweight="bold")
    below = textwrap.fill(figure.below, width)
    drawing.set_figheight(drawing.get_figheight() + max(0, below.count("\n") - 1) * LINE)  # two lines have their place
    drawing.supxlabel(below, x=0.01, ha="left", fontsize=SMALL, color=GREY)
    return drawing


def colors(chart: Chart) -> dict[str, str]:
    """Of each series by its label: the model before training grey, published ones in print black, the others told apart."""
    measured = [one.label for one in chart.series if one.role == "measured"]
    found = {label: OKABE_ITO[i % len(OKABE_ITO)] for i, label in enumerate(measured)}
    return {one.label: found.get(one.label, PALE if one.role == "start" else "black") for one in chart.series}


def _bars(chart: Chart) -> Drawing:
    """A panel for each column, a bar for each series, named to the left of the first panel."""
    order = sorted(chart.series, key=lambda one: ("start", "measured", "published").index(one.role))
    names = [_short(one.label) for one in order]
    lines = max(name.count("\n") + 1 for name in names)
    drawing = plots.blank(PAGE, len(order) * max(BAR, lines * LINE) + 1.15)
    color = colors(chart)
    for i, column in enumerate(chart.columns):
        ax = drawing.add_subplot(1, len(chart.columns), i + 1)
        highest = max((_interval(mark)[1] for one in order for mark in one.of(column)), default=1.0)
        top = next((end for end in TOPS if highest <= end), TOPS[-1])
        for place, one in enumerate(order):
            for mark in one.of(column):
                hollow = {"facecolor": "white", "edgecolor": GREY, "linewidth": 0.8, "hatch": "////"}
                ax.barh(place, mark.value, height=0.68, **(hollow if one.role == "published" else {"color": color[one.label]}))
                low, high = _interval(mark)
                ax.plot([low, high], [place, place], color="black", linewidth=0.8)
                ax.text(max(mark.value, high) + 0.02 * top, place, str(mark), va="center", fontsize=SMALL)
        ax.set_title(column, fontweight="bold")
        ax.set_yticks(range(len(order)), names if i == 0 else [""] * len(order), color="black")
        ax.set_ylim(len(order) - 0.4, -0.6)
        ax.set_xlim(0, 1.12 * top)
        ax.set_xticks([0, top / 2, top])
        ax.grid(visible=False)
        ax.tick_params(labelsize=SMALL)
    return drawing


def _radar(chart: Chart) -> Drawing:
    """A spoke for each column with its values in the colours of their series, and the series' names below."""
    drawing = plots.blank(COLUMN, COLUMN + 0.85)
    ax: Any = drawing.add_subplot(projection="polar")
    ax.set_theta_zero_location("N")
    ax.set_theta_direction(-1)
    angles = np.linspace(0, 2 * math.pi, len(chart.columns), endpoint=False)
    closed = [*angles, angles[0]]
    color = colors(chart)
    order = {one.label: i for i, one in enumerate(sorted(chart.series, key=lambda one: one.role))}
    for one in chart.series:
        marks = [found[0] if (found := one.of(column)) else Mark(column, math.nan) for column in chart.columns]
        marks = [*marks, marks[0]]
        if one.role == "measured":
            low, high = zip(*map(_interval, marks), strict=True)
            ax.fill_between(closed, low, high, color=color[one.label], alpha=0.18, linewidth=0)
        start = one.role == "start"
        ax.plot(
            closed,
            [mark.value for mark in marks],
            color="#888888" if start else color[one.label],
            linewidth=0.9 if start else 1.4,
            linestyle=(0, (2, 2)) if start else DASHES[order[one.label] % len(DASHES)],
            marker="" if start else MARKERS[order[one.label] % len(MARKERS)],
            markersize=3,
            label=str(order[one.label]),  # one that begins with "_" would have no place in the legend
        )
    for angle, column in zip(angles, chart.columns, strict=True):
        _spoke(ax, angle, column, [(one, color[one.label]) for one in chart.series if one.role != "start"])
    ax.set_xticks(angles, [""] * len(angles))
    ax.set_ylim(0, 1)
    ax.set_yticks([0.25, 0.5, 0.75, 1.0], ["", "0.5", "", "1"], fontsize=6, color=GREY)
    ax.set_rlabel_position(math.degrees(angles[1]) / 2)
    ax.grid(visible=True, axis="both", color="#DDDDDD", linewidth=0.5)
    ax.spines["polar"].set_visible(False)
    columns = 3 if sum(len(one.label) for one in chart.series) < 3 * WORDS[0] else 2
    names = ax.legend(
        loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=columns, frameon=False, fontsize=SMALL, handlelength=2.4
    )
    for text, one in zip(names.get_texts(), chart.series, strict=True):
        text.set_text(_short(one.label))
    return drawing


def _spoke(ax: Any, angle: float, column: str, series: Sequence[tuple[Series, str]]) -> None:
    """The column's name at the end of its spoke, and each series' value below it."""
    side = "center" if abs(math.sin(angle)) < 0.1 else "left" if math.sin(angle) > 0 else "right"
    lines = [(column, "black"), *((str(mark), color) for one, color in series for mark in one.of(column))]
    down = {"center": 8.5 * (len(lines) - 1) if math.cos(angle) > 0 else -2}.get(side, 4.25 * (len(lines) - 1))
    for i, (text, color) in enumerate(lines):
        ax.annotate(
            text,
            (angle, 1.06),
            xytext=(0, down - 8.5 * i),
            textcoords="offset points",
            ha=side,
            va="center",
            fontsize=SMALL,
            color=color,
            fontweight="bold" if i == 0 else "normal",
            annotation_clip=False,
        )


def _lines(chart: Chart) -> Drawing:
    """A panel for each column over training steps; each line is named in the last panel of a whole row that has it."""
    from matplotlib.ticker import MaxNLocator

    count = len(chart.columns)
    across = min(count, 3)
    rows = -(-count // across)
    width = PAGE if across > 1 else COLUMN
    drawing = plots.blank(width, rows * LINES[0] + LINES[1] + (0.25 if width == COLUMN else 0))
    last = max([mark.step or 0 for one in chart.series for mark in one.marks]) or 1
    color = colors(chart)
    named: set[str] = set()
    for i, column in enumerate(chart.columns):
        ax = drawing.add_subplot(rows, across, i + 1)
        ax.set_xlim(-0.02 * last, 1.02 * last)
        ends, inside = [], []
        later = chart.columns[i + 1 : (i // across + 1) * across]
        for k, one in enumerate(chart.series):
            marks = sorted(one.of(column), key=lambda mark: mark.step or 0)
            if marks:
                _line(ax, marks, one, color[one.label], k)
                end = (float(marks[-1].step or 0), marks[-1].value)
                if i % across == across - 1:
                    ends.append((*end, _short(one.label), color[one.label]))
                    named.add(one.label)
                elif not any(one.of(name) for name in later) and (later or one.label not in named):
                    inside.append((*end, _short(one.label)))
        ax.set_title(column, fontweight="bold")
        ax.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10], integer=True))
        ax.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        ax.tick_params(labelsize=SMALL)
        if i + across >= count:
            ax.set_xlabel("training step", color=GREY, fontsize=SMALL)
        _not_too_near(ax)
        plots.label_ends(ax, ends, gap=0.11 * max((label.count("\n") + 1 for _, _, label, _ in ends), default=1))
        for step, value, label in inside:  # there is no room beside the panel
            high = value > sum(ax.get_ylim()) / 2
            place: Any = {"xytext": (0, -6 if high else 5), "va": "top" if high else "bottom", "ha": "right"}
            ax.annotate(label, (step, value), textcoords="offset points", fontsize=SMALL, **place)
    return drawing


def _not_too_near(ax: Axes) -> None:
    """No axis of scores goes below 0, or is so short that it makes much of nothing."""
    bottom, top = ax.get_ylim()
    middle, half = (bottom + top) / 2, max(top - bottom, NEAREST) / 2
    ax.set_ylim(max(middle - half, -0.04 * (middle + half)), middle + half)


def _line(ax: Axes, marks: Sequence[Mark], one: Series, color: str, place: int) -> None:
    steps = [mark.step or 0 for mark in marks]
    published = one.role == "published"
    if not published:
        low, high = zip(*map(_interval, marks), strict=True)
        ax.fill_between(steps, low, high, color=color, alpha=0.18, linewidth=0)
        if len(steps) == 1:  # a band of no width is not seen
            ax.vlines(steps, low, high, color=color, alpha=0.4, linewidth=3)
    ax.plot(
        steps,
        [mark.value for mark in marks],
        color=color,
        linewidth=1.2,
        linestyle=(0, (4, 2)) if published else DASHES[place // len(OKABE_ITO) % len(DASHES)],
        marker=MARKERS[place % len(MARKERS)],
        markersize=3,
        markerfacecolor="white" if published else color,
    )


def _interval(mark: Mark) -> tuple[float, float]:
    """Its ends, or the value twice where there is none."""
    return (mark.value, mark.value) if mark.low is None or mark.high is None else (mark.low, mark.high)


def _short(label: str) -> str:
    lines = textwrap.wrap(label, WORDS[0])
    return "\n".join(lines if len(lines) <= WORDS[1] else [*lines[: WORDS[1] - 1], f"{lines[WORDS[1] - 1]}..."])
