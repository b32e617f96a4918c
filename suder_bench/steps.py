"""A list of commands as one resumable piece of work: each is a process of its own, with its log, its time and what became of it.

DIR/reproduce.json     the record: command, hardware, versions, and for each step its status and seconds; kept up to date
DIR/logs/NN-name.log   what a step said, of all its attempts
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from suder_bench import CLONE, machine
from suder_bench.errors import UserError
from suder_bench.runs import shapes
from suder_bench.runs.jsonl import document, read_object, replace_file
from suder_bench.runs.screen import duration

RECORD = "reproduce.json"
ATTEMPT: shapes.Shape = {"started": "number", "seconds": shapes.Maybe("number"), "status": "text"}
STEP: shapes.Shape = {
    "name": "text",
    "command": "name",
    "status": shapes.Maybe("text"),
    "reason": shapes.Maybe("name"),
    "log": shapes.Maybe("name"),
    "attempts": shapes.Items(ATTEMPT),
}
SHAPE: shapes.Shape = {"command": "name", "steps": shapes.Items(STEP)}
"""Of the record, as far as the same command needs it to go on."""

GRACE = 30.0
"""Seconds that a step has to end in once it was asked to."""

_LAUNCHER = r"(?!.*(?:CalledProcessError|ChildFailedError))"
_SAID = re.compile(rf"(?:\[rank\d+\]: ?)?(?:suder-bench: (.*)|({_LAUNCHER}[\w.]*(?:Error|Exception)\b.*))")
"""A line of the program, or the last one of a traceback."""

Status = Literal["done", "failed", "skipped", "interrupted"]
Runner = Callable[[Sequence[str], Path, int], Awaitable[int]]
"""Runs a command line with its output added to a log, as one of so many at a time; returns its exit status."""


@dataclass(frozen=True)
class Step:
    """One suder-bench command. `argv` stands after `suder-bench`; `makes` is there once it is done; `seconds` is an estimate,
    None where nobody has measured it.

    A step starts only when all it `needs` are done. `takes` maps other steps to the word of `argv` that they make: a word whose
    step is not done is left out. Two `processes` and more are launched by accelerate.
    """

    name: str
    argv: tuple[str, ...]
    makes: Path
    seconds: float | None = None
    needs: tuple[str, ...] = ()
    takes: Mapping[str, str] = field(default_factory=dict)
    processes: int = 1

    def words(self, lacking: Sequence[str] = ()) -> tuple[str, ...]:
        """`argv` without what the `lacking` steps would have made."""
        left_out = {word for name, word in self.takes.items() if name in lacking}
        return tuple(word for word in self.argv if word not in left_out)

    def shown(self, lacking: Sequence[str] = ()) -> str:
        """The command as a person types it."""
        if self.processes == 1:
            return shlex.join(["suder-bench", *self.words(lacking)])
        launch = ["accelerate", "launch", "--num_processes", str(self.processes), "-m", "suder_bench"]
        return shlex.join([*launch, *self.words(lacking)])

    def command(self, lacking: Sequence[str] = ()) -> list[str]:
        """The command as this interpreter runs it."""
        modules = ["suder_bench"]
        if self.processes > 1:
            modules = ["accelerate.commands.launch", "--num_processes", str(self.processes), "-m", "suder_bench"]
        return [sys.executable, "-m", *modules, *self.words(lacking)]


async def run_logged(command: Sequence[str], log: Path, jobs: int = 1) -> int:
    """A `Runner`: the process ends with this one, when this one is interrupted; on Linux also when it is killed."""
    with log.open("ab") as out:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=environment(jobs),
            preexec_fn=_end_with_parent if sys.platform == "linux" else None,
        )
        try:
            return await process.wait()
        except BaseException:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), GRACE)
            except TimeoutError:
                process.kill()
                await process.wait()
            raise


def environment(jobs: int = 1) -> dict[str, str]:
    """For processes that import the package which this one runs, whatever else of its name lies where they start, and that share
    the processor, `jobs` at a time."""
    paths = [str(path) for path in (CLONE, os.environ.get("PYTHONPATH")) if path]
    own = {"PYTHONSAFEPATH": "1", **({"PYTHONPATH": os.pathsep.join(paths)} if paths else {})}
    threads = {} if jobs == 1 else {"OMP_NUM_THREADS": str(max(1, machine.cores() // jobs))}
    return {**threads, **os.environ, **own}


def _end_with_parent() -> None:
    """A step that outlived this process would hold the lock that the same command needs when it goes on."""
    set_parent_death_signal = 1  # linux/prctl.h
    ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGTERM)


@dataclass
class Work:
    """Steps run in the folder `out`, as many as `jobs` at a time, each after those that it needs or takes and else in order;
    `command` is what the user typed, `hardware` a line about the machine.

    A step that is done stays done, until one that it needs or takes is run again. One that fails is told in a line, and those
    that need it are skipped; the rest goes on.
    """

    steps: Sequence[Step]
    out: Path
    command: str
    hardware: str
    versions: Mapping[str, str | None]
    say: Callable[[str], None]
    jobs: int = 1
    run: Runner = run_logged
    record: dict[str, Any] = field(default_factory=dict)

    def execute(self) -> bool:
        """Whether all steps are done now. Raises `UserError` for a folder that holds other work."""
        old = read_record(self.out)
        if old is not None and old["command"] != self.command:
            raise UserError(f"{self.out} holds {old['command']}; repeat that command, or choose another --out")
        found = {entry["name"]: entry for entry in (old or {"steps": []})["steps"]}
        self.record = {
            "schema": 1,
            "command": self.command,
            "status": "running",
            "hardware": self.hardware,
            "jobs": self.jobs,
            "versions": dict(self.versions),
            "steps": [_entry(step, found.get(step.name)) for step in self.steps],
        }
        done = [entry["name"] for entry in self.record["steps"] if entry["status"] == "done"]
        if old is not None:
            self.say(f"resuming: {len(done)} of {len(self.steps)} steps done")
        self._close_attempts()
        try:
            asyncio.run(self._until_told())
        except BaseException as error:
            self._end("interrupted")
            if isinstance(error, asyncio.CancelledError):
                raise KeyboardInterrupt from None
            raise
        complete = all(entry["status"] == "done" for entry in self.record["steps"])
        self._end("complete" if complete else "failed")
        return complete

    async def _until_told(self) -> None:
        """All, or what is done before SIGTERM, which ends steps as ctrl-C does: a script has that ignored in its background."""
        loop, own = asyncio.get_running_loop(), asyncio.current_task()
        assert own is not None
        with suppress(NotImplementedError, RuntimeError):  # Windows; and a thread that gets no signals
            loop.add_signal_handler(signal.SIGTERM, own.cancel)
        await self._all()

    async def _all(self) -> None:
        waiting, fresh = dict(enumerate(self.steps)), set[str]()
        running: dict[asyncio.Task[None], str] = {}
        while waiting or running:
            for number, step in list(waiting.items()):
                unsettled = {other.name for other in waiting.values()} | set(running.values())
                if len(running) < self.jobs and unsettled.isdisjoint((*step.needs, *step.takes)):
                    del waiting[number]
                    running[asyncio.create_task(self._step(number, step, fresh))] = step.name
            settled, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in settled:
                del running[task]
                task.result()

    async def _step(self, number: int, step: Step, fresh: set[str]) -> None:
        entry, count = self.record["steps"][number], f"[{number + 1}/{len(self.steps)}]"
        lacking = [one["name"] for one in self.record["steps"] if one["status"] != "done" and one["name"] != step.name]
        missing = [name for name in step.needs if name in lacking]
        if missing:
            entry |= {"status": "skipped", "reason": f"it needs {', '.join(missing)}"}
            self.say(f"{count} {step.name}: skipped, {entry['reason']}")
            self._write()
            return
        before = fresh.intersection((*step.needs, *step.takes))
        if entry["status"] == "done" and entry["command"] == step.shown(lacking) and step.makes.exists() and not before:
            return
        log = self.out / "logs" / f"{number + 1:02d}-{step.name.replace(' ', '-')}.log"
        entry |= {"command": step.shown(lacking), "log": str(log), "reason": None, "status": None}
        self.say(f"{count} {step.name}: {entry['command']}")
        status, reason = await self._attempt(step, entry, lacking, log)
        entry |= {"status": status, "reason": reason}
        if status == "done":
            fresh.add(step.name)
        took = duration(entry["attempts"][-1]["seconds"])
        became = f"done in {took}" if status == "done" else f"failed after {took}: {reason} ({log})"
        self.say(f"{count} {step.name}: {became}")
        self._write()

    async def _attempt(self, step: Step, entry: dict[str, Any], lacking: Sequence[str], log: Path) -> tuple[Status, str | None]:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as file:
            file.write(f"$ {entry['command']}\n".encode())
        attempt: dict[str, Any] = {"started": time.time(), "seconds": None, "status": "interrupted"}
        entry["attempts"].append(attempt)
        self._write()
        started = time.perf_counter()
        try:
            status = await self.run(step.command(lacking), log, self.jobs)
        finally:
            attempt["seconds"] = round(time.perf_counter() - started, 1)
        if status == 0 and step.makes.exists():
            attempt["status"] = "done"
            return "done", None
        attempt["status"] = "failed"
        return "failed", last_line(log) if status else f"it ended without {step.makes}"

    def _close_attempts(self) -> None:
        """An attempt that was killed with this process took until its log was last written to."""
        for entry in self.record["steps"]:
            for attempt in entry["attempts"]:
                if attempt["seconds"] is None:
                    with suppress(OSError):
                        attempt["seconds"] = round(max(0.0, os.stat(entry["log"]).st_mtime - attempt["started"]), 1)

    def _end(self, status: str) -> None:
        self.record["status"] = status
        self._write()

    def _write(self) -> None:
        attempts = [attempt for entry in self.record["steps"] for attempt in entry["attempts"]]
        taken = ((attempt["started"], attempt["started"] + (attempt["seconds"] or 0.0)) for attempt in attempts)
        self.record["seconds"] = round(_covered(taken), 1)
        replace_file(self.out / RECORD, document(self.record).encode())


def _covered(spans: Iterable[tuple[float, float]]) -> float:
    """Seconds in which at least one of the spans was under way."""
    total, until = 0.0, 0.0
    for begun, ended in sorted(spans):
        total += max(0.0, ended - max(begun, until))
        until = max(until, ended)
    return total


def _entry(step: Step, old: Mapping[str, Any] | None) -> dict[str, Any]:
    new: dict[str, Any] = {
        "name": step.name,
        "command": step.shown(),
        "status": None,
        "reason": None,
        "log": None,
        "attempts": [],
    }
    return new | (dict(old) if old else {})


def read_record(out: Path) -> dict[str, Any] | None:
    """reproduce.json of a folder, or None. Raises `UserError` when it cannot be read."""
    file = out / RECORD
    if not file.is_file():
        return None
    try:
        found = read_object(file.read_bytes())
        shapes.check(found, SHAPE)
    except ValueError as error:
        raise UserError(f"{file} is not readable ({error}); remove it, and what is finished will be found again") from None
    return found


def last_line(log: Path) -> str:
    """The last thing a step said, without the program's name before it; what launchers say of a failed process tells nothing."""
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    own = [found[1] or found[2] for found in map(_SAID.match, lines) if found]
    return own[-1] if own else lines[-1] if lines else "it said nothing"
