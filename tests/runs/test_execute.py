"""A run from end to end on the fakes: results, resuming, refusing, failing."""

from __future__ import annotations

import io
import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch
from fakes import REFERENCE, SIDE, DrawsOnly, FakeModel, OtherShadeJudge, ShadeJudge, flat, settings
from PIL import Image

from suder_bench.errors import JudgeError, UserError
from suder_bench.models.protocols import ImageSampling
from suder_bench.runs import plan as planning
from suder_bench.runs.execute import Outcome, Run
from suder_bench.runs.jsonl import Ledger
from suder_bench.runs.screen import Screen
from suder_bench.runs.store import RunFolder

pytestmark = pytest.mark.usefixtures("fakes")
TOTAL = 12 * 2 + 8


class Told(Screen):
    """Remembers what was said."""

    def __init__(self) -> None:
        super().__init__(io.StringIO())

    @property
    def text(self) -> str:
        return self.stream.getvalue()  # type: ignore[attr-defined]


def run(out: Path, model: Any = None, screen: Screen | None = None, **changes: Any) -> Outcome:
    """Run the fakes; `changes` go to the run where it has such a field, else to the settings."""
    own = {name: changes.pop(name) for name in ("stage", "batch_size", "fresh") if name in changes}
    wanted = changes.pop("settings", None) or settings(**changes)
    return Run(out, REFERENCE, wanted, **own).execute(screen or Told(), lambda: model or FakeModel())


def lines(out: Path, part: str = "responses") -> list[dict[str, Any]]:
    return [row for name in ("drawing", "reading") for row in Ledger(out / part / name).rows()]


def values(outcome: Outcome) -> dict[str, float | None]:
    return {name: entry["metrics"][entry["headline"]]["value"] for name, entry in outcome.summary["benchmarks"].items()}


def benchmarks(out: Path) -> str:
    return json.dumps(json.loads((out / "summary.json").read_text())["benchmarks"])


def test_a_run_leaves_the_folder_of_the_design(tmp_path: Path) -> None:
    outcome = run(tmp_path / "r")
    assert outcome.complete
    assert values(outcome) == {"drawing": 1.0, "reading": 1.0}
    found = {path.name for path in (tmp_path / "r").iterdir() if path.name != ".lock"}
    assert found == {"run.json", "responses", "images", "verdicts", "commands", "speed.json", "summary.json", "manifest.json"}
    assert len(lines(tmp_path / "r")) == len(lines(tmp_path / "r", "verdicts")) == TOTAL
    assert (tmp_path / "r/images/drawing/003/samples/00001.png").is_file()
    assert (tmp_path / "r/images/drawing/003/prompt.txt").read_text() == "shade 60"
    assert not list((tmp_path / "r").rglob("*.partial"))


def test_a_model_that_is_always_wrong_scores_zero(tmp_path: Path) -> None:
    assert values(run(tmp_path / "r", FakeModel(right=False))) == {"drawing": 0.0, "reading": 0.0}


