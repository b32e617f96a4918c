"""A comparison of rewards for readers: a table for the terminal, a page of Markdown, one picture of all."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from suder_bench.reports.rewards.figure import PARTS, draw
from suder_bench.rewards.compare import disagreements
from suder_bench.rewards.evaluator import PREFIX
from suder_bench.rewards.sampled import Sampled
from suder_bench.rewards.scoring import BATCH
from suder_bench.runs.table import FEW_CLUSTERS, WORLD, fitted, interval_of, number, remarks

CASES = 8
"""Disagreements that are shown."""

NAMED = 14
"""Columns of a reward's name."""

TINY = "clip is tiny-clip here, a CLIP trained on the world's pictures"
ITSELF = "{name} is the verdict itself, so that it is its oracle"
UNJUDGED = "no verdicts here: agreement with them, best of N and the gallery need a benchmark's prompts"
COLUMNS = {"best": "best of {n}", "worst": "worst of {n}", "auc": "AUC", "tau": "tau", "length": "length"}


def table(found: Mapping[str, Any]) -> str:
    """The document of `reward compare` in 80 columns."""
    lines: list[str] = []
    for part in PARTS:
        entry = found[part]
        if entry is not None:
            lines += [*_head(found, part), "", *(_judged(entry) if entry["mean"] is not None else [])]
            lines += [_difference(row, entry["samples"]) for row in entry["differences"]]
            lines += [_correlation(row) for row in entry["correlations"]]
            lines += [f"{name}: {_cost(row)}; length {_value(row['length'])}" for name, row in entry["rewards"].items()] + [""]
    told = [*_caveats(found), *(f"{sign}: {meaning}" for sign, meaning in remarks(_metrics(found)))]
    lines += [line for one in told for line in textwrap.wrap(one, 80, subsequent_indent="  ")]
    return "\n".join([*lines, "intervals resample prompts (or captioned pictures)"])


def _judged(entry: Mapping[str, Any]) -> Iterator[str]:
    best = f"best of {entry['samples']}"
    yield f"{'':<{NAMED}}{best:>10}{'95 % interval':>17}{'worst':>7}{'AUC':>7}{'95 % interval':>17}{'tau':>8}"
    yield "-" * 80
    for name, row in entry["rewards"].items():
        values = f"{_value(row['best']):>10}{_interval(row['best']):>17}{_value(row['worst']):>7}"
        yield f"{fitted(name, NAMED)}{values}{_value(row['auc']):>7}{_interval(row['auc']):>17}{_value(row['tau']):>8}"


def markdown(found: Mapping[str, Any], drawn: Sampled, written: Sampled | None) -> str:
    """The same and more as a page that shows compare.png and disagreements.png beside it."""
    lines = ["# Which reward picks the better samples?", ""]
    asked = f"benchmark `{found['benchmark']}`" if found["benchmark"] else f"prompts of `{found['prompts']}`"
    lines += [f"Model `{found['model']}`, {asked}, seed {found['seed']}."]
    lines += ["", *(f"- {line}" for line in _caveats(found))]
    lines += [f"- `{sign}`: {meaning}" for sign, meaning in remarks(_metrics(found))]
    lines += ["", "![What each reward knows, in one picture](compare.png)", ""]
    for part, sampled in zip(PARTS, (drawn, written), strict=True):
        if found[part] is not None and sampled is not None:
            lines += [f"## {part.capitalize()}", "", *_head(found, part), "", *_rows(found[part]), ""]
            lines += [f"- {_difference(row, found[part]['samples'])}" for row in found[part]["differences"]]
            lines += [f"- {_correlation(row)}" for row in found[part]["correlations"]]
            lines += ["", *_cases(sampled, part)]
    lines += [
        "Intervals are 95 %, from a bootstrap of prompts (or captioned pictures). AUC: share of pairs of one prompt ordered as",
        "the verdicts are. tau: Kendall's, within a prompt. length: rank correlation with the number of words, of prompts over",
        f"prompts, of captions within a picture. ms and MB: of one sample's reward, {BATCH} scored at once, the reading of files",
        "not counted; MB is the growth of the peak of memory meanwhile, of CUDA's where it computes there, else of the process.",
    ]
    return "\n".join(lines) + "\n"


def figure(found: Mapping[str, Any], file: Path) -> None:
    """The same in one picture; see `reward_figure`. Raises `UserError` without matplotlib."""
    judged = any(found[part] is not None and found[part]["mean"] is not None for part in PARTS)
    what = " AUC: share of pairs within a prompt ordered as the verdict." if judged else ""
    few = any(one.get("few_clusters") is not None for one in _metrics(found))
    notes = [f"Bands and bars: 95 % intervals, by prompt.{what}", *_caveats(found), *([FEW_CLUSTERS] if few else [])]
    draw(found, file, notes)


