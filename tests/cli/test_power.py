"""`suder-bench power` on real runs of a small benchmark, against the formulas."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm
from test_compare import Coin, make  # noqa: F401

from suder_bench.cli import main
from suder_bench.planning import Variances
from suder_bench.runs.paired import Side

Make = Callable[..., str]


def shares(run: str) -> np.ndarray:
    """Of each prompt the share of pictures that were right, in the order of prompts."""
    found: dict[str, list[float]] = {}
    for sample, verdict in Side.open(Path(run)).rows("brightness").rows:
        found.setdefault(sample.cluster, []).append(float(bool(verdict.correct)))
    return np.array([np.mean(found[cluster]) for cluster in sorted(found)])


def told(capsys: pytest.CaptureFixture[str], *argv: str) -> dict:
    assert main(["power", *argv, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_pilot_with_its_base_gives_the_questions_of_the_formula(make: Make, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: F811
    pilot, base = make("pilot", 0.8, seed=1), make("base", 0.5)
    found = told(capsys, pilot, "--base", base, "--difference", "4")
    row = found["benchmarks"]["brightness"]["metrics"]["accuracy"]
    variance = (shares(pilot) - shares(base)).var(ddof=1)
    assert row["variances"] == pytest.approx({"prompts": variance, "seeds": 0, "pictures": 0})
    [needed] = row["needed"]
    assert needed["clusters"] == pytest.approx(variance * ((norm.ppf(0.975) + norm.ppf(0.8)) / 0.04) ** 2, rel=0.02)
    assert row["detectable"] == pytest.approx(Variances(variance).detectable(8))
    assert (found["paired"], row["point"]) == (True, 0.01)


def test_what_rests_on_few_prompts_is_planned_by_these(make: Make, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: F811
    pilot, base = make("pilot", 0.8, seed=1), make("base", 0.5)
    assert main(["compare", base, pilot, "--json"]) == 0
    now = json.loads(capsys.readouterr().out)["benchmarks"]["brightness"]["metrics"]["accuracy"]
    row = told(capsys, pilot, "--base", base)["benchmarks"]["brightness"]["metrics"]["accuracy"]
    assert row["few_clusters"] == now["few_clusters"] == 8
    assert row["detectable"] == pytest.approx(now["detectable"])


def test_without_a_base_nothing_is_in_common(make: Make, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: F811
    pilot = make("pilot", 0.6)
    row = told(capsys, pilot)["benchmarks"]["brightness"]["metrics"]["accuracy"]
    assert row["variances"]["prompts"] == pytest.approx(2 * shares(pilot).var(ddof=1))


def test_higher_power_and_a_stricter_level_need_more(make: Make, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: F811
    pilot = make("pilot", 0.6)

    def needed(*argv: str) -> int:
        return int(told(capsys, pilot, *argv)["benchmarks"]["brightness"]["metrics"]["accuracy"]["needed"][0]["clusters"])

    z = norm.ppf(0.995) + norm.ppf(0.9)
    stricter = needed("--power", "90", "--level", "1", "--difference", "2")
    assert stricter / needed("--difference", "2") == pytest.approx((z / (norm.ppf(0.975) + norm.ppf(0.8))) ** 2, rel=0.02)


def test_several_seeds_of_a_training_are_planned_too(make: Make, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: F811
    base, runs = make("base", 0.5), [make(f"seed{i}", skill, seed=i + 1) for i, skill in enumerate((0.2, 0.6, 1.0))]
    entry = told(capsys, *runs, "--base", base, "--difference", "90")["benchmarks"]["brightness"]["metrics"]["accuracy"]
    assert entry["variances"]["seeds"] == pytest.approx(np.var([0.2, 0.6, 1.0], ddof=1), rel=0.6)
    needed = {one["seeds"]: one["clusters"] for one in entry["needed"]}
    assert list(needed) == [1, 2, 3, 5, 10]
    assert needed[1] is None  # one seed tells nothing of another
    assert needed[10] is not None
    assert main(["power", *runs, "--base", base, "--difference", "90"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].split() == ["finds", "1", "seed", "2", "seeds", "3", "seeds", "5", "seeds", "10", "seeds"]
    assert lines[4].split()[:2] == ["*", "accuracy"]
    assert max(map(len, lines)) <= 80


def test_the_table_as_people_see_it(make: Make, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: F811
    assert main(["power", make("pilot", 0.6)]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("brightness, 8 clusters (prompts, pictures or question groups) in the pilot\n")
    assert "not paired" in shown
    assert "~  over fewer than ten clusters in the pilot: an order of magnitude" in shown
    assert "give the runs of several" in shown


def test_a_pilot_that_never_varies_says_nothing(make: Make, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: F811
    row = told(capsys, make("pilot", 1.0))["benchmarks"]["brightness"]["metrics"]["accuracy"]
    assert (row["variances"], row["detectable"], row["needed"]) == (None, None, [])
    assert main(["power", "pilot"]) == 0
    assert capsys.readouterr().out.splitlines()[4].split() == ["*", "accuracy", "-~", "-"]


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["pilot", "--difference", "-3"], "'-3' is not a number of points above 0"),
        (["pilot", "--difference", "few"], "'few' is not a number"),
        (["pilot", "--power", "100"], "'100' is not a percentage between 0 and 100"),
        (["nowhere"], "nowhere holds no run.json"),
        (["pilot", "--benchmark", "brightnes"], "did you mean 'brightness'?"),
        (["pilot", "--base", "pilot", "--base", "pilot"], "give as many of both, or one --base"),
    ],
)
def test_mistakes_are_told_in_one_line(argv: list[str], says: str, make: Make, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: F811
    make("pilot", 0.6)
    assert main(["power", *argv]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1


def test_a_point_of_a_scale_without_an_upper_end_is_one_of_a_hundred(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """GenEval 2's official sums count some atoms twice, and may pass 100."""
    run = str(tmp_path / "run")
    asked = ["--model", "tiny-janus", "--benchmark", "geneval2", "--data", "world", "--limit", "12", "--repeats", "1"]
    assert main(["run", *asked, "--out", run]) == 0
    capsys.readouterr()
    row = told(capsys, run, "--difference", "5")["benchmarks"]["geneval2"]["metrics"]["am"]
    assert row["point"] == 1
    assert row["needed"][0]["n"] > 12
