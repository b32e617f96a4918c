"""A comparison of rewards for readers: a table for the terminal, a page of Markdown, one picture of all."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from suder_bench.errors import UserError
from suder_bench.plots import LABEL, OKABE_ITO, PANEL, STYLE, spread
from suder_bench.rewards.compare import disagreements
from suder_bench.rewards.sampled import Sampled
from suder_bench.runs.jsonl import replace_file
from suder_bench.runs.table import WORLD, fitted, interval, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CASES = 8
"""Disagreements that are shown."""

NAMED = 14
"""Columns of a reward's name."""

PARTS = ("pictures", "captions")
SHARED = "clip and vqa are the world's judges here: they see as the verdict's judge does, so that they are near the oracle"
COLUMNS = {"best": "best of {n}", "worst": "worst of {n}", "auc": "AUC", "tau": "tau", "length": "length"}


def table(found: Mapping[str, Any]) -> str:
    """The document of `reward compare` in 80 columns."""
    lines: list[str] = []
    for part in PARTS:
        entry = found[part]
        if entry is not None:
            lines += [*_head(found, part), ""]
            best = f"best of {entry['samples']}"
            lines += [
                f"{'':<{NAMED}}{best:>10}{'95 % interval':>17}{'worst':>7}{'AUC':>7}{'95 % interval':>17}{'tau':>8}",
                "-" * 80,
            ]
            for name, row in entry["rewards"].items():
                values = f"{_value(row['best']):>10}{_interval(row['best']):>17}{_value(row['worst']):>7}"
                lines.append(
                    f"{fitted(name, NAMED)}{values}{_value(row['auc']):>7}{_interval(row['auc']):>17}{_value(row['tau']):>8}"
                )
            lines += [_difference(row, entry["samples"]) for row in entry["differences"]]
            lines += [f"{row['a']} and {row['b']}: tau {_value(row)} ({_interval(row)})" for row in entry["correlations"]] + [""]
    return "\n".join([*lines, *_caveats(found), "intervals resample prompts (or captioned pictures)"])


def markdown(found: Mapping[str, Any], drawn: Sampled, written: Sampled | None) -> str:
    """The same and more as a page that shows compare.png and disagreements.png beside it."""
    lines = ["# Which reward picks the better samples?", ""]
    lines += [f"Model `{found['model']}`, benchmark `{found['benchmark']}`, seed {found['seed']}."]
    lines += ["", *(f"- {line}" for line in _caveats(found))]
    lines += ["", "![Best-of-k curves and AUC of each reward](compare.png)", ""]
    for part, sampled in zip(PARTS, (drawn, written), strict=True):
        if found[part] is not None and sampled is not None:
            lines += [f"## {part.capitalize()}", "", *_head(found, part), "", *_rows(found[part]), ""]
            lines += [f"- {_difference(row, found[part]['samples'])}" for row in found[part]["differences"]]
            lines += [f"- {row['a']} and {row['b']}: tau {_value(row)} ({_interval(row)})" for row in found[part]["correlations"]]
            lines += ["", *_cases(sampled, part)]
    lines += [
        "Intervals are 95 %, from a bootstrap of prompts (or captioned pictures). AUC: share of pairs of one prompt ordered as",
        "the verdicts are. tau: Kendall's, within a prompt. length: rank correlation with the number of words, of prompts over",
        "prompts, of captions within a picture. ms: of one sample's reward, the reading of files not counted.",
    ]
    return "\n".join(lines) + "\n"


def figure(found: Mapping[str, Any], file: Path) -> None:
    """Best-of-k curves of pictures and captions with their intervals, and the AUC of each reward. Raises `UserError` without
    matplotlib."""
    try:
        from matplotlib import rc_context
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.layout_engine import ConstrainedLayoutEngine
    except ModuleNotFoundError:
        raise UserError(f'{file} needs matplotlib; pip install "suder-bench[train]"') from None
    parts = [part for part in PARTS if found[part] is not None]
    names = list(found["pictures"]["rewards"])
    with rc_context(STYLE):
        size = ((len(parts) + 1) * PANEL[0], PANEL[1] + 0.7)
        drawing = Figure(figsize=size, dpi=200, layout=ConstrainedLayoutEngine(h_pad=0.08, w_pad=0.06))
        canvas = FigureCanvasAgg(drawing)
        for index, part in enumerate(parts):
            _curves(drawing.add_subplot(1, len(parts) + 1, index + 1), part, found[part], names)
        _auc(drawing.add_subplot(1, len(parts) + 1, len(parts) + 1), {part: found[part] for part in parts}, names)
        drawing.suptitle(
            f"Rewards for {found['model']} on {found['benchmark']}", x=0.01, ha="left", fontsize=10, fontweight="bold"
        )
        note = "Bands and bars: 95 % intervals, by prompt. AUC: share of pairs within a prompt ordered as the verdict."
        drawing.supxlabel("\n".join([note, *_caveats(found)]), x=0.01, ha="left", fontsize=7, color="#555555")
        content = io.BytesIO()
        canvas.print_png(content)
    replace_file(file, content.getvalue())


