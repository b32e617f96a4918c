"""Several commands, each with a shard of one run: what they leave together is what one command leaves."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from fakes import REFERENCE, FakeModel, settings

from suder_bench import locks
from suder_bench.cli import main
from suder_bench.errors import UserError
from suder_bench.runs import commands
from suder_bench.runs.execute import Outcome, Run
from suder_bench.runs.jsonl import Ledger
from suder_bench.runs.screen import Screen
from suder_bench.runs.shards import ShardedRun, read
from suder_bench.runs.staff import Staffing
from suder_bench.runs.store import RunFolder

pytestmark = pytest.mark.usefixtures("fakes")
MANY = 70  # prompts, of which each has two drawings: five cells


class Told(Screen):
    def __init__(self) -> None:
        super().__init__(io.StringIO())

    @property
    def text(self) -> str:
        return self.stream.getvalue()  # type: ignore[attr-defined]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/shades.txt").write_text(" ".join(map(str, range(MANY))))
    return tmp_path / "data"


def shard(text: str, out: Path, data: Path, model: Any = None, screen: Screen | None = None, **changes: Any) -> Outcome:
    own = {name: changes.pop(name) for name in ("stage", "batch_size", "fresh", "staffing") if name in changes}
    run = ShardedRun(out, REFERENCE, settings(data=data, **changes), shard=read(text), **own)
    return run.execute(screen or Told(), lambda: model or FakeModel())


def everything(out: Path) -> tuple[Any, ...]:
    found = []
    for part in ("responses", "verdicts"):
        rows = [row for name in ("drawing", "reading") for row in Ledger(out / part / name).rows()]
        found.append(sorted(json.dumps({**row, "seconds": None}, sort_keys=True) for row in rows))
    pictures = {str(file.relative_to(out)): file.read_bytes() for file in out.rglob("*.png")}
    return *found, pictures, json.dumps(json.loads((out / "summary.json").read_text())["benchmarks"])


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 1, 2)])
def test_shards_together_are_the_whole_run(tmp_path: Path, data: Path, order: tuple[int, ...]) -> None:
    outcomes = [shard(f"{number}/3", tmp_path / "r", data) for number in order]
    assert [(outcome.whole, outcome.complete) for outcome in outcomes] == [(False, True), (False, True), (True, True)]
    Run(tmp_path / "whole", REFERENCE, settings(data=data)).execute(Told(), FakeModel)
    assert everything(tmp_path / "r") == everything(tmp_path / "whole")
    writers = {file.stem for file in (tmp_path / "r/responses/drawing").iterdir()}
    assert writers == {"shard-1-of-3", "shard-2-of-3", "shard-3-of-3"}
    cards = json.loads((tmp_path / "r/run.json").read_text())["workers"]
    assert set(cards) == {f"shard {number}/3, this process" for number in (1, 2, 3)}
    assert main(["verify", str(tmp_path / "r")]) == 0
    assert all(one["complete"] for one in commands.read(tmp_path / "r"))


@pytest.mark.parametrize("size", [8, 12, 32, 48])
def test_batches_of_a_shard_are_batches_of_the_whole_run(tmp_path: Path, data: Path, size: int) -> None:
    whole = FakeModel()
    Run(tmp_path / "whole", REFERENCE, settings(data=data), batch_size=size).execute(Told(), lambda: whole)
    parts = [FakeModel() for _ in range(3)]
    for number, model in enumerate(parts, 1):
        shard(f"{number}/3", tmp_path / "r", data, model, batch_size=size)
    assert sorted(batch for model in parts for batch in model.batches) == sorted(whole.batches)


def test_a_shard_that_is_not_the_last_says_what_is_missing(tmp_path: Path, data: Path) -> None:
    screen = Told()
    shard("2/3", tmp_path / "r", data, screen=screen)
    assert not (tmp_path / "r/summary.json").exists()
    assert "shard 2/3 is done; 104 responses are not made yet. The last shard sums up, or: suder-bench score" in screen.text


def test_a_shard_that_only_responds_says_how_all_are_scored(tmp_path: Path, data: Path) -> None:
    screen = Told()
    shard("1/2", tmp_path / "r", data, screen=screen, stage="respond")
    assert f"shard 1/2 is done; with all shards' responses there: suder-bench score {tmp_path / 'r'}" in screen.text


def test_a_preview_is_of_the_shard(tmp_path: Path, data: Path) -> None:
    asked = settings(data=data)
    parts = [ShardedRun(tmp_path / "r", REFERENCE, asked, shard=read(f"{i}/2")).preview(Told(), FakeModel) for i in (1, 2)]
    whole = Run(tmp_path / "r", REFERENCE, asked).preview(Told(), FakeModel)
    counts = {name: [part["benchmarks"][name]["responses"] for part in parts] for name in whole["benchmarks"]}
    assert {name: sum(own) for name, own in counts.items()} == {"drawing": 2 * MANY, "reading": 8}
    assert all(counts["drawing"])
    with pytest.raises(UserError, match="--fresh would discard"):
        ShardedRun(tmp_path / "r", REFERENCE, asked, shard=read("1/2"), fresh=True).preview(Told(), FakeModel)


def test_a_shard_again_does_nothing_twice(tmp_path: Path, data: Path) -> None:
    shard("1/2", tmp_path / "r", data)
    model, screen = FakeModel(), Told()
    shard("1/2", tmp_path / "r", data, model, screen)
    assert model.batches == []
    shard("2/2", tmp_path / "r", data)
    before = everything(tmp_path / "r")
    assert shard("2/2", tmp_path / "r", data).whole
    assert everything(tmp_path / "r") == before


def test_a_whole_run_goes_on_from_shards(tmp_path: Path, data: Path) -> None:
    shard("1/2", tmp_path / "r", data)
    screen = Told()
    assert Run(tmp_path / "r", REFERENCE, settings(data=data)).execute(screen, FakeModel).complete
    assert "resuming: 84 of 148 done" in screen.text
    Run(tmp_path / "whole", REFERENCE, settings(data=data)).execute(Told(), FakeModel)
    assert everything(tmp_path / "r") == everything(tmp_path / "whole")


def test_a_shard_that_failed_leaves_no_summary_and_can_be_repeated(tmp_path: Path, data: Path) -> None:
    outcome = shard("1/2", tmp_path / "r", data, FakeModel(bad=("shade 3",)))
    assert not outcome.complete
    assert not shard("2/2", tmp_path / "r", data).whole
    assert shard("1/2", tmp_path / "r", data).whole


def test_a_torn_line_of_another_shard_is_left_to_it(tmp_path: Path, data: Path) -> None:
    shard("1/2", tmp_path / "r", data)
    file = tmp_path / "r/responses/drawing/shard-1-of-2.jsonl"
    torn = file.read_bytes()[:-20]
    file.write_bytes(torn)
    assert not shard("2/2", tmp_path / "r", data).whole
    assert file.read_bytes() == torn
    assert shard("1/2", tmp_path / "r", data).whole


def test_other_settings_are_refused(tmp_path: Path, data: Path) -> None:
    shard("1/2", tmp_path / "r", data)
    with pytest.raises(UserError, match="seed 0, not 1"):
        shard("2/2", tmp_path / "r", data, seed=1)


def test_shards_and_a_whole_run_keep_out_of_each_others_way(tmp_path: Path, data: Path) -> None:
    folder = RunFolder(tmp_path / "r", "shard-1-of-2")
    with folder.shared(print):
        with pytest.raises(UserError, match="is in use by shard-1-of-2"):
            Run(tmp_path / "r", REFERENCE, settings(data=data)).execute(Told(), FakeModel)
        with pytest.raises(UserError, match="shard-1-of-2 is at work in"):
            shard("1/2", tmp_path / "r", data)
        assert not shard("2/2", tmp_path / "r", data).whole
    assert Run(tmp_path / "r", REFERENCE, settings(data=data)).execute(Told(), FakeModel).complete


@pytest.mark.parametrize("number", sorted(locks.REFUSED))
def test_a_disk_without_locks_takes_shards(tmp_path: Path, data: Path, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> bool:
        raise OSError(number, "no locks here")

    monkeypatch.setattr(locks, "lock_descriptor", refuse)
    with RunFolder(tmp_path / "r", "shard-1-of-2").shared(print):
        with pytest.raises(UserError, match="is in use by shard-1-of-2"):
            Run(tmp_path / "r", REFERENCE, settings(data=data)).execute(Told(), FakeModel)
        shard("2/2", tmp_path / "r", data)
    assert shard("1/2", tmp_path / "r", data).whole


def test_workers_do_a_shard(tmp_path: Path, data: Path) -> None:
    run = ShardedRun(tmp_path / "r", REFERENCE, settings(data=data), shard=read("1/2"), staffing=Staffing(2))
    assert run.execute(Told(), FakeModel).complete
    assert shard("2/2", tmp_path / "r", data).whole
    Run(tmp_path / "whole", REFERENCE, settings(data=data)).execute(Told(), FakeModel)
    assert everything(tmp_path / "r") == everything(tmp_path / "whole")


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "a/b", "1/0", "-1/3"])
def test_what_is_no_shard_is_told(text: str) -> None:
    with pytest.raises(UserError, match=r"is not I/N with I from 1 to N"):
        read(text)


@pytest.mark.parametrize(
    ("changes", "told"), [({"fresh": True}, "--fresh would discard"), ({"stage": "score"}, "leave out --shard")]
)
def test_what_shards_cannot_do_is_told(tmp_path: Path, data: Path, changes: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        shard("1/2", tmp_path / "r", data, **changes)
