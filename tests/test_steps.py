"""Steps of a larger piece of work: what is done stays done, through failures, interrupts and kills."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kin import alive

from suder_bench.errors import UserError
from suder_bench.machine import cores
from suder_bench.reports.reproduction import told
from suder_bench.steps import RECORD, Step, Work, environment, last_line, read_record, run_logged


@dataclass
class Fake:
    """Runs nothing: a step named in `broken` says why and ends with 1, one in `empty` makes nothing, others make their file."""

    steps: Sequence[Step]
    broken: set[str] = field(default_factory=set)
    empty: set[str] = field(default_factory=set)
    interrupted: str = ""
    ran: list[str] = field(default_factory=list)

    async def __call__(self, command: Sequence[str], log: Path, jobs: int) -> int:
        step = next(step for step in self.steps if step.argv[0] == command[3])
        self.ran.append(step.name)
        if step.name == self.interrupted:
            raise KeyboardInterrupt
        if step.name in self.broken:
            with log.open("a") as file:
                file.write("working\nsuder-bench: the disk is full\n\n")
            return 1
        if step.name not in self.empty:
            step.makes.write_text("made")
        return 0


@pytest.fixture
def steps(tmp_path: Path) -> list[Step]:
    """b needs a; c stands alone; the report needs a and takes what b and c made."""
    return [
        Step("a", ("make-a",), tmp_path / "a"),
        Step("b", ("make-b",), tmp_path / "b", needs=("a",)),
        Step("c", ("make-c",), tmp_path / "c"),
        Step("report", ("report", "a", "b", "c"), tmp_path / "report", needs=("a",), takes={"b": "b", "c": "c"}),
    ]


def work(steps: Sequence[Step], out: Path, run: Fake, command: str = "all of it", jobs: int = 1) -> tuple[Work, list[str]]:
    said: list[str] = []
    return Work(steps, out, command, "a machine", {"torch": "2"}, said.append, jobs, run), said


def record(out: Path) -> dict:
    return json.loads((out / RECORD).read_text())


@pytest.mark.parametrize(
    "content", ["[]", "{}", "{", '{"command": "c", "steps": [{"name": 1}]}', '{"command": "c", "steps": {}}', "[" * 9999]
)
def test_a_record_of_wrong_types_is_told_in_one_line(tmp_path, content):
    (tmp_path / RECORD).write_text(content)
    with pytest.raises(UserError, match=r"reproduce\.json is not readable \(.*\); remove it, and what is finished"):
        read_record(tmp_path)


def test_each_step_runs_once_and_is_recorded(steps, tmp_path):
    fake = Fake(steps)
    first, said = work(steps, tmp_path, fake)
    assert first.execute()
    assert fake.ran == ["a", "b", "c", "report"]
    assert said[:2] == ["[1/4] a: suder-bench make-a", "[1/4] a: done in 0:00"]
    found = record(tmp_path)
    assert (found["status"], found["hardware"], found["versions"]) == ("complete", "a machine", {"torch": "2"})
    assert [(step["name"], step["status"], len(step["attempts"])) for step in found["steps"]] == [
        (name, "done", 1) for name in fake.ran
    ]
    again, said = work(steps, tmp_path, fake)
    assert again.execute()
    assert said == ["resuming: 4 of 4 steps done"]
    assert len(fake.ran) == 4


def test_a_failure_skips_what_needs_it_and_nothing_else(steps, tmp_path):
    fake = Fake(steps, broken={"a"})
    first, said = work(steps, tmp_path, fake)
    assert not first.execute()
    assert fake.ran == ["a", "c"]
    assert said[1] == f"[1/4] a: failed after 0:00: the disk is full ({tmp_path}/logs/01-a.log)"
    assert said[2] == "[2/4] b: skipped, it needs a"
    assert said[-1] == "[4/4] report: skipped, it needs a"
    assert record(tmp_path)["status"] == "failed"
    fake.broken = set()
    again, said = work(steps, tmp_path, fake)
    assert again.execute()
    assert said[0] == "resuming: 1 of 4 steps done"
    assert fake.ran == ["a", "c", "a", "b", "report"]
    assert [attempt["status"] for attempt in record(tmp_path)["steps"][0]["attempts"]] == ["failed", "done"]


def test_what_is_only_taken_is_left_out_and_the_report_made_anew_once_it_is_there(steps, tmp_path):
    fake = Fake(steps, broken={"c"})
    first, said = work(steps, tmp_path, fake)
    assert not first.execute()
    assert said[-2] == "[4/4] report: suder-bench report a b"
    fake.broken = set()
    again, said = work(steps, tmp_path, fake)
    assert again.execute()
    assert said[-2] == "[4/4] report: suder-bench report a b c"
    assert fake.ran == ["a", "b", "c", "report", "c", "report"]


def test_a_step_that_makes_nothing_has_failed(steps, tmp_path):
    first, said = work(steps, tmp_path, Fake(steps, empty={"c"}))
    assert not first.execute()
    assert f"[3/4] c: failed after 0:00: it ended without {tmp_path}/c ({tmp_path}/logs/03-c.log)" in said


def test_what_was_deleted_is_made_again_with_all_that_follows(steps, tmp_path):
    fake = Fake(steps)
    work(steps, tmp_path, fake)[0].execute()
    (tmp_path / "a").unlink()
    assert work(steps, tmp_path, fake)[0].execute()
    assert fake.ran[4:] == ["a", "b", "report"]


def test_an_interrupt_is_recorded_and_gone_on_from(steps, tmp_path):
    fake = Fake(steps, interrupted="b")
    with pytest.raises(KeyboardInterrupt):
        work(steps, tmp_path, fake)[0].execute()
    assert record(tmp_path)["status"] == "interrupted"
    fake.interrupted = ""
    again, said = work(steps, tmp_path, fake)
    assert again.execute()
    assert said[0] == "resuming: 1 of 4 steps done"
    assert fake.ran == ["a", "b", "b", "c", "report"]


def test_a_folder_with_other_work_is_refused(steps, tmp_path):
    work(steps, tmp_path, Fake(steps))[0].execute()
    with pytest.raises(UserError, match="holds all of it; repeat that command, or choose another --out"):
        work(steps, tmp_path, Fake(steps), command="something else")[0].execute()


@st.composite
def plans(draw) -> list[Step]:
    """Steps that each need or take some of those before them."""
    found: list[Step] = []
    for number in range(draw(st.integers(1, 8))):
        before = draw(st.lists(st.sampled_from([one.name for one in found]), unique=True)) if found else []
        needs = tuple(name for name in before if draw(st.booleans()))
        takes = {name: f"word-{name}" for name in before if name not in needs}
        found.append(Step(f"s{number}", (f"s{number}", *takes.values()), Path(f"s{number}"), needs=needs, takes=takes))
    return found


@given(plans(), st.integers(1, 4), st.data())
def test_steps_side_by_side_wait_for_what_they_need_and_end_as_one_by_one(steps, jobs, data):
    broken = set(data.draw(st.lists(st.sampled_from([one.name for one in steps]), unique=True)))
    order = data.draw(st.permutations(range(len(steps))))
    by_name, under_way, settled = {one.name: one for one in steps}, set(), set()

    async def run(command: Sequence[str], log: Path, told: int) -> int:
        name = command[3]
        assert told == jobs
        under_way.add(name)
        assert len(under_way) <= jobs
        assert settled.issuperset(name for name in by_name[name].needs)
        assert under_way.isdisjoint(by_name[name].takes)
        for _ in range(order[int(name[1:])]):
            await asyncio.sleep(0)
        under_way.remove(name)
        settled.add(name)
        by_name[name].makes.write_text("made")
        return int(name in broken)

    def ended(at_a_time: int) -> list[tuple[str, str, str]]:
        nonlocal jobs
        jobs = at_a_time
        settled.clear()
        with TemporaryDirectory() as folder, contextlib.chdir(folder):
            Work(steps, Path(folder), "all", "a machine", {}, lambda line: None, jobs, run).execute()
            return [(one["name"], one["status"], one["command"]) for one in record(Path(folder))["steps"]]

    assert ended(jobs) == ended(1)


def test_side_by_side_is_at_the_same_time_and_counts_once(steps, tmp_path):
    both = asyncio.Barrier(2)

    async def run(command: Sequence[str], log: Path, jobs: int) -> int:
        step = next(step for step in steps if step.argv[0] == command[3])
        if step.name in ("a", "c"):
            await asyncio.wait_for(both.wait(), 60)
        await asyncio.sleep(0.06 if step.name in ("a", "c") else 0)
        step.makes.write_text("made")
        return 0

    assert Work(steps, tmp_path, "all", "a machine", {}, lambda line: None, 2, run).execute()
    found = record(tmp_path)
    assert found["seconds"] < sum(one["attempts"][0]["seconds"] for one in found["steps"])
    assert "2 commands side by side" in told(found)


def test_steps_side_by_side_share_the_processor_unless_the_user_says_otherwise(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert "OMP_NUM_THREADS" not in environment()
    assert environment(cores())["OMP_NUM_THREADS"] == environment(2 * cores())["OMP_NUM_THREADS"] == "1"
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert environment(cores())["OMP_NUM_THREADS"] == "3"


KILLED = """
import sys, time
from pathlib import Path
from suder_bench.steps import Step, Work

