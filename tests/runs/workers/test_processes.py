"""A run by processes: the numbers of a run in one process, whatever becomes of the workers."""

from __future__ import annotations

import io
import json
import os
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from fakes import REFERENCE, FakeModel, settings
from troubled import Gathering, Secretive, Troubled, dies_loading, lame, strange

from suder_bench import registry
from suder_bench.errors import JudgeError, UserError
from suder_bench.runs import provenance
from suder_bench.runs.execute import Outcome, Run
from suder_bench.runs.jsonl import Ledger
from suder_bench.runs.screen import Screen
from suder_bench.runs.staff import Staffing
from suder_bench.runs.workers.protocol import WorkerError

pytestmark = pytest.mark.usefixtures("fakes")
TOTAL = 12 * 2 + 8
BENCHMARKS = ("drawing", "reading")


class Told(Screen):
    def __init__(self) -> None:
        super().__init__(io.StringIO())

    @property
    def text(self) -> str:
        return self.stream.getvalue()  # type: ignore[attr-defined]


def run(out: Path, load: Any = FakeModel, screen: Screen | None = None, *, workers: int | None = 2, **changes: Any) -> Outcome:
    given = {name: changes.pop(name) for name in ("judges", "timeout") if name in changes}
    own = {name: changes.pop(name) for name in ("stage", "fresh") if name in changes}
    staffing = Staffing(workers, **given)
    wanted = changes.pop("settings", None) or settings(**changes)
    return Run(out, REFERENCE, wanted, batch_size=4, staffing=staffing, **own).execute(screen or Told(), load)


def lines(out: Path, part: str = "responses") -> list[str]:
    """Sorted, and without the seconds that each took."""
    rows = [row for name in BENCHMARKS for row in Ledger(out / part / name).rows()]
    return sorted(json.dumps({name: value for name, value in row.items() if name != "seconds"}, sort_keys=True) for row in rows)


