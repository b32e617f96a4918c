"""The one picture of a comparison of rewards: best-of-k curves and AUC, or without verdicts how alike the rewards rank."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from suder_bench import plots
from suder_bench.plots import GREY, LABEL, OKABE_ITO, PANEL, STYLE, spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PARTS = ("pictures", "captions")


def draw(found: Mapping[str, Any], file: Path, notes: Sequence[str]) -> None:
    """Best-of-k curves of the judged parts with their intervals, and the AUC of each reward; where nothing is judged, tau
    between rewards. `notes` stand below. Raises `UserError` without matplotlib."""
    plots.check_installed(file)
    from matplotlib import rc_context

    names = list(found["pictures"]["rewards"])
    parts = {part: found[part] for part in PARTS if found[part] is not None}
    judged = {part: entry for part, entry in parts.items() if entry["mean"] is not None}
    count = len(judged) + 1
    with rc_context(STYLE):
        drawing = plots.blank(max(count, 2) * PANEL[0], PANEL[1] + 0.7)
        for index, (part, entry) in enumerate(judged.items(), start=1):
            _curves(drawing.add_subplot(1, count, index), part, entry, names)
        last = drawing.add_subplot(1, count, count)
        if judged:
            rows = [(part, name, row["auc"]) for part, entry in judged.items() for name, row in entry["rewards"].items()]
            _dots(last, [(_named(name, part, judged), metric, _color(name, names)) for part, name, metric in rows], 0.5)
            last.set_title("AUC within a prompt", fontweight="bold")
            last.set_xlabel("0.5 is chance", color=GREY)
        else:
            pairs = [(part, row) for part, entry in parts.items() for row in entry["correlations"]]
            _dots(last, [(_named(f"{row['a']}, {row['b']}", part, parts), row, GREY) for part, row in pairs], 0.0)
            last.set_title("tau between rewards, within a prompt", fontweight="bold")
            last.set_xlabel("0 is chance", color=GREY)
        what = found["benchmark"] or Path(str(found["prompts"])).name
        drawing.suptitle(f"Rewards for {found['model']} on {what}", x=0.01, ha="left", fontsize=10, fontweight="bold")
        drawing.supxlabel("\n".join(notes), x=0.01, ha="left", fontsize=7, color=GREY)
        plots.save(drawing, file)


def _curves(ax: Axes, part: str, entry: Mapping[str, Any], names: Sequence[str]) -> None:
    from matplotlib.ticker import MaxNLocator

    steps = np.arange(1, entry["samples"] + 1)
    ends: list[tuple[float, str]] = []
    for name, points in entry["curves"].items():
        rewarded = name in names
        color = _color(name, names)
        values, low, high = (np.array([point[key] for point in points], float) for key in ("value", "low", "high"))
        if rewarded:
            ax.fill_between(steps, low, high, color=color, alpha=0.12, linewidth=0)
        ax.plot(steps, values, color=color, linewidth=1.4 if rewarded else 0.9, linestyle="-" if rewarded else (0, (4, 3)))
        ends.append((float(values[-1]), name))
    ax.set_title(f"{part}: verdict of the best of k", fontweight="bold")
    ax.set_xlabel("k samples", color=GREY)
    ax.set_xlim(1, steps[-1])
    ax.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    bottom, top = ax.get_ylim()
    for (value, name), place in zip(ends, spread([value for value, _ in ends], LABEL * (top - bottom)), strict=True):
        edge = steps[-1] + 0.05 * (steps[-1] - 1)
        color = _color(name, names)
        ax.plot([steps[-1], edge], [value, place], color=color, linewidth=0.7, linestyle=":", clip_on=False)
        ax.text(edge, place, f" {name}", va="center", fontsize=7, color=color, fontweight="bold" if name in names else "normal")
    ax.set_ylim(bottom, top)


def _dots(ax: Axes, rows: Sequence[tuple[str, Mapping[str, Any], str]], chance: float) -> None:
    """A row for each (label, metric, colour) with its interval."""
    ax.axvline(chance, color="#999999", linewidth=0.7, linestyle=(0, (4, 3)))
    for place, (_, metric, color) in enumerate(rows):
        value, low, high = (np.nan if metric[key] is None else metric[key] for key in ("value", "low", "high"))
        ax.plot([low, high], [place, place], color=color, linewidth=1.4)
        ax.plot([value], [place], color=color, marker="o", markersize=4)
    ax.set_yticks(range(len(rows)), [label for label, _, _ in rows])
    ax.set_ylim(max(len(rows), 1) - 0.5, -0.5)
    ax.grid(visible=False, axis="y")


def _named(label: str, part: str, parts: Mapping[str, Any]) -> str:
    return f"{label}, {part}" if len(parts) > 1 else label


def _color(name: str, names: Sequence[str]) -> str:
    return OKABE_ITO[names.index(name) % len(OKABE_ITO)] if name in names else "#777777"
