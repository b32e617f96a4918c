"""docs/paper-index.md tells the truth: its names import, its values are those of the code, and no module that cites a paper is
missing."""

from __future__ import annotations

import ast
import csv
import importlib
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_direction import MODULES

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/paper-index.md").read_text(encoding="utf-8")

NAME = re.compile(r"`(suder_bench(?:\.\w+)*):(\w+(?:\.\w+)*)(?:\[(\w+)\])?`(?: = ([^\s,|]+))?")
PRINTED = re.compile(r"^\| .+ \| (SUDER, \w+ \d|SRUM's tables) \| `(.+)` \| (\d+) \|$", re.MULTILINE)
ARXIV = re.compile(r"\b\d{4}\.\d{5}\b")
CITES = re.compile(rf"{ARXIV.pattern}|\b[Ee]quations? \d|\bet al\.|\b[A-Z][a-z]+,? (?:19|20)\d\d\b(?=, \"|\))")
"""What shows that a docstring speaks of a paper: its number, an equation, its authors, or an author with a year."""


def rows() -> list[list[str]]:
    """The cells of all tables but for their heads, and for the numbers in print."""
    lines = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith("| what |")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines if not PRINTED.match(line)]


def docstrings(file: Path) -> Iterator[str]:
    """Of a module, its classes and functions, and of what is assigned."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.value.value


CITED = {name: " ".join(found) for name, file in MODULES.items() if (found := list(filter(CITES.search, docstrings(file))))}


def resolved(module: str, qualified: str, key: str) -> Any:
    found = importlib.import_module(module)
    for name in qualified.split("."):
        found = getattr(found, name)
    return found[key] if key else found


@pytest.mark.parametrize("name", sorted({match[0] for match in NAME.finditer(PAGE)}))
def test_a_name_is_there_with_its_value(name: str) -> None:
    match = NAME.fullmatch(name)
    assert match is not None
    found = resolved(*match.group(1, 2, 3))
    if match[4] is not None:
        assert found == (pytest.approx(value) if isinstance(value := ast.literal_eval(match[4]), float) else value)


def test_every_row_says_what_where_and_how_and_by_what_name() -> None:
    assert len(rows()) > 60
    assert [row for row in rows() if len(row) != 4 or not all(row) or not NAME.search(row[2])] == []


def test_no_name_is_written_otherwise() -> None:
    left = NAME.sub("", PAGE)
    assert [code for code in re.findall(r"`([^`]+)`", left) if re.search(r"\w:\w", code)] == []
    assert "suder_bench." not in left.split("## ", 1)[1]


@pytest.mark.parametrize("module", sorted(CITED))
def test_a_module_that_cites_a_paper_is_on_the_page(module: str) -> None:
    assert f"`{module}:" in PAGE
    assert set(ARXIV.findall(CITED[module])) <= set(ARXIV.findall(PAGE))


def test_modules_that_cite_papers_are_found() -> None:
    names = ("training.objectives", "rewards.dsr", "rewards.vqa", "models.lora", "evaluators.judges.unidet.heads")
    assert {f"suder_bench.{name}" for name in names} <= CITED.keys()


def test_the_printed_numbers_are_those_in_the_files() -> None:
    counted: Counter[tuple[str, str]] = Counter()
    for file in sorted((ROOT / "reports/published").glob("*.csv")):
        for row in csv.DictReader(file.open(encoding="utf-8")):
            if "source" in row:
                place = re.search(r"(?:Table|Figure) \d", row["source"])
                counted[f"SUDER, {place[0]}" if place else "SRUM's tables", str(file.relative_to(ROOT))] += 1
    assert {(where, file): int(count) for where, file, count in PRINTED.findall(PAGE)} == counted


def test_its_links_lead_somewhere() -> None:
    links = re.findall(r"\[([^\]]+)\]\(([^)]+)\)", PAGE)
    papers = [(text, link) for text, link in links if text.startswith("arXiv")]
    assert len(papers) > 30
    assert [link for text, link in papers if link != f"https://arxiv.org/abs/{text.removeprefix('arXiv:')}"] == []
    for _, link in links:
        file, _, heading = link.partition("#")
        if not file.startswith("https:"):
            text = (ROOT / "docs" / file).read_text(encoding="utf-8")
            headings = [line.lstrip("# ").lower().replace(" ", "-") for line in text.splitlines() if line.startswith("#")]
            assert not heading or heading in headings
