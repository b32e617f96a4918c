"""Two real runs of a small benchmark, compared; and what cannot be compared."""

from __future__ import annotations

import dataclasses
import io
import json
import random
from pathlib import Path

import pytest
from PIL import Image

from suder_bench import registry
from suder_bench.cli import compare
from suder_bench.data.source import Source
from suder_bench.errors import UserError
from suder_bench.models.protocols import GeneratedImage
from suder_bench.models.reference import ModelReference
from suder_bench.runs.execute import Run
from suder_bench.runs.paired import Side, mean_difference
from suder_bench.runs.paired import compare as compared
from suder_bench.runs.plan import Settings, plan
from suder_bench.runs.recipe import settings_of
from suder_bench.runs.score import filing
from suder_bench.runs.screen import Screen
from suder_bench.runs.store import RunFolder

PLUGIN = Path(__file__).parents[1] / "plugin"
TABLE = {
    "benchmarks": {"brightness": "suder_bench_example.benchmark:Brightness"},
    "judges": {"lightness/mean": "suder_bench_example.judge:MeanLightness"},
    "models": {},
    "rewards": {},
}


class Coin:
    """Draws what it was asked for in a share of the pictures, at random."""

    def __init__(self, skill: float) -> None:
        self.name, self.fingerprint, self.settings, self.skill = "coin", f"coin-{skill}", {}, skill

    def generate(self, prompts, *, seeds, sampling):
        right = [random.Random(seed).random() < self.skill for seed in seeds]
        fills = [("white" in prompt) == draws for prompt, draws in zip(prompts, right, strict=True)]
        return [GeneratedImage(Image.new("RGB", (8, 8), "white" if fill else "black")) for fill in fills]


@pytest.fixture
def make(tmp_path, monkeypatch):
    """make(name, skill, **settings) -> the folder of a finished run."""
    monkeypatch.syspath_prepend(PLUGIN)
    monkeypatch.setattr(registry, "table", lambda group: TABLE[group])
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()

    def make(name: str, skill: float, stage="all", **settings) -> str:
        chosen = Settings(suite="brightness", benchmarks=("brightness",), source=Source("folder", path=Path("data")))
        run = Run(Path(name), ModelReference("coin", "coin", "coin"), dataclasses.replace(chosen, **settings), stage=stage)
        assert run.execute(Screen(io.StringIO()), load=lambda: Coin(skill)).complete
        return name

    return make