def everything(out: Path) -> tuple[Any, ...]:
    """All of a run that may not depend on who made it."""
    pictures = {str(file.relative_to(out)): file.read_bytes() for file in out.rglob("*.png")}
    summary = json.loads((out / "summary.json").read_text())
    return lines(out), lines(out, "verdicts"), pictures, json.dumps(summary["benchmarks"])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in one process."""
    return tmp_path_factory.mktemp("whole") / "r"


@pytest.fixture
def expected(whole: Path) -> tuple[Any, ...]:
    if not whole.exists():
        run(whole, workers=None)
    return everything(whole)


@pytest.mark.parametrize("staffing", [{"workers": 1}, {"workers": 2}, {"workers": 4}, {"workers": 2, "judges": 2}])
def test_numbers_do_not_depend_on_who_makes_them(tmp_path: Path, expected: Any, staffing: dict[str, int]) -> None:
    outcome = run(tmp_path / "r", **staffing)
    assert outcome.complete
    assert everything(tmp_path / "r") == expected


def test_run_json_tells_of_the_workers(tmp_path: Path) -> None:
    run(tmp_path / "r", judges=1)
    written = json.loads((tmp_path / "r/run.json").read_text())
    kinds = sorted(name.partition(":")[0] for name in written["workers"])
    assert kinds == ["judges", "model", "model"]
    one = next(iter(written["workers"].values()))
    assert (one["device"], one["host"]) == ("cpu", provenance.kind())
    assert os.uname().nodename not in (tmp_path / "r/run.json").read_text()
    assert one["versions"] == written["versions"]


def test_a_finished_run_starts_no_model_again(tmp_path: Path) -> None:
    run(tmp_path / "r")
    screen = Told()
    run(tmp_path / "r", partial(Troubled, notes=tmp_path / "nowhere"), screen)  # which would break on loading
    assert f"resuming: {TOTAL} of {TOTAL} done" in screen.text


@pytest.mark.parametrize("what", ["kill", "exit"])
def test_a_worker_that_ends_loses_and_doubles_nothing(tmp_path: Path, expected: Any, what: str) -> None:
    screen = Told()
    outcome = run(tmp_path / "r", partial(Troubled, notes=tmp_path, troubles={"shade 60": what}), screen)
    assert outcome.complete
    assert everything(tmp_path / "r") == expected
    assert ("was killed (SIGKILL)" if what == "kill" else "ended with status 7") in screen.text


def test_a_sample_that_kills_every_worker_fails_by_name_and_alone(tmp_path: Path) -> None:
    screen = Told()
    outcome = run(tmp_path / "r", partial(Troubled, notes=tmp_path, troubles={"shade 60": "kill"}, times=99), screen)
    assert not outcome.complete
    assert "failed: drawing 003, repeat 0: the worker was killed (SIGKILL), 3 times" in screen.text
    entry = outcome.summary["benchmarks"]["drawing"]
    assert (entry["failed"], entry["n_responses"]) == (2, 22)
    assert outcome.summary["benchmarks"]["reading"]["failed"] == 0
    assert len(set(lines(tmp_path / "r"))) == len(lines(tmp_path / "r")) == TOTAL - 2
    assert run(tmp_path / "r").complete


def test_a_worker_that_hangs_is_started_again_after_the_timeout(tmp_path: Path, expected: Any) -> None:
    screen = Told()
    outcome = run(tmp_path / "r", partial(Troubled, notes=tmp_path, troubles={"shade 60": "hang"}), screen, timeout=8.0)
    assert outcome.complete
    assert everything(tmp_path / "r") == expected
    assert "(--worker-timeout 8); it is started again" in screen.text


def test_a_sample_that_raises_fails_alone(tmp_path: Path) -> None:
    screen = Told()
    outcome = run(tmp_path / "r", partial(FakeModel, bad=("shade 60",)), screen)
    entry = outcome.summary["benchmarks"]["drawing"]
    assert (entry["failed"], entry["n_responses"]) == (2, 22)
    assert "failed: drawing 003, repeat 0: RuntimeError('a bad prompt')" in screen.text
    assert 'raise RuntimeError("a bad prompt")' in screen.text, "the traceback is that of the worker"
    assert "it is started again" not in screen.text


def test_a_worker_out_of_memory_halves_its_own_batch(tmp_path: Path) -> None:
    screen = Told()
    assert run(tmp_path / "r", partial(Gathering, notes=tmp_path, largest=3), screen).complete
    assert screen.text.count("out of memory at batch size 4; going on with 2") == 2, "once in each worker"
    assert len(set(lines(tmp_path / "r"))) == TOTAL


def test_a_worker_that_cannot_load_is_named_and_the_others_go_on(tmp_path: Path, expected: Any) -> None:
    screen = Told()
    assert run(tmp_path / "r", partial(lame, tmp_path), screen).complete
    assert everything(tmp_path / "r") == expected
    [line] = [line for line in screen.text.splitlines() if "no weights here" in line]
    assert f"on {os.uname().nodename} cannot work: no weights here; put them there" in line


def test_no_folder_is_made_where_no_worker_can_load(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no weights here"):
        run(tmp_path / "r", partial(lame, tmp_path, right=0))
    with pytest.raises(WorkerError, match="ended with status 9, 3 times before it could begin"):
        run(tmp_path / "r", dies_loading)
    assert not (tmp_path / "r").exists()


def test_a_worker_that_says_what_nobody_can_read_is_given_up(tmp_path: Path) -> None:
    with pytest.raises(WorkerError, match="sent what cannot be read"):
        run(tmp_path / "r", Secretive, workers=1)


def test_a_worker_with_another_model_is_refused_by_name(tmp_path: Path, expected: Any) -> None:
    screen = Told()
    assert run(tmp_path / "r", partial(strange, tmp_path), screen).complete
    assert everything(tmp_path / "r") == expected
    assert "cannot work: its model has the fingerprint another one, not fake weights" in screen.text


def test_a_resumed_run_takes_no_other_model(tmp_path: Path) -> None:
    run(tmp_path / "r", stage="respond", limit=2)
    with pytest.raises(UserError, match="was made with model 'fake'"):
        run(tmp_path / "r", partial(FakeModel, fingerprint="another one"))


def test_judges_that_fail_their_known_answers_leave_the_responses(tmp_path: Path) -> None:
    for out, own in (("a", None), ("b", 1)):
        staffing, wrong = Staffing(2, judges=own), settings(judges={"shade": "wrong"})
        with pytest.raises(JudgeError, match="shade=wrong fails its known answers"):
            Run(tmp_path / out, REFERENCE, wrong, batch_size=4, staffing=staffing).execute(Told(), FakeModel)
        assert len(lines(tmp_path / out)) == TOTAL


def test_a_missing_judge_costs_its_benchmark_alone(tmp_path: Path) -> None:
    missing = settings(judges={"shade": "missing"})
    screen = Told()
    outcome = Run(tmp_path / "r", REFERENCE, missing, staffing=Staffing(2, judges=1)).execute(screen, FakeModel)
    assert not outcome.complete
    assert [entry["failed"] for entry in outcome.summary["benchmarks"].values()] == [24, 0]
    assert "judge shade=missing has no weights" in screen.text


def test_judges_that_are_lost_for_good_leave_their_work_to_those_who_responded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judges = {**registry.TABLE["judges"], "shade/fleeting": "troubled:FleetingJudge"}
    monkeypatch.setattr(registry, "TABLE", {**registry.TABLE, "judges": judges})
    registry.table.cache_clear()
    (tmp_path / "notes").mkdir()
    monkeypatch.setenv("FLEETING", str(tmp_path / "notes"))
    screen = Told()
    outcome = run(tmp_path / "r", screen=screen, judges=1, settings=settings(judges={"shade": "fleeting"}))
    assert outcome.complete
    assert "the judge's memory is gone" in screen.text
    entry = outcome.summary["benchmarks"]["drawing"]
    assert (entry["failed"], entry["n_responses"]) == (0, 24)
    assert len(set(lines(tmp_path / "r", "verdicts"))) == TOTAL


def test_a_file_tells_how_long_each_stage_took_and_adds_up_over_commands(tmp_path: Path) -> None:
    run(tmp_path / "r", limit=4, stage="respond")
    run(tmp_path / "r")
    file = tmp_path / "r/speed.json"
    speed = json.loads(file.read_text())
    assert (speed["respond"]["responses"], speed["respond"]["workers"]) == (TOTAL, 2)
    assert speed["score"]["responses"] == 24, "answers that need no judge are not sent"
    for stage in speed.values():
        assert stage["per_second"] == pytest.approx(stage["responses"] / stage["seconds"], rel=0.1)
        assert stage["worker_seconds"] > 0
        assert stage["gpu_seconds"] == 0.0
    before = file.read_bytes()
    run(tmp_path / "r", workers=None)
    assert file.read_bytes() == before, "nothing was done"
    file.write_bytes(b"[")
    run(tmp_path / "r", workers=None, repeats=3)
    assert json.loads(file.read_text())["respond"]["responses"] == 12 + 16


def test_verbose_says_what_each_worker_has_done(tmp_path: Path) -> None:
    screen = Told()
    staffing = Staffing(2, verbose=True)
    Run(tmp_path / "r", REFERENCE, settings(), batch_size=4, staffing=staffing).execute(
        screen, partial(Gathering, notes=tmp_path)
    )
    said = [line for line in screen.text.splitlines() if "responses of model" in line]
    assert sorted(line.partition(" on ")[0] for line in said) == ["worker 1", "worker 2"]
    assert sum(int(line.partition(": ")[2].partition(" ")[0]) for line in said) == TOTAL
