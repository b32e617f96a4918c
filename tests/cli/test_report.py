"""`suder-bench report` as a user meets it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from fake_runs import GEN, summary, write_drawn, write_geneval, write_run, write_training

from suder_bench.cli import main

pytestmark = pytest.mark.usefixtures("by_hand")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_run(Path("r"), summary(*GEN))
    return Path("r")


def test_it_tells_each_table_and_what_it_left_out(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "r", "--out", "report"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "report/tables/table-1-paper.md  Table 1. T2I-CompBench: published and measured"
    assert [line.split()[:4] for line in lines if line.startswith("left out")] == [
        *(["left", "out", "Table", number] for number in "345"),
        *(["left", "out", "Figure", str(number)] for number in range(3, 11)),
    ]
    assert lines[-1] == "all in report/tables.md; LaTeX: report/tables.tex"
    assert Path("report/tables/table-2-paper.csv").is_file()


def test_json_names_tables_and_files(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "r", "--out", "report", "--table", "2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [table["name"] for table in found["tables"]] == ["table-2-paper"]
    assert all(Path(file).is_file() for file in found["files"])
    assert found["left_out"] == []


def test_pages_are_written_beside_the_tables(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_geneval(Path("data"), {f"{i} stars": "counting" for i in range(8)})
    write_drawn(Path("drawn"), data)
    assert main(["report", "drawn", "--out", "report", "--pictures", "4"]) == 0
    assert "pages to look at: report/site/index.html\n" in capsys.readouterr().out
    assert len(list(Path("report/site/pictures").rglob("*.webp"))) == 4
    assert main(["report", "drawn", "--out", "bare", "--no-site"]) == 0
    assert "pages" not in capsys.readouterr().out
    assert not Path("bare/site").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nope", "--out", "o"], "nope does not exist; make it with: suder-bench run --model MODEL --suite all --out nope"),
        (["r", "--out", "o", "--table", "9"], "argument --table: '9' is not one of the tables, 1 to 8 and A"),
        (
            ["r", "--out", "o", "--figure", "2"],
            "argument --figure: '2' is none of the figures that runs make, 3 to 10 and A",
        ),
        (["r", "--out", "r/run.json"], "--out 'r/run.json' is a file; choose a folder"),
        (["r"], "the following arguments are required: --out"),
    ],
)
def test_mistakes_are_one_line(run: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    assert main(["report", *arguments]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith(f"suder-bench: {message}")
    assert shown.err.count("\n") == 1


def trainings() -> list[str]:
    write_training(Path("u"), "strategy: unified\n", 0.5, 0.55, 0.6)
    write_training(Path("s"), "strategy: separate\n", 0.5, 0.7)
    return ["u", "s"]


def test_figures_stand_beside_the_tables(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    assert main(["report", *trainings(), "--out", "report", "--no-site", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [figure["name"] for figure in found["figures"]] == ["figure-3-paper", "figure-5-paper", "figure-6-paper"]
    assert [line.split()[1] for line in found["left_out"] if line.startswith("Figure")] == ["4", "7", "8", "9", "10"]
    for ending in ("png", "svg", "pdf", "csv"):
        assert f"report/figures/figure-3-paper.{ending}" in found["files"]
    assert all(Path(file).is_file() for file in found["files"])


def test_one_figure_is_picked_like_one_table(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    assert main(["report", *trainings(), "--out", "report", "--no-site", "--figure", "5"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "report/figures/figure-5-paper.png  Figure 5. Evolution on T2I-CompBench: published and measured",
        "all in report/figures.md",
    ]
    assert not Path("report/tables.md").exists()
    assert main(["report", "u", "--out", "other", "--no-site", "--table", "1"]) == 0
    assert not Path("other/figures.md").exists()


def test_our_extension_stands_in_every_page_and_can_be_asked_for(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    write_training(Path("suder"), "strategy: unified\n", 0.5, 0.55, 0.6)
    write_training(Path("srum"), "strategy: only-gen\nreward: {gen: srum}\nsrum: {credit: boxes}\n", 0.5, 0.7)
    assert main(["report", "suder", "srum", "--out", "report"]) == 0
    title = "Extension A. SUDER against SRUM against both (ours, in neither paper): measured"
    for page in ("tables.md", "figures.md", "site/data/index.js"):
        assert title in Path("report", page).read_text(), page
    index = Path("report/site/data/index.js").read_text()
    assert index.count(title) == 2  # the table, and behind the paper's figures its own
    assert index.index("figures/figure-6-paper") < index.index("figures/extension-a-real")
    capsys.readouterr()
    assert main(["report", "suder", "srum", "--out", "one", "--no-site", "--table", "a", "--figure", "A"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"one/tables/extension-a-real.md  {title}",
        f"one/figures/extension-a-real.png  {title}",
        "one/findings.md  what agrees with the paper, and what does not",
        "all in one/tables.md; one/figures.md; LaTeX: one/tables.tex",
    ]


def test_a_figure_asked_for_that_cannot_be_made_is_a_mistake(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "r", "--out", "report", "--figure", "3"]) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("suder-bench: Figure 3 compares trainings by strategy")
    assert shown.count("\n") == 1


def test_without_matplotlib_the_tables_are_there_and_one_line_tells(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["report", *trainings(), "--out", "report", "--no-site"]) == 1
    shown = capsys.readouterr()
    assert shown.err == 'suder-bench: report/figures needs matplotlib; pip install -c constraints.txt ".[train]"\n'
    assert Path("report/tables.md").is_file()
    assert not Path("report/figures").exists()
