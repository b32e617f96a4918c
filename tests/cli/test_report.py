"""`suder-bench report` as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fake_runs import GEN, summary, write_run

from suder_bench.cli import main


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
        ["left", "out", "Table", number] for number in "345"
    ]
    assert lines[-1] == "all in report/tables.md; LaTeX: report/tables.tex"
    assert Path("report/tables/table-2-paper.csv").is_file()


def test_json_names_tables_and_files(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "r", "--out", "report", "--table", "2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [table["name"] for table in found["tables"]] == ["table-2-paper"]
    assert all(Path(file).is_file() for file in found["files"])
    assert found["left_out"] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nope", "--out", "o"], "nope does not exist; make it with: suder-bench run --model MODEL --suite all --out nope"),
        (["r", "--out", "o", "--table", "7"], "argument --table: '7' is not one of the paper's tables, 1 to 6"),
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
