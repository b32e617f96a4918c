"""Tables as GitHub's Markdown."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

from suder_bench.reports import lines
from suder_bench.reports.lines import Entry, Line
from suder_bench.reports.tables import Table


def escape(text: str) -> str:
    """`text` as it is shown, on one line: no markup, link, HTML or end of a cell in it."""
    shown = html.escape(" ".join(text.split()), quote=False)
    return (
        re.sub(r"([\\`*_{}\[\]()#+!|~$^])", r"\\\1", shown)
        .replace("://", ":&#47;&#47;")
        .replace("@", "&#64;")
        .replace("www.", "www&#46;")
    )


def render(table: Table) -> str:
    """A heading, the table, its footnotes and the recipes of its measured rows."""
    width = 1 + len(table.columns)
    body = [_row([Entry("Model"), *lines.header(table)]), "|---|" + "---:|" * (width - 1)]
    for title, found in lines.groups(table):
        body.append(_row([f"*{escape(title)}*", *[""] * (width - 1)]))
        body += [_row([_label(line), *line.entries]) for line in found]
    parts = [
        f"### {escape(table.title)}",
        "\n".join(body),
        "**Best** and <u>second</u> of a column; a higher number is better in each.",
    ]
    notes = [f"- <sup>{letter}</sup> {escape(text)}" for text, letter in table.footnotes.items()]
    notes += [f"- {escape(text)}" for text in table.notes]
    if notes:
        parts.append("\n".join(notes))
    if table.recipes:
        made = [f"- {escape(label)}\n" + "\n".join(f"  - {escape(one)}" for one in recipe) for label, recipe in table.recipes]
        parts.append("How the measured rows were made:\n\n" + "\n".join(made))
    return "\n\n".join(parts) + "\n"


def _row(cells: Sequence[Entry | str]) -> str:
    return "| " + " | ".join(cell if isinstance(cell, str) else _entry(cell) for cell in cells) + " |"


def _label(line: Line) -> str:
    return f"&emsp;{_entry(line.label)}" if line.detail else _entry(line.label)


def _entry(entry: Entry) -> str:
    text = escape(entry.text)
    marked = {"": text, "best": f"**{text}**", "second": f"<u>{text}</u>"}[entry.rank]
    return f"{marked}<sup>{entry.marks}</sup>" if entry.marks else marked
