"""Which models of a training run are evaluated, when, and that each is evaluated once."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fake_training import FakeRun, Painter
from fakes import settings

from suder_bench import registry
from suder_bench.errors import UserError
from suder_bench.runs.screen import Screen
from suder_bench.runs.staff import Staffing
from suder_bench.training.track import Tracker, TrainingRun, parts


def loading(**troubles: Any) -> Any:
    """What stands for the fake adapter's `load`."""
    return classmethod(lambda cls, reference, **_: replace(Painter.load(reference), **troubles))


@pytest.fixture
def run(tmp_path: Path, fakes: None, monkeypatch: pytest.MonkeyPatch) -> FakeRun:
    monkeypatch.setattr("fakes.FakeModel.load", loading())
    return FakeRun(tmp_path / "run")


def tracker(run: FakeRun, *benchmarks: str, fresh: bool = False, staffing: Staffing | None = None, **changes: Any) -> Tracker:
    training = TrainingRun.open(run.path)
    screen = Screen(io.StringIO())
    chosen = parts(settings(*(benchmarks or ("drawing",)), **changes), training.strategy, screen)
    out = run.path / "evaluations"
    return Tracker(training, training.start(), chosen, out, screen, fresh=fresh, staffing=staffing or Staffing())


def said(one: Tracker) -> str:
    assert isinstance(one.screen.stream, io.StringIO)
    return one.screen.stream.getvalue()


def made(one: Tracker) -> list[str]:
    return [str(evaluation) for evaluation in one.run()]


def test_the_start_model_and_complete_checkpoints_are_evaluated_in_order_of_step(run: FakeRun) -> None:
    run.begin().checkpoint(100, 1.0)
    run.checkpoint(20, 0.5)
    run.checkpoint(120, 0.5, complete=False)
    (run.path / "checkpoint-old").mkdir()
    assert made(tracker(run)) == ["step 0, drawing", "step 20, drawing", "step 100, drawing"]
    assert run.skills("drawing", "drawing") == {0: 0.25, 20: 0.5, 100: 1.0}


