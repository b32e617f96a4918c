"""A run by actors of a Ray cluster: the numbers of a run in one process, whatever becomes of workers and nodes."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from fakes import REFERENCE, FakeModel, settings
from kin import KIN, children, end
from troubled import Gathering, Troubled, lame, strange

from suder_bench.errors import UserError
from suder_bench.runs.execute import Outcome, Run
from suder_bench.runs.jsonl import Ledger
from suder_bench.runs.screen import Screen
from suder_bench.runs.staff import Staffing
from suder_bench.runs.workers.here import UNSEEN
from suder_bench.runs.workers.protocol import Died, Event, Ready
from suder_bench.runs.workers.ray_crew import Cluster, RayCrew, Seat, connect

ray = pytest.importorskip("ray")
pytestmark = [pytest.mark.usefixtures("fakes"), pytest.mark.slow]
TOTAL = 12 * 2 + 8


class Told(Screen):
    def __init__(self) -> None:
        super().__init__(io.StringIO())

    @property
    def text(self) -> str:
        return self.stream.getvalue()  # type: ignore[attr-defined]


@pytest.fixture(autouse=True)
def no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """What passes here is done by Ray."""

    def refuse(environments: Any) -> None:
        raise AssertionError("workers are processes of this machine's, not actors")

    monkeypatch.setattr("suder_bench.runs.staff.Processes", refuse)


@pytest.fixture(scope="module", autouse=True)
def cluster_of_its_own() -> Iterator[None]:
    yield
    ray.shutdown()


def run(out: Path, load: Any = FakeModel, screen: Screen | None = None, *, address: str = "auto", **changes: Any) -> Outcome:
    given = {"workers": 2} | {name: changes.pop(name) for name in ("workers", "judges", "timeout") if name in changes}
    staffing = Staffing(**given, ray=Cluster(address, changes.pop("gpus", 0.0)))
    return Run(out, REFERENCE, settings(**changes), batch_size=4, staffing=staffing).execute(screen or Told(), load)


def everything(out: Path) -> tuple[Any, ...]:
    """All of a run that may not depend on who made it."""
    rows = {
        part: sorted(
            json.dumps({**row, "seconds": 0}, sort_keys=True)
            for file in sorted((out / part).iterdir())
            for row in Ledger(file).rows()
        )
        for part in ("responses", "verdicts")
    }
    pictures = {str(file.relative_to(out)): file.read_bytes() for file in out.rglob("*.png")}
    return rows, pictures, json.loads((out / "summary.json").read_text())["benchmarks"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("whole") / "r"


@pytest.fixture
def expected(whole: Path) -> tuple[Any, ...]:
    """What a run in one process leaves."""
    if not whole.exists():
        Run(whole, REFERENCE, settings(), batch_size=4).execute(Told(), FakeModel)
    return everything(whole)


@pytest.mark.parametrize("staffing", [{"workers": 1}, {"workers": 3}, {"workers": None}, {"workers": 2, "judges": 1}])
def test_numbers_do_not_depend_on_who_makes_them(tmp_path: Path, expected: Any, staffing: dict[str, int]) -> None:
    assert run(tmp_path / "r", **staffing).complete
    assert everything(tmp_path / "r") == expected


def test_run_json_tells_of_the_actors(tmp_path: Path) -> None:
    run(tmp_path / "r", judges=1)
    written = json.loads((tmp_path / "r/run.json").read_text())
    assert set(written["workers"]) <= {"judges: worker 3", "model: worker 1", "model: worker 2"}
    assert {name.partition(":")[0] for name in written["workers"]} == {"judges", "model"}
    assert all(one["versions"] == written["versions"] for one in written["workers"].values())


def test_a_worker_that_is_killed_loses_and_doubles_nothing(tmp_path: Path, expected: Any, capfd: Any) -> None:
    screen = Told()
    assert run(tmp_path / "r", partial(Troubled, notes=tmp_path, troubles={"shade 60": "kill"}), screen).complete
    assert everything(tmp_path / "r") == expected
    assert "ended; it is started again, what it had is done again" in screen.text
    time.sleep(2)
    assert capfd.readouterr().out == "", "Ray keeps what it has to say to itself"


def test_a_sample_that_kills_every_worker_fails_by_name_and_alone(tmp_path: Path) -> None:
    screen = Told()
    outcome = run(tmp_path / "r", partial(Troubled, notes=tmp_path, troubles={"shade 60": "kill"}, times=99), screen)
    assert "failed: drawing 003, repeat 0: the worker ended, 3 times" in screen.text
    assert [entry["failed"] for entry in outcome.summary["benchmarks"].values()] == [2, 0]


def test_a_worker_that_hangs_is_started_again_after_the_timeout(tmp_path: Path, expected: Any) -> None:
    screen = Told()
    load = partial(Troubled, notes=tmp_path, troubles={"shade 60": "hang"})
    assert run(tmp_path / "r", load, screen, timeout=15.0).complete
    assert everything(tmp_path / "r") == expected
    assert "(--worker-timeout 15); it is started again" in screen.text


def test_a_sample_that_raises_fails_alone_with_its_traceback(tmp_path: Path) -> None:
    screen = Told()
    outcome = run(tmp_path / "r", partial(FakeModel, bad=("shade 60",)), screen)
    assert [entry["failed"] for entry in outcome.summary["benchmarks"].values()] == [2, 0]
    assert "failed: drawing 003, repeat 0: RuntimeError('a bad prompt')" in screen.text
    assert 'raise RuntimeError("a bad prompt")' in screen.text
    assert "started again" not in screen.text


def test_a_worker_out_of_memory_halves_its_own_batch(tmp_path: Path, expected: Any) -> None:
    screen = Told()
    assert run(tmp_path / "r", partial(FakeModel, largest=3, seconds=0.1), screen).complete
    assert screen.text.count("out of memory at batch size 4; going on with 2") in (1, 2), "at most once in a worker"
    assert everything(tmp_path / "r")[1:] == expected[1:]


def test_a_worker_that_cannot_load_is_named_and_the_others_go_on(tmp_path: Path, expected: Any) -> None:
    screen = Told()
    assert run(tmp_path / "r", partial(lame, tmp_path), screen).complete
    assert everything(tmp_path / "r") == expected
    [line] = [line for line in screen.text.splitlines() if "no weights here" in line]
    assert f"on {os.uname().nodename} cannot work: no weights here; put them there" in line


def test_a_worker_with_another_model_is_refused_by_name(tmp_path: Path, expected: Any) -> None:
    screen = Told()
    assert run(tmp_path / "r", partial(strange, tmp_path), screen).complete
    assert everything(tmp_path / "r") == expected
    assert f"on {os.uname().nodename} cannot work: its model has the fingerprint another one, not fake weights" in screen.text


def test_a_cluster_without_gpus_is_told_in_one_line_and_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^no node of the Ray cluster has 1 GPU .*left for it$"):
        run(tmp_path / "r", gpus=1.0)
    assert not (tmp_path / "r").exists()


@dataclass
class Breaking:
    """A duty, and what takes it up: it `raises` what is named."""

    raises: str

    def begin(self) -> Breaking:
        return self

    def card(self) -> Any:
        return UNSEEN

    def do(self, chunk: Any) -> Iterator[Any]:
        raise {"bug": ValueError("two\nlines"), "memory": ray.exceptions.OutOfMemoryError("full")}[self.raises]


def event(crew: RayCrew) -> Event:
    found = crew.wait(60)
    assert found is not None
    return found


@pytest.mark.parametrize(("raises", "why", "full"), [("bug", "broke: lines", False), ("memory", "memory of its node", True)])
def test_a_bug_ends_its_worker_and_the_end_of_memory_is_told_apart(raises: str, why: str, full: bool) -> None:
    crew = RayCrew("auto", [Seat(0.0, waits=True)], Told())
    crew.begin(0, Breaking(raises))
    assert event(crew) == Ready(0, UNSEEN)
    crew.submit(0, 7, "a chunk")
    died = event(crew)
    assert isinstance(died, Died)
    assert why in died.why
    assert died.full is full
    crew.close()


@pytest.fixture
def nodes() -> Iterator[Any]:
    """A head with one core; it can be joined by others on the loopback."""
    from ray.cluster_utils import Cluster as Nodes

    ray.shutdown()
    found = Nodes(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    yield found
    ray.shutdown()
    found.shutdown()


def once_there(out: Path, count: int, do: Callable[[], None]) -> threading.Thread:
    """`do` something once so many responses are written."""

    def watch() -> None:
        while sum(len(file.read_bytes().splitlines()) for file in out.glob("responses/*/*.jsonl")) < count:
            time.sleep(0.02)
        do()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


def shades(folder: Path, count: int) -> Path:
    folder.mkdir()
    (folder / "shades.txt").write_text(" ".join(str(number % 256) for number in range(count)))
    return folder


def end_node(raylet: int) -> None:
    """End it as a machine ends, with the workers on it: those outlive a raylet that is killed alone, for as long as they work."""
    for process in (*children(raylet), raylet):
        end(process)


@pytest.mark.skipif(not KIN, reason="children are found in /proc")
def test_a_node_that_is_killed_loses_and_doubles_nothing(tmp_path: Path, nodes: Any) -> None:
    data, out, screen = shades(tmp_path / "data", 300), tmp_path / "r", Told()
    other = nodes.add_node(num_cpus=1)
    raylet = other.all_processes["raylet"][0].process.pid
    kill = once_there(out, 40, lambda: end_node(raylet))
    both = partial(Gathering, seconds=0.05, notes=tmp_path)  # so that the node has work when it goes
    assert run(out, both, screen, address=nodes.address, data=data).complete
    kill.join(1)
    assert not kill.is_alive()
    why = r"(ended|was on a node that is gone|was lost \(.*\))"  # by what Ray has noticed first
    assert re.search(rf"^worker \d on \S+ {why}; it is started again, what it had is done again$", screen.text, re.MULTILINE)
    Run(tmp_path / "whole", REFERENCE, settings(data=data), batch_size=4).execute(Told(), FakeModel)
    assert everything(out) == everything(tmp_path / "whole")


def test_a_node_that_joins_late_is_used(tmp_path: Path, nodes: Any) -> None:
    data, out = shades(tmp_path / "data", 300), tmp_path / "r"
    connect(nodes.address)
    load = partial(FakeModel, seconds=0.05)
    working = threading.Thread(target=run, args=(out, load), kwargs={"address": nodes.address, "data": data})
    working.start()
    once_there(out, 8, lambda: None).join(120)
    nodes.add_node(num_cpus=1)
    working.join(120)
    workers = json.loads((out / "run.json").read_text())["workers"]
    assert {name.split()[2] for name in workers if name.startswith("model")} == {"1", "2"}
    Run(tmp_path / "whole", REFERENCE, settings(data=data), batch_size=4).execute(Told(), FakeModel)
    assert everything(out) == everything(tmp_path / "whole")


def command(out: Path, *more: str) -> list[str]:
    given = ["--model", "tiny-janus", "--suite", "gen", "--limit", "6", "--repeats", "1", "--batch-size", "4"]
    return [sys.executable, "-m", "suder_bench", "run", *given, "--out", str(out), *more]


def test_the_command_gives_the_bytes_of_one_process(tmp_path: Path) -> None:
    with short_folder() as scratch:
        environment = {**os.environ, "RAY_TMPDIR": scratch}
        for name, more in (("alone", []), ("ray", ["--ray", "auto", "--workers", "2", "--judge-workers", "1", "--json"])):
            done = subprocess.run(
                command(tmp_path / name, *more), capture_output=True, text=True, timeout=500, check=False, env=environment
            )
            assert done.returncode == 0, done.stderr
            assert bool(list(Path(scratch).rglob("session_2*"))) is bool(more), "Ray is at work with --ray alone"
    assert everything(tmp_path / "ray") == everything(tmp_path / "alone")
    assert "logging.cc" not in done.stderr, "Ray keeps what it has to say to itself"
    assert json.loads(done.stdout)["benchmarks"] == everything(tmp_path / "ray")[-1]


def test_ctrl_c_ends_the_command_and_its_cluster(tmp_path: Path) -> None:
    with short_folder() as scratch:
        process = subprocess.Popen(
            command(tmp_path / "r", "--ray", "auto", "--workers", "2", "--limit", "500"),
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "RAY_TMPDIR": scratch},
        )
        until = time.monotonic() + 240
        while not list((tmp_path / "r").glob("responses/*/*.jsonl")) and time.monotonic() < until:
            time.sleep(0.2)
        assert processes_with(scratch), "Ray is at work"
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
        assert process.returncode == 130
        assert said.rstrip().splitlines()[-1].startswith("suder-bench: interrupted; the same command goes on from here")
        while (left := processes_with(scratch)) and time.monotonic() < until:
            time.sleep(0.2)
        assert not left, "Ray outlives the command"


@contextmanager
def short_folder() -> Iterator[str]:
    """Ray's sockets lie in it, and the path of a socket has at most 107 bytes."""
    with TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        yield folder


def processes_with(words: str) -> list[str]:
    shown = subprocess.run(["ps", "-ww", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    return [line for line in shown.splitlines() if words in line]
