"""Markdown, LaTeX and CSV: the same numbers in each, whatever the texts hold; LaTeX is read by a small parser here."""

from __future__ import annotations

import csv
import html
import re
import shutil
import string
import subprocess
from pathlib import Path

import markdown_it
import pytest
from fake_runs import summary, write_run
from hypothesis import example, given, settings
from hypothesis import strategies as st

from suder_bench.reports import measured
from suder_bench.reports.tables import Cell, Row, Table, build, comma, latex, markdown
from suder_bench.reports.tables.write import write

NASTY = r"""<script>alert("x")</script> & 50% of_my $model$ #1 {a}\end{table*} ^~ [b](http://c) | `d` **e** -- 'f' 模é"""
MARKUP = re.compile(r"\\(textbf|underline|textsuperscript|textit)\{")


@pytest.fixture
def tables(tmp_path: Path) -> list[Table]:
    runs = [
        write_run(tmp_path / "one", summary(value=0.512345)),
        write_run(tmp_path / "two", summary(model=NASTY, value=0.6)),
        write_run(tmp_path / "three", summary(model="=1+1", world=True)),
    ]
    return build(measured.read(runs))[0]


def latex_lines(text: str) -> list[list[str]]:
    """Cells of the tabular's lines; every environment must be closed in order, and every brace."""
    opened: list[str] = []
    for word, name in re.findall(r"\\(begin|end)\{([a-z*]+)\}", text):
        if word == "begin":
            opened.append(name)
        else:
            assert opened.pop() == name
    assert opened == []
    bare = re.sub(r"\\[{}\\]", "", text)
    depths = [bare[:i].count("{") - bare[:i].count("}") for i in range(len(bare) + 1)]
    assert min(depths) == depths[-1] == 0
    assert text.isascii()
    [(columns, body)] = re.findall(r"\\begin\{tabular\}\{p\{6.5cm\}(r+)\}.*?\n(.*?)\\end\{tabular\}", text, flags=re.DOTALL)
    found = []
    for line in body.splitlines():
        if line in (r"\toprule", r"\midrule", r"\bottomrule"):
            continue
        assert line.endswith(r" \\")
        cells = re.split(r"(?<!\\)&", line[:-3])
        span = re.match(r"\\multicolumn\{(\d+)\}", line)
        assert (int(span[1]) if span else len(cells)) == 1 + len(columns)
        if not span:
            found.append([plain_latex(cell) for cell in cells])
    return found


def plain_latex(cell: str) -> str:
    """A cell's own text: without footnote letters and ranks."""
    cell = re.sub(r"\\textsuperscript\{[^}]*\}|\\quad|\\raggedright", "", cell).strip()
    cell = MARKUP.sub("{", cell).replace("{-}", "-")
    return re.sub(r"^\{(.*)\}$", r"\1", cell)


def markdown_lines(text: str) -> list[list[str]]:
    found = []
    for line in text.splitlines():
        if line.startswith("|") and not line.startswith(("|---", "| *")):
            cells = re.split(r"(?<!\\)\|", line)[1:-1]
            bare = [re.sub(r"<sup>.*?</sup>|</?u>|(?<!\\)\*\*|&emsp;", "", cell).strip() for cell in cells]
            found.append([html.unescape(re.sub(r"\\(.)", r"\1", cell)) for cell in bare])
    return found


def test_the_three_formats_agree_number_for_number(tables: list[Table]) -> None:
    for table in tables:
        width = len(table.columns)
        markdown_numbers = [cells[1:] for cells in markdown_lines(markdown.render(table))]
        latex_numbers = [cells[1:] for cells in latex_lines(latex.render(table))]
        assert markdown_numbers == latex_numbers
        header, *rows = csv.reader(comma.render(table).splitlines())
        expected = [markdown_numbers[0]]
        for row in rows:
            assert len(row) == len(header)
            values, lows, highs, gains = (row[3 + i : 3 + 4 * width : 4] for i in range(4))
            expected.append([value or "-" for value in values])
            if row[1] == "measured":
                expected.append([f"{low} to {high}" if low else "-" for low, high in zip(lows, highs, strict=True)])
            if any(gains):
                expected.append([gain or "-" for gain in gains])
        assert expected == markdown_numbers