def test_what_is_done_is_not_done_again_and_loads_no_model(run: FakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    run.begin().checkpoint(20, 0.5)
    assert len(made(tracker(run))) == 2
    monkeypatch.setattr("fakes.ShadeJudge.load", None)
    monkeypatch.setattr("fakes.FakeModel.load", None)
    again = tracker(run)
    assert made(again) == []
    assert said(again) == "evaluated before: drawing at steps 0, 20\n"


def test_what_another_version_of_the_world_scored_is_work_to_do(run: FakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    run.begin().checkpoint(20, 0.5)
    made(tracker(run))
    monkeypatch.setattr("suder_bench.runs.recipe.VERSION", "a later one")
    assert made(tracker(run)) == ["step 0, drawing", "step 20, drawing"]


def test_a_summary_that_says_otherwise_than_its_verdicts_is_written_again(run: FakeRun) -> None:
    run.begin().checkpoint(20, 0.5)
    made(tracker(run))
    file = run.path / "evaluations/step-20/drawing/summary.json"
    whole = file.read_bytes()
    file.write_bytes(whole.replace(b'"value": 0.5', b'"value": 0.9'))
    assert made(tracker(run)) == ["step 20, drawing"]
    assert file.read_bytes() == whole


def test_a_new_checkpoint_is_all_that_is_done(run: FakeRun) -> None:
    run.begin().checkpoint(20, 0.5)
    made(tracker(run))
    run.checkpoint(40, 0.75)
    assert made(tracker(run)) == ["step 40, drawing"]


def test_a_larger_limit_and_other_judges_are_work_to_do(run: FakeRun) -> None:
    run.begin().checkpoint(20, 1.0)
    assert len(made(tracker(run, limit=4))) == 2
    assert len(made(tracker(run, limit=8))) == 2
    assert len(made(tracker(run, limit=8, judges={"shade": "black"}))) == 2
    assert run.skills("drawing", "drawing")[20] == 1 / 8  # only the black picture is called right


def test_an_evaluation_cut_short_goes_on(run: FakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    run.begin().checkpoint(20, 0.5)
    with monkeypatch.context() as patch:
        patch.setattr("fakes.FakeModel.load", loading(interrupt_after=1))
        one = tracker(run)
        one.batch_size = 8
        with pytest.raises(KeyboardInterrupt, match="goes on from here"):
            made(one)
    again = tracker(run)
    assert len(made(again)) == 2
    assert "resuming: 8 of 24 done" in said(again)


def test_other_settings_are_refused_before_anything_starts(run: FakeRun) -> None:
    run.begin().checkpoint(20, 0.5)
    made(tracker(run))
    other = tracker(run, seed=1)
    with pytest.raises(UserError, match=r"step-0/drawing was made with seed 0, not 1; start over with --fresh"):
        other.check()
    tracker(run).check()
    fresh = tracker(run, seed=1, fresh=True)
    fresh.check()
    assert len(made(fresh)) == 2


def test_workers_evaluate_alike_and_notice_other_weights(run: FakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    models = {**registry.TABLE["models"], "fake": "fake_training:Painter"}
    monkeypatch.setattr(registry, "TABLE", {**registry.TABLE, "models": models})
    registry.table.cache_clear()
    run.begin().checkpoint(20, 0.5)
    assert made(tracker(run, staffing=Staffing(2))) == ["step 0, drawing", "step 20, drawing"]
    assert run.skills("drawing", "drawing") == {0: 0.25, 20: 0.5}
    run.checkpoint(20, 0.75)
    again = tracker(run, staffing=Staffing(1))
    assert made(again) == ["step 20, drawing"]
    assert "its weights have changed" in said(again)
    assert run.skills("drawing", "drawing") == {0: 0.25, 20: 0.75}
    run.checkpoint(30, "torn")
    torn = tracker(run, staffing=Staffing(1))
    assert made(torn) == []
    assert "header too large" in said(torn)
    assert "more about it" not in said(torn)


def test_a_checkpoint_that_was_trained_anew_is_evaluated_anew(run: FakeRun) -> None:
    run.begin().checkpoint(20, 0.5)
    made(tracker(run))
    run.checkpoint(20, 0.75)
    again = tracker(run)
    assert made(again) == ["step 20, drawing"]
    assert "its weights have changed" in said(again)
    assert run.skills("drawing", "drawing") == {0: 0.25, 20: 0.75}


def test_two_trainings_do_not_share_their_evaluations(run: FakeRun, tmp_path: Path) -> None:
    run.begin().checkpoint(20, 0.5)
    made(tracker(run))
    other = FakeRun(tmp_path / "other")
    other.begin().checkpoint(20, 0.75)
    shared = replace(tracker(other), out=run.path / "evaluations")
    with pytest.raises(UserError, match=r"holds the evaluation of .*run/checkpoint-20; choose another --out, or --fresh"):
        shared.check()
    assert run.skills("drawing", "drawing") == {0: 0.25, 20: 0.5}


def test_a_touched_checkpoint_keeps_its_evaluation(run: FakeRun) -> None:
    run.begin().checkpoint(20, 0.5)
    made(tracker(run))
    run.checkpoint(20, 0.5)
    (run.path / "checkpoint-20/optimizer.pt").touch()
    again = tracker(run)
    made(again)
    assert "resuming: 24 of 24 done" in said(again)


def test_a_damaged_checkpoint_is_left_out_and_the_others_go_on(run: FakeRun) -> None:
    damaged = run.begin().checkpoint(20, "torn")
    run.checkpoint(40, 1.0)
    one = tracker(run)
    assert made(one) == ["step 0, drawing", "step 40, drawing"]
    assert one.failures == {"step 20, drawing": f"{damaged} cannot be loaded (header too large); it is left out"}


def test_a_response_that_fails_is_a_failure_of_its_step(run: FakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    run.begin().checkpoint(20, 1.0)
    monkeypatch.setattr("fakes.FakeModel.load", loading(bad=("shade 20",)))
    one = tracker(run)
    assert made(one) == ["step 0, drawing", "step 20, drawing"]
    assert list(one.failures) == ["step 0, drawing", "step 20, drawing"]


class TestSeparate:
    """Two models: the one that learnt to draw is measured on drawing, the one that learnt to read on reading."""

    def test_each_kind_is_reported_from_its_own_model(self, run: FakeRun) -> None:
        run.begin(strategy="separate").checkpoint(10, 1.0, "gen")
        run.checkpoint(30, 0.0, "und")
        run.checkpoint(10, 1.0)  # belongs to nobody
        assert made(tracker(run, "drawing", "reading")) == [
            "step 0, drawing",
            "step 0, reading",
            "step 10, drawing",
            "step 30, reading",
        ]
        assert run.skills("drawing", "drawing") == {0: 0.25, 10: 1.0}
        assert run.skills("reading", "reading") == {0: 0.0, 30: 0.0}

    def test_judges_and_protocol_go_to_the_benchmarks_that_know_them(self, run: FakeRun) -> None:
        run.begin(strategy="separate")
        one = tracker(run, "drawing", "reading", protocol="strict", judges={"shade": "black"})
        assert [(part.branch, part.settings.protocol, part.settings.judges) for part in one.parts] == [
            ("gen", "strict", {"shade": "black"}),
            ("und", "official", {}),
        ]
        with pytest.raises(UserError, match="unknown judge role 'shad'"):
            tracker(run, "drawing", "reading", judges={"shad": "black"})

    def test_a_part_without_benchmarks_is_none(self, run: FakeRun) -> None:
        run.begin(strategy="separate")
        assert [part.branch for part in tracker(run, "reading").parts] == ["und"]


def test_other_strategies_measure_everything_on_one_model(run: FakeRun) -> None:
    run.begin(strategy="only-gen").checkpoint(10, 0.5)
    assert made(tracker(run, "drawing", "reading")) == ["step 0, drawing+reading", "step 10, drawing+reading"]


def test_following_takes_checkpoints_as_they_come_until_the_end(run: FakeRun) -> None:
    run.begin().checkpoint(10, 0.5)

    def train() -> None:
        while not (run.path / "evaluations/step-10/drawing/summary.json").is_file():
            time.sleep(0.01)
        run.checkpoint(20, 1.0, complete=False)
        time.sleep(0.05)
        run.checkpoint(20, 1.0)
        run.finish(20)

    thread = threading.Thread(target=train)
    with run.training():
        thread.start()
        steps = [one.step for one in tracker(run).run(follow=True, poll=0.01)]
        thread.join()
    assert steps == [0, 10, 20]


def test_following_ends_when_nobody_trains_any_more(run: FakeRun) -> None:
    run.begin().checkpoint(10, 0.5)
    one = tracker(run)
    steps: Iterator[int] = (evaluation.step for evaluation in one.run(follow=True, poll=0.01))
    with run.training():
        assert next(steps) == 0
        run.checkpoint(20, 0.5)
    assert list(steps) == [10, 20]
    assert one.training.state == "stopped"


def test_a_checkpoint_that_training_deletes_is_not_looked_for_elsewhere(run: FakeRun) -> None:
    folder = run.begin().checkpoint(10, 0.5)
    one = tracker(run)
    steps = one.run()
    next(steps)
    listed = one.evaluations()
    one.evaluations = lambda: listed  # type: ignore[method-assign]
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    assert list(steps) == []
    assert one.failures == {"step 10, drawing": f"{folder} was deleted before it was evaluated"}


def test_the_state_is_told_by_the_lock_and_the_last_file(run: FakeRun) -> None:
    training = TrainingRun.open(run.begin().path)
    assert training.state == "stopped"
    with run.training():
        assert training.state == "running"
    assert training.state == "stopped"
    run.finish(1)
    assert training.state == "finished"


@pytest.mark.parametrize(
    ("recipe", "why"),
    [
        (None, r"is not a training run \(no recipe.yaml\)"),
        ("model: [", "recipe.yaml is not readable"),
        ("strategy: unified", "recipe.yaml names no model"),
        ("- model", "recipe.yaml names no model"),
        ("model: fakee:start", "the start model of .*recipe.yaml: unknown model adapter 'fakee'; did you mean 'fake'"),
    ],
)
def test_what_is_no_training_run_is_told_in_one_line(run: FakeRun, recipe: str | None, why: str) -> None:
    run.path.mkdir()
    if recipe is not None:
        (run.path / "recipe.yaml").write_text(recipe)
    with pytest.raises(UserError, match=why) as caught:
        TrainingRun.open(run.path).start()
    assert "\n" not in str(caught.value)


def test_a_folder_that_does_not_exist_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="it does not exist"):
        TrainingRun.open(tmp_path / "nowhere")