def _head(found: Mapping[str, Any], part: str) -> list[str]:
    entry = found[part]
    what = f"pictures, {found['benchmark'] or found['prompts']}" if part == "pictures" else "captions"
    skipped = f", {entry['skipped']:,} skipped" if entry["skipped"] else ""
    counted = f"{what}: {entry['prompts']:,} x {entry['samples']} samples{skipped}; "
    if entry["mean"] is None:
        return [counted + "no verdicts"]
    return [counted + f"mean verdict {_value(entry['mean'])}, oracle's best of {entry['samples']} {_value(entry['oracle'])}"]


def _caveats(found: Mapping[str, Any]) -> list[str]:
    """What a reader of these numbers must know."""
    rewards = found["pictures"]["rewards"]
    told = [f"data: {WORLD}", *([TINY] if "clip" in rewards else [])] if found["world"] else []
    told += [f"marked: {deviation}" for deviation in found.get("deviations", ())]
    if "srum" in found:
        told.append("srum judges with " + ", ".join(f"{name}={value}" for name, value in found["srum"].items()))
    for name, count in found.get("failures", {}).items():
        told.append(f"{name}: {count['unread']:,} of {count['scores']:,} scores not read, {count['outside']:,} outside [-1, 1]")
    told += [ITSELF.format(name=name) for name in rewards if name == f"{PREFIX}{found['benchmark']}"]
    if any(found[part] is not None and found[part]["mean"] is None for part in PARTS):
        told.append(UNJUDGED)
    return told


def _metrics(found: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Every number of which an interval is shown."""
    for entry in filter(None, (found[part] for part in PARTS)):
        yield from (metric for row in entry["rewards"].values() for key in COLUMNS if (metric := row[key]) is not None)
        yield from (*entry["differences"], *entry["correlations"])


def _rows(entry: Mapping[str, Any]) -> Iterator[str]:
    columns = COLUMNS if entry["mean"] is not None else {"length": COLUMNS["length"]}
    yield "| reward | " + " | ".join(title.format(n=entry["samples"]) for title in columns.values()) + " | ms | MB |"
    yield "|---" * (len(columns) + 3) + "|"
    for name, row in entry["rewards"].items():
        cells = [f"{_value(row[key])} ({_interval(row[key])})" for key in columns]
        memory = "-" if row["megabytes"] is None else f"{row['megabytes']:.1f}"
        yield f"| {name} | " + " | ".join(cells) + f" | {row['milliseconds']:.1f} | {memory} |"
    if entry["mean"] is not None:
        length = entry["verdict_length"]
        yield "| the verdict itself | | | | | " + f"{_value(length)} ({_interval(length)}) | | |"


def _cases(sampled: Sampled, part: str) -> list[str]:
    """Where the favourites differ: pictures in the gallery, captions as text."""
    if sampled.samples.verdict is None:
        return []
    cases = disagreements(sampled.samples, CASES)
    if not cases:
        return ["No prompt where the favourites have different verdicts.", ""]
    if part == "pictures":
        return ["![Prompts whose favourites have different verdicts](disagreements.png)", ""]
    lines = ["Favourites with different verdicts, of the world's pictures by number:", ""]
    for row, picks in cases:
        said = [
            f'{name}: "{_plain(str(sampled.made[row][k]))}" ({sampled.samples.verdict[row, k]:g})' for name, k in picks.items()
        ]
        lines.append(f"- {row}. " + "; ".join(said))
    return [*lines, ""]


def _difference(row: Mapping[str, Any], n: int) -> str:
    return f"{row['a']} - {row['b']}, best of {n}: {row['value']:+z.3f} ({_interval(row)})"


def _correlation(row: Mapping[str, Any]) -> str:
    return f"{row['a']} and {row['b']}: tau {_value(row)} ({_interval(row)})"


def _cost(row: Mapping[str, Any]) -> str:
    memory = "" if row["megabytes"] is None else f" and {row['megabytes']:.1f} MB"
    return f"{row['milliseconds']:.1f} ms{memory} a sample"


def _value(metric: Mapping[str, Any] | None) -> str:
    return number(None if metric is None else metric["value"])


def _interval(metric: Mapping[str, Any] | None) -> str:
    return "-" if metric is None else interval_of(metric)


def _plain(text: str) -> str:
    """A model's words as nothing but text on a page: one line, and no markup."""
    return " ".join("".join(f"&#{ord(letter)};" if letter in '<>&*_`[]|"' else letter for letter in text).split())
