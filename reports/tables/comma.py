"""Tables as CSV: a line per row, with value, interval and gain of each column beside each other."""

from __future__ import annotations

import csv
import io

from suder_bench.reports.tables.table import Table

_FORMULAS = ("=", "+", "-", "@", "\t", "\r")


def escape(text: str) -> str:
    """`text` on one line; one that a spreadsheet would run as a formula gets an apostrophe in front."""
    shown = " ".join(text.split())
    return f"'{shown}" if text.startswith(_FORMULAS) or shown.startswith(_FORMULAS) else shown


def render(table: Table) -> str:
    """Numbers as the other formats print them, those without prompts trained on where there are some; footnotes and recipes in
    the last two columns."""
    header = ["model", "group", "base"]
    trained_on = any(cell.without for row in table.rows for cell in row.cells)
    for name, _ in table.columns:
        header += [name, f"{name} low", f"{name} high", f"{name} gain", *([f"{name} without prompts trained on"] * trained_on)]
    content = io.StringIO()
    out = csv.writer(content, lineterminator="\n")
    out.writerow([*header, "notes", "source"])
    recipes = {label: " ".join(f"{one}." for one in lines) for label, lines in table.recipes}
    for row in table.rows:
        numbers = []
        for cell in row.cells:
            numbers += [cell.value, cell.low, cell.high, cell.gain, *([cell.without] * trained_on)]
        about: dict[str, list[str]] = {}
        for (name, _), cell in zip(table.columns, row.cells, strict=True):
            for text in (*cell.notes, *cell.doubts):
                about.setdefault(text, []).append(name)
        notes = [f"{', '.join(names)}: {text}" for text, names in about.items()]
        source = row.source or recipes[row.label]
        texts = [escape(text) for text in (row.label, row.group, row.base, " ".join([*row.notes, *notes]), source)]
        out.writerow([*texts[:3], *numbers, *texts[3:]])
    return content.getvalue()
