"""Edited numbers: what is reported comes from the verdicts, and a verdict that was edited counts as missing."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_runs import write_drawn, write_geneval
from fakes import REFERENCE, FakeModel, settings

from suder_bench.cli import main
from suder_bench.errors import UserError
from suder_bench.reports.measured import read_summary
from suder_bench.runs.execute import Run
from suder_bench.runs.paired import Side, compare
from suder_bench.runs.recomputed import recomputed
from suder_bench.runs.screen import Screen
from suder_bench.stats import METHOD
from suder_bench.training.curves import read_points

pytestmark = pytest.mark.usefixtures("fakes")


@pytest.fixture
def made(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    run(tmp_path / "r")
    return tmp_path / "r"


def run(out: Path, **changes: Any) -> io.StringIO:
    stderr = io.StringIO()
    Run(out, REFERENCE, settings(data=out.parent / "data"), **changes).execute(Screen(stderr), lambda: FakeModel(right=True))
    return stderr


def edit(file: Path, *path: str, to: object) -> None:
    document = json.loads(file.read_text())
    inner = document
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = to
    file.write_text(json.dumps(document))


def edit_line(file: Path, number: int, change: Callable[[dict[str, Any]], Any]) -> None:
    lines = file.read_text().splitlines()
    lines[number - 1] = json.dumps(change(json.loads(lines[number - 1])))
    file.write_text("\n".join(lines) + "\n")


def test_a_summary_is_what_its_verdicts_make_it(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = recomputed(made)
    assert found is not None
    assert (found.summary, found.unbacked, found.remarks) == (json.loads((made / "summary.json").read_text()), {}, ())
    assert recomputed(made.parent) is None
    assert capsys.readouterr().err == ""


def test_intervals_of_an_earlier_version_are_made_anew_and_are_no_fault(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = made / "summary.json"
    now = json.loads(file.read_text())
    older = json.loads(file.read_text())
    for entry in older["benchmarks"].values():
        assert entry.pop("intervals") == METHOD
        for metric in entry["metrics"].values():
            metric["low"], metric["high"] = 0.1, 0.9
    file.write_text(json.dumps(older))
    found = recomputed(made)
    assert found is not None
    assert (found.summary, found.remarks, capsys.readouterr().err) == (now, (), "")
    edit(file, "benchmarks", "drawing", "metrics", "overall", "value", to=0.99)
    found = recomputed(made)
    assert found is not None
    assert found.differences == ("drawing overall value is 0.99, not 1.0",)


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        (("benchmarks", "drawing", "metrics", "overall", "value"), 0.99, "drawing overall value is 0.99, not 1.0"),
        (("benchmarks", "drawing", "metrics", "a", "low"), 0.5, "drawing a low is 0.5, not None"),
        (("benchmarks", "drawing", "n_responses"), 48, "drawing n_responses is 48, not 24"),
        (("benchmarks", "reading", "protocol"), "strict", "reading protocol is strict, not official"),
        (("benchmarks", "extra"), None, "extra is not of this run"),
        (("recipe", "limit"), 3, "recipe limit is 3, not None"),
        (("model",), "gpt", "model is gpt, not fake"),
    ],
)
def test_an_edited_summary_is_told_and_not_believed(
    made: Path, capsys: pytest.CaptureFixture[str], path: tuple[str, ...], value: object, told: str
) -> None:
    file = made / "summary.json"
    whole = json.loads(file.read_text())
    edit(file, *path, to=whole["benchmarks"]["drawing"] if value is None else value)
    for _ in range(2):
        found = recomputed(made)
        assert found is not None
        assert found.summary == whole
    assert capsys.readouterr().err == (
        f"suder-bench: {file} disagrees with the verdicts: {told}; these count. Make it anew with: suder-bench score {made}\n"
    )
    if path[-1] == "low":  # how intervals are computed is each version's own
        assert read_summary(made) == whole
    else:
        with pytest.raises(UserError, match=re.escape(f"{file} says otherwise than the verdicts: {told}; ")):
            read_summary(made)
    run(made, stage="score")
    assert json.loads(file.read_text()) == whole == read_summary(made)


def test_numbers_without_any_verdict_are_refused(made: Path) -> None:
    """Who takes the verdicts away does not make the summary one of an older version."""
    (made / "verdicts/drawing/0.jsonl").unlink()
    with pytest.raises(UserError, match=r"says otherwise than the verdicts: drawing has numbers, and no verdict; .* score "):
        read_summary(made)
    with pytest.raises(UserError, match="drawing has numbers, and no verdict"):
        compare(Side.open(made), Side.open(made))


@pytest.mark.parametrize(
    "change",
    [
        lambda row: {**row, "correct": False},
        lambda row: {**row, "scores": {"correct": 0.0}},
        lambda row: {**row, "reason": "edited"},
        lambda row: {**row, "details": {"n": [9]}},
        lambda row: {**row, "sample": "000", "repeat": 1},
        lambda row: {**row, "checksum": "0" * 16},
    ],
)
def test_an_edited_verdict_counts_as_missing_and_is_judged_again(
    made: Path, capsys: pytest.CaptureFixture[str], change: Callable[[dict[str, Any]], Any]
) -> None:
    whole = json.loads((made / "summary.json").read_text())
    file = made / "verdicts/drawing/0.jsonl"
    edit_line(file, 4, change)
    with pytest.raises(UserError, match=r"says otherwise than the verdicts: drawing "):
        read_summary(made)
    assert capsys.readouterr().err == ""
    found = recomputed(made)
    assert found is not None
    entry = found.summary["benchmarks"]["drawing"]
    assert (entry["n_responses"], entry["skipped"], entry["failed"]) == (23, 1, 0)
    assert entry["metrics"]["overall"] == {"value": 1.0, "low": 1.0, "high": 1.0, "n": 23}
    lost, disagrees = capsys.readouterr().err.splitlines()
    assert lost == (
        f"suder-bench: {file}, line 4: no verdict (it was changed after it was written: its checksum is another's);"
        f" judge again with: suder-bench score {made}"
    )
    assert disagrees.startswith(f"suder-bench: {made}/summary.json disagrees with the verdicts: drawing ")
    assert f"lost: drawing: {file}, line 4: " in run(made, stage="score").getvalue()
    assert read_summary(made) == whole
    assert capsys.readouterr().err == ""


def test_verdicts_of_before_checksums_are_judged_again(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = json.loads((made / "summary.json").read_text())
    for file in made.glob("verdicts/*/0.jsonl"):
        rows = [json.loads(line) for line in file.read_text().splitlines()]
        file.write_text("".join(json.dumps({key: row[key] for key in row if key != "checksum"}) + "\n" for row in rows))
    found = recomputed(made)
    assert found is not None
    assert (found.summary, sorted(found.unbacked)) == (whole, ["drawing", "reading"])
    told = capsys.readouterr().err
    assert f"{made}/verdicts/drawing: 24 verdicts without a checksum, as versions before wrote them, count as not made;" in told
    assert f"{made}/summary.json: drawing stands as it was written, its verdicts cannot tell: " in told
    assert told.count(f"suder-bench score {made}") == 4
    assert "lost: reading: " in run(made, stage="score").getvalue()
    found = recomputed(made)
    assert found is not None
    assert (found.summary, found.unbacked, found.remarks) == (whole, {}, ())


@pytest.mark.parametrize("edited", [False, True])
def test_verdicts_of_another_version_back_no_edited_value(
    made: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], edited: bool
) -> None:
    monkeypatch.setattr("suder_bench.runs.score.version", lambda package: "another")
    if edited:
        edit(made / "summary.json", "benchmarks", "drawing", "metrics", "b", "value", to=0.25)
        with pytest.raises(UserError, match=r"says otherwise than the verdicts: drawing b is 0\.25 \(n 8\), not 1\.0 \(n 8\)"):
            read_summary(made)
        return
    found = recomputed(made)
    assert found is not None
    assert (found.wrong, found.aged) == ((), {"drawing", "reading"})
    assert read_summary(made) == json.loads((made / "summary.json").read_text())
    capsys.readouterr()
    assert main(["verify", str(made)]) == 0
    assert "drawing: its verdicts are another version's; this one makes the same values of them" in capsys.readouterr().out


def test_verdicts_of_several_judges_of_another_version_refuse_no_honest_run(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which of them the summary is of is not told any more."""
    data = made.parent / "data"
    for judge in ("black", "official"):
        Run(made, REFERENCE, settings(data=data, judges={"shade": judge}), stage="score").execute(Screen(io.StringIO()))
    monkeypatch.setattr("suder_bench.runs.score.version", lambda package: "another")
    found = recomputed(made)
    assert found is not None
    assert (found.wrong, found.aged) == ((), {"drawing", "reading"})
    edit(made / "summary.json", "benchmarks", "drawing", "metrics", "b", "value", to=0.25)
    found = recomputed(made)
    assert found is not None
    assert (found.wrong, found.aged, set(found.unbacked)) == ((), {"reading"}, {"drawing", "reading"})


