"""Tables of questions and answers: tab- or comma-separated, or a workbook. Every cell is a text, as it stands in the file."""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from suder_bench.errors import UserError, install
from suder_bench.evaluators.answers.fields import TEXT, Row, with_fields

SUFFIXES = (".tsv", ".csv", ".xlsx")
EMPTY = "nan"
"""What a cell holds that was empty before its table went through pandas, as the hub's copies did."""

DROPPED = re.compile(r"#N/A( N/A)?|#NA|-?1\.#(IND|QNAN)|-?NaN|-nan|<NA>|N/A|n/a|NA|NULL|null|None")
"""Words that pandas takes for an empty cell, and VLMEvalKit with it."""


def table(file: Path, *columns: str) -> list[Row]:
    """The rows under a heading that names at least `columns`, as texts.

    Comma-separated if the file ends in .csv, the first sheet of a workbook if in .xlsx, else tab-separated. Cells may be
    megabytes long (pictures in base64). Nothing is guessed: "None", "NA", "1" and "True" stay those words. A workbook's
    numbers read as Excel shows whole ones, its formulas as they were typed (an answer that begins with "="), and a date
    is refused, because what was typed is lost. Raises `UserError` with file and row.
    """
    return list(headed(file, _workbook(file) if file.suffix.lower() == ".xlsx" else _separated(file), *columns))


def headed(file: Path, lines: Iterator[list[str]], *columns: str) -> Iterator[Row]:
    """A row for each of `lines` but the first, which names the columns, at least `columns`. Raises what `table` does."""
    heading, number = next(lines, []), 0
    doubled = [name for name in heading if name and heading.count(name) > 1]
    if doubled:
        raise UserError(f"{file}: two columns are called '{doubled[0]}'")
    for number, found in enumerate(lines, start=1):
        place = f"{file}: row {number}"
        if len(found) != len(heading):
            raise UserError(f"{place}: {len(found)} cells under {len(heading)} headings")
        yield with_fields(dict(zip(heading, found, strict=True)), place, dict.fromkeys(columns, TEXT))
    if not number:
        raise UserError(f"{file} is empty; put the whole file there")


def delimiter(file: Path) -> str:
    return "," if file.suffix.lower() == ".csv" else "\t"


def _separated(file: Path) -> Iterator[list[str]]:
    csv.field_size_limit(sys.maxsize)
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            yield from (cells for cells in csv.reader(stream, delimiter=delimiter(file)) if cells)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{file}: cannot be read as a table: {error}") from None


def _workbook(file: Path) -> Iterator[list[str]]:
    try:
        import openpyxl
    except ImportError:
        raise UserError(f"{file}: reading .xlsx needs openpyxl: {install('xlsx')}") from None
    try:
        book = openpyxl.load_workbook(file, read_only=True)
        sheet = book.worksheets[0]
        sheet.reset_dimensions()  # some writers claim a sheet of one cell
        lines = [list(line) for line in sheet.iter_rows(values_only=True)]
    except MemoryError:
        raise
    except Exception as error:  # openpyxl raises a dozen kinds on damaged files
        raise UserError(f"{file}: cannot be read as a table: {str(error) or type(error).__name__}") from None
    width = max((_filled(line) for line in lines), default=0)
    for number, line in enumerate(lines):
        if _filled(line):
            yield [_cell(value, f"{file}: row {number}") for value in [*line, *[None] * width][:width]]


def _filled(line: Sequence[object]) -> int:
    """How many cells there are up to the last that is not empty."""
    return max((place for place, value in enumerate(line, start=1) if value is not None), default=0)


def _cell(value: Any, place: str) -> str:
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = getattr(value, "text", value)  # of a formula over several cells
    if not isinstance(text, str | int | float):
        raise UserError(f"{place}: a cell holds a {type(value).__name__} ({value}), not a text; format its column as text")
    return str(text)