def test_names_are_texts_in_markdown(tables: list[Table]) -> None:
    text = markdown.render(tables[0])
    assert [cells[0] for cells in markdown_lines(text)].count(NASTY) == 1
    assert "<script" not in text
    assert "http://" not in text


ORDINARY = (
    "my-model + dsr (simpo), only-gen, step 1,200",
    "run runs/tiny_2/evaluations/step-40: model {x}; versions torch 2.13.0, numpy 2.4",
    "color_attr, f1_random of geneval! It's 50 % #1 (see [U+6A21])",
)


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_texts_read_well_in_markdown_as_they_are(text: str) -> None:
    assert markdown.escape(text) == text.replace("[", r"\[")


@example("1)")
@example("- - -")
@example("a #")
@given(st.text(alphabet=string.punctuation + "ab1 \n", max_size=14))
@settings(max_examples=400, deadline=None)
def test_any_text_is_shown_as_it_is_by_a_reader_of_markdown(text: str) -> None:
    shown = " ".join(text.split())
    read = markdown_it.MarkdownIt("gfm-like", {"linkify": False}).enable("strikethrough")
    for before, after in (("- ", ""), ("### ", ""), ("| ", " | x |\n|---|---|")):
        page = read.render(f"{before}{markdown.escape(text)}{after}\n")
        words = html.unescape(re.sub(r"<[^>]*>", "", page))
        assert " ".join(words.split()) == (f"{shown} x".strip() if after else shown)


def test_names_are_texts_in_latex(tables: list[Table]) -> None:
    text = latex.render(tables[0])
    assert text.count(r"\end{table*}") == 1
    assert r"50\% of\_my \$model\$ \#1 \{a\}\textbackslash{}end\{table{*}\}" in text
    assert "{[}U+6A21{]}e" in text


def test_names_are_no_formulas_in_csv(tables: list[Table]) -> None:
    world = next(table for table in tables if table.name == "table-1-world")
    assert [row[0] for row in csv.reader(comma.render(world).splitlines())] == ["model", "'=1+1"]


def test_ranks_and_footnotes_are_marked(tables: list[Table]) -> None:
    shown, set_ = markdown.render(tables[0]), latex.render(tables[0])
    assert "<u>0.7824</u><sup>b</sup>" in shown
    assert r"\underline{0.7824}\textsuperscript{b}" in set_
    assert r"\textbf{0.6000}" in set_


@given(st.text(max_size=40))
def test_any_label_leaves_the_tables_whole(label: str) -> None:
    row = Row(label, "measured", "", (Cell("0.5", "0.4", "0.6", notes=(label,)),), (label,))
    table = Table(1, "table-1-x", label, (("A", (label,)),), (row,), (label,), ((label, (label,)),))
    assert [cells[1:] for cells in latex_lines(latex.render(table))] == [["A"], ["0.5"], ["0.4 to 0.6"]]
    assert [cells[1:] for cells in markdown_lines(markdown.render(table))] == [["A"], ["0.5"], ["0.4 to 0.6"]]
    _, [*_, value, low, high, gain, _, _] = csv.reader(comma.render(table).splitlines())
    assert (value, low, high, gain) == ("0.5", "0.4", "0.6", "")


def test_the_folder_holds_every_table_and_none_of_an_earlier_report(tmp_path: Path, tables: list[Table]) -> None:
    (tmp_path / "out" / "tables").mkdir(parents=True)
    for name in ("table-4-paper.csv", "table-5-world-2.md", "mine.md"):
        (tmp_path / "out" / "tables" / name).write_text("old")
    files = write(tables, tmp_path / "out")
    assert sorted(files) == sorted(file for file in (tmp_path / "out").rglob("*") if file.is_file() and file.name != "mine.md")
    assert (tmp_path / "out" / "tables" / "mine.md").read_text() == "old"
    assert len(files) == 2 + 3 * len(tables)


@pytest.mark.skipif(not any(map(shutil.which, ("tectonic", "pdflatex"))), reason="no TeX engine here")
def test_the_document_compiles(tmp_path: Path, tables: list[Table]) -> None:
    write(tables, tmp_path)
    engine = ["tectonic"] if shutil.which("tectonic") else ["pdflatex", "-interaction=nonstopmode", "-halt-on-error"]
    done = subprocess.run([*engine, "tables.tex"], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout
