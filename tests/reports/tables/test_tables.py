"""What may share a table, what each cell shows, and what is said when something is missing."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from fake_runs import FOREIGN, GEN, OWN, UND, summary, write_run, write_training

from suder_bench.cli import options
from suder_bench.cli import run as command
from suder_bench.errors import UserError
from suder_bench.reports import measured
from suder_bench.reports.tables import Row, Table, build, lines
from suder_bench.reports.tables.layout import LAYOUTS
from suder_bench.runs.recipe import recipe_of


def tables(tmp_path: Path, number: int, *contents: dict[str, Any]) -> list[Table]:
    runs = [write_run(tmp_path / f"run-{i}", content) for i, content in enumerate(contents)]
    return build(measured.read(runs), [number])[0]


def row(table: Table, label: str) -> Row:
    return next(one for one in table.rows if one.label == label)


def labels(table: Table) -> list[str]:
    return [one.label for one in table.rows if one.group == "measured"]


def values(one: Row) -> list[str]:
    return [cell.value for cell in one.cells]


def test_a_comparable_run_stands_beside_the_published_rows_with_its_interval(tmp_path: Path) -> None:
    [table] = tables(tmp_path, 1, summary(value=0.78245))
    assert table.title == "Table 1. T2I-CompBench: published and measured"
    mine = row(table, "my-model")
    assert (mine.cells[0].value, mine.cells[0].low, mine.cells[0].high) == ("0.7824", "0.7724", "0.7924")
    assert mine.cells[3].rank == "best"
    assert row(table, "FLUX.1").cells[3].rank == "second"
    assert row(table, "Janus-Pro-7B + SUDER").cells[0].rank == mine.cells[0].rank == "second"


def test_srums_table_has_its_footnote_and_is_made_of_runs_that_were_rated_so(tmp_path: Path) -> None:
    run = write_run(tmp_path / "r", summary("t2i-compbench", protocol="srum", value=61.5))
    made, _ = build(measured.read([run]))
    paper, other = [table for table in made if table.number == 7]
    assert paper.title == "Table 7. T2I-CompBench as SRUM's judge rates it, 0 to 100 (not SUDER's): published"
    tuned = row(paper, "Bagel+SRUM (CoT)")
    assert (tuned.cells[-1].value, tuned.cells[-1].gain) == ("88.37", "+3.91")
    [note] = tuned.cells[-1].notes
    assert "Like for like it is 82.18 to 86.55, and 84.46 to 88.37." in note
    assert values(row(other, "my-model"))[1:3] == ["61.50", "61.50"]
    plain, _ = build(measured.read([write_run(tmp_path / "plain", summary())]))
    assert {table.number for table in plain} <= {1, 2, 3, 6}
    assert refused([run], 8).startswith("Table 8 needs t2i-reasonbench, which no run has scored; score it with: ")


def test_understanding_is_printed_in_percent(tmp_path: Path) -> None:
    [table] = tables(tmp_path, 3, summary(value=0.8123))
    assert values(row(table, "my-model")) == ["81.2", "0.8", "81.2", "81.2", "81.2"]


@pytest.mark.parametrize(
    "other",
    [
        {"world": True},
        {"judge": FOREIGN},
        {"judge": {**OWN, "unchecked": True}},
        {"judge": {**OWN, "fingerprint": "other weights"}},
        {"protocol": "fixed"},
        {"limit": 6},
        {"deviations": ["3 prompts rewritten"]},
    ],
    ids=[
        "world",
        "foreign judge",
        "unchecked judge",
        "other weights of the judge",
        "protocol",
        "some of the questions",
        "marked",
    ],
)
def test_what_is_not_comparable_has_a_table_of_its_own(tmp_path: Path, other: dict[str, Any]) -> None:
    beside, alone = tables(tmp_path, 1, summary(), summary(model="other", **other))
    assert labels(beside) == ["my-model"]
    assert [one.label for one in alone.rows] == ["other"]
    assert "not comparable" in alone.title
    assert beside.name != alone.name


ASKED = {
    "color": ["vqa"],
    "shape": ["vqa"],
    "texture": ["vqa"],
    "spatial": ["detector-2d"],
    "non_spatial": ["clip"],
    "complex": ["vqa", "detector-2d"],
}


def judged_apart(**changes: Any) -> dict[str, Any]:
    """A run of T2I-CompBench whose spatial relations were judged by another detector."""
    content = summary("t2i-compbench", **changes)
    entry = content["benchmarks"]["t2i-compbench"]
    entry["judges"] = content["recipe"]["judges"]["t2i-compbench"] = {"vqa": OWN, "detector-2d": FOREIGN, "clip": OWN}
    for metric, roles in ASKED.items():
        entry["metrics"][metric]["judges"] = roles
    return content


def test_a_foreign_judge_takes_only_its_own_columns_from_beside_the_published_rows(tmp_path: Path) -> None:
    whole = judged_apart(model="whole")
    whole["benchmarks"]["t2i-compbench"]["judges"]["detector-2d"] = whole["recipe"]["judges"]["t2i-compbench"]["detector-2d"] = (
        OWN
    )
    beside, alone = tables(tmp_path, 1, whole, judged_apart(model="mixed"))
    assert labels(beside) == ["whole", "mixed"]
    mixed, rest = row(beside, "mixed"), row(alone, "mixed")
    assert [bool(cell.value) for cell in mixed.cells] == [True, True, True, False, True, False]
    assert [bool(cell.value) for cell in rest.cells] == [False, False, False, True, False, True]
    assert mixed.cells[3].notes == ("Measured, but not quite as the benchmark does it, and in a table apart.",)
    assert rest.cells[0].notes == ("Measured as the benchmark does it, and beside the published numbers.",)
    assert "t2i-compbench: judge detector-2d is open-clip, not the benchmark's own" in alone.title
    (told,) = [line for label, lines in alone.recipes if label == "mixed" for line in lines if line.startswith("t2i-compbench")]
    assert "detector-2d open-clip (fedcba987654, not the benchmark's own)" in told


def test_a_mean_over_fewer_categories_is_not_set_beside_the_published_one(tmp_path: Path) -> None:
    content = summary("geneval")
    content["benchmarks"]["geneval"]["metrics"]["overall"]["without"] = ["counting"]
    beside, alone = tables(tmp_path, 2, content)
    assert [bool(cell.value) for cell in row(beside, "my-model").cells] == [True] * 6 + [False]
    assert [bool(cell.value) for cell in row(alone, "my-model").cells] == [False] * 6 + [True]
    assert "geneval: overall without counting" in alone.title


def test_what_is_known_of_a_judges_file_stands_in_the_footnotes(tmp_path: Path) -> None:
    content = judged_apart(model="mixed")
    known, unknown = OWN | {"weights": "exact"}, FOREIGN | {"backend": "unidet-rs200", "weights": "digest unknown"}
    for judges in (content["benchmarks"]["t2i-compbench"]["judges"], content["recipe"]["judges"]["t2i-compbench"]):
        judges |= {"vqa": known, "detector-2d": unknown}
    beside, alone = tables(tmp_path, 1, content)
    told = [line for table in (beside, alone) for _, lines in table.recipes for line in lines if line.startswith("t2i-compbench")]
    assert "vqa official (0123456789ab, the official file)" in told[0]
    assert "detector-2d unidet-rs200 (fedcba987654, official by name, digest unknown)" in told[1]
    assert "judge detector-2d is unidet-rs200, official by name, digest unknown" in alone.title


def test_what_lacks_a_judge_is_told_under_the_table(tmp_path: Path) -> None:
    contents = [summary("t2i-compbench", model="whole", failed=30), summary("t2i-compbench", failed=40)]
    for content in contents:
        entry = content["benchmarks"]["t2i-compbench"]
        entry["unjudged"] = {"responses": 30, "roles": ["detector-2d"], "metrics": ["spatial", "complex", "average"]}
        for metric in ("spatial", "complex"):
            del entry["metrics"][metric]
    beside, apart = tables(tmp_path, 1, *contents)
    assert labels(beside) == ["whole"]
    assert row(apart, "my-model").notes == (
        "t2i-compbench: 10 failed, 30 not judged of the responses, 360 judged.",
        "t2i-compbench lacks detector-2d, and so has no spatial, complex, average.",
    )


def test_the_world_never_meets_published_rows(tmp_path: Path) -> None:
    paper, world = tables(tmp_path, 2, summary(world=True), summary(world=True, model="other", value=0.6))
    assert labels(paper) == []
    assert paper.title == "Table 2. GenEval: published"
    assert "on the embedded world, not comparable with published numbers" in world.title
    assert labels(world) == [one.label for one in world.rows] == ["my-model", "other"]


def test_titles_tell_what_sets_a_table_apart(tmp_path: Path) -> None:
    judge = {"backend": "world", "exact": False, "fingerprint": "w"}
    runs = [summary(world=True, judge=judge), summary(world=True, judge=judge, limit=6), summary(judge=FOREIGN)]
    _, whole, part, foreign = tables(
        tmp_path, 2, *(one if i != 1 else {**one, "benchmarks": _halved(one)} for i, one in enumerate(runs))
    )
    assert whole.title.endswith("published numbers")
    assert part.title.endswith("published numbers (geneval: only some of the samples (--limit 6))")
    assert foreign.title.endswith(
        "not comparable with the other tables (geneval: judge judge is open-clip, not the benchmark's own)"
    )
    assert [table.name for table in (whole, part, foreign)] == ["table-2-world", "table-2-world-2", "table-2-other-3"]


def test_a_mark_is_told_and_two_marks_stand_apart(tmp_path: Path) -> None:
    marks = ["1 sample left out", "2 samples left out"]
    runs = [summary(model=mark, deviations=[mark]) for mark in marks]
    _, one, other = tables(tmp_path, 2, *runs)
    for table, mark in zip((one, other), marks, strict=True):
        assert table.title.endswith(f"not comparable with the other tables (geneval: {mark})")


def test_no_mark_stands_beside_published_rows_though_the_run_is_the_first(tmp_path: Path) -> None:
    paper, alone = tables(tmp_path, 1, summary(deviations=["1 sample left out"]))
    assert (labels(paper), labels(alone)) == ([], ["my-model"])


@pytest.mark.parametrize("lost", ["skipped", "failed"])
def test_a_run_that_lost_responses_does_not_stand_beside_published_rows(tmp_path: Path, lost: Any) -> None:
    more = summary("geneval", model="more", **{lost: 300})
    beside, alone = tables(tmp_path, 2, summary("geneval"), summary("geneval", model="less", **{lost: 2}), more)
    assert (labels(beside), labels(alone)) == (["my-model"], ["less", "more"])
    assert alone.title.endswith("not comparable with the other tables (geneval: not all responses are there and judged)")
    assert row(alone, "more").notes == (f"geneval: 300 {lost} of the responses, 100 judged.",)


def _halved(content: dict[str, Any]) -> dict[str, Any]:
    return {name: {**entry, "n_samples": 6} for name, entry in content["benchmarks"].items()}


def test_gains_are_points_over_the_first_run(tmp_path: Path) -> None:
    [table] = tables(tmp_path, 2, summary(value=0.5), summary(model="other", value=0.456))
    other = row(table, "other")
    assert other.base == "my-model"
    assert {cell.gain for cell in other.cells} == {"-4"}
    assert {cell.gain for cell in row(table, "my-model").cells} == {""}
    assert row(table, "Janus-Pro-7B + SUDER").cells[-1].gain == "+5"


def test_another_model_is_no_start_of_a_training(tmp_path: Path) -> None:
    other = write_run(tmp_path / "other", summary(model="other"))
    training = write_training(tmp_path / "t", "", 0.5, 0.6)
    (training / "evaluations/step-0/all/run.json").unlink()
    rows = measured.read([other, training])
    assert [row.base for row in rows] == ["", "other"]  # which its gains are told over
    [table] = [one for one in build(rows, [4])[0] if one.name == "table-4-paper"]
    assert "other" not in labels(table)


def test_of_several_runs_of_the_start_model_the_one_scored_alike_is_the_base(tmp_path: Path) -> None:
    few = write_run(tmp_path / "few", summary(value=0.4, benchmarks={}, limit=6))
    training = write_training(tmp_path / "t", "", 0.5, 0.6)
    rows = measured.read([few, training])
    assert [row.base for row in rows] == ["", "", rows[1].label]
    assert rows[1].runs == [training / "evaluations/step-0/all"]


def test_of_two_evaluations_of_a_step_the_larger_counts(tmp_path: Path) -> None:
    training = write_training(tmp_path / "t", "", 0.5, 0.6)
    small = summary("geneval", model=f"{training}/checkpoint-10", value=0.1)
    small["benchmarks"]["geneval"]["n_samples"] = 6
    write_run(training / "evaluations/step-10/geneval", small)
    rows = measured.read([training])
    [table] = build(rows, [2])[0]
    assert values(row(table, rows[1].label)) == ["0.60"] * 7


def test_responses_made_elsewhere_share_a_table_where_data_and_judges_are_the_same(tmp_path: Path) -> None:
    elsewhere = summary("geneval", model="elsewhere")
    data = elsewhere["recipe"]["benchmarks"]["geneval"]["data"]
    elsewhere["recipe"]["benchmarks"] = {"geneval": {"protocol": "official", "samples": 100, "data": data}}
    [table] = build(measured.read([write_run(tmp_path / "e", elsewhere), write_run(tmp_path / "r", summary("geneval"))]), [2])[0]
    assert labels(table)[-2:] == ["elsewhere", "my-model"]


def test_runs_of_one_model_share_a_row(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / "gen", summary(*GEN)), write_run(tmp_path / "und", summary(*UND))]
    [one] = measured.read(runs)
    assert set(one.scores) == {*GEN, *UND}
    assert measured.read([runs[0], runs[0]])[0].label == "my-model"


def test_two_runs_of_one_model_are_told_apart(tmp_path: Path) -> None:
    [table] = tables(tmp_path, 1, summary(), summary(value=0.4, seed=1))
    assert labels(table) == [f"my-model ({tmp_path}/run-0)", f"my-model ({tmp_path}/run-1)"]


def test_lost_responses_and_the_recipe_are_told(tmp_path: Path) -> None:
    [_published, table] = tables(tmp_path, 1, summary(failed=3))
    assert "not all responses are there and judged" in table.title
    assert row(table, "my-model").notes == ("t2i-compbench: 3 failed of the responses, 397 judged.",)
    [(label, lines)] = table.recipes
    assert label == "my-model"
    assert "seed 0; image sampling temperature 1.0, guidance 5.0" in lines[0]
    assert lines[1] == (
        "t2i-compbench: protocol official; 100 samples x 4; 397 responses judged; judges judge official (0123456789ab)"
    )


def test_footnotes_have_letters_in_the_order_of_reading(tmp_path: Path) -> None:
    [table] = tables(tmp_path, 3, summary())
    assert list(table.footnotes.values()) == [chr(ord("a") + i) for i in range(len(table.footnotes))]
    assert len(table.footnotes) == 6


def test_training_runs_fill_the_ablation_tables(tmp_path: Path) -> None:
    runs = [
        write_training(tmp_path / "both", "strategy: unified\n", 0.5, 0.55, 0.6),
        write_training(tmp_path / "gen", "strategy: only-gen\nreward:\n  gen: {dsr: 1.0}\n", 0.5, 0.7),
        write_training(tmp_path / "clip", "strategy: only-gen\nreward:\n  gen: clip\n", 0.5, 0.65),
        write_training(tmp_path / "grpo", "strategy: unified\nalgorithm: grpo\n", 0.5, 0.65),
    ]
    made, left_out = build(measured.read(runs))
    assert left_out == []
    by_number = {table.number: table for table in made}
    both, gen, clip = (f"my-model + {how}" for how in ("dsr (simpo), unified", "dsr (simpo), only-gen", "clip (simpo), only-gen"))
    assert labels(by_number[4]) == ["my-model", both, gen]
    assert labels(by_number[5]) == ["my-model", gen, clip]
    assert len(labels(by_number[1])) == 5
    assert row(by_number[4], both).cells[0].gain == "+10.00"
    assert by_number[4].recipes[1][1][0] == f"trained: unified, simpo, reward dsr, step 20 of {tmp_path}/both"


def test_a_training_with_credit_for_parts_is_none_of_the_papers(tmp_path: Path) -> None:
    both = write_training(tmp_path / "both", "strategy: unified\nsrum: {credit: 'off'}\n", 0.5, 0.55)
    parts = write_training(tmp_path / "parts", "strategy: unified\nsrum: {credit: guidance}\n", 0.5, 0.7)
    rows = measured.read([both, parts])
    assert [one.label for one in rows[1:]] == [
        f"my-model + dsr ({how}), unified" for how in ("simpo", "simpo with credit by guidance")
    ]
    [table] = [one for one in build(rows)[0] if one.number == 4]
    assert labels(table) == ["my-model", "my-model + dsr (simpo), unified"]


def test_a_checkpoint_run_alone_is_told_by_its_training(tmp_path: Path) -> None:
    training = write_training(tmp_path / "t", "strategy: only-und\n")
    run = write_run(tmp_path / "run", summary(model=f"{training}/checkpoint-30"))
    assert [one.label for one in measured.read([run])] == ["my-model + dsr (simpo), only-und, step 30"]


def refused(paths: list[Path], *asked: int) -> str:
    with pytest.raises(UserError) as error:
        build(measured.read(paths), asked)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_missing_run_comes_with_the_command_that_makes_it(tmp_path: Path) -> None:
    path = tmp_path / "no run"
    assert refused([path]) == f"{path} does not exist; make it with: suder-bench run --model MODEL --suite all --out '{path}'"


def test_a_run_in_progress_comes_with_the_command_that_finishes_it(tmp_path: Path) -> None:
    run = write_run(tmp_path / "r", {**summary(*GEN, limit=6), "suite": "gen"}, finished=False)
    assert refused([run]) == (
        f"{run} is in progress or was interrupted (no summary.json); finish it with: suder-bench run --model my-model "
        "--suite gen --data official --seed 0 --limit 6 --device cpu --dtype float32 --protocol official "
        f"--guidance 5.0 --temperature 1.0 --out {run}"
    )


def test_the_command_that_finishes_a_run_asks_for_its_recipe() -> None:
    """With every option that decides responses."""

    def recipe(words: Sequence[str]) -> dict[str, Any]:
        args = command.parser().parse_args(words)
        model, settings = options.settings(args, lambda: options.choose_model(args, args.model))
        return recipe_of("r", settings, [], {"name": model.name})

    asked = "--model tiny-janus --suite und --data world --size full --prompt-style llava --protocol lmms-eval --allow-missing 1"
    asked += " --seed 3 --limit 6,pope=9 --repeats 2 --guidance 2 --temperature 0.5 --steps 7 --device cpu --dtype float32"
    asked += " --judge llm=world --judge-dtype float16"
    made = recipe(asked.split())
    assert recipe(shlex.split(measured.command_of(Path("r"), made))[2:]) == made


def test_the_command_that_finishes_a_run_names_its_judges(tmp_path: Path) -> None:
    made = summary(*GEN)
    made["recipe"] |= {"judge_choice": {"detector": "official:my file"}, "judge_dtype": "float32"}
    run = write_run(tmp_path / "r", {**made, "suite": "gen"}, finished=False)
    assert f"--judge 'detector=official:my file' --judge-dtype float32 --out {run}" in refused([run])


def test_a_folder_that_is_no_run(tmp_path: Path) -> None:
    assert refused([tmp_path]).startswith(f"{tmp_path} is not a run folder (no summary.json); make it with: ")


def test_a_training_that_was_not_evaluated(tmp_path: Path) -> None:
    training = write_training(tmp_path / "t", "", 0.5)
    assert (
        refused([training]) == f"{training} has no evaluated checkpoint; make them with: suder-bench track {training} --suite all"
    )


def test_a_table_without_its_benchmark(tmp_path: Path) -> None:
    run = write_run(tmp_path / "r", summary(*GEN))
    assert refused([run], 3) == (
        "Table 3 needs hallusionbench or llavabench or pope or mmbench or seedbench, which no run has scored; "
        "score it with: suder-bench run --model my-model --suite und"
    )


def test_a_table_that_needs_both_suites(tmp_path: Path) -> None:
    training = write_training(tmp_path / "t", "", 0.5, 0.6, benchmarks=GEN)
    assert refused([training], 4) == (
        "Table 4 needs hallusionbench and llavabench of my-model; "
        "score it with: suder-bench run --model my-model --benchmark hallusionbench --benchmark llavabench"
    )


def test_a_training_of_another_model_that_is_scored_on_less_keeps_no_table_back(tmp_path: Path) -> None:
    whole = write_training(tmp_path / "whole", "strategy: unified\n", 0.5, 0.6)
    part = write_training(tmp_path / "part", "strategy: unified\n", 0.3, 0.7, benchmarks=GEN, start="other")
    made, lines = build(measured.read([whole, part]), [4])
    assert [labels(table) for table in made] == [["my-model", "my-model + dsr (simpo), unified"]]
    assert lines == [
        "Table 4 needs hallusionbench and llavabench of other; "
        "score it with: suder-bench run --model other --benchmark hallusionbench --benchmark llavabench"
    ]


def test_a_start_model_is_compared_with_no_other_one(tmp_path: Path) -> None:
    one = write_training(tmp_path / "one", "strategy: unified\n", 0.5, 0.6)
    other = write_training(tmp_path / "other", "strategy: unified\n", 0.3, 0.7, start="other")
    rows = measured.read([one, other])
    assert [(row.label, row.base) for row in rows if row.training is None] == [("my-model", ""), ("other", "")]


def test_runs_of_different_suites(tmp_path: Path) -> None:
    one = write_run(tmp_path / "one", summary(*GEN, model="one"))
    other = write_run(tmp_path / "other", summary(*UND, model="other"))
    made, lines = build(measured.read([one, other]), [1, 2, 3])
    assert [table.number for table in made] == [1, 2, 3]
    assert lines == [
        f"one in Table 3: not scored on {', '.join(LAYOUTS[3].benchmarks)}; "
        "score it with: suder-bench run --model one --suite und",
        "other in Table 1, Table 2: not scored on t2i-compbench, geneval; "
        "score it with: suder-bench run --model other --suite gen",
    ]


def test_a_comparison_of_trainings_without_one(tmp_path: Path) -> None:
    run = write_run(tmp_path / "r", summary())
    assert "make one with: suder-bench train --config clip-reward --out runs/clip-reward" in refused([run], 5)


def test_nothing_scored_at_all(tmp_path: Path) -> None:
    content = summary(*GEN)
    for entry in content["benchmarks"].values():
        entry["metrics"] = {}
    run = write_run(tmp_path / "r", content)
    assert refused([run]) == (
        f"no score for any of Tables 1-6 in {run}; score it with: suder-bench run --model my-model --suite all"
    )


@pytest.mark.parametrize(
    ("value", "digits"), [(0.125, "0.1250"), (0.78245, "0.7824"), (0.78255, "0.7826"), (1.0, "1.0000"), (None, "")]
)
def test_rounding_is_of_the_decimal_that_json_shows(value: float | None, digits: str) -> None:
    assert LAYOUTS[1].columns[0].shown(value) == digits


@pytest.mark.parametrize(("value", "base", "gain"), [("0.56", "0.5892", "-2.92"), ("0.5", "0.5", "0.00"), ("", "0.5", "")])
def test_gains_are_differences_of_the_digits_in_print(value: str, base: str, gain: str) -> None:
    assert LAYOUTS[1].columns[0].gain(value, base) == gain


def few(content: dict[str, Any], clusters: int, *, interval: bool = True) -> dict[str, Any]:
    """The summary with every metric resting on so few clusters."""
    for entry in content["benchmarks"].values():
        for metric in entry["metrics"].values():
            metric |= {"few_clusters": clusters} | ({} if interval else {"low": None, "high": None})
    return content


def test_an_interval_over_few_prompts_has_a_footnote_and_a_missing_one_too(tmp_path: Path) -> None:
    _, table = tables(
        tmp_path, 2, few(summary(world=True), 5), few(summary(world=True, model="none", value=0.9), 3, interval=False)
    )
    [letter] = table.footnotes.values()
    [text] = table.footnotes
    assert text.startswith("Over fewer than ten prompts, pictures or question groups: the interval is Student's t")
    [(_, shown)] = lines.groups(table)
    assert [(one.text, one.marks) for one in shown[1].entries] == [("0.49 to 0.51", letter)] * 7
    assert [(one.text, one.marks) for one in shown[3].entries] == [("-", letter)] * 7
    assert dict(lines.signs(table))["-"].endswith("too little was measured to give one.")
    assert [cell.rank for cell in row(table, "none").cells] == [""] * 7


def test_measured_rows_that_cannot_be_told_apart_are_tied_and_none_is_second(tmp_path: Path) -> None:
    contents = [summary(world=True, model=f"m{i}", value=value) for i, value in enumerate((0.6, 0.592, 0.5))]
    _, table = tables(tmp_path, 2, *contents)
    assert [(one.cells[0].rank, one.cells[0].tied) for one in table.rows] == [("best", True), ("best", True), ("", False)]
    assert "=" in dict(lines.signs(table))


def test_rows_told_apart_are_best_and_second_and_those_next_may_be_tied(tmp_path: Path) -> None:
    contents = [summary(world=True, model=f"m{i}", value=value) for i, value in enumerate((0.9, 0.592, 0.6, 0.5))]
    _, table = tables(tmp_path, 2, *contents)
    ranks = [(one.cells[0].rank, one.cells[0].tied) for one in table.rows]
    assert ranks == [("best", False), ("second", True), ("second", True), ("", False)]


def test_an_interval_that_holds_another_wholly_is_no_win(tmp_path: Path) -> None:
    wide = summary(world=True, model="wide", value=0.4)
    for metric in wide["benchmarks"]["geneval"]["metrics"].values():
        metric |= {"low": 0.1, "high": 0.9}
    _, table = tables(tmp_path, 2, summary(world=True), wide)
    assert [(one.cells[0].rank, one.cells[0].tied) for one in table.rows] == [("best", True), ("best", True)]


@pytest.mark.parametrize("value", [-0.0, -0.00004])
def test_zero_has_no_sign(value: float) -> None:
    assert LAYOUTS[1].columns[0].shown(value) == "0.0000"


@pytest.mark.parametrize("world", [False, True], ids=["real", "world"])
def test_the_table_about_show_o_admits_no_other_model(tmp_path: Path, world: bool) -> None:
    [table] = tables(tmp_path, 6, summary(world=world, model="tiny-janus"), summary(world=world, model="showoff", value=0.6))
    assert labels(table) == []
    assert table.title == "Table 6. T2I-CompBench with Show-o: published"
    assert "Of Show-o, which this table is about, nothing was measured here." in table.notes


@pytest.mark.parametrize("name", ["showo:/models/show", "showlab/show-o-512x512", "pictures/Show-o"])
def test_the_table_about_show_o_admits_it_however_it_is_named(tmp_path: Path, name: str) -> None:
    [table] = tables(tmp_path, 6, summary(model=name), summary(model="my-model"))
    assert labels(table) == [name]
    assert "Of Show-o" not in " ".join(table.notes)


def test_a_model_is_of_the_family_whose_adapter_loads_it_and_so_is_what_was_trained_from_it(tmp_path: Path) -> None:
    loaded = summary(model="my/checkpoint")
    loaded["recipe"]["model"]["adapter"] = "showo"
    training = write_training(tmp_path / "t", "", 0.5, 0.6, start="showo:base")
    rows = measured.read([write_run(tmp_path / "r", loaded), training, write_run(tmp_path / "j", summary())])
    [table] = build(rows, [6])[0]
    assert labels(table) == ["my/checkpoint", "showo:base", "showo:base + dsr (simpo), unified"]


def test_rows_that_a_table_is_not_about_have_no_gaps_in_it(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / "r", summary("geneval")), write_run(tmp_path / "s", summary("t2i-compbench", model="showo:x"))]
    _, told = build(measured.read(runs), [6])
    assert told == []


def test_trainings_of_two_models_are_compared_in_two_tables(tmp_path: Path) -> None:
    one = write_training(tmp_path / "one", "strategy: unified\n", 0.5, 0.6)
    other = write_training(tmp_path / "other", "strategy: only-gen\n", 0.3, 0.7, start="large")
    first, second = build(measured.read([one, other]), [4])[0]
    assert labels(first) == ["my-model", "my-model + dsr (simpo), unified"]
    assert first.title.endswith(": published and measured (trained from my-model)")
    assert labels(second) == ["large", "large + dsr (simpo), only-gen"]
    assert second.title.endswith("(trained from large)")
    assert first.name != second.name
