"""The numbers that SUDER printed, as printed, with their sources; what is odd about them stands in notes.csv."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True)
class PublishedRow:
    """A row of a printed table. `values` are the digits in print by column; a column with a dash is absent.

    `base` names the row that the paper trained this model from, or is empty.
    """

    table: int
    model: str
    group: str
    base: str
    values: Mapping[str, str]
    source: str


@dataclass(frozen=True)
class Note:
    """An oddity of a printed table: of a cell, a row (no column), a column (no model) or all of it (neither)."""

    table: int
    model: str
    column: str
    text: str


@dataclass(frozen=True)
class PublishedPoint:
    """A mark of a printed figure. `step` is None where the figure has no steps."""

    figure: int
    series: str
    step: int | None
    column: str
    value: float
    source: str


@cache
def points(figure: int) -> tuple[PublishedPoint, ...]:
    """The marks of one of Figures 3-6, in the paper's order; none where it prints no numbers."""
    return tuple(
        PublishedPoint(
            figure=figure,
            series=line["series"],
            step=int(line["step"]) if line["step"] else None,
            column=line["column"],
            value=float(line["value"]),
            source=line["source"],
        )
        for line in _read("figures.csv")
        if int(line["figure"]) == figure
    )


@cache
def rows(table: int) -> tuple[PublishedRow, ...]:
    """The rows of one of Tables 1-6, in the paper's order."""
    found: dict[str, PublishedRow] = {}
    for line in _read("tables.csv"):
        if int(line["table"]) != table:
            continue
        row = found.get(line["model"])
        values = {**(row.values if row else {}), **({line["column"]: line["value"]} if line["value"] else {})}
        found[line["model"]] = PublishedRow(table, line["model"], line["group"], line["base"], values, line["source"])
    return tuple(found.values())


@cache
def notes(table: int) -> tuple[Note, ...]:
    return tuple(
        Note(table, line["model"], line["column"], line["note"]) for line in _read("notes.csv") if int(line["table"]) == table
    )


def _read(name: str) -> list[dict[str, str]]:
    text = (files(__package__) / "published" / name).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))
