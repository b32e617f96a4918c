"""The promised Python interface: it says what the commands say, in frames, and is imported in no time."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import Drawing

import suder_bench
from suder_bench import LoadedRun, UserError
from suder_bench.api.options import words
from suder_bench.api.results import COMPARED, NUMBERS
from suder_bench.cli import main
from suder_bench.cli import run as command
from suder_bench.runs import commands

pandas = pytest.importorskip("pandas")
pytestmark = pytest.mark.usefixtures("fakes")

PAGE = Path(__file__).parents[2] / "docs/api.md"
HERE = {"device": "cpu", "data": Path(__file__).parent}


def made(out: Path, model: str = "fake:right", **options: Any) -> LoadedRun:
    return suder_bench.run(model, **{"benchmark": ["drawing", "reading"], "out": out, **HERE, **options})


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LoadedRun:
    monkeypatch.chdir(tmp_path)
    return made(Path("r"))


def test_importing_it_imports_nothing_heavy() -> None:
    code = (
        "import sys, suder_bench; dir(suder_bench); from suder_bench import UserError;"
        "print(sorted({'torch', 'transformers', 'numpy', 'pandas', 'PIL', 'argparse', 'suder_bench.api'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_the_page_names_exactly_what_is_promised() -> None:
    rows = re.findall(r"^\| `suder_bench\.(\w+)[`(]", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert sorted(rows) == sorted(suder_bench.__all__)
    assert set(suder_bench.__all__) <= set(dir(suder_bench))
    assert all(getattr(suder_bench, name).__doc__ for name in suder_bench.__all__)
    with pytest.raises(AttributeError, match="no attribute 'rnu'"):
        suder_bench.rnu  # noqa: B018


def test_a_run_is_the_command_s(run: LoadedRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--benchmark", "drawing", "--benchmark", "reading", "--device", "cpu", "--data", str(HERE["data"])]
    assert main(["run", "--model", "fake:right", *asked, "--out", "r", "--json"]) == 0
    assert "resuming: 32 of 32 done" in capsys.readouterr().err  # in one folder, so with equal settings
    assert run.summary == json.loads((tmp_path / "r/summary.json").read_text())
    assert run.recipe == json.loads((tmp_path / "r/run.json").read_text())
    assert run.complete
    assert suder_bench.load_run("r") == run
    made_by, looked_at_by = (one["words"] for one in commands.read(Path("r")))
    options = {"--benchmark=drawing", "--benchmark=reading", "--out=r", "--device=cpu", f"--data={HERE['data']}"}
    assert (made_by[:3], set(made_by[3:])) == (["suder-bench", "run", "--model=fake:right"], options)
    assert looked_at_by == ["suder-bench", "run", "--model", "fake:right", *asked, "--out", "r", "--json"]
    assert main(["run", "--model", "fake:right", *asked, "--out", "r"]) == 0
    assert capsys.readouterr().out == f"{run}\n"


def test_metrics_are_those_of_the_summary(run: LoadedRun) -> None:
    frame = run.frame("metrics")
    summary = json.loads((run.path / "summary.json").read_text())
    told = {(name, metric): one for name, entry in summary["benchmarks"].items() for metric, one in entry["metrics"].items()}
    assert {(row.benchmark, row.metric) for row in frame.itertuples()} == told.keys()
    for row in frame.to_dict("records"):
        one = told[row["benchmark"], row["metric"]]
        same, wanted = ([of[name] for name in ("value", "low", "high", "n")] for of in (row, one))
        np.testing.assert_array_equal(np.array(same, float), np.array(wanted, float))
        few = row["few_clusters"]
        assert (None if few is pandas.NA else few) == one.get("few_clusters")
    assert list(frame[frame.headline].metric) == ["overall", "accuracy"]
    assert set(frame.protocol) == {"official"}


def test_a_metric_can_be_made_of_the_verdicts(tmp_path: Path) -> None:
    run = made(tmp_path / "r", judge={"shade": "black"}, limit=5)
    verdicts = run.frame("verdicts").query("benchmark == 'drawing'")
    overall = run.frame("metrics").set_index(["benchmark", "metric"]).loc[("drawing", "overall")]
    assert overall["value"] == verdicts["scores.correct"].mean() == verdicts["correct"].mean() == 0.2
    assert overall["n"] == len(verdicts) == 10
    first = verdicts.iloc[0]
    assert (first["sample"], first["cluster"], first["prompt"], first["repeat"]) == ("000", "000", "shade 0", 0)
    assert (first["reason"], first["details"]) == ("shade 0", {"n": [1, 2]})


def test_responses_are_those_of_the_folder_each_with_its_verdict(run: LoadedRun) -> None:
    responses, verdicts = run.frame("responses"), run.frame("verdicts")
    key = ["benchmark", "sample", "repeat", "digest"]
    assert len(responses) == len(verdicts) == len(responses.merge(verdicts, on=key, validate="one_to_one")) == 12 * 2 + 8
    drawn = responses[responses.benchmark == "drawing"]
    assert all((run.path / image).is_file() for image in drawn.image)
    assert drawn.text.isna().all()
    lines = [json.loads(line) for line in (run.path / "responses/drawing/0.jsonl").read_text().splitlines()]
    assert {(line["sample"], line["repeat"], line["seed"]) for line in lines} == set(
        drawn[["sample", "repeat", "seed"]].itertuples(index=False, name=None)
    )


def test_an_edited_summary_is_refused(run: LoadedRun) -> None:
    file = run.path / "summary.json"
    file.write_text(file.read_text().replace('"value": 1.0', '"value": 0.81'))
    with pytest.raises(UserError, match=r"says otherwise than the verdicts: drawing overall value is 0\.81, not 1\.0"):
        run.frame("metrics")
    with pytest.raises(UserError, match="says otherwise"):
        suder_bench.compare(run, run)
    assert "0.81, not 1.0" in run._repr_html_()


def test_a_comparison_is_the_command_s(run: LoadedRun, capsys: pytest.CaptureFixture[str]) -> None:
    other = made(Path("other"), "fake:wrong")
    capsys.readouterr()
    assert main(["compare", "r", "other", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    found = suder_bench.compare(run, "other")
    assert found.document == told == suder_bench.compare("r", other).document
    rows = {(row.benchmark, row.metric): row for row in found.frame().itertuples()}
    for name, entry in told["benchmarks"].items():
        for metric, one in entry["metrics"].items():
            row = rows.pop((name, metric))
            same = [getattr(row, column) for column in [*NUMBERS, "n"]]
            wanted = [one.get(column) for column in [*NUMBERS, "n"]]
            assert one.keys() <= set(found.frame().columns)
            np.testing.assert_array_equal(np.array(same, float), np.array(wanted, float))
    assert rows == {}
    assert main(["compare", "r", "other"]) == 0
    assert capsys.readouterr().out == f"{found}\n"
    [only] = suder_bench.compare(run, other, benchmark="reading").document["benchmarks"]
    assert only == "reading"


def test_a_comparison_of_too_little_has_the_same_columns_without_numbers(tmp_path: Path) -> None:
    run = made(tmp_path / "r", limit=1)
    frame = suder_bench.compare(run, run, benchmark="drawing").frame()
    assert list(frame.columns[:14]) == list(COMPARED)
    assert frame[["low", "high", "error", "p", "p_adjusted", "detectable"]].isna().all(axis=None)


def test_a_notebook_shows_the_command_s_tables(run: LoadedRun) -> None:
    for shown in (run, suder_bench.compare(run, run)):
        page = unescape(re.sub(r"<[^>]*>", " ", shown._repr_html_()))
        printed = {word.strip("()") for word in str(shown).split() if set(word) != {"-"}}
        lost = printed - {word.strip("()") for word in page.split()}
        assert lost <= {"summary.json", "prompts,", "pictures", "question", "groups"}  # said in fewer words
        assert shown._repr_html_().count("<table>") == 2


def test_what_a_folder_says_is_escaped(run: LoadedRun) -> None:
    for name in ("run.json", "summary.json"):
        file = run.path / name
        file.write_text(file.read_text().replace('"fake:right"', '"<script>alert(1)</script>"'))
    assert "<script>" not in run._repr_html_()
    assert "&lt;script&gt;" in run._repr_html_()


def test_a_run_that_is_not_finished_has_responses_and_says_how_it_goes_on(tmp_path: Path) -> None:
    run = made(tmp_path / "r", stage="respond")
    assert not run.complete
    assert len(run.frame("responses")) == 32
    for shown in (str(run), unescape(run._repr_html_())):
        assert "no summary.json); finish it with: suder-bench run --model fake:right --benchmark drawing" in shown
    with pytest.raises(UserError, match="finish it with: suder-bench run"):
        run.frame("metrics")


def test_a_run_is_not_scored_as_another_models(tmp_path: Path) -> None:
    made(tmp_path / "r", stage="respond")
    told = "was made with model 'fake:right', not 'fake:wrong'; give --model fake:right, or .* suder-bench score"
    with pytest.raises(UserError, match=told):
        made(tmp_path / "r", "fake:wrong", stage="score")


def test_a_run_that_lacks_responses_is_not_complete(tmp_path: Path) -> None:
    run = made(tmp_path / "r")
    file = next((tmp_path / "r/responses/drawing").glob("*.jsonl"))
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(lines[:-3]))
    made(tmp_path / "r", stage="score")
    assert run.summary["benchmarks"]["drawing"]["skipped"] == 3
    assert not run.complete


def test_a_run_without_its_judge_is_not_complete(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = made(tmp_path / "r", judge={"shade": "missing"})
    assert not run.complete
    assert "judge shade=missing has no weights" in capsys.readouterr().err
    assert set(run.frame("metrics").benchmark) == {"reading"}
    assert set(run.frame("verdicts").benchmark) == {"reading"}


def test_without_its_data_a_run_has_no_verdicts_to_show(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data").mkdir()
    run = made(tmp_path / "r", data=tmp_path / "data")
    monkeypatch.setattr(Drawing, "samples", lambda self: [])
    with pytest.raises(UserError, match="drawing: its data hold nothing to ask"):
        run.frame("verdicts")
    assert len(run.frame("metrics")) == 5


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"sute": "gen"}, "unknown option 'sute'; did you mean 'suite'?"),
        ({"json": True}, "unknown option 'json'"),
        ({"fresh": "yes"}, "fresh='yes': give True or False"),
        ({"out": True}, "out=True: give a value"),
        ({"seed": [1, 2]}, "seed=[1, 2]: it is given once; give one value"),
        ({"seed": -1}, "'-1' is not a whole number"),
        ({"suite": "gne"}, "unknown suite 'gne'"),
        ({"benchmark": "drawing", "judge": "shade"}, "--judge 'shade' is not ROLE=BACKEND"),
        ({"benchmark": ["drwaing"], "model": "fkae:right"}, "unknown"),
    ],
)
def test_mistakes_are_one_line(options: dict[str, Any], line: str) -> None:
    with pytest.raises(UserError) as caught:
        suder_bench.run(options.pop("model", "fake:right"), **options)
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


def test_several_mistakes_are_one_line_too() -> None:
    with pytest.raises(UserError, match=r"fkae.*; unknown benchmark 'drwaing'"):
        suder_bench.run("fkae:right", benchmark="drwaing")


def test_every_option_of_the_command_is_a_keyword() -> None:
    parser = command.parser()
    given = {"model": "m", "no_known_answers": True, "fresh": False, "seed": None, "workers": 2}
    several = {"judge_args": {"llm.top_k": 5, "llm.top_p": 1}, "benchmark": ("a", "b"), "limit": {"a": 6, "b": 3}}
    assert words(parser, given | several) == [
        *("--model=m", "--no-known-answers", "--workers=2", "--judge-args=llm.top_k=5", "--judge-args=llm.top_p=1"),
        *("--benchmark=a", "--benchmark=b", "--limit=a=6,b=3"),
    ]
    args = parser.parse_args(
        words(parser, {"model": "m", "out": Path("-x"), "temperature": 1e-7, "seed": 3, "judge": {"a": "b"}})
    )
    assert (args.out, args.temperature, args.seed, args.judge, args.fresh) == (Path("-x"), 1e-7, 3, ["a=b"], False)
    with pytest.raises(UserError) as caught:
        words(parser, {"": 1})
    choices = str(caught.value).partition("choices: ")[2].rstrip(")").split(", ")
    assert set(choices) == {flag.replace("-", "_") for flag in re.findall(r"--([a-z-]+)", parser.format_usage())} | {"help"}


@pytest.mark.parametrize("what", ["responses", "verdicts", "metrics"])
def test_without_pandas_the_extra_is_named(run: LoadedRun, monkeypatch: pytest.MonkeyPatch, what: Any) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    for frame in (lambda: run.frame(what), suder_bench.compare(run, run).frame):
        with pytest.raises(UserError) as caught:
            frame()
        assert str(caught.value) == 'frames need pandas; bring it with: pip install -c constraints.txt ".[pandas]"'


def test_other_folders_and_frames_are_refused(run: LoadedRun, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a run folder"):
        suder_bench.load_run(tmp_path / "nothing")
    with pytest.raises(UserError, match=r"unknown frame 'verdict'; did you mean 'verdicts'\?"):
        run.frame("verdict")  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"holds no run\.json"):
        suder_bench.compare(run, tmp_path / "nothing")
    outside = tmp_path / "outside"
    (run.path / "run.json").rename(outside)
    (run.path / "run.json").symlink_to(outside)
    with pytest.raises(UserError, match="does not lie in"):
        suder_bench.load_run(run.path)
