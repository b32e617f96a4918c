"""Seeds of one training as one row of the tables: its mean, its interval, what that is made of, and when they stay apart."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Container
from pathlib import Path

import numpy as np
import pytest
from fake_runs import write_drawn, write_geneval

from suder_bench import seeds, stats
from suder_bench.cli import main
from suder_bench.reports import door, figures, measured, several
from suder_bench.reports.figures.figure import Chart
from suder_bench.runs.paired import Side, mean_difference

TASKS = ("single_object", "two_object", "counting", "colors", "position", "color_attr")
ASKED = {f"a photo of {i} stars": TASKS[i % 6] for i in range(24)}
WRONG = {42: {0, 1, 2, 3, 4}, 43: {0, 1, 2, 5, 6, 7, 8}, 44: {0, 2, 4}}
ONE = "my-model + dsr (simpo), unified, 3 seeds"
Train = Callable[..., Path]


@pytest.fixture(autouse=True)
def by_hand() -> None:
    """Not here: these summaries are what their verdicts make them."""


@pytest.fixture
def train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Train:
    """train(seed, ...) -> a training with this seed that was scored; the first one's start model too, wrong about half of all."""
    monkeypatch.chdir(tmp_path)
    data = write_geneval(Path("data"), ASKED)

    def make(
        seed: int, *, wrong: Container[int] | None = None, rate: str = "1e-5", name: str = "seed", start: bool = True
    ) -> Path:
        run = Path(f"{name}-{seed}")
        run.mkdir()
        (run / "recipe.yaml").write_text(
            f"model: my-model\nstrategy: unified\ntrainer: {{learning_rate: {rate}, seed: {seed}}}\n"
        )
        if start and seed == 42:
            write_drawn(run / "evaluations/step-0/all", data, wrong=range(12))
        write_drawn(run / "evaluations/step-10/all", data, model=f"{run}/checkpoint-10", wrong=wrong or WRONG[seed])
        return run

    return make


def last(run: Path) -> Path:
    return run / "evaluations/step-10/all"


def report(*runs: Path) -> dict[str, dict[str, str]]:
    assert main(["report", *map(str, runs), "--out", "o", "--table", "2", "--no-site"]) == 0
    [file] = Path("o/tables").glob("table-2-paper.csv")
    return {row["model"]: row for row in csv.DictReader(file.open()) if row["model"].startswith("my-model")}


def test_seeds_are_one_row_with_their_mean_and_an_interval_of_seeds_too(train: Train) -> None:
    runs = [train(seed) for seed in WRONG]
    rows = report(*runs)
    assert list(rows) == ["my-model", ONE]
    means = [np.mean([i not in wrong for i in range(24)]) for wrong in WRONG.values()]
    assert float(rows[ONE]["Overall"]) == pytest.approx(np.mean(means), abs=0.005)
    read = [Side.open(last(run)).rows("geneval") for run in runs]
    expected = seeds.mean(
        [(one.benchmark.statistics(one.rows)["overall"], [sample.cluster for sample, _ in one.rows]) for one in read],
        resamples=stats.RESAMPLES,
    )
    ends = [float(rows[ONE][f"Overall {end}"]) for end in ("low", "high")]
    assert ends == pytest.approx([expected.metric.low, expected.metric.high], abs=0.005)
    assert float(rows[ONE]["Overall gain"]) == pytest.approx(100 * (np.mean(means) - 0.5), abs=1)


def test_how_the_row_was_made_tells_of_each_seed(train: Train) -> None:
    report(*(train(seed) for seed in WRONG))
    text = Path("o/tables/table-2-paper.md").read_text()
    assert "- 3 seeds of one recipe, of which each number is the mean" in text

    [told] = [line for line in text.splitlines() if line.strip().startswith("- geneval overall by seed 42, 43, 44: ")]
    assert "0.792, 0.708, 0.875; standard error " in told
    assert all(f"{part} 0" in told for part in ("prompts", "seeds", "pictures"))
    for seed in WRONG:
        assert f"- run seed-{seed}/evaluations/step-10/all: model seed-{seed}/checkpoint-10" in text


