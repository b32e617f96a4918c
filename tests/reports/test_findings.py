"""What agrees with the paper and what contradicts it, from runs whose differences are given."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from fake_runs import summary, write_run, write_training
from scipy.stats import norm
from scipy.stats import t as student

from suder_bench.errors import UserError
from suder_bench.evaluators.weighted import average, mean
from suder_bench.hypotheses import Estimate, More, holm
from suder_bench.reports import measured
from suder_bench.reports.admission import start_of
from suder_bench.reports.claims import claims
from suder_bench.reports.findings import Finding, Findings, Takes, findings
from suder_bench.reports.findings_page import render, write
from suder_bench.stats import Components, Paired, paired

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
            if Path(name).is_dir():
                continue
            write_training(Path(name), RECIPES[name], 0.5, 0.6)
            if name != "unified":
                (Path(name) / "evaluations" / "step-0" / "all" / "run.json").unlink()
        return measured.read([Path(name) for name in names])

    return make


SCALE = {"llavabench": 1}
"""Points of a difference of 1 in a metric; 100 elsewhere."""


def known(points: float, error: float, benchmark: str, *, freedom: float = 999, n: int = 1000) -> Paired:
    """A difference in points, known within a standard error in points."""
    value, spread = (x / SCALE.get(benchmark, 100) for x in (points, error))
    return Paired(
        0.5, 0.5 + value, value, value - 1.96 * spread, value + 1.96 * spread, 0.5, 2.8 * spread, n, None, spread, freedom
    )


def differences(error: float = 1.0, **by_pair: float) -> Callable[[str, Sequence[str], Path, Path], Paired]:
    """b - a in points by the names of their trainings ("unified_base"), or of these and the benchmark ("unified_base_geneval");
    0 for other pairs."""

    def difference(benchmark: str, metrics: Sequence[str], a: Path, b: Path) -> Paired:
        pair = "_".join("base" if "step-0" in path.parts else path.parts[0].replace("-", "") for path in (b, a))
        return known(by_pair.get(f"{pair}_{benchmark}", by_pair.get(pair, 0.0)), error, benchmark)

    return difference


def made(rows: Sequence[measured.Measured], difference: Callable[..., Paired]) -> Findings:
    found = findings(rows, difference)
    assert found is not None
    return found


def by_text(found: Findings) -> dict[str, Finding]:
    return {one.claim.text: one for one in found.claims}


def told(found: Findings) -> dict[str, str]:
    return {one.claim.text: one.verdict for one in found.claims}


def test_the_paper_s_own_differences_are_those_of_its_tables():
    printed = {claim.text: {one.model: one.points for one in claim.printed} for claim in claims()}
    assert round(printed["SUDER raises T2I-CompBench"]["Janus-Pro-7B"], 2) == Decimal("11.68")
    assert printed["SUDER raises GenEval"] == {"Janus-Pro-1B": 5, "Janus-Pro-7B": 5}
    assert printed["SUDER keeps POPE"]["Janus-Pro-7B"] == Decimal("-0.2")
    assert printed["SUDER keeps SEED"]["Janus-Pro-7B"] == 0
    assert printed["DSR leaves LLaVABench higher than CLIP as a reward"] == {"Janus-Pro-7B": Decimal("3.3")}
    assert printed["Two models in turns are ahead of one in LLaVABench"] == {"Janus-Pro-7B": 2}
    assert printed["SimPO draws better than GRPO"] == {}


def test_what_is_claimed_to_rise_rises_in_print_and_what_is_kept_hardly_moves():
    for claim in claims():
        if claim.sign:
            assert len(claim.against) == len(claim.printed), claim.text
        else:
            assert all(abs(one.points) <= 0.5 for one in claim.printed), claim.text


def test_the_paper_s_intervals_are_binomial_where_its_numbers_are_shares():
    printed = {claim.text: claim.printed[-1] for claim in claims() if claim.printed}
    error = 100 * math.sqrt(0.801 * 0.199 / 1164 + 0.796 * 0.204 / 1164)
    assert printed["SUDER keeps MMB"].interval == pytest.approx((0.5 - 1.96 * error, 0.5 + 1.96 * error), abs=0.01)
    assert printed["SUDER keeps SEED"].interval == pytest.approx((-1.05, 1.05), abs=0.02)  # 71.9 % of 14,232, twice
    tasks = {
        80: (0.97, 0.99),
        99: (0.88, 0.89),
        80.0001: (0.57, 0.70),
        94: (0.90, 0.92),
        100: (0.77, 0.82),
        100.0001: (0.64, 0.71),
    }
    variance = sum(share * (1 - share) / count for count, shares in tasks.items() for share in shares)
    assert printed["SUDER raises GenEval"].error == pytest.approx(100 * math.sqrt(variance) / 6, rel=1e-4)
    assert {text for text, one in printed.items() if one.interval} == {
        "SUDER raises GenEval",
        "SUDER keeps MMB",
        "SUDER keeps SEED",
    }


def test_a_difference_that_is_shown_agrees_or_contradicts(rows: Rows):
    found = told(
        made(
            rows(*RECIPES),
            differences(unified_base=10, unified_grpo=-10, unified_onlyund=10, onlyund_base=-10, unified_onlygen=-10),
        )
    )
    assert {verdict for text, verdict in found.items() if text.startswith("SUDER raises")} == {"agrees"}
    assert {verdict for text, verdict in found.items() if text.startswith("SUDER keeps")} == {"contradicts"}
    assert found["SimPO draws better than GRPO"] == "contradicts"
    assert found["Training on understanding alone harms drawing"] == "agrees"  # the paper has a fall
    assert found["Training on both tasks draws as well as generation alone"] == "contradicts"
    assert found["Training on both tasks raises HallBench above generation alone"] == "contradicts"


def test_what_is_sure_alone_and_not_among_all_tests_is_not_told(rows: Rows):
    found = by_text(made(rows("unified"), differences(unified_base_geneval=2.6)))["SUDER raises GenEval"]
    different = found.tests[0]
    assert different.p == pytest.approx(0.0094, abs=1e-3)
    assert different.adjusted > 0.05
    assert found.verdict == "cannot tell"


def test_all_claims_are_one_family(rows: Rows):
    found = made(rows(*RECIPES), differences(unified_base=10, error=1.3))
    assert found.family == len(found.claims) == 26
    largest = {one.claim.text: max(test.p for test in one.tests) for one in found.claims}
    for one in found.claims:
        others = [p for text, p in largest.items() if text != one.claim.text]
        for test in one.tests:
            assert test.adjusted == holm([test.p, *others])[0] >= test.p
            assert test.adjusted < 0.05 or not test.sure


def test_smaller_than_printed_where_zero_is_not_ruled_out_and_the_print_is(rows: Rows):
    found = made(rows("unified"), differences(unified_base_hallusionbench=-0.2, unified_base_llavabench=0.4, error=0.5))
    hall, llava = by_text(found)["SUDER raises HallBench"], by_text(found)["SUDER raises LLaVABench"]
    assert hall.verdict == llava.verdict == "smaller than printed"
    assert {test.model for test in llava.tests if test.shows == "smaller" and test.sure} == {"7B"}  # +7.5, and not 1B's +0.3
    assert llava.deciding is not None
    assert (llava.deciding.bound, llava.deciding.p) == (7.5, pytest.approx(float(student.sf((7.5 - 0.4) / 0.5, 999))))
    assert "smaller than printed (7B); less than 2 points" in render(found, rows("unified"))


def test_an_agreement_smaller_than_printed_says_so(rows: Rows):
    found = made(rows("unified"), differences(unified_base=3, error=0.5))
    assert by_text(found)["SUDER raises T2I-CompBench"].verdict == "agrees"
    assert "| agrees; smaller than printed (1B, 7B) |" in render(found, rows("unified"))


def test_a_fall_can_be_smaller_than_printed_too(rows: Rows):
    found = by_text(made(rows("unified", "only-und"), differences(onlyund_base_llavabench=8, onlyund_base=-0.1, error=0.45)))
    harmed = found["Training on understanding alone harms drawing"]
    assert harmed.verdict == "smaller than printed"  # -6.5
    assert harmed.deciding is not None
    assert harmed.deciding.p == pytest.approx(float(student.sf((-0.1 + 6.543) / 0.45, 999)), rel=1e-2)


def test_two_that_are_within_the_margin_are_equivalent(rows: Rows):
    moved = {"unified_base_geneval": 10.0, "onlygen_base_hallusionbench": 9.0}
    found = by_text(made(rows(*RECIPES), differences(**moved, error=0.4)))
    assert {found[f"SUDER keeps {name}"].verdict for name in ("POPE", "MMB", "SEED")} == {"equivalent"}
    pope, hall = found["SUDER keeps POPE"].deciding, found["DSR leaves HallBench higher than CLIP as a reward"]
    assert pope is not None
    assert pope.p == pytest.approx(float(student.sf(2 / 0.4, 999)))
    assert hall.verdict == "equivalent"  # +0.4 in print is less than the margin, and cannot be ruled out


def test_a_training_that_moves_nothing_tests_nothing(rows: Rows):
    made_ = rows(*RECIPES)
    found = made(made_, differences(error=0.2))
    verdicts = told(found)
    assert verdicts["SUDER keeps POPE"] == "not testable"
    assert verdicts["Training on understanding alone harms drawing"] == "not testable"
    effects = (
        "SUDER raises",
        "Training on generation alone",
        "Training on understanding alone raises",
        "CLIP as a reward raises",
    )
    assert {verdict for text, verdict in verdicts.items() if not text.startswith(effects)} == {"not testable"}
    assert "only-und: HallBench +0.0, LLaVABench +0.0" in render(found, made_)
    found = made(made_, differences(unified_base_geneval=9, unified_grpo=0, error=0.2))
    assert told(found)["SimPO draws better than GRPO"] == "equivalent"  # of two of which one moved


def test_trainings_that_differ_have_moved_whoever_did(rows: Rows):
    found = told(made(rows(*RECIPES), differences(unified_grpo=9)))
    assert found["SimPO draws better than GRPO"] == "agrees"


def test_each_grpo_with_settings_of_its_own_is_compared(rows: Rows):
    rows("unified", "grpo")
    write_training(Path("again"), RECIPES["grpo"] + "trainer: {seed: 43}\n", 0.5, 0.6)
    write_training(Path("short"), RECIPES["grpo"] + "trainer: {seed: 43, max_steps: 64}\n", 0.5, 0.6)
    for run, count, time in (("unified", 160, 5.3), ("short", 64, 13.6)):
        lines = [json.dumps({"step": step + 1, "seconds/step": time}) for step in range(count)]
        (Path(run) / "metrics.jsonl").write_text("\n".join(lines))
    given = measured.read([Path(name) for name in ("unified", "grpo", "again", "short")])
    found = made(given, differences(unified_grpo=-10, unified_short=0.1, error=0.9))
    verdicts = {text: one for text, one in told(found).items() if text.startswith("SimPO")}
    assert verdicts == {
        "SimPO draws better than GRPO": "contradicts",
        "SimPO draws better than GRPO, trainer.max_steps 64": "not testable",
    }
    page = render(found, given)
    assert "learning rate that was chosen for one of the two; training took 14:08 (unified) and 14:30 (grpo, trainer.max" in page
    assert page.count("\n- in no claim of the paper, ") == 1  # the same recipe with another seed


def test_the_interval_must_say_the_same_as_the_test(rows: Rows):
    def skewed(benchmark: str, metrics: Sequence[str], a: Path, b: Path) -> Paired:
        return replace(known(10, 1, benchmark), low=-0.01)

    geneval = by_text(made(rows("unified"), skewed))["SUDER raises GenEval"]
    assert geneval.tests[0].adjusted < 1e-6
    assert geneval.verdict == "cannot tell"


def test_what_cannot_be_told_says_what_it_would_take(rows: Rows):
    found = made(rows("unified"), differences(unified_base_geneval=30, error=4))
    llava, pope = (by_text(found)[text] for text in ("SUDER raises LLaVABench", "SUDER keeps POPE"))
    assert (llava.verdict, pope.verdict) == ("cannot tell", "cannot tell")
    level, z = 0.05 / 7, norm.isf
    more, less = ((z(level / 2) + z(0.2)) * 4 / 7.5) ** 2, ((z(level) + z(0.1)) * 4 / 2) ** 2
    assert llava.takes == Takes(More(pytest.approx(more)), 7.5, "show")
    assert pope.takes == Takes(More(pytest.approx(less)), 2.0, "within")
    text = render(found, rows("unified"))
    assert f"| {more:.1f} times the questions ({round(1000 * more):,}) to show +7.5 |" in text
    assert f"| {less:.0f} times the questions ({round(1000 * less):,}) to show less than 2 |" in text


def test_seeds_are_told_and_asked_for_where_they_vary_more_than_questions(rows: Rows):
    def seeds(benchmark: str, metrics: Sequence[str], a: Path, b: Path) -> Paired:
        if benchmark == "geneval":
            return replace(known(30, 1, benchmark), seeds=(1, 3))
        variance = (4 / SCALE.get(benchmark, 100)) ** 2
        return replace(known(0, 4, benchmark), seeds=(1, 3), components=Components(0.1 * variance, 0.9 * variance, 0.0))

    given = rows("unified")
    found = made(given, seeds)
    pope = by_text(found)["SUDER keeps POPE"]
    assert pope.measure.seeds == (3, 1)
    assert pope.measure.estimate is not None
    assert pope.measure.estimate.trained == pytest.approx(4 * math.sqrt(0.9))
    assert pope.takes is not None
    assert pope.takes.more.seeds == pytest.approx(9 * pope.takes.more.questions)
    assert f"and {pope.takes.more.seeds:,.0f} times the seeds to show less than 2" in render(found, given)
    assert "Trainings were run with 1 to 3 seeds" in render(found, given)
    assert "Each training was run once" in render(made(given, differences()), given)


def test_runs_that_are_the_same_throughout_are_as_sure_as_they_are_long(rows: Rows):
    """Of 200 questions none was answered differently: two in a hundred could be, one time in 57; but of 1,000 none."""
    for clusters, verdict in ((200, "cannot tell"), (1000, "equivalent")):

        def difference(benchmark: str, metrics: Sequence[str], a: Path, b: Path, clusters: int = clusters) -> Paired:
            return known(30, 1, benchmark) if benchmark == "geneval" else known(0, 0, benchmark, freedom=clusters - 1)

        found = by_text(made(rows("unified"), difference))["SUDER keeps SEED"]
        assert (found.tests[0].p, found.verdict) == (pytest.approx(0.98**clusters), verdict)
        assert (found.takes is not None) == (verdict == "cannot tell")


def test_differences_are_in_points_of_the_printed_column(rows: Rows):
    found = by_text(made(rows("unified"), lambda *asked: Paired(0.5, 0.6, 0.1, 0.08, 0.12, 0.01, 0.02, 100, None, 0.01, 99)))
    geneval, llava = found["SUDER raises GenEval"].measure, found["SUDER raises LLaVABench"].measure
    assert (geneval.difference, geneval.low, geneval.high) == pytest.approx((10, 8, 12))
    assert geneval.estimate == Estimate(pytest.approx(10), pytest.approx(1), 99)
    assert llava.difference == pytest.approx(0.1)  # which counts in points already
    assert geneval.runs == (("unified/evaluations/step-10/all",), ("unified/evaluations/step-0/all",))


def test_what_was_not_trained_is_named_with_its_command(rows: Rows):
    given = rows("unified")
    found = made(given, differences())
    [grpo] = [one for one in found.claims if one.claim.other == "grpo"]
    assert (
        grpo.because == "needs suder-bench train --config grpo --out runs/grpo && suder-bench track runs/grpo --suite all --last"
    )
    text = render(found, given)
    assert "Of 26 claims of the paper 7 were tested here" in text
    assert "\nNot tested:\n" in text


def test_runs_that_cannot_be_compared_are_told_and_not_tested(rows: Rows):
    def refuse(benchmark: str, metrics: Sequence[str], a: Path, b: Path) -> Paired:
        raise UserError("judges are a and b")

    given = rows("unified")
    found = made(given, refuse)
    assert {one.verdict for one in found.claims} == {"cannot tell"}
    assert found.family == 0
    assert "- SUDER raises GenEval: judges are a and b" in render(found, given).splitlines()


def test_a_metric_that_few_samples_leave_out_is_told(rows: Rows):
    given = rows("unified")
    for row in given:
        row.scores["t2i-compbench"].entry["metrics"]["shape"]["value"] = None
    t2i = by_text(made(given, differences()))["SUDER raises T2I-CompBench"]
    assert t2i.because == "t2i-compbench has no shape here, which needs more samples"


@pytest.mark.parametrize(("prompts", "verdict"), [(1, "cannot tell"), (2, "cannot tell"), (3, "agrees"), (9, "agrees")])
def test_a_mean_of_columns_needs_three_prompts_of_each(rows: Rows, prompts: int, verdict: str):
    given = rows("unified")
    for name, metric in (("geneval", "single_object"), ("t2i-compbench", "shape"), ("llavabench", "all")):
        given[1].scores[name].entry["metrics"][metric]["few_clusters"] = prompts
    found = made(given, differences(unified_base=10))
    geneval, t2i, llava = (by_text(found)[f"SUDER raises {name}"] for name in ("GenEval", "T2I-CompBench", "LLaVABench"))
    assert (geneval.verdict, t2i.verdict, llava.verdict) == (verdict, verdict, "agrees")  # the last is a mean by itself
    assert (f"Single Obj. rests on {prompts} prompt" in render(found, given)) == (prompts < 3)


@pytest.mark.slow
@pytest.mark.parametrize("prompts", [3, 8])
def test_means_of_six_columns_are_called_different_as_often_as_they_may_be(prompts: int):
    """GenEval of so many prompts a task, four pictures each, drawn twice by one model: 5 %, within what 400 can tell."""
    rng, wrong = np.random.default_rng(0), 0
    tasks, clusters = np.repeat(np.arange(6), prompts * 4), [f"{i:05d}" for i in np.repeat(np.arange(6 * prompts), 4)]
    for seed in range(400):
        rates = np.repeat(rng.beta(0.8, 1.2, 6 * prompts), 4)
        drawn = [rng.uniform(size=len(rates)) < rates for _ in range(2)]
        one, other = (average([mean(right, tasks == task) for task in range(6)], n=len(rates)) for right in drawn)
        found = paired({"": one}, clusters, {"": other}, clusters, resamples=400, seed=seed)[""]
        assert found.error is not None
        assert found.freedom is not None
        wrong += Estimate(found.difference, found.error, found.freedom).p_different() < 0.05
    assert 8 <= wrong <= 34


def test_without_an_interval_nothing_can_be_told(rows: Rows):
    def one_prompt(benchmark: str, metrics: Sequence[str], a: Path, b: Path) -> Paired:
        return Paired(0.0, 1.0, 1.0, None, None, None, None, 1)

    given = rows("unified")
    found = made(given, one_prompt)
    assert {one.verdict for one in found.claims if one.claim.sign} == {"cannot tell"}
    assert "| +100.0 | - | 1 |  | - | - | cannot tell | - |" in render(found, given)


def test_few_prompts_are_marked_and_the_signs_explained(rows: Rows):
    def six_prompts(benchmark: str, metrics: Sequence[str], a: Path, b: Path) -> Paired:
        ends = (None, None) if benchmark == "geneval" else (-0.1, 0.3)
        return Paired(0.5, 0.6, 0.1, *ends, None, None, 6, few_clusters=6)

    given = rows("unified")
    found = made(given, six_prompts)
    page = render(found, given)
    assert "| +10.0 | -10.0 to +30.0~ | 6 |" in page
    assert "| +10.0 | -~ | 6 |" in page
    assert "`~`: over fewer than ten prompts" in page
    assert "`-`: no number, or no interval" in page
    write(found, given, Path("out"))
    told = json.loads(Path("out/findings.json").read_text())["findings"]
    assert {one.get("few_clusters") for one in told if one["difference"] is not None} == {6}


def test_zero_differences_have_no_sign(rows: Rows):
    given = rows("unified")
    found = made(given, lambda *asked: Paired(0.5, 0.5, -1e-12, -1e-9, 0.1, 1.0, 0.1, 100))
    assert "| +0.0 | +0.0 to +10.0 | 100 |" in render(found, given)


def test_an_unrelated_model_is_not_the_one_before_training(rows: Rows, tmp_path: Path):
    rows("unified")
    write_run(tmp_path / "other", summary(model="other"))
    (tmp_path / "unified/evaluations/step-0/all/run.json").unlink()
    found = by_text(made(measured.read([Path("other"), Path("unified")]), differences()))
    assert found["SUDER raises GenEval"].because.startswith("the model before training was not measured")


def test_trainings_of_two_start_models_are_never_compared(rows: Rows):
    rows("only-gen")
    write_training(Path("large"), RECIPES["unified"], 0.5, 0.6, start="large-model")
    given = measured.read([Path("only-gen"), Path("large")])
    found = made(given, differences())
    assert by_text(found)["SUDER raises GenEval"].measure.difference == 0
    assert "only-gen" in by_text(found)["Training on both tasks draws as well as generation alone"].because
    text = render(found, given)
    assert "- in no claim of the paper, or another start model's, or the second of its kind: my-model + dsr" in text


def test_another_run_of_the_world_does_not_make_findings_the_worlds(rows: Rows, tmp_path: Path):
    rows("unified")
    write_run(tmp_path / "w", summary(model="toy", world=True))
    given = measured.read([Path("unified"), Path("w")])
    assert "claims of the paper 7 were tested here" in render(made(given, differences()), given)


def test_what_was_compared_is_named(rows: Rows):
    given = rows("unified")
    assert "- base: my-model (unified/evaluations/step-0/all)" in render(made(given, differences()), given)


def test_findings_of_an_earlier_report_do_not_stay(rows: Rows, tmp_path: Path):
    given = rows("unified")
    files = write(made(given, differences()), given, tmp_path / "out")
    assert write(None, [], tmp_path / "out") == []
    assert not any(file.exists() for file in files)


def test_runs_without_a_training_have_no_findings(tmp_path: Path):
    assert findings(measured.read([write_run(tmp_path / "r", summary())])) is None
    assert write(None, [], tmp_path / "out") == []


def test_both_files_say_the_same(rows: Rows, tmp_path: Path):
    given = rows("unified", "grpo")
    page, numbers = write(made(given, differences(unified_grpo=-10)), given, tmp_path / "out")
    line, *_ = [line for line in page.read_text().splitlines() if line.startswith("| SimPO draws better than GRPO")]
    assert ", no numbers printed | -10.0 | -12.0 to -8.0 | 1,000 | not 0 | <0.0001 | <0.0001 |" in line
    assert "| **contradicts**; see below |" in line
    assert "- SimPO draws better than GRPO: what GRPO does better or worse in as many steps" in page.read_text()
    document = json.loads(numbers.read_text())
    assert (document["schema"], document["margin"]) == (2, 2.0)
    assert document["adjusted"] == {"method": "holm", "claims": 8}
    [simpo] = [one for one in document["findings"] if one["claim"]["other"] == "grpo"]
    assert simpo["runs"] == {"row": ["unified/evaluations/step-10/all"], "other": ["grpo/evaluations/step-10/all"]}
    assert (simpo["verdict"], simpo["n"], simpo["difference"]) == ("contradicts", 1000, pytest.approx(-10))
    assert simpo["tests"][0]["p_adjusted"] == pytest.approx(simpo["tests"][0]["p"] * 8)


@pytest.mark.parametrize("named", ["start?allow_nonfinite=true", "janus:base+start"])
def test_a_start_that_track_was_told_more_of_is_still_the_start(tmp_path: Path, named: str):
    run = write_training(tmp_path / "t", "strategy: unified\n", 0.4, 0.6, start="start", benchmarks=("geneval",))
    file = run / "evaluations/step-0/all/summary.json"
    content = json.loads(file.read_text())
    file.write_text(json.dumps({**content, "model": named}))
    other = write_run(tmp_path / "other", summary("geneval", model="other", value=0.9))
    rows = measured.read([other, run])
    assert [(row.label, row.base) for row in rows[1:]] == [(named, ""), (rows[2].label, named)]
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