def test_the_summary_fits_its_published_schema(tmp_path: Path) -> None:
    schema = json.loads(files("suder_bench.runs").joinpath("summary.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    for changes in ({}, {"limit": 1}, {"stage": "respond"}, {"known_answers": False}):
        jsonschema.validate(run(tmp_path / str(len(changes)), **changes, seed=len(changes)).summary, schema)
    on_disk = json.loads((tmp_path / "0/summary.json").read_text(), parse_constant=pytest.fail)
    assert on_disk["benchmarks"]["drawing"]["judges"] == {"shade": {"backend": "fake", "exact": True, "fingerprint": "shade 1"}}
    assert on_disk["recipe"]["model"]["fingerprint"] == "fake weights 1"


def test_an_undefined_metric_is_null(tmp_path: Path) -> None:
    metrics = run(tmp_path / "r", limit=1).summary["benchmarks"]["drawing"]["metrics"]
    assert metrics["a"] == {"value": 1.0, "low": None, "high": None, "n": 2, "few_clusters": 1}
    assert metrics["c"] == {"value": None, "low": None, "high": None, "n": 0}


def test_a_finished_run_is_not_done_again(tmp_path: Path) -> None:
    run(tmp_path / "r")
    before = (tmp_path / "r/summary.json").read_bytes()
    model, screen = FakeModel(), Told()
    run(tmp_path / "r", model, screen)
    assert (tmp_path / "r/summary.json").read_bytes() == before
    assert model.batches == []
    assert f"resuming: {TOTAL} of {TOTAL} done" in screen.text
    assert len(lines(tmp_path / "r")) == len(lines(tmp_path / "r", "verdicts")) == TOTAL


@pytest.mark.parametrize("batch", range(8))
def test_ctrl_c_at_any_batch_then_resume(tmp_path: Path, batch: int) -> None:
    with pytest.raises(KeyboardInterrupt, match="the same command goes on"):
        run(tmp_path / "r", FakeModel(interrupt_after=batch), batch_size=4)
    assert not (tmp_path / "r/summary.json").exists()
    assert len(lines(tmp_path / "r")) == 4 * batch
    screen = Told()
    run(tmp_path / "r", screen=screen, batch_size=4)
    assert (f"resuming: {4 * batch} of {TOTAL} done" in screen.text) == (batch > 0)
    run(tmp_path / "whole")
    assert benchmarks(tmp_path / "r") == benchmarks(tmp_path / "whole")
    assert len(lines(tmp_path / "r")) == TOTAL


@pytest.mark.parametrize("size", [1, 3, 32])
def test_responses_do_not_depend_on_batch_size_or_order(tmp_path: Path, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    run(tmp_path / "r")
    run(tmp_path / "s", batch_size=size)
    evenly = planning.evenly
    monkeypatch.setattr(planning, "evenly", lambda samples, limit: evenly(samples, limit)[::-1])
    run(tmp_path / "reversed", batch_size=size)
    key = {"r": {}, "s": {}, "reversed": {}}
    for name, found in key.items():
        found |= {
            (row["benchmark"], row["sample"], row["repeat"]): (row["seed"], row["digest"]) for row in lines(tmp_path / name)
        }
    assert key["r"] == key["s"] == key["reversed"]
    assert len({seed for seed, _ in key["r"].values()}) == TOTAL
    assert benchmarks(tmp_path / "r") == benchmarks(tmp_path / "s")


@pytest.mark.parametrize(
    "oom",
    [
        MemoryError,
        torch.OutOfMemoryError,
        lambda: RuntimeError("MPS backend out of memory (MPS allocated: 9.05 GiB, max allowed: 9.07 GiB). Tried to allocate"),
        lambda: RuntimeError("[enforce fail at alloc_cpu.cpp:124] . DefaultCPUAllocator: can't allocate memory: you tried to"),
    ],
)
def test_a_batch_out_of_memory_is_done_again_at_half_the_size(tmp_path: Path, oom: Callable[[], BaseException]) -> None:
    model, screen = FakeModel(largest=5, oom=oom), Told()
    outcome = run(tmp_path / "r", model, screen)
    assert outcome.complete
    assert "out of memory at batch size 24; going on with 12" in screen.text
    assert "going on with 3" in screen.text
    assert len(lines(tmp_path / "r")) == TOTAL
    assert max(len(batch) for batch in model.batches[4:]) <= 6


def test_what_never_fits_in_memory_fails(tmp_path: Path) -> None:
    outcome = run(tmp_path / "r", FakeModel(largest=0))
    assert not outcome.complete
    assert [entry["failed"] for entry in outcome.summary["benchmarks"].values()] == [24, 8]
    assert values_or_none(outcome) == [None, None]


def values_or_none(outcome: Outcome) -> list[Any]:
    return [entry["metrics"].get(entry["headline"]) for entry in outcome.summary["benchmarks"].values()]


def test_a_failing_sample_fails_alone_and_is_tried_again(tmp_path: Path) -> None:
    screen = Told()
    outcome = run(tmp_path / "r", FakeModel(bad=("shade 60",)), screen)
    assert not outcome.complete
    entry = outcome.summary["benchmarks"]["drawing"]
    assert (entry["failed"], entry["skipped"], entry["n_responses"], entry["n_samples"]) == (2, 0, 22, 12)
    assert outcome.summary["benchmarks"]["reading"]["failed"] == 0
    assert "failed: drawing 003, repeat 0: RuntimeError('a bad prompt')" in screen.text
    assert "Traceback" in screen.text
    assert len(lines(tmp_path / "r")) == TOTAL - 2
    again = run(tmp_path / "r")
    assert again.complete
    run(tmp_path / "whole")
    assert benchmarks(tmp_path / "r") == benchmarks(tmp_path / "whole")


def test_many_failures_are_counted_rather_than_told(tmp_path: Path) -> None:
    screen = Told()
    run(tmp_path / "r", FakeModel(bad=tuple(f"shade {20 * i}" for i in range(12))), screen)
    assert screen.text.count("failed: drawing") == 3
    assert "failed: 21 more" in screen.text


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"seed": 1}, "seed 0, not 1"),
        ({"image": ImageSampling(guidance=3.0)}, r"guidance 5\.0, not 3\.0"),
        ({"image": ImageSampling(temperature=0.5)}, r"temperature 1\.0, not 0\.5"),
        ({"dtype": "bfloat16"}, "dtype 'float32', not 'bfloat16'"),
        ({"device": "cuda"}, "device 'cpu', not 'cuda'"),
        ({"protocol": "strict"}, "drawing protocol 'official', not 'strict'"),
    ],
)
def test_a_changed_setting_is_refused_by_name(tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    wanted = settings("drawing")
    run(tmp_path / "r", settings=wanted)
    before = (tmp_path / "r/summary.json").read_bytes()
    with pytest.raises(UserError, match=f"was made with {told}; start over with --fresh, or choose another --out"):
        run(tmp_path / "r", settings=replace(wanted, **changes))
    assert (tmp_path / "r/summary.json").read_bytes() == before
    assert run(tmp_path / "r", settings=replace(wanted, **changes), fresh=True).complete
    assert len(lines(tmp_path / "r")) == 24


def test_other_weights_other_data_and_another_suite_are_refused(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/shades.txt").write_text("1 2 3")
    wanted = settings("drawing", data=tmp_path / "data")
    run(tmp_path / "r", settings=wanted, stage="respond")
    shutil.rmtree(tmp_path / "r/images/drawing/002")  # something to do, so that the model is looked at
    with pytest.raises(UserError, match=r"model 'fake' \(weights fake weights\), not 'fake' \(weights other\)"):
        run(tmp_path / "r", FakeModel(fingerprint="other"), settings=wanted)
    run(tmp_path / "s", FakeModel(settings={"template": "a"}), settings=wanted, stage="respond")
    shutil.rmtree(tmp_path / "s/images/drawing/002")
    with pytest.raises(UserError, match="model setting template 'a', not 'b'"):
        run(tmp_path / "s", FakeModel(settings={"template": "b"}), settings=wanted)
    (tmp_path / "data/shades.txt").write_text("1 2 4")
    with pytest.raises(UserError, match="drawing data"):
        run(tmp_path / "r", settings=wanted)
    with pytest.raises(UserError, match="suite 'drawing', not 'drawing\\+reading'"):
        run(tmp_path / "r", settings=settings(data=tmp_path / "data"))


def test_changed_weights_are_noticed_though_nothing_is_left_to_do(tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint"
    checkpoint.mkdir()
    (checkpoint / "weights").write_text("1")
    whole = Run(tmp_path / "r", replace(REFERENCE, name=str(checkpoint), reference=str(checkpoint)), settings("reading"))
    whole.execute(Told(), FakeModel)
    (checkpoint / "weights").write_text("22")
    with pytest.raises(UserError, match="was made with model"):
        whole.execute(Told(), lambda: FakeModel(fingerprint="22"))
    assert whole.execute(Told(), FakeModel).complete  # the same weights in touched files are the same model


def test_a_larger_limit_adds_and_a_smaller_one_counts_fewer(tmp_path: Path) -> None:
    run(tmp_path / "r", limit=4)
    model = FakeModel()
    assert run(tmp_path / "r", model, limit=8).summary["benchmarks"]["drawing"]["n_samples"] == 8
    assert sum(map(len, model.batches)) == 8 + 4
    assert run(tmp_path / "r", model, limit=4).summary["benchmarks"]["drawing"]["n_responses"] == 8
    assert len(lines(tmp_path / "r")) == 16 + 8


def test_a_lost_or_damaged_picture_is_drawn_again(tmp_path: Path) -> None:
    run(tmp_path / "r")
    before = benchmarks(tmp_path / "r")
    drawn = tmp_path / "r/images/drawing"
    (drawn / "000/samples/00000.png").unlink()
    (drawn / "001/samples/00000.png").write_bytes((drawn / "001/samples/00000.png").read_bytes()[:40])
    flat(200).save(drawn / "002/samples/00000.png")
    with (tmp_path / "r/responses/drawing/0.jsonl").open("ab") as file:
        file.write(b'{"benchmark": "drawing", "sam')
    model = FakeModel()
    run(tmp_path / "r", model)
    assert sum(map(len, model.batches)) == 3
    assert benchmarks(tmp_path / "r") == before
    assert len(lines(tmp_path / "r")) == TOTAL


def test_an_answer_altered_on_disk_is_made_again(tmp_path: Path) -> None:
    run(tmp_path / "r")
    file = tmp_path / "r/responses/reading/0.jsonl"
    file.write_text(file.read_text().replace('"text": "10"', '"text": "30"'))
    model = FakeModel()
    assert values(run(tmp_path / "r", model))["reading"] == 1.0
    assert sum(map(len, model.batches)) == 2


def test_another_judge_scores_again_and_keeps_the_responses(tmp_path: Path) -> None:
    run(tmp_path / "r")
    first = benchmarks(tmp_path / "r")
    model = FakeModel()
    outcome = run(tmp_path / "r", model, judges={"shade": "black"})
    assert model.batches == []
    assert values(outcome)["drawing"] == pytest.approx(1 / 12)
    assert outcome.summary["benchmarks"]["drawing"]["judges"]["shade"]["backend"] == "black"
    run(tmp_path / "r", model)
    assert benchmarks(tmp_path / "r") == first
    assert len(Ledger(tmp_path / "r/verdicts/drawing").rows()) == 2 * 24


def test_a_judge_that_fails_its_known_answers_stops_the_scoring(tmp_path: Path) -> None:
    with pytest.raises(JudgeError, match="judge shade=wrong fails its known answers, nothing was scored"):
        run(tmp_path / "r", judges={"shade": "wrong"})
    assert len(lines(tmp_path / "r")) == TOTAL
    assert not (tmp_path / "r/verdicts").exists()
    assert not (tmp_path / "r/summary.json").exists()


def test_a_missing_judge_fails_its_benchmark_and_no_other(tmp_path: Path) -> None:
    screen = Told()
    outcome = run(tmp_path / "r", screen=screen, judges={"shade": "missing"})
    assert not outcome.complete
    assert "suder-bench: judge shade=missing has no weights; get them from nowhere" in screen.text
    entries = outcome.summary["benchmarks"]
    assert (entries["drawing"]["failed"], entries["drawing"]["metrics"]) == (24, {})
    assert entries["reading"]["metrics"]["accuracy"]["value"] == 1.0
    assert len(lines(tmp_path / "r")) == TOTAL
    run(tmp_path / "r", screen=screen, judges={"shade": "missing:a:place"})
    assert "get them from a:place" in screen.text
    with pytest.raises(UserError, match="judge shade=black takes no weights; leave out ':place'"):
        run(tmp_path / "r", judges={"shade": "black:place"})


def recipe(out: Path) -> dict[str, Any]:
    return json.loads((out / "run.json").read_text())


def test_what_is_not_judged_again_keeps_its_judges_and_scores(tmp_path: Path) -> None:
    run(tmp_path / "r", judges={"shade": "black"})
    before, made = recipe(tmp_path / "r"), benchmarks(tmp_path / "r")
    run(tmp_path / "r", stage="respond")
    with pytest.raises(JudgeError):
        run(tmp_path / "r", judges={"shade": "wrong"})
    assert (recipe(tmp_path / "r"), benchmarks(tmp_path / "r")) == (before, made)
    screen = Told()
    outcome = run(tmp_path / "r", stage="score", judges={"shade": "missing"}, screen=screen)
    assert not outcome.complete
    assert "drawing: not judged now; the summary keeps its earlier scores" in screen.text
    assert (recipe(tmp_path / "r")["judges"], benchmarks(tmp_path / "r")) == (before["judges"], made)


def test_scores_of_a_run_that_was_moved_outlive_a_missing_judge(tmp_path: Path) -> None:
    run(tmp_path / "r", judges={"shade": "black"})
    made = benchmarks(tmp_path / "r")
    (tmp_path / "r").rename(tmp_path / "moved")
    screen = Told()
    outcome = run(tmp_path / "moved", stage="score", judges={"shade": "missing"}, screen=screen)
    assert not outcome.complete
    assert "drawing: not judged now; the summary keeps its earlier scores" in screen.text
    assert benchmarks(tmp_path / "moved") == made


def test_scores_of_a_run_with_failures_outlive_a_missing_judge(tmp_path: Path) -> None:
    run(tmp_path / "r", FakeModel(bad=("shade 60",)))
    made = benchmarks(tmp_path / "r")
    run(tmp_path / "r", stage="score", judges={"shade": "missing"})
    assert set(recipe(tmp_path / "r")["judges"]) == {"drawing", "reading"}  # of those scores
    run(tmp_path / "new", judges={"shade": "missing"})
    assert set(recipe(tmp_path / "new")["judges"]) == {"reading"}
    assert json.loads(benchmarks(tmp_path / "r"))["drawing"] == json.loads(made)["drawing"]


def test_a_judge_that_breaks_down_stops_its_benchmark_and_keeps_its_verdicts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def shades(self: ShadeJudge, pictures: Sequence[Image.Image]) -> list[int]:
        asked.append(len(pictures))
        if len(asked) > 1:
            raise JudgeError("the judge does not answer any more")
        return [0] * len(pictures)

    monkeypatch.setattr("suder_bench.runs.score.AUTO", 10)
    monkeypatch.setattr(OtherShadeJudge, "shades", shades)
    screen = Told()
    outcome = run(tmp_path / "r", judges={"shade": "black"}, screen=screen)
    assert asked == [10, 10]
    assert not outcome.complete
    entry = outcome.summary["benchmarks"]["drawing"]
    assert (entry["n_responses"], entry["failed"]) == (10, 14)
    assert outcome.summary["benchmarks"]["reading"]["failed"] == 0
    assert "the judge does not answer any more" in screen.text
    assert "Traceback" not in screen.text


def test_the_choice_of_judges_is_kept_and_one_that_nobody_asks_is_refused(tmp_path: Path) -> None:
    run(tmp_path / "r", judges={"shade": "black"}, stage="respond")
    assert recipe(tmp_path / "r")["judge_choice"] == {"shade": "black"}
    for stage in ("all", "respond"):
        with pytest.raises(UserError, match="--judge shade=black is not used: the chosen benchmarks ask no judge"):
            run(tmp_path / "s", settings=settings("reading", judges={"shade": "black"}), stage=stage)


def test_answers_may_be_as_long_as_the_longest_benchmark_allows(tmp_path: Path) -> None:
    run(tmp_path / "r")
    assert recipe(tmp_path / "r")["sampling"]["text"]["max_new_tokens"] == 1024


def test_an_unknown_judge_is_refused_before_anything_is_done(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="unknown shade judge 'blck'; did you mean 'black'"):
        run(tmp_path / "r", judges={"shade": "blck"})
    with pytest.raises(UserError, match="unknown judge role 'shde'; did you mean 'shade'"):
        run(tmp_path / "r", judges={"shde": "black"})
    assert not (tmp_path / "r").exists()


def test_a_model_that_cannot_see_is_refused_before_anything_is_done(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="model 'draws only' answers no questions, which reading asks for; choose --suite gen"):
        run(tmp_path / "r", DrawsOnly())
    assert not (tmp_path / "r/run.json").exists()
    assert run(tmp_path / "r", DrawsOnly(), settings=settings("drawing")).complete


def test_the_stages_apart_give_the_same(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no responses to score"):
        run(tmp_path / "r", stage="score")
    with pytest.raises(UserError, match="--fresh discards the responses that --stage score needs"):
        run(tmp_path / "r", stage="score", fresh=True)
    outcome = run(tmp_path / "r", stage="respond")
    assert [entry["metrics"] for entry in outcome.summary["benchmarks"].values()] == [{}, {}]
    assert not (tmp_path / "r/verdicts").exists()
    model = FakeModel()
    run(tmp_path / "r", model, stage="score", device="cuda")
    assert model.batches == []
    run(tmp_path / "whole")
    assert benchmarks(tmp_path / "r") == benchmarks(tmp_path / "whole")


def test_scoring_an_unfinished_run_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "r", FakeModel(interrupt_after=3), batch_size=4)
    screen = Told()
    outcome = run(tmp_path / "r", stage="score", screen=screen)
    assert "drawing: 12 responses are missing and not scored" in screen.text
    assert [entry["skipped"] for entry in outcome.summary["benchmarks"].values()] == [12, 8]


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    with RunFolder(tmp_path / "r").locked(), pytest.raises(UserError, match="in use by another process"):
        run(tmp_path / "r")
    assert run(tmp_path / "r").complete


def test_a_folder_of_other_things_is_neither_used_nor_cleared(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    for fresh in (False, True):
        with pytest.raises(UserError, match=r"is not a run folder \(no run.json, but thesis.tex\)"):
            run(tmp_path, fresh=fresh)
    assert (tmp_path / "thesis.tex").exists()
    with pytest.raises(UserError, match="is a file; choose another --out"):
        run(tmp_path / "thesis.tex")


def test_responses_without_their_recipe_are_only_deleted_on_request(tmp_path: Path) -> None:
    run(tmp_path / "r")
    (tmp_path / "r/run.json").unlink()
    with pytest.raises(UserError, match=r"has commands but no run\.json; start over with --fresh"):
        run(tmp_path / "r", seed=1)
    assert len(lines(tmp_path / "r")) == TOTAL
    assert run(tmp_path / "r", seed=1, fresh=True).complete
    assert len(lines(tmp_path / "r")) == TOTAL


def test_starting_over_waits_until_the_model_is_there(tmp_path: Path) -> None:
    run(tmp_path / "r")
    with pytest.raises(UserError, match="draws only"):
        run(tmp_path / "r", DrawsOnly(), fresh=True)
    assert (tmp_path / "r/summary.json").exists()


def test_a_preview_changes_nothing_and_knows_the_rate(tmp_path: Path) -> None:
    wanted = Run(tmp_path / "r", REFERENCE, settings())
    entry = wanted.preview(Told())["benchmarks"]["drawing"]
    respond, score = entry.pop("respond"), entry.pop("score")
    assert entry == {"samples": 12, "responses": 24, "done": 0}
    assert (respond["left"], respond["timed"], score["left"], score["timed"]) == (24, 24, 24, 16)
    assert 0 <= respond["low"] <= respond["seconds"] <= respond["high"] < 5
    unloadable = replace(wanted, model=replace(REFERENCE, adapter="none")).preview(Told())["benchmarks"]["drawing"]
    assert (unloadable["respond"], unloadable["score"]) == (None, None)
    slow = wanted.preview(Told(), lambda: FakeModel(seconds=0.02))["benchmarks"]
    assert all(entry["respond"]["seconds"] > 0.019 * entry["responses"] for entry in slow.values())
    told = Told()
    broken = wanted.preview(told, lambda: FakeModel(bad=tuple(f"shade {20 * i}" for i in range(12))))["benchmarks"]
    assert [entry["respond"] is None for entry in broken.values()] == [True, False]
    assert "drawing: none of the 24 responses to time could be made: RuntimeError('a bad prompt')" in told.text
    assert [entry["score"] is None for entry in replace(wanted, stage="respond").preview(Told())["benchmarks"].values()] == [
        True
    ] * 2
    assert not (tmp_path / "r").exists()
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "r", FakeModel(interrupt_after=3, seconds=0.01), batch_size=4)
    entry = wanted.preview(Told())["benchmarks"]["drawing"]
    assert (entry["done"], entry["responses"], entry["respond"]["timed"], entry["score"]["left"]) == (12, 24, 12, 24)
    assert 0.1 <= entry["respond"]["seconds"] < 1
    with pytest.raises(UserError, match="seed 0, not 1"):
        replace(wanted, settings=settings(seed=1)).preview(Told())
    with pytest.raises(UserError, match="unknown shade judge 'blck'"):
        replace(wanted, settings=settings(judges={"shade": "blck"})).preview(Told())
    another = replace(wanted, model=replace(REFERENCE, name="another"))
    with pytest.raises(UserError, match=r"was made with model 'fake' .*, not 'another'"):
        another.preview(Told(), lambda: FakeModel(fingerprint="other weights 1"))
    assert len(lines(tmp_path / "r")) == 12


def test_a_preview_is_as_long_as_the_run_though_the_first_batch_is_slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model warms up for a second, which one response alone would have multiplied by 24; and judging takes its time too."""

    class Warming(FakeModel):
        def _meet(self, prompts: Sequence[str]) -> None:
            time.sleep(0.02 * len(prompts) + (0.0 if self.batches else 1.0))
            super()._meet(prompts)

    def shades(self: ShadeJudge, pictures: Sequence[Image.Image]) -> list[int]:
        time.sleep(0.03 * len(pictures))
        return [0] * len(pictures)

    monkeypatch.setattr(OtherShadeJudge, "shades", shades)
    wanted = Run(tmp_path / "r", REFERENCE, settings("drawing", judges={"shade": "black"}), batch_size=4)
    entry = wanted.preview(Told(), Warming)["benchmarks"]["drawing"]
    assert 0.4 <= entry["respond"]["low"] <= entry["respond"]["seconds"] <= entry["respond"]["high"]
    assert entry["respond"]["seconds"] < 1.2
    assert 0.7 <= entry["score"]["seconds"] < 1.5
    assert not (tmp_path / "r").exists()


def test_a_preview_halves_the_batch_as_the_run_does(tmp_path: Path) -> None:
    model = FakeModel(largest=5)
    entry = Run(tmp_path / "r", REFERENCE, settings("drawing")).preview(Told(), lambda: model)["benchmarks"]["drawing"]
    assert entry["respond"]["timed"] == 24
    assert max(len(batch) for batch in model.batches[-4:]) <= 5


def test_pictures_are_saved_as_rgb(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    digest = folder.save_picture(Image.new("RGBA", (SIDE, SIDE), (9, 9, 9, 0)), "images/x.png")
    assert Image.open(tmp_path / "images/x.png").mode == "RGB"
    assert digest == folder.save_picture(Image.new("RGB", (SIDE, SIDE), (9, 9, 9)), "images/y.png")


@pytest.mark.parametrize("part", ["images", "responses", "verdicts"])
def test_starting_over_keeps_a_link_to_a_folder_and_empties_what_the_run_wrote_there(tmp_path: Path, part: str) -> None:
    """Pictures are often on a larger disk."""
    run(tmp_path / "r")
    large = tmp_path / "large"
    (tmp_path / "r" / part).rename(large)
    (tmp_path / "r" / part).symlink_to(large)
    (large / "mine.txt").write_text("years of work")
    (large / "other").mkdir()
    (large / ("drawing" if part == "images" else "reading") / "old").write_text("of the last run")
    for _ in range(2):
        assert run(tmp_path / "r", fresh=True).complete
        assert (tmp_path / "r" / part).is_symlink()
        assert len(lines(tmp_path / "r")) == TOTAL
        assert (large / "mine.txt").exists()
        assert (large / "other").exists()
        assert not list(large.rglob("old"))


def test_starting_over_removes_links_to_files_and_to_nowhere(tmp_path: Path) -> None:
    run(tmp_path / "r")
    (tmp_path / "kept.json").write_text("{}")
    (tmp_path / "r/summary.json").unlink()
    (tmp_path / "r/summary.json").symlink_to(tmp_path / "kept.json")
    shutil.rmtree(tmp_path / "r/images")
    (tmp_path / "r/images").symlink_to(tmp_path / "nowhere")
    assert run(tmp_path / "r", fresh=True).complete
    assert (tmp_path / "kept.json").read_text() == "{}"
