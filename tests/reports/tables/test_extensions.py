"""Extension A, which is in neither paper: which trainings it compares, when it is made, and its mean over benchmarks."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from fake_runs import FOREIGN, GEN, UND, summary, write_run, write_training

from suder_bench.errors import UserError
from suder_bench.reports import figures, measured
from suder_bench.reports.figures.figure import Chart
from suder_bench.reports.tables import Row, Table, build
from suder_bench.reports.tables.layout import EXTENSIONS
from suder_bench.reports.tables.write import write

CREDIT = "srum: {credit: boxes}\n"
SUDER = "strategy: unified\n"
ALONE = "strategy: only-gen\nreward: {gen: {dsr: 1.0}}\n"
SRUM = "strategy: only-gen\nreward: {gen: {srum: 1.0}}\n"
BOTH = "strategy: unified\nreward: {gen: {srum: 0.5, dsr: 0.5}}\n"


def trainings(tmp_path: Path, **recipes: str) -> list[Path]:
    """Trainings of my-model that gain 0.1, 0.2, ... over 0.5."""
    return [
        write_training(tmp_path / name, recipe, 0.5, 0.5 + i / 10) for i, (name, recipe) in enumerate(recipes.items(), start=1)
    ]


def all_four(tmp_path: Path) -> list[Path]:
    return trainings(tmp_path, suder=SUDER, alone=ALONE, srum=SRUM + CREDIT, both=BOTH + CREDIT)


def extension(runs: list[Path]) -> Table:
    [found] = [table for table in build(measured.read(runs))[0] if table.number == "A"]
    return found


def last(table: Table, place: int) -> list[tuple[str, str]]:
    """Value and gain of each row in a column."""
    return [(one.cells[place].value, one.cells[place].gain) for one in table.rows]


def test_it_compares_the_start_model_suder_srum_and_both(tmp_path: Path) -> None:
    table = extension(all_four(tmp_path))
    assert (table.name, table.title) == (
        "extension-a-real",
        "Extension A. SUDER against SRUM against both (ours, in neither paper): measured",
    )
    assert [one.label for one in table.rows] == [
        "my-model",
        "my-model + dsr (simpo), unified",
        "my-model + dsr (simpo), only-gen",
        "my-model + srum (simpo with credit by boxes), only-gen",
        "my-model + 0.5 dsr + 0.5 srum (simpo with credit by boxes), unified",
    ]
    assert {one.group for one in table.rows} == {"measured"}
    names = [name for name, _ in table.columns]
    assert names == ["GenEval", "T2I-CompBench", "HallBench", "LLaVABench", "POPE", "MMB", "SEED", "Understanding"]
    assert last(table, 0) == [("0.50", ""), ("0.60", "+10"), ("0.70", "+20"), ("0.80", "+30"), ("0.90", "+40")]
    assert last(table, 1)[-1] == ("0.9000", "+40.00")
    assert (table.rows[3].cells[0].low, table.rows[3].cells[0].high) == ("0.79", "0.81")
    assert table.notes[0].startswith("SUDER is the reward dsr, SRUM the reward srum")


def test_the_mean_over_benchmarks_is_in_points_with_an_interval_of_independent_parts(tmp_path: Path) -> None:
    table = extension(trainings(tmp_path, srum=SRUM + CREDIT))
    start = table.rows[0].cells[-1]
    # 50 % of four benchmarks, each within a point, and LLaVA-Bench's 0.5 of 100 marks, within 0.01
    assert start.value == f"{(4 * 50 + 0.5) / 5:.1f}"
    half = math.hypot(1, 1, 1, 1, 0.01) / 5
    assert (start.low, start.high) == (f"{40.1 - half:.1f}", f"{40.1 + half:.1f}")
    assert table.rows[1].cells[-1].gain == "+8.0"


def mean_of(change: dict[str, Any]) -> Any:
    content = summary()
    content["benchmarks"]["pope"]["metrics"]["f1_random"] |= change
    scores = {name: measured.Scores(Path("r"), content, name) for name in content["benchmarks"]}
    return EXTENSIONS["A"].columns[-1].metric_of(scores)


@pytest.mark.parametrize(
    ("change", "low", "high"),
    [({"low": 0.5, "high": 0.8}, 40.1 - math.hypot(1, 1, 1, 0, 0.01) / 5, 40.1 + math.hypot(1, 1, 1, 30, 0.01) / 5)],
)
def test_each_side_of_the_means_interval_is_joined_by_itself(change: dict[str, Any], low: float, high: float) -> None:
    found = mean_of(change)
    assert (found["low"], found["high"]) == pytest.approx((low, high))
    assert "few_clusters" not in found


def test_a_part_without_an_interval_or_with_few_clusters_marks_the_mean() -> None:
    assert (mean_of({"low": None, "high": None})["low"], mean_of({"few_clusters": 4})["few_clusters"]) == (None, 4)
    assert mean_of({"value": None}) is None


def test_without_srum_there_is_none_and_nothing_is_said(tmp_path: Path) -> None:
    runs = trainings(tmp_path, suder=SUDER, alone=ALONE, clip="strategy: only-gen\nreward: {gen: clip}\n")
    rows = measured.read(runs)
    made, left_out = build(rows)
    assert "A" not in {table.number for table in made}
    drawn, lacking = figures.build(rows, runs)
    assert "A" not in {figure.number for figure in drawn}
    assert not any("Extension" in line for line in (*left_out, *lacking))
    for make in (lambda: build(rows, ["A"]), lambda: figures.build(rows, runs, ["A"])):
        with pytest.raises(UserError) as error:
            make()
        assert str(error.value) == (
            "Extension A compares trainings (unified, only-gen; reward srum or 0.5 dsr + 0.5 srum) and none was given; make one"
            " with: suder-bench train --config srum --out runs/srum && suder-bench track runs/srum --suite all"
        )


@pytest.mark.parametrize(
    "recipe",
    [
        SRUM + "algorithm: weighted\n" + CREDIT,
        SRUM + "algorithm: grpo\n" + CREDIT,
        "strategy: only-gen\nreward: {gen: {dsr: 0.9, srum: 0.1}}\n" + CREDIT,
        "strategy: only-gen\nsrum: {credit: guidance}\n",
    ],
    ids=["offline", "grpo", "another mixture", "credit by guidance"],
)
def test_trainings_of_another_kind_are_left_to_the_other_tables(tmp_path: Path, recipe: str) -> None:
    made, _ = build(measured.read(trainings(tmp_path, suder=SUDER, other=recipe)))
    assert "A" not in {table.number for table in made}
    assert "my-model + dsr (simpo), unified" in [one.label for table in made for one in table.rows]


def test_a_start_model_that_srum_never_trained_stays_out(tmp_path: Path) -> None:
    other = write_training(tmp_path / "other", SUDER, 0.5, 0.6, start="other", benchmarks=GEN)  # which needs no understanding
    made, left_out = build(measured.read([*all_four(tmp_path), other]))
    [table] = [table for table in made if table.number == "A"]
    assert not any(one.label.startswith("other") for one in table.rows)
    assert not any(line.startswith("Extension") for line in left_out)


def test_srum_without_understanding_is_told_once_with_its_command(tmp_path: Path) -> None:
    runs = [write_training(tmp_path / "t", SRUM + CREDIT, 0.5, 0.6, benchmarks=GEN)]
    rows = measured.read(runs)
    _, left_out = build(rows)
    _, lacking = figures.build(rows, runs)
    [line] = {line for line in (*left_out, *lacking) if line.startswith("Extension")}
    assert line.startswith("Extension A needs hallusionbench and llavabench and pope and mmbench and seedbench of my-model")
    assert "score it with: suder-bench run --model my-model --suite und" in line


def test_the_world_has_a_file_of_its_own_and_other_judges_too(tmp_path: Path) -> None:
    runs = []
    for name, changes in (("world", {"world": True}), ("foreign", {"judge": FOREIGN})):
        run = tmp_path / name
        run.mkdir()
        (run / "recipe.yaml").write_text(f"model: my-model\n{SRUM}{CREDIT}")
        for step, model in ((0, "my-model"), (10, f"{name}-trained")):
            write_run(run / f"evaluations/step-{step}/all", summary(*GEN, *UND, model=model, **changes))
        runs.append(run)
    made, _ = build(measured.read(runs), ["A"])
    assert [table.name for table in made] == ["extension-a-world", "extension-a-other-2"]
    assert "on the embedded world, not comparable with published numbers" in made[0].title
    drawn, _ = figures.build(measured.read(runs), runs, ["A"])
    assert [figure.name for figure in drawn] == ["extension-a-world", "extension-a-other-2"]


def test_the_figure_has_bars_of_the_means_by_method(tmp_path: Path) -> None:
    runs = [*all_four(tmp_path), *trainings(tmp_path / "more", plain=SRUM)]
    [figure] = figures.build(measured.read(runs), runs, ["A"])[0]
    assert (figure.name, figure.title) == (
        "extension-a-real",
        "Extension A. SUDER against SRUM against both (ours, in neither paper): measured",
    )
    assert isinstance(figure.content, Chart)
    assert (figure.content.kind, figure.content.columns) == ("bars", ("GenEval", "T2I-CompBench", "Understanding"))
    assert [(one.label, one.role) for one in figure.content.series] == [
        ("before training", "start"),
        ("SUDER, unified", "measured"),
        ("SUDER, only-gen", "measured"),
        ("SRUM, only-gen", "measured"),
        ("both, unified", "measured"),
        ("SRUM without boxes, only-gen", "measured"),
    ]
    [mark] = figure.content.series[0].of("Understanding")
    assert mark.value == pytest.approx(0.401)
    assert mark.low is not None
    assert mark.low < mark.value
    assert not any("paper prints" in note for note in figure.notes)


def test_its_files_say_that_it_is_no_table_of_the_papers(tmp_path: Path) -> None:
    table = extension(all_four(tmp_path))
    old = tmp_path / "out/tables/extension-a-world.md"
    old.parent.mkdir(parents=True)
    old.write_text("of an earlier report")
    write([table], tmp_path / "out")
    assert not old.exists()
    assert (tmp_path / "out/tables.md").read_text().startswith("### Extension A. SUDER against SRUM against both (ours, ")
    tex = (tmp_path / "out/tables/extension-a-real.tex").read_text()
    assert r"\renewcommand{\tablename}{Extension}\renewcommand{\thetable}{A}" in tex
    assert r"\caption{SUDER against SRUM against both (ours, in neither paper): measured." in tex
    assert r"\thetable}{1}" not in tex


def test_rows_are_alike_whatever_order_rewards_were_written_in(tmp_path: Path) -> None:
    runs = trainings(tmp_path, one=BOTH + CREDIT, other=BOTH.replace("srum: 0.5, dsr: 0.5", "dsr: 0.5, srum: 0.5") + CREDIT)
    labels: list[Row] = list(extension(runs).rows[1:])
    assert {one.label.split(" (")[0] for one in labels} == {"my-model + 0.5 dsr + 0.5 srum"}
