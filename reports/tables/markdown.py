"""Tables as GitHub's Markdown."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

from suder_bench.reports.tables import lines
from suder_bench.reports.tables.lines import Entry, Line
from suder_bench.reports.tables.table import Table

_MARKUP = re.compile(
    r"""[\\`*|~$\[]            # code, emphasis, the end of a cell, struck text, formulas, links
    | (?<![^\W_])_ | _(?![^\W_])  # emphasis too, but not within a word
    | ^\#(?=\#{0,5}(\s|$)) | (?<=\s)\#(?=\#*$)  # a heading, and its end
    | ^[+-](?=[\s-]|$)  # a list, a rule""",
    re.VERBOSE,
)
_NUMBERED = re.compile(r"^([0-9]{1,9})(?=[.)](?:\s|$))")


def escape(text: str) -> str:
    """`text` as it is shown, on one line: no markup, link, HTML or end of a cell in it. What means nothing where it stands is
    left alone, so that the file reads well as it is."""
    shown = html.escape(" ".join(text.split()), quote=False)
    shown = _NUMBERED.sub(r"\1\\", _MARKUP.sub(r"\\\g<0>", shown))
    return shown.replace("://", ":&#47;&#47;").replace("@", "&#64;").replace("www.", "www&#46;")


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
        lines.BEST.replace("Best", "**Best**").replace("second", "<u>second</u>"),
    ]
    notes = [f"- {_sign(sign)} {escape(meaning)}" for sign, meaning in lines.signs(table)]
    notes += [f"- <sup>{letter}</sup> {escape(text)}" for text, letter in table.footnotes.items()]
    notes += [f"- {escape(text)}" for text in table.notes]
    if notes:
        parts.append("\n".join(notes))
    if table.recipes:
        made = [f"- {escape(label)}\n" + "\n".join(f"  - {escape(one)}" for one in recipe) for label, recipe in table.recipes]
        parts.append("How the measured rows were made:\n\n" + "\n".join(made))
    return "\n\n".join(parts) + "\n"


def _sign(sign: str) -> str:
    """A dash at the head of a line would begin a list."""
    return f"<sup>{sign}</sup>" if sign == lines.TIED else f"`{sign}`"


def _row(cells: Sequence[Entry | str]) -> str:
    return "| " + " | ".join(cell if isinstance(cell, str) else _entry(cell) for cell in cells) + " |"


def _label(line: Line) -> str:
    return f"&emsp;{_entry(line.label)}" if line.detail else _entry(line.label)


def _entry(entry: Entry) -> str:
    text = entry.text if entry.text == lines.DASH else escape(entry.text)  # which begins no list in a cell
    marked = {"": text, "best": f"**{text}**", "second": f"<u>{text}</u>"}[entry.rank]
    return f"{marked}<sup>{entry.marks}</sup>" if entry.marks else marked