def test_findings_compare_the_seeds_with_the_base(train: Train) -> None:
    runs = [train(seed) for seed in WRONG]
    report(*runs)
    found = json.loads(Path("o/findings.json").read_text())
    [geneval] = [one for one in found["findings"] if one["claim"]["text"] == "SUDER raises GenEval"]
    start = Side.open(runs[0] / "evaluations/step-0/all")
    expected = mean_difference("geneval", ["overall"], start, [Side.open(last(run)) for run in runs])
    assert geneval["difference"] == pytest.approx(100 * expected.difference)
    assert (geneval["low"], geneval["high"]) == pytest.approx((100 * expected.low, 100 * expected.high))
    assert geneval["seeds"] == [3, 1]


def told(*runs: Path) -> tuple[list[str], list[str]]:
    """The labels of the rows, and what was said."""
    said: list[str] = []
    rows = several.together(measured.read(runs), door.side, said.append)
    return [row.label for row in rows], said


def test_figures_say_of_how_many_seeds_a_bar_is(train: Train) -> None:
    runs = [train(seed) for seed in WRONG]
    other = train(42, name="grpo", start=False, wrong={1})
    (other / "recipe.yaml").write_text("model: my-model\nstrategy: unified\nalgorithm: grpo\ntrainer: {seed: 42}\n")
    paths = [*runs, other]
    [figure] = figures.build(several.together(measured.read(paths), door.side, pytest.fail), paths, [4])[0]
    assert isinstance(figure.content, Chart)
    assert {one.label for one in figure.content.series} == {"before training", "SimPO, 3 seeds", "GRPO"}


def test_other_recipes_stay_apart(train: Train) -> None:
    labels, said = told(train(42), train(43, rate="2e-5"), train(44))
    assert labels[0] == "my-model"
    assert labels[1].endswith("unified, 2 seeds")
    assert labels[2] == "my-model + dsr (simpo), unified (seed-43/evaluations/step-10/all)"
    assert not said


def test_what_changes_no_number_keeps_no_seeds_apart(train: Train) -> None:
    runs = [train(seed) for seed in WRONG]
    recipe = runs[1] / "recipe.yaml"
    recipe.write_text(
        recipe.read_text().replace("seed:", "save_steps: 500, report_to: tensorboard, seed:") + "samples_steps: 7\n"
    )
    labels, _ = told(*runs)
    assert labels == ["my-model", ONE]


def test_the_same_seed_again_is_no_second_one(train: Train) -> None:
    labels, _ = told(train(42), train(42, name="again", start=False, wrong={7}))
    assert len(labels) == 3
    assert not any("seeds" in label for label in labels)


def test_two_groups_of_one_kind_have_names_of_their_own(train: Train) -> None:
    runs = [train(seed) for seed in (42, 43)]
    runs += [train(seed, rate="2e-5", name="fast", start=False, wrong={seed % 5, 20}) for seed in (42, 43)]
    labels, _ = told(*runs)
    assert len(set(labels)) == len(labels) == 3
    assert all(name in label for name, label in zip(("seed-42", "fast-42"), labels[1:], strict=True))


def test_a_row_that_others_are_compared_with_keeps_their_gains(train: Train) -> None:
    """Without a start model the first row is the base, also where it is several."""
    runs = [train(seed, start=False) for seed in (42, 43)]
    rows = several.together(
        measured.read([*runs, train(44, rate="2e-5", start=False)]), door.side, lambda line: pytest.fail(line)
    )
    assert [row.base for row in rows] == ["", rows[0].label]


def test_seeds_with_other_benchmarks_stand_apart_and_say_which(train: Train) -> None:
    rows = measured.read([train(seed, start=False) for seed in WRONG])
    rows[1].scores["pope"] = rows[1].scores["geneval"]
    said: list[str] = []
    assert several.together(rows, door.side, said.append) == rows
    [line] = said
    assert line.endswith(f"stand apart: {rows[0].runs[0]} is not scored on pope, as another is")


def test_seeds_whose_verdicts_are_gone_stand_apart_and_say_why(train: Train) -> None:
    runs = [train(seed) for seed in WRONG]
    rows = measured.read(runs)
    [name] = rows[2].scores
    object.__setattr__(rows[2].scores[name], "unbacked", "the data have changed since")
    said: list[str] = []
    assert several.together(rows, door.side, said.append) == rows
    assert said == [f"suder-bench: 3 seeds of {rows[1].label} stand apart: the data have changed since"]