def _curves(ax: Axes, part: str, entry: Mapping[str, Any], names: Sequence[str]) -> None:
    from matplotlib.ticker import MaxNLocator

    steps = np.arange(1, entry["samples"] + 1)
    ends: list[tuple[float, str]] = []
    for name, points in entry["curves"].items():
        rewarded = name in names
        color = OKABE_ITO[names.index(name) % len(OKABE_ITO)] if rewarded else "#777777"
        values, low, high = (np.array([point[key] for point in points], float) for key in ("value", "low", "high"))
        if rewarded:
            ax.fill_between(steps, low, high, color=color, alpha=0.15, linewidth=0)
        ax.plot(steps, values, color=color, linewidth=1.4 if rewarded else 0.9, linestyle="-" if rewarded else (0, (4, 3)))
        ends.append((float(values[-1]), name))
    ax.set_title(f"{part}: verdict of the best of k", fontweight="bold")
    ax.set_xlabel("k samples", color="#555555")
    ax.set_xlim(1, steps[-1])
    ax.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    bottom, top = ax.get_ylim()
    for (value, name), place in zip(ends, spread([value for value, _ in ends], LABEL * (top - bottom)), strict=True):
        edge = steps[-1] + 0.05 * (steps[-1] - 1)
        ax.plot([steps[-1], edge], [value, place], color="#777777", linewidth=0.7, linestyle=":", clip_on=False)
        ax.text(edge, place, f" {name}", va="center", fontsize=7, fontweight="bold" if name in names else "normal")
    ax.set_ylim(bottom, top)


def _auc(ax: Axes, parts: Mapping[str, Mapping[str, Any]], names: Sequence[str]) -> None:
    rows = [(part, name, entry["rewards"][name]["auc"]) for part, entry in parts.items() for name in entry["rewards"]]
    ax.axvline(0.5, color="#999999", linewidth=0.7, linestyle=(0, (4, 3)))
    for place, (_, name, metric) in enumerate(rows):
        color = OKABE_ITO[names.index(name) % len(OKABE_ITO)]
        value, low, high = (np.nan if metric[key] is None else metric[key] for key in ("value", "low", "high"))
        ax.plot([low, high], [place, place], color=color, linewidth=1.4)
        ax.plot([value], [place], color=color, marker="o", markersize=4)
    ax.set_yticks(range(len(rows)), [f"{name}, {part}" if len(parts) > 1 else name for part, name, _ in rows])
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.grid(visible=False, axis="y")
    ax.set_title("AUC within a prompt", fontweight="bold")
    ax.set_xlabel("0.5 is chance", color="#555555")


def _head(found: Mapping[str, Any], part: str) -> list[str]:
    entry = found[part]
    what = f"pictures, {found['benchmark']}" if part == "pictures" else "captions of the world's pictures"
    skipped = f", {entry['skipped']:,} prompts skipped" if entry["skipped"] else ""
    return [
        f"{what}: {entry['prompts']:,} x {entry['samples']} samples{skipped}; "
        f"mean verdict {_value(entry['mean'])}, oracle's best of {entry['samples']} {_value(entry['oracle'])}"
    ]


def _caveats(found: Mapping[str, Any]) -> list[str]:
    """What a reader of numbers from the world must know."""
    if not found["world"]:
        return []
    return [f"data: {WORLD}", *([SHARED] if {"clip", "vqa"} & set(found["pictures"]["rewards"]) else [])]


def _rows(entry: Mapping[str, Any]) -> Iterator[str]:
    yield "| reward | " + " | ".join(title.format(n=entry["samples"]) for title in COLUMNS.values()) + " | ms |"
    yield "|---" * (len(COLUMNS) + 2) + "|"
    for name, row in entry["rewards"].items():
        cells = [f"{_value(row[key])} ({_interval(row[key])})" for key in COLUMNS]
        yield f"| {name} | " + " | ".join(cells) + f" | {row['milliseconds']:.1f} |"
    length = entry["verdict_length"]
    yield "| the verdict itself | | | | | " + f"{_value(length)} ({_interval(length)}) | |"


def _cases(sampled: Sampled, part: str) -> list[str]:
    """Where the favourites differ: pictures in the gallery, captions as text."""
    cases = disagreements(sampled.samples, CASES)
    if not cases:
        return ["No prompt where the favourites have different verdicts.", ""]
    if part == "pictures":
        return ["![Prompts whose favourites have different verdicts](disagreements.png)", ""]
    assert sampled.samples.verdict is not None
    lines = ["Favourites with different verdicts, of the world's pictures by number:", ""]
    for row, picks in cases:
        said = [
            f'{name}: "{_plain(str(sampled.made[row][k]))}" ({sampled.samples.verdict[row, k]:g})' for name, k in picks.items()
        ]
        lines.append(f"- {row}. " + "; ".join(said))
    return [*lines, ""]


def _difference(row: Mapping[str, Any], n: int) -> str:
    return f"{row['a']} - {row['b']}, best of {n}: {row['value']:+.3f} ({_interval(row)})"


def _value(metric: Mapping[str, Any] | None) -> str:
    return number(None if metric is None else metric["value"])


def _interval(metric: Mapping[str, Any] | None) -> str:
    return "-" if metric is None else interval(metric["low"], metric["high"])


def _plain(text: str) -> str:
    """A model's words as nothing but text on a page: one line, and no markup."""
    return " ".join("".join(f"&#{ord(letter)};" if letter in '<>&*_`[]|"' else letter for letter in text).split())
