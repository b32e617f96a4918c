"""Each benchmark has a card whose facts are those that the code uses, and whose page leads to pages that are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from suder_bench import registry
from suder_bench.cli import main
from suder_bench.data.catalogue import catalogue
from suder_bench.data.owners import materials
from suder_bench.errors import UserError
from suder_bench.evaluators.cards import CARDS, page
from suder_bench.evaluators.judges import manifest

DOCS = Path(__file__).parents[2] / "docs"


def test_every_benchmark_has_a_card() -> None:
    assert list(CARDS) == list(registry.TABLE["benchmarks"])
    with pytest.raises(UserError, match="unknown benchmark with a card 'pop'; did you mean 'pope'"):
        page("pop")


def test_the_command_line_prints_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--card", "pope"]) == 0
    assert capsys.readouterr().out == page("pope").replace("](../", "](docs/")
    assert main(["list", "--card", "pope", "--json"]) == 2
    assert main(["list", "--card", "pop"]) == 2
    assert "did you mean 'pope'?" in capsys.readouterr().err


@pytest.mark.parametrize("name", CARDS)
def test_its_protocols_are_the_benchmark_s(name: str) -> None:
    assert set(CARDS[name].protocols) == set(registry.load("benchmarks", name).protocols)


@pytest.mark.parametrize("name", CARDS)
def test_its_paper_is_the_paper_index_s(name: str) -> None:
    assert f"https://arxiv.org/abs/{CARDS[name].arxiv}" in (DOCS / "paper-index.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", CARDS)
def test_its_page_tells_headline_data_licences_judges_and_traps(name: str) -> None:
    text, benchmark = page(name), registry.load("benchmarks", name)
    assert f"| headline | `{benchmark.headline}` |" in text
    for file in catalogue():
        if file.benchmark == name:
            assert f"https://github.com/{file.repository}/tree/{file.commit}) " in text
            assert f"| {file.terms} |" in text
    for one in materials([name]):
        assert f"| {one.what} | <{one.address}> | {one.size} | {one.licence} |" in text
    for role in benchmark.judge_roles:
        [line] = re.findall(rf"^\| `{role}` \| .*$", text, flags=re.MULTILINE)
        assert all(weight.network in line for weight in (manifest.of(role) if role in manifest.roles() else ()))
    assert len(CARDS[name].traps) > 2
    assert all(f"- {trap}\n" in text for trap in CARDS[name].traps)


@pytest.mark.parametrize("name", CARDS)
def test_its_links_lead_to_pages_and_its_tables_are_tables(name: str) -> None:
    text = page(name)
    links = re.findall(r"\]\(\.\./([\w./-]+\.md)\)", text)
    assert len(links) > 1
    assert [link for link in links if not (DOCS / link).is_file()] == []
    for table in re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}) == 1, table
