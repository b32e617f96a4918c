"""What agrees with the paper and what contradicts it, from runs whose differences are given."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path

import pytest
from fake_runs import summary, write_run, write_training

from suder_bench.errors import UserError
from suder_bench.reports import measured
from suder_bench.reports.admission import start_of
from suder_bench.reports.findings import Finding, claims, findings, render, write
from suder_bench.stats import Paired

RECIPES = {
    "unified": "strategy: unified\n",
    "only-und": "strategy: only-und\n",
    "only-gen": "strategy: only-gen\n",
    "clip-reward": "strategy: only-gen\nreward: {gen: {clip: 1.0}}\n",
    "separate": "strategy: separate\n",
    "grpo": "strategy: unified\nalgorithm: grpo\n",
}
Rows = Callable[..., list[measured.Measured]]


@pytest.fixture
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rows:
    """rows(*names) -> the rows of these trainings; only the unified one measured its start model too."""
    monkeypatch.chdir(tmp_path)

    def make(*names: str) -> list[measured.Measured]:
        for name in names:
            write_training(Path(name), RECIPES[name], 0.5, 0.6)
            if name != "unified":
                (Path(name) / "evaluations" / "step-0" / "all" / "run.json").unlink()
        return measured.read([Path(name) for name in names])

    return make


def differences(**by_pair: float) -> Callable[[str, Sequence[str], Path, Path], Paired]:
    """b - a by the names of their trainings ("unified_base"), known within 0.02; 0 for other pairs."""

    def difference(benchmark: str, metrics: Sequence[str], a: Path, b: Path) -> Paired:
        names = ["base" if "step-0" in path.parts else path.parts[0].replace("-", "") for path in (b, a)]
        found = by_pair.get("_".join(names), 0.0)
        return Paired(0.5, 0.5 + found, found, found - 0.02, found + 0.02, 0.01, 0.02, 100)

    return difference


def told(found: Sequence[Finding]) -> dict[str, str]:
    return {one.claim.text: one.verdict for one in found}


def test_the_paper_s_own_differences_are_those_of_its_tables():
    printed = {claim.text: dict(claim.printed) for claim in claims()}
    assert round(printed["SUDER raises T2I-CompBench"]["Janus-Pro-7B"], 2) == Decimal("11.68")
    assert printed["SUDER raises GenEval"] == {"Janus-Pro-1B": 5, "Janus-Pro-7B": 5}
    assert printed["SUDER raises POPE"]["Janus-Pro-7B"] == Decimal("-0.2")
    assert printed["DSR leaves LLaVABench higher than CLIP as a reward"] == {"Janus-Pro-7B": Decimal("3.3")}
    assert printed["Two models in turns are ahead of one in LLaVABench"] == {"Janus-Pro-7B": 2}
    assert printed["SimPO draws better than GRPO"] == {}


def test_the_verdict_is_the_interval_s_sign(rows: Rows):
    made = rows(*RECIPES)
    found = told(findings(made, differences(unified_base=0.1, unified_grpo=-0.1, onlygen_clipreward=0.01, unified_onlygen=-0.05)))
    assert {verdict for text, verdict in found.items() if text.startswith("SUDER raises")} == {"agrees"}
    assert found["SimPO draws better than GRPO"] == "contradicts"
    assert found["DSR draws better than CLIP as a reward"] == "cannot tell"
    assert found["Training on both tasks draws as well as generation alone"] == "contradicts"
    assert found["Training on both tasks raises HallBench as much as understanding alone"] == "cannot tell"


def test_a_fall_agrees_where_the_paper_has_one(rows: Rows):
    made = rows("unified", "only-und")
    assert told(findings(made, differences(onlyund_base=-0.1)))["Training on understanding alone harms drawing"] == "agrees"


def test_differences_are_in_points_of_the_printed_column(rows: Rows):
    found = {one.claim.text: one for one in findings(rows("unified"), differences(unified_base=0.1))}
    geneval, llava = found["SUDER raises GenEval"], found["SUDER raises LLaVABench"]
    assert (geneval.difference, geneval.low, geneval.high) == pytest.approx((10, 8, 12))
    assert llava.difference == pytest.approx(0.1)  # which counts in points already
    assert geneval.runs == ("unified/evaluations/step-10/all", "unified/evaluations/step-0/all")


def test_what_was_not_trained_is_named_with_its_command(rows: Rows):
    made = rows("unified")
    found = findings(made, differences())
    [grpo] = [one for one in found if one.claim.other == "grpo"]
    assert grpo.why == "needs suder-bench train --config grpo --out runs/grpo && suder-bench track runs/grpo --suite all --last"
    text = render(found, made)
    assert "Of 20 claims of the paper 7 were tested here" in text
    assert "\nNot tested:\n" in text


def test_runs_that_cannot_be_compared_are_told_and_not_tested(rows: Rows):
    def refuse(benchmark: str, metrics: Sequence[str], a: Path, b: Path) -> Paired:
        raise UserError("judges are a and b")

    made = rows("unified")
    found = findings(made, refuse)
    assert {one.verdict for one in found} == {"cannot tell"}
    assert "- SUDER raises GenEval: judges are a and b" in render(found, made).splitlines()


def test_a_metric_that_few_samples_leave_out_is_told(rows: Rows):
    made = rows("unified")
    for row in made:
        row.scores["t2i-compbench"].entry["metrics"]["shape"]["value"] = None
    [t2i] = [one for one in findings(made, differences()) if one.claim.text == "SUDER raises T2I-CompBench"]
    assert t2i.why == "t2i-compbench has no shape here, which needs more samples"


def test_without_an_interval_nothing_can_be_told(rows: Rows):
    def one_prompt(benchmark: str, metrics: Sequence[str], a: Path, b: Path) -> Paired:
        return Paired(0.0, 1.0, 1.0, None, None, None, None, 1)

    made = rows("unified")
    found = findings(made, one_prompt)
    assert {one.verdict for one in found} == {"cannot tell"}
    assert "| +100.0 | - | 1 | cannot tell |" in render(found, made)


def test_few_prompts_are_marked_and_the_signs_explained(rows: Rows):
    def six_prompts(benchmark: str, metrics: Sequence[str], a: Path, b: Path) -> Paired:
        ends = (None, None) if benchmark == "geneval" else (-0.1, 0.3)
        return Paired(0.5, 0.6, 0.1, *ends, None, None, 6, few_clusters=6)

    made = rows("unified")
    found = findings(made, six_prompts)
    page = render(found, made)
    assert "| +10.0 | -10.0 to +30.0~ | 6 |" in page
    assert "| +10.0 | -~ | 6 |" in page
    assert "`~`: over fewer than ten prompts" in page
    assert "`-`: no number, or no interval" in page
    write(found, made, Path("out"))
    told = json.loads(Path("out/findings.json").read_text())["findings"]
    assert {one.get("few_clusters") for one in told if one["difference"] is not None} == {6}


def test_zero_differences_have_no_sign(rows: Rows):
    made = rows("unified")
    found = findings(made, lambda *asked: Paired(0.5, 0.5, -1e-12, -1e-9, 0.1, 1.0, 0.1, 100))
    assert "| +0.0 | +0.0 to +10.0 | 100 |" in render(found, made)


def test_an_unrelated_model_is_not_the_one_before_training(rows: Rows, tmp_path: Path):
    rows("unified")
    write_run(tmp_path / "other", summary(model="other"))
    (tmp_path / "unified/evaluations/step-0/all/run.json").unlink()
    found = {one.claim.text: one for one in findings(measured.read([Path("other"), Path("unified")]), differences())}
    assert found["SUDER raises GenEval"].why.startswith("the model before training was not measured")


def test_trainings_of_two_start_models_are_never_compared(rows: Rows):
    rows("only-gen")
    write_training(Path("large"), RECIPES["unified"], 0.5, 0.6, start="large-model")
    made = measured.read([Path("only-gen"), Path("large")])
    found = {one.claim.text: one for one in findings(made, differences())}
    assert found["SUDER raises GenEval"].difference == 0
    assert "only-gen" in found["Training on both tasks draws as well as generation alone"].why
    text = render(list(found.values()), made)
    assert "- in no claim, for another start model or the second of its kind: my-model + dsr" in text


def test_another_run_of_the_world_does_not_make_findings_the_worlds(rows: Rows, tmp_path: Path):
    rows("unified")
    write_run(tmp_path / "w", summary(model="toy", world=True))
    made = measured.read([Path("unified"), Path("w")])
    assert "claims of the paper 7 were tested here" in render(findings(made, differences()), made)


def test_what_was_compared_is_named(rows: Rows):
    made = rows("unified")
    assert "- base: my-model (unified/evaluations/step-0/all)" in render(findings(made, differences()), made)


def test_findings_of_an_earlier_report_do_not_stay(rows: Rows, tmp_path: Path):
    made = rows("unified")
    files = write(findings(made, differences()), made, tmp_path / "out")
    assert write([], [], tmp_path / "out") == []
    assert not any(file.exists() for file in files)


def test_runs_without_a_training_have_no_findings(tmp_path: Path):
    assert findings(measured.read([write_run(tmp_path / "r", summary())])) == []
    assert write([], [], tmp_path / "out") == []


def test_both_files_say_the_same(rows: Rows, tmp_path: Path):
    made = rows("unified", "grpo")
    page, numbers = write(findings(made, differences(unified_grpo=-0.1)), made, tmp_path / "out")
    assert "SimPO draws better than GRPO | Figure 4, no numbers printed | -10.0 | -12.0 to -8.0 | 100 | **contradicts** |" in (
        page.read_text()
    )
    [simpo] = [one for one in json.loads(numbers.read_text())["findings"] if one["claim"]["other"] == "grpo"]
    assert (simpo["verdict"], simpo["n"], simpo["difference"]) == ("contradicts", 100, pytest.approx(-10))


@pytest.mark.parametrize("named", ["start?allow_nonfinite=true", "janus:base+start"])
def test_a_start_that_track_was_told_more_of_is_still_the_start(tmp_path: Path, named: str):
    run = write_training(tmp_path / "t", "strategy: unified\n", 0.4, 0.6, start="start", benchmarks=("geneval",))
    file = run / "evaluations/step-0/all/summary.json"
    content = json.loads(file.read_text())
    file.write_text(json.dumps({**content, "model": named}))
    other = write_run(tmp_path / "other", summary("geneval", model="other", value=0.9))
    rows = measured.read([other, run])
    assert [(row.label, row.base) for row in rows[1:]] == [(named, "other"), (rows[2].label, named)]
    assert [row.model for row in measured.starts_of(rows[2:], rows)] == [named]
    assert {start_of(row) for row in rows[1:]} == {"start"}


def test_the_separate_strategy_is_one_row_of_two_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    run = Path("s")
    run.mkdir()
    (run / "recipe.yaml").write_text("model: start\nstrategy: separate\n")
    for step, suite, names in ((40, "gen", ("geneval",)), (80, "gen", ("geneval",)), (60, "und", ("pope",))):
        model = f"s/{suite}/checkpoint-{step}"
        write_run(run / "evaluations" / f"step-{step}" / suite, summary(*names, model=model, value=step / 100))
    [row] = measured.read([run])
    assert {name: one.summary["model"] for name, one in row.scores.items()} == {
        "geneval": "s/gen/checkpoint-80",
        "pope": "s/und/checkpoint-60",
    }
    assert row.training is not None
    assert row.training.strategy == "separate"
