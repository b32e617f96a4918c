"""Which numbers stand in Figures 3-6, beside what, and what is said when something is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fake_runs import FOREIGN, GEN, UND, summary, write_run, write_training

from suder_bench.errors import UserError
from suder_bench.reports import measured
from suder_bench.reports.figures import build
from suder_bench.reports.figures.figure import Chart, Figure, Series

BOTH = "strategy: unified\n"
SEPARATE = "strategy: separate\n"
GRPO = "strategy: unified\nalgorithm: grpo\n"


def figures(number: int, *paths: Path) -> list[Figure]:
    return build(measured.read(paths), paths, [number])[0]


def chart(figure: Figure) -> Chart:
    assert isinstance(figure.content, Chart)
    return figure.content


def values(one: Series, column: str) -> list[tuple[int | None, float]]:
    return [(mark.step, mark.value) for mark in one.of(column)]


def refused(number: int, *paths: Path) -> str:
    with pytest.raises(UserError) as error:
        figures(number, *paths)
    assert "\n" not in str(error.value)
    return str(error.value)


def of_the_world(run: Path, *values: float, **summarised: Any) -> Path:
    """A training on the world whose start and checkpoints have these values."""
    run.mkdir()
    (run / "recipe.yaml").write_text(f"model: my-model\n{BOTH}")
    for i, value in enumerate(values):
        model = "my-model" if i == 0 else f"{run}/checkpoint-{10 * i}"
        write_run(run / f"evaluations/step-{10 * i}/all", summary(model=model, value=value, world=True, **summarised))
    return run


def test_strategies_stand_beside_the_start_and_the_paper(tmp_path: Path) -> None:
    [figure] = figures(
        3, write_training(tmp_path / "u", BOTH, 0.5, 0.55, 0.6), write_training(tmp_path / "s", SEPARATE, 0.5, 0.7)
    )
    assert (figure.name, figure.title) == (
        "figure-3-paper",
        "Figure 3. One model for both tasks, or one for each: published and measured",
    )
    assert [(one.label, one.role) for one in chart(figure).series] == [
        ("before training", "start"),
        ("unified", "measured"),
        ("separate", "measured"),
        ("Unified (paper)", "published"),
        ("Separated (paper)", "published"),
    ]
    assert chart(figure).columns == ("Color", "Texture", "LLaVABench")
    start, unified, separate, paper, _ = chart(figure).series
    assert [values(one, "Color") for one in (start, unified, separate, paper)] == [[(None, x)] for x in (0.5, 0.6, 0.7, 0.78)]
    assert (unified.of("Color")[0].low, unified.of("Color")[0].high) == (0.59, 0.61)
    assert values(unified, "LLaVABench") == [(None, 0.006)]  # marks out of 100
    assert figure.recipes[1][1][0].startswith("trained: unified, simpo, reward dsr, step 20 of ")


def test_algorithms_stand_alone_because_the_paper_prints_no_numbers(tmp_path: Path) -> None:
    [figure] = figures(4, write_training(tmp_path / "u", BOTH, 0.5, 0.6), write_training(tmp_path / "g", GRPO, 0.5, 0.55))
    assert (chart(figure).kind, len(chart(figure).columns)) == ("radar", 6)
    assert [one.label for one in chart(figure).series] == ["before training", "SimPO", "GRPO"]
    assert figure.conditions == "measured"
    assert "The paper prints no numbers in this figure." in figure.notes


def test_lines_follow_each_training_over_its_steps(tmp_path: Path) -> None:
    runs = [
        write_training(tmp_path / "u", BOTH, 0.5, 0.55, 0.6),
        write_training(tmp_path / "o", "strategy: only-gen\n", 0.5, 0.6, 0.7),
    ]
    [five], [six] = figures(5, *runs), figures(6, *runs)
    unified, only, paper = chart(five).series
    assert [one.label for one in (unified, only, paper)] == ["unified", "only-gen", "Janus-Pro-7B (paper)"]
    assert values(unified, "Shape") == [(0, 0.5), (10, 0.55), (20, 0.6)]
    assert values(paper, "Color")[:2] == [(0, 0.6426), (43, 0.76)]
    assert chart(five).columns == ("Color", "Shape", "Texture", "Spatial", "Non-Spatial", "Complex")
    assert chart(six).columns == ("LLaVABench", "HallBench", "POPE", "MMB", "SEED")


def test_start_and_end_are_no_line_beside_an_evolution(tmp_path: Path) -> None:
    whole = write_training(tmp_path / "u", BOTH, 0.5, 0.55, 0.6)
    short = write_training(tmp_path / "o", "strategy: only-gen\n", 0.5, 0.7)
    [figure] = figures(5, whole, short)
    assert [one.label for one in chart(figure).series] == ["unified", "Janus-Pro-7B (paper)"]
    assert [one.label for one in chart(figures(5, short)[0]).series] == ["only-gen", "Janus-Pro-7B (paper)"]


def test_the_world_and_the_paper_have_files_of_their_own(tmp_path: Path) -> None:
    paper, world = figures(5, of_the_world(tmp_path / "w", 0.5, 0.6))
    assert [one.role for one in chart(paper).series] == ["published"]
    assert (paper.name, paper.conditions) == ("figure-5-paper", "published")
    assert chart(paper).columns == ("Color", "Shape", "Texture")
    assert [one.role for one in chart(world).series] == ["measured"]
    assert world.name == "figure-5-world"
    assert world.conditions == "measured on the embedded world, not comparable with published numbers"


def test_other_judges_and_the_world_never_share_a_figure(tmp_path: Path) -> None:
    foreign = tmp_path / "f"
    foreign.mkdir()
    (foreign / "recipe.yaml").write_text("model: my-model\n")
    for step in (0, 10):
        write_run(foreign / f"evaluations/step-{step}/gen", summary(*GEN, judge=FOREIGN))
    real = write_training(tmp_path / "r", BOTH, 0.5, 0.6)
    worlds = [of_the_world(tmp_path / "w", 0.5, 0.6), of_the_world(tmp_path / "v", 0.5, 0.6, protocol="fixed")]
    found = figures(5, real, *worlds, foreign)
    assert [figure.name for figure in found] == ["figure-5-paper", "figure-5-world", "figure-5-world-2", "figure-5-other-3"]
    assert [sum(one.role == "measured" for one in chart(figure).series) for figure in found] == [1, 1, 1, 1]
    assert "t2i-compbench: judge judge is open-clip, not the benchmark's own" in found[-1].conditions


def test_figures_without_published_numbers_are_told_apart_too(tmp_path: Path) -> None:
    runs = [of_the_world(tmp_path / f"{name}", 0.5, 0.6) for name in "ab"]
    (runs[1] / "recipe.yaml").write_text(f"model: my-model\n{GRPO}")
    [figure] = figures(4, *runs)
    assert figure.name == "figure-4-world"


def test_trainings_that_differ_in_nothing_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    runs = [write_training(tmp_path / name, BOTH, 0.5, 0.6) for name in ("one", "two")]
    [figure] = figures(5, *runs)
    assert [one.label for one in chart(figure).series][:2] == ["unified (one)", "unified (two)"]


def test_the_two_models_of_the_separate_strategy_may_end_at_different_steps(tmp_path: Path) -> None:
    run = tmp_path / "s"
    run.mkdir()
    (run / "recipe.yaml").write_text(f"model: my-model\n{SEPARATE}")
    for step, suite, names in ((0, "gen", GEN), (0, "und", UND), (10, "gen", GEN), (10, "und", UND), (15, "und", UND)):
        write_run(
            run / f"evaluations/step-{step}/{suite}", summary(*names, model=f"m{step}{suite if step else ''}", value=step / 20)
        )
    [figure] = figures(3, write_training(tmp_path / "u", BOTH, 0.5, 0.6), run)
    separate = next(one for one in chart(figure).series if one.label == "separate")
    assert values(separate, "Color") == [(None, 0.5)]
    assert values(separate, "LLaVABench") == [(None, 0.0075)]


def test_a_training_that_is_missing_comes_with_the_command_that_makes_it(tmp_path: Path) -> None:
    run = write_training(tmp_path / "u", BOTH, 0.5, 0.6)
    assert refused(3, run) == (
        "Figure 3 compares trainings by strategy (unified, separate; algorithm simpo, reward dsr) and none with separate was "
        "given; make one with: suder-bench train --config separate --out runs/separate && "
        "suder-bench track runs/separate --suite all"
    )
    assert refused(4, run).startswith("Figure 4 compares trainings by algorithm (simpo, grpo; ")
    assert refused(5, write_run(tmp_path / "r", summary())).startswith(
        "Figure 5 follows a training over its steps and none was given"
    )


def test_a_benchmark_that_is_missing_comes_with_the_command_that_scores_it(tmp_path: Path) -> None:
    run = write_training(tmp_path / "u", BOTH, 0.5, 0.6, benchmarks=GEN)
    other = write_training(tmp_path / "s", SEPARATE, 0.5, 0.6)
    assert refused(3, run, other) == (
        "Figure 3 needs llavabench of my-model + dsr (simpo), unified; "
        f"score it with: suder-bench track {run} --benchmark llavabench"
    )
    assert refused(6, run) == (
        "Figure 6 needs llavabench or hallusionbench or pope or mmbench or seedbench at two steps of a training at least; "
        f"score them with: suder-bench track {run} --suite und"
    )


def test_a_training_of_another_model_that_is_scored_on_less_keeps_no_figure_back(tmp_path: Path) -> None:
    runs = [write_training(tmp_path / "u", BOTH, 0.5, 0.6), write_training(tmp_path / "s", SEPARATE, 0.5, 0.7)]
    part = write_training(tmp_path / "part", BOTH, 0.3, 0.7, benchmarks=GEN, start="other")
    made, lines = build(measured.read([*runs, part]), runs, [3])
    assert [[one.label for one in chart(figure).series][:3] for figure in made] == [["before training", "unified", "separate"]]
    assert lines == [
        "Figure 3 needs llavabench of other + dsr (simpo), unified; "
        f"score it with: suder-bench track {part} --benchmark llavabench"
    ]


def test_trainings_scored_in_different_ways_are_not_compared(tmp_path: Path) -> None:
    runs = [of_the_world(tmp_path / "w", 0.5, 0.6), write_training(tmp_path / "s", SEPARATE, 0.5, 0.6)]
    assert refused(3, *runs).startswith("Figure 3 compares unified with separate, and those given were not scored alike; ")


def test_without_being_asked_for_one_that_cannot_be_made_is_left_out(tmp_path: Path) -> None:
    run = write_training(tmp_path / "u", BOTH, 0.5, 0.6)
    made, left_out = build(measured.read([run]), [run])
    assert [figure.name for figure in made] == ["figure-5-paper", "figure-6-paper"]
    assert [line.split()[1] for line in left_out] == ["3", "4", "7", "8", "9", "10"]


def test_trainings_of_two_models_are_no_comparison_of_strategies(tmp_path: Path) -> None:
    runs = [write_training(tmp_path / "u", BOTH, 0.5, 0.6), write_training(tmp_path / "s", SEPARATE, 0.5, 0.7, start="large")]
    assert refused(3, *runs).startswith(
        "Figure 3 compares unified with separate, and those given were not trained from one model; "
    )


def test_comparisons_of_two_models_have_figures_of_their_own(tmp_path: Path) -> None:
    runs = [
        write_training(tmp_path / f"{start}-{name}", recipe, 0.5, 0.6, start=start)
        for start in ("small", "large")
        for name, recipe in (("u", BOTH), ("g", GRPO))
    ]
    first, second = figures(4, *runs)
    assert (first.conditions, second.conditions) == ("measured (trained from small)", "measured (trained from large)")
    assert first.name != second.name
    assert [one.label for one in chart(second).series] == ["before training", "SimPO", "GRPO"]