def told(capsys, *argv) -> dict:
    assert compare.main([*argv, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_run_does_not_differ_from_itself(make, capsys):
    run = make("first", 0.5)
    [metric] = told(capsys, run, run)["benchmarks"]["brightness"]["metrics"].values()
    assert (metric["difference"], metric["low"], metric["high"], metric["p"]) == (0, 0, 0, 1)


def test_a_right_and_a_wrong_model_differ(make, capsys):
    found = told(capsys, make("wrong", 0.0), make("right", 1.0))
    entry = found["benchmarks"]["brightness"]
    assert entry["clusters"] == entry["metrics"]["accuracy"]["n"] == 8
    assert entry["metrics"]["accuracy"] == {
        "a": 0,
        "b": 1,
        "difference": 1,
        "low": None,
        "high": None,
        "p": 2 / 2**8,
        "detectable": None,
        "n": 8,
        "few_clusters": 8,
        "error": None,
        "p_adjusted": 2 / 2**8,
    }


def test_only_prompts_of_both_runs_count(make, capsys):
    found = told(capsys, make("whole", 0.5), make("part", 0.5, limit=4))["benchmarks"]["brightness"]
    assert found["clusters"] == 4
    assert found["metrics"]["accuracy"]["difference"] == 0


def test_only_what_is_compared_is_counted(make, capsys):
    """Prompts of two limits are spread over the same list, and may hardly meet."""
    few, more = (make(f"limit{n}", 0.5, limit=n, repeats=1) for n in (3, 5))
    [found] = told(capsys, few, more)["benchmarks"].values()
    assert found["clusters"] < 3
    assert found["metrics"]["accuracy"]["n"] == found["clusters"]
    difference = mean_difference("brightness", ["accuracy"], Side.open(Path(few)), Side.open(Path(more)))
    assert difference.n == found["clusters"]


def test_what_no_judge_has_seen_is_not_compared(make):
    unjudged = edited(make("second", 0.5), lambda recipe: recipe["judges"].update(brightness={}))
    with pytest.raises(UserError, match="second scored nothing"):
        compare.main([make("first", 0.5), unjudged])


def test_repeats_may_differ(make, capsys):
    assert told(capsys, make("two", 1.0), make("five", 1.0, repeats=5))["benchmarks"]["brightness"]["clusters"] == 8


def test_the_table_as_people_see_it(make, capsys):
    assert compare.main([make("first", 0.5, seed=1), make("second", 1.0)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "brightness, 8 clusters (prompts, pictures or question groups) in both"
    assert lines[2].split() == ["A", "B", "B", "-", "A", "95", "%", "interval", "p", "adj.", "detectable"]
    assert lines[4].startswith("* accuracy")
    assert "A  first (coin)" in lines
    assert "~" in lines[4]
    assert any(line.startswith("~  over fewer than ten prompts") for line in lines)
    assert max(map(len, lines)) <= 80


def test_p_is_adjusted_for_all_that_the_table_shows(make, capsys):
    """Two metrics of one table, each with p = 2 of 2^8: both are as sure as twice that."""

    class Two(registry.load("benchmarks", "brightness")):
        paper_metrics = ("accuracy", "other")

        def statistics(self, rows):
            [accuracy] = super().statistics(rows).values()
            return {"accuracy": accuracy, "other": accuracy, "further": accuracy}

    sides = [Side.open(Path(make(name, skill))) for name, skill in (("wrong", 0.0), ("right", 1.0))]
    for side in sides:
        rows = side.rows("brightness").rows
        side.read["brightness"] = dataclasses.replace(side.rows("brightness"), benchmark=Two(Path("data")), rows=rows)
    for verbose, tests in ((False, 2), (True, 3)):
        found = compared(*sides, verbose=verbose)
        metrics = found["benchmarks"]["brightness"]["metrics"]
        adjusted = {name: one["p_adjusted"] for name, one in metrics.items() if "p_adjusted" in one}
        assert adjusted == dict.fromkeys(["accuracy", "other", "further"][:tests], pytest.approx(tests * 2 / 2**8))
        assert {one["p"] for one in metrics.values()} == {2 / 2**8}
        assert found["adjusted"] == {"method": "holm", "tests": tests}
        text = compare.render(found, verbose=verbose)
        assert f"adj. for {tests} tests at once (Holm)" in " ".join(text.split())
        assert all(len(line) <= 80 for line in text.splitlines())


def test_comparing_changes_neither_run(make, capsys):
    runs = [make("first", 0.5), make("second", 0.6)]
    before = {file: file.read_bytes() for run in runs for file in Path(run).rglob("*") if file.is_file()}
    told(capsys, *runs)
    assert before == {file: file.read_bytes() for run in runs for file in Path(run).rglob("*") if file.is_file()}


def edited(run: str, edit) -> str:
    file = Path(run) / "run.json"
    recipe = json.loads(file.read_text())
    edit(recipe)
    file.write_text(json.dumps(recipe))
    return run


@pytest.mark.parametrize(
    ("what", "edit"),
    [
        ("protocol", lambda recipe: recipe["benchmarks"]["brightness"].update(protocol="other")),
        ("data", lambda recipe: recipe["benchmarks"]["brightness"].update(data="other")),
        ("judges", lambda recipe: recipe["judges"]["brightness"]["lightness"].update(fingerprint="other")),
    ],
)
def test_what_was_measured_differently_is_refused(make, what, edit):
    with pytest.raises(UserError, match=f"cannot be compared: brightness {what} are .* and .*other") as error:
        compare.main([make("first", 0.5), edited(make("second", 0.5), edit)])
    assert "\n" not in str(error.value)


def test_runs_without_a_common_benchmark_are_refused(make):
    with pytest.raises(UserError, match="second scored nothing"):
        compare.main([make("first", 0.5), edited(make("second", 0.5), lambda recipe: recipe["judges"].clear())])


def test_an_unknown_benchmark_is_refused_with_the_nearest(make):
    with pytest.raises(UserError, match="did you mean 'brightness'"):
        compare.main([make("first", 0.5), make("second", 0.5), "--benchmark", "brightnes"])


def test_a_folder_without_a_run_is_refused(make, tmp_path):
    with pytest.raises(UserError, match=r"holds no run\.json"):
        compare.main([make("first", 0.5), str(tmp_path)])


def test_verdicts_of_another_version_are_refused(make, monkeypatch):
    runs = [make("first", 0.5), make("second", 0.5)]
    monkeypatch.setattr("suder_bench.runs.score.version", lambda package: "0.0.0")
    with pytest.raises(UserError, match="score it again"):
        compare.main(runs)


class Timid:
    """Calls everything dark but the first picture that it sees."""

    backend, exact, fingerprint = "timid", False, "timid-1"

    @classmethod
    def load(cls, *, device, dtype, offline):
        return cls()

    def lightness(self, pictures):
        return [1.0] + [0.0] * (len(pictures) - 1)


@pytest.fixture
def two(monkeypatch):
    """Two judges to choose from."""
    judges = TABLE["judges"] | {"lightness/timid": f"{__name__}:Timid"}
    monkeypatch.setattr(registry, "table", lambda group: (TABLE | {"judges": judges})[group])
    return {"judges": {"lightness": "mean"}}, {"judges": {"lightness": "timid"}}


def test_one_run_that_two_have_judged(make, two, capsys):
    mean, timid = two
    run = make("run", 1.0, **mean)
    make("run", 1.0, stage="score", **timid)
    make("run", 1.0, stage="score", **mean)
    [pair] = told(capsys, run, "--judges")["benchmarks"]["brightness"]
    assert [pair[side]["judges"]["lightness"].split()[0] for side in "ab"] == ["mean", "timid"]
    assert (pair["a"]["run"], pair["responses"]) == ("run", 16)
    measure = pair["measures"]["accuracy"]
    assert {name: measure[name] for name in ("mean_a", "mean_b", "same", "n", "left_out", "weights")} == {
        "mean_a": 1, "mean_b": 9 / 16, "same": 9 / 16, "n": 16, "left_out": 0, "weights": "none",
    }  # fmt: skip
    assert measure["kappa"] == pytest.approx(0)  # one of the two calls all right
    assert pair["measures"]["correct"] == measure

    assert compare.main([run, "--judges"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "brightness, 16 responses judged by both"
    assert any(line.startswith("A  lightness mean mean-lig (run)") for line in lines)
    assert any(line.split()[:2] == ["accuracy", "0.000"] for line in lines)
    assert max(map(len, lines)) <= 80


def test_two_runs_with_the_same_pictures(make, two, capsys):
    mean, timid = two
    runs = [make("first", 0.5, **mean), make("second", 0.5, **timid), make("other", 0.5, seed=9, **timid)]
    [pair] = told(capsys, *runs[:2], "--judges")["benchmarks"]["brightness"]
    assert [pair[side]["run"] for side in "ab"] == runs[:2]
    assert pair["responses"] == 16
    [pair] = told(capsys, runs[0], runs[2], "--judges")["benchmarks"]["brightness"]
    assert pair["responses"] < 16  # a white and a black picture are what they are in both


def test_one_judge_has_nobody_to_agree_with(make, two):
    run = make("run", 0.5, **two[0])
    with pytest.raises(UserError, match="run: no responses that two judges of this version have judged; judge again by another"):
        compare.main([run, "--judges"])
    with pytest.raises(UserError, match="compare needs two run folders, or --judges for those who judged run"):
        compare.main([run])
    with pytest.raises(UserError, match="unknown scored benchmark 'brightnes'"):
        compare.main([run, "--judges", "--benchmark", "brightnes"])


def test_verdicts_without_a_score_are_left_out_and_told(make, two, capsys):
    mean, timid = two
    run = make("run", 0.5, **mean)
    make("run", 0.5, stage="score", **timid)
    folder = RunFolder(Path(run))
    blind = {"lightness": {"backend": "blind", "exact": False, "fingerprint": "blind-1"}}
    [task] = plan(settings_of(folder.read(), judges={}, offline=True), lambda line: None)
    [key] = set(filing(task, blind).values())
    seen = folder.verdicts("brightness", set(filing(task, folder.seated("brightness")[0]).values()), repair=False)
    half = [dataclasses.replace(one, scores={"accuracy": float("nan") if i % 2 else one.scores["accuracy"]}, correct=None)
            for i, one in enumerate(seen.values())]  # fmt: skip
    folder.seat("brightness", blind)
    folder.add_verdicts("brightness", key, half)
    pairs = told(capsys, run, "--judges")["benchmarks"]["brightness"]
    pair = next(pair for pair in pairs if "mean" in str(pair["a"]) and "blind" in str(pair["b"]))
    assert set(pair["measures"]) == {"accuracy"}
    assert (pair["measures"]["accuracy"]["n"], pair["measures"]["accuracy"]["left_out"]) == (8, 8)
    assert pair["measures"]["accuracy"]["kappa"] == pytest.approx(1)
    compare.main([run, "--judges"])
    assert "and left out: 8 of accuracy" in " ".join(capsys.readouterr().out.split())
