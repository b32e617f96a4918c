"""The commands' tables as HTML for a notebook: plain elements, which it dresses as it does a frame's, every text escaped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from suder_bench.cli import compare
from suder_bench.runs import table

UNWRAPPED = 100_000
"""Columns: a browser wraps lines itself."""


def run(summary: Mapping[str, Any]) -> str:
    """What `suder-bench run` ends with."""
    parts, shown = [], []
    for name, entry in summary["benchmarks"].items():
        metrics = table.shown_metrics(entry, verbose=False)
        rows = [entry["metrics"][metric] for metric in metrics]
        cells = [(table.number(row["value"]), table.interval_of(row), f"{row['n']:,}") for row in rows]
        parts.append(_table(name, ("value", "95 % interval", "n"), _labelled(metrics, entry["headline"]), cells))
        parts.append(_small(filter(None, [", ".join(table.remarks_on(entry, metrics, "in .summary"))])))
        shown += rows
    signs = [f"{sign} {meaning}" for sign, meaning in table.remarks(shown)]
    return "".join([*parts, _small([*signs, *table.footer(summary, UNWRAPPED)])])


def comparison(found: Mapping[str, Any], *, verbose: bool) -> str:
    """What `suder-bench compare` prints."""
    parts, shown = [], []
    for name, entry in found["benchmarks"].items():
        metrics = table.shown_metrics(entry, verbose=verbose)
        rows = [entry["metrics"][metric] for metric in metrics]
        columns = ("a", "b", "difference", "p", "p_adjusted", "detectable")
        numbers = [[table.number(row.get(column)) for column in columns] for row in rows]
        cells = [(*one[:3], table.interval_of(row), *one[3:]) for one, row in zip(numbers, rows, strict=True)]
        head = ("A", "B", "B - A", "95 % interval", "p", "adj.", "detectable")
        caption = f"{name}, {entry['clusters']:,} clusters in both"
        parts.append(_table(caption, head, _labelled(metrics, entry["headline"]), cells))
        shown += rows
    return "".join([*parts, _small(compare.footer(found, shown, UNWRAPPED))])


def text(line: str) -> str:
    return f"<p>{escape(line)}</p>"


def _labelled(metrics: Sequence[str], headline: str) -> list[str]:
    return [("* " if metric == headline else "") + metric for metric in metrics]


def _table(caption: str, head: Sequence[str], labels: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    top = "".join(f"<th>{escape(cell)}</th>" for cell in ("", *head))
    lines = [
        f"<tr><th>{escape(label)}</th>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>"
        for label, row in zip(labels, rows, strict=True)
    ]
    return f"<table><caption>{escape(caption)}</caption><thead><tr>{top}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def _small(lines: Iterable[str]) -> str:
    told = "<br>".join(map(escape, lines))
    return f"<p><small>{told}</small></p>" if told else ""