out = Path(sys.argv[1])
steps = [Step("a", ("x",), out / "a"), Step("b", ("y",), out / "b")]

async def run(command, log, jobs):
    with log.open("a") as file:
        file.write("begun")
    if command[3] == "y":
        time.sleep(600)
    (out / "a").write_text("made")
    return 0

Work(steps, out, "all of it", "a machine", {}, print, 1, run).execute()
"""


def test_kill_9_loses_only_the_step_at_work(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)])
    log = tmp_path / "logs" / "02-b.log"
    while not (log.is_file() and "begun" in log.read_text()):
        assert process.poll() is None
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert record(tmp_path)["status"] == "running"
    steps = [Step("a", ("x",), tmp_path / "a"), Step("b", ("y",), tmp_path / "b")]
    fake = Fake(steps)
    again, said = work(steps, tmp_path, fake)
    assert again.execute()
    assert said[0] == "resuming: 1 of 2 steps done"
    assert fake.ran == ["b"]
    killed, done = record(tmp_path)["steps"][1]["attempts"]
    assert (killed["status"], done["status"]) == ("interrupted", "done")
    assert killed["seconds"] >= 0


STARTS = """
import asyncio, sys
from pathlib import Path
from suder_bench.steps import run_logged

waits = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"
asyncio.run(run_logged([sys.executable, "-c", waits], Path(sys.argv[1])))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a step outlives a killed parent")
def test_kill_9_ends_the_step_at_work_too(tmp_path):
    log = tmp_path / "log"
    process = subprocess.Popen([sys.executable, "-c", STARTS, str(log)])
    while not (log.is_file() and log.read_text().endswith("\n")):
        assert process.poll() is None
        time.sleep(0.05)
    step = int(log.read_text())
    assert alive(step)
    process.kill()
    process.wait()
    deadline = time.monotonic() + 30
    while alive(step):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_output_and_errors_go_into_the_log(tmp_path):
    log = tmp_path / "log"
    assert asyncio.run(run_logged([sys.executable, "-c", "import sys; print('out'); sys.exit('err')"], log)) == 1
    assert sorted(log.read_text().split()) == ["err", "out"]


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (
            ["suder-bench: step 1/2", "suder-bench: no prompts", "Traceback ...", "subprocess.CalledProcessError: exit 2"],
            "no prompts",
        ),
        (["suder-bench: step 1/2", "Traceback ...", "[rank0]: ValueError: 3 is no 4", "=" * 60], "ValueError: 3 is no 4"),
        (["killed by somebody"], "killed by somebody"),
        ([], "it said nothing"),
    ],
)
def test_the_reason_of_a_failure_is_the_step_s_own_line_and_not_the_launcher_s(tmp_path, said, reason):
    (tmp_path / "log").write_text("\n".join(said))
    assert last_line(tmp_path / "log") == reason


def test_commands_as_typed_and_as_run(tmp_path):
    step = Step("t", ("train", "--set", "data.images=[{source: world}]", "--out", "a b"), tmp_path)
    assert step.shown() == "suder-bench train --set 'data.images=[{source: world}]' --out 'a b'"
    assert step.command() == [sys.executable, "-m", "suder_bench", *step.argv]
    launched = Step("t", ("train", "--out", "o"), tmp_path, processes=8)
    assert launched.shown() == "accelerate launch --num_processes 8 -m suder_bench train --out o"
    assert launched.command()[2:6] == ["accelerate.commands.launch", "--num_processes", "8", "-m"]
