"""The numbers that SUDER and SRUM printed, as printed, with their sources; what is odd about them stands in notes.csv."""

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

    table: int | str
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

    figure: int | str
    series: str
    step: int | None
    column: str
    value: float
    source: str


SRUM: Mapping[int | str, str] = {7: "T2I-CompBench", 8: "T2I-ReasonBench"}
"""The numbers that SRUM's tables have here, and their benchmark in srum.csv."""


@cache
def points(figure: int | str) -> tuple[PublishedPoint, ...]:
    """The marks of one of Figures 3-6, in the paper's order; none where it prints no numbers, and of an extension."""
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
def rows(table: int | str) -> tuple[PublishedRow, ...]:
    """The rows of one of Tables 1-6, or of one of `SRUM`, in the paper's order; none of an extension."""
    found: dict[str, PublishedRow] = {}
    for line in _read("srum.csv" if table in SRUM else "tables.csv"):
        if (SRUM[table] != line["benchmark"]) if table in SRUM else (int(line["table"]) != table):
            continue
        row = found.get(line["model"])
        values = {**(row.values if row else {}), **({line["column"]: line["value"]} if line["value"] else {})}
        found[line["model"]] = PublishedRow(table, line["model"], line["group"], line["base"], values, line["source"])
    return tuple(found.values())


@cache
def questions(table: int) -> dict[str, int]:
    """How many prompts or questions a printed share of right ones is of, by column; others are no shares, or nobody says."""
    return {line["column"]: int(line["questions"]) for line in _read("questions.csv") if int(line["table"]) == table}


@cache
def notes(table: int | str) -> tuple[Note, ...]:
    return tuple(
        Note(int(line["table"]), line["model"], line["column"], line["note"])
        for line in _read("notes.csv")
        if int(line["table"]) == table
    )


def _read(name: str) -> list[dict[str, str]]:
    text = (files(__package__) / "published" / name).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))