def test_without_the_data_a_summary_stands_and_that_is_said(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (made.parent / "data" / "shades.txt").write_text("1 2 3")
    found = recomputed(made)
    assert found is not None
    assert found.unbacked == {"drawing": "the data of drawing have changed since"}
    assert capsys.readouterr().err == (
        f"suder-bench: {made}/summary.json: drawing stands as it was written, its verdicts cannot tell:"
        " the data of drawing have changed since\n"
    )


def test_compare_and_curves_do_not_believe_a_summary_either(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evaluations = made.parent / "t"
    (evaluations / "step-3").mkdir(parents=True)
    made.rename(evaluations / "step-3/all")
    folder = evaluations / "step-3/all"
    edit(folder / "summary.json", "benchmarks", "drawing", "metrics", "overall", "value", to=0.25)
    [point] = [point for point in read_points(evaluations) if (point.benchmark, point.metric) == ("drawing", "overall")]
    assert point.value == 1.0
    assert "disagrees with the verdicts: drawing overall value is 0.25, not 1.0" in capsys.readouterr().err
    with pytest.raises(UserError, match=r"drawing overall value is 0\.25, not 1\.0"):
        compare(Side.open(folder), Side.open(folder))
    run(folder, stage="score")
    edit_line(folder / "verdicts/drawing/0.jsonl", 1, lambda row: {**row, "correct": False})
    with pytest.raises(UserError, match=r"says otherwise than the verdicts: drawing .* score"):
        compare(Side.open(folder), Side.open(folder))


def test_a_judge_that_is_missing_now_keeps_what_the_verdicts_say(made: Path) -> None:
    edit(made / "summary.json", "benchmarks", "drawing", "metrics", "overall", "value", to=0.25)
    missing = settings(data=made.parent / "data", judges={"shade": "missing"})
    outcome = Run(made, REFERENCE, missing, stage="score").execute(Screen(io.StringIO()))
    assert outcome.summary["benchmarks"]["drawing"]["metrics"]["overall"]["value"] == 1.0


def test_a_report_is_made_of_no_edited_summary(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_geneval(tmp_path / "data", {"a photo of a star": "single_object", "one star": "single_object"})
    folder = write_drawn(tmp_path / "r", data, wrong=(0,))
    edit(folder / "summary.json", "benchmarks", "geneval", "metrics", "overall", "value", to=0.97)
    for words in (["report", str(folder), "--out", str(tmp_path / "out")], ["compare", str(folder), str(folder)]):
        assert main(words) == 2
        [told] = capsys.readouterr().err.splitlines()
        assert f"{folder}/summary.json says otherwise than the verdicts: geneval overall value is 0.97, not 0.5" in told
        assert told.endswith(f"suder-bench score {folder}")
    assert main(["view", str(folder), "--no-browser"]) == 2
    assert not (tmp_path / "out").exists()
    edit(folder / "summary.json", "benchmarks", "geneval", "metrics", "overall", "value", to=0.5)
    assert main(["report", str(folder), "--out", str(tmp_path / "out"), "--table", "2", "--no-site"]) == 0
    file = tmp_path / "out/tables/table-2-paper.csv"
    with file.open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    [row] = [row for row in rows if row["model"] == "my-model"]
    assert (row["Single Obj."], row["Overall"]) == ("0.50", "0.50")
