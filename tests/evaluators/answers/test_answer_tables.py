"""Tables: every cell is the text that stands in the file, whatever it looks like, or is refused with its row."""

from __future__ import annotations

import csv
import datetime
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from suder_bench.errors import UserError
from suder_bench.evaluators.answers.tables import table

WORDS = [
    "None",
    "NA",
    "1",
    "1.0",
    "True",
    "nan",
    "null",
    "",
    "=1+1",
    "=SUM(A1:A9)",
    " a ",
    "a\tb",
    'say "x"',
    "two\nlines",
    "00",
    "1e3",
]


def workbook(file: Path, lines: list[list[Any]]) -> Path:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for line in lines:
        book.active.append(line)
    book.save(file)
    return file


def separated(file: Path, lines: list[list[str]]) -> Path:
    with file.open("w", newline="", encoding="utf-8") as opened:
        csv.writer(opened, delimiter="," if file.suffix.lower() == ".csv" else "\t").writerows(lines)
    return file


def test_tables_keep_texts_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text('x\ty\n"a\tb"\t"two\nlines"\n')
    assert table(tmp_path / "a.tsv", "x") == [{"x": "a\tb", "y": "two\nlines"}]
    (tmp_path / "a.csv").write_text("x,y\n1,\n")
    assert table(tmp_path / "a.csv", "x") == [{"x": "1", "y": ""}]


@pytest.mark.parametrize("name", ["a.tsv", "a.csv", "a.xlsx", "A.XLSX", "A.CSV"])
def test_no_word_means_anything_else(tmp_path: Path, name: str) -> None:
    lines = [["x", "y"], *([word, "end"] for word in WORDS)]
    file = (workbook if name.lower().endswith("x") else separated)(tmp_path / name, lines)
    assert [row["x"] for row in table(file, "x", "y")] == WORDS


@given(st.lists(st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "Zs"]), max_size=5), min_size=1, max_size=5))
@settings(max_examples=30, deadline=None)
def test_a_workbook_and_a_separated_table_read_alike(tmp_path_factory: pytest.TempPathFactory, cells: list[str]) -> None:
    folder = tmp_path_factory.mktemp("tables")
    lines = [["x", "y"], *([cell, "end"] for cell in cells)]
    assert table(workbook(folder / "a.xlsx", lines)) == table(separated(folder / "a.tsv", lines))


def test_a_workbooks_numbers_are_what_excel_shows(tmp_path: Path) -> None:
    file = workbook(
        tmp_path / "a.xlsx", [["x", "y", None], [241, 0.5, None], [3.0, True, None], [None, None, None], [None, "b", None]]
    )
    assert table(file, "x") == [{"x": "241", "y": "0.5"}, {"x": "3", "y": "True"}, {"x": "", "y": "b"}]


@pytest.mark.parametrize("claim", ["A1", "A1:B2"])
def test_a_sheet_s_own_claim_of_its_size_is_not_believed(tmp_path: Path, claim: str) -> None:
    import zipfile

    whole = workbook(tmp_path / "whole.xlsx", [["x", "y"], ["1", "2"], ["3", "4"]])
    with zipfile.ZipFile(whole) as old, zipfile.ZipFile(tmp_path / "a.xlsx", "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name).replace(b'<dimension ref="A1:B3"', f'<dimension ref="{claim}"'.encode()))
    assert len(table(tmp_path / "a.xlsx", "x", "y")) == 2


@pytest.mark.parametrize("value", [datetime.datetime(2026, 1, 2), datetime.time(1, 2)])
def test_a_date_is_refused_for_what_was_typed_is_lost(tmp_path: Path, value: object) -> None:
    file = workbook(tmp_path / "a.xlsx", [["x"], ["1/2"], [value]])
    with pytest.raises(UserError, match=r"a\.xlsx: row 2: a cell holds a \w+ \(.*\), not a text; format its column as text"):
        table(file)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x,y\n1,2\n3\n", r"a\.csv: row 2: 1 cells under 2 headings"),
        ("x,y\n1,2,3\n", r"a\.csv: row 1: 3 cells under 2 headings"),
        ("x,x\n1,2\n", "two columns are called 'x'"),
        ("y\n1\n", "row 1: no 'x'; found 'y'"),
    ],
)
def test_rows_that_do_not_fit_their_heading_are_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(UserError, match=message):
        table(tmp_path / "a.csv", "x")


@pytest.mark.parametrize("name", ["a.tsv", "a.csv", "a.xlsx"])
@pytest.mark.parametrize("content", [b"\x89PNG\xff\xfe", b"PK\x03\x04 and no more", b"x\xff,y"])
def test_damaged_tables_are_told_in_a_line(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=r"cannot be read as a table|is empty") as told:
        table(tmp_path / name, "x")
    assert "\n" not in str(told.value)
    with pytest.raises(UserError, match="cannot be read as a table"):
        table(tmp_path / f"missing{name}")


@pytest.mark.parametrize("text", ["", "x\ty\n", "\n\n"])
def test_a_table_without_rows_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.tsv").write_text(text)
    for file in (tmp_path / "a.tsv", workbook(tmp_path / "a.xlsx", [["x", "y"]])):
        with pytest.raises(UserError, match="is empty"):
            table(file, "x")


def test_a_workbook_needs_openpyxl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    (tmp_path / "a.xlsx").write_bytes(b"")
    with pytest.raises(UserError, match=r'needs openpyxl: pip install -c constraints.txt "\.\[xlsx\]"'):
        table(tmp_path / "a.xlsx")
