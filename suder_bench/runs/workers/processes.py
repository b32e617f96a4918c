"""Workers as processes on this machine, each with a device of its own."""

from __future__ import annotations

import os
import pickle
import queue
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import IO, Any, BinaryIO, cast

from suder_bench import registry
from suder_bench.runs.workers import frames
from suder_bench.runs.workers.child import Begin, Setting, Submit
from suder_bench.runs.workers.protocol import Died, Done, Duty, Event, Gave, Ready, Unfit, WorkerError

EVENTS = {"ready": Ready, "unfit": Unfit, "gave": Gave, "done": Done}
GRACE = 5.0
"""Seconds in which a process is to end once its driver has closed the pipe."""

PROGRAM = "from suder_bench.runs.workers.child import main; main()"
SHOWN = 200
"""Characters of a process' last line on stderr that are told when it ends."""


_Events = queue.SimpleQueue[tuple["_Process | None", Event]]
"""Of which process, None where it could not be started."""


class Processes:
    """Implements `Crew`: a process for each of `environments`, which it gets besides this one's."""

    remote = False

    def __init__(self, environments: Sequence[Mapping[str, str]]) -> None:
        self.size = len(environments)
        self._environments = environments
        self._events: _Events = queue.SimpleQueue()
        self._processes: dict[int, _Process] = {}
        self._duty: tuple[Duty, bytes] | None = None
        """The last one that was sent, which others are to have too, and its pickle: of a large plan it is large."""

    def name(self, worker: int) -> str:
        return f"worker {worker + 1} on {socket.gethostname()}"

    def begin(self, worker: int, duty: Duty) -> None:
        if worker not in self._processes:
            try:
                self._processes[worker] = _Process(worker, self._environments[worker], self._events)
            except OSError as error:  # no memory or descriptors for another
                self._events.put((None, Unfit(worker, WorkerError(f"it cannot be started ({error.strerror})"))))
                return
        setting = Setting(list(sys.path), {group: dict(names) for group, names in registry.TABLE.items()})
        if self._duty is None or self._duty[0] is not duty:
            self._duty = duty, pickle.dumps(duty)
        self._processes[worker].send(Begin(setting, self._duty[1]))

    def submit(self, worker: int, ticket: int, chunk: Any) -> None:
        if worker in self._processes:
            self._processes[worker].send(Submit(ticket, pickle.dumps(chunk)))

    def drop(self, worker: int, ticket: int) -> None:
        """Not possible: what it gives is ignored."""

    def wait(self, timeout: float | None) -> Event | None:
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            try:
                left = None if until is None else max(0.0, until - time.monotonic())
                process, event = self._events.get(timeout=left)
            except queue.Empty:
                return None
            if self._processes.get(event.worker) is not process:  # one that was ended or replaced
                continue
            if isinstance(event, Died):
                self._processes.pop(event.worker).wait()
            return event

    def end(self, worker: int) -> None:
        process = self._processes.pop(worker, None)
        if process is not None:
            process.kill()

    def close(self) -> None:
        for process in self._processes.values():
            process.close()
        for process in self._processes.values():
            process.wait()
        self._processes.clear()


class _Process:
    """One process, with a thread that writes to it and one that reads from it, so that the driver waits for neither."""

    def __init__(self, worker: int, environment: Mapping[str, str], events: _Events) -> None:
        self._worker, self._events = worker, events
        self._told: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - it is open as long as the process lives
        apart: dict[str, Any] = {"process_group": 0} if os.name == "posix" else {}  # ctrl-C is the driver's to see
        self._popen = subprocess.Popen(
            [sys.executable, "-P", "-c", PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._told,
            env={**os.environ, **environment},
            **apart,
        )
        self._outbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._threads = [threading.Thread(target=target, daemon=True) for target in (self._write, self._read)]
        for thread in self._threads:
            thread.start()

    def send(self, message: Any) -> None:
        self._outbox.put(message)

    def kill(self) -> None:
        self._popen.kill()
        self.close()
        self.wait()

    def close(self) -> None:
        """Close its pipe, which ends it."""
        self._outbox.put(None)

    def wait(self) -> None:
        try:
            self._popen.wait(GRACE)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()
        for thread in self._threads:
            thread.join(GRACE)
        self._told.close()

    def _write(self) -> None:
        pipe = cast(BinaryIO, self._popen.stdin)
        with suppress(OSError):
            while (message := self._outbox.get()) is not None:
                frames.write(pipe, message)
        with suppress(OSError):
            pipe.close()

    def _read(self) -> None:
        pipe = cast(BinaryIO, self._popen.stdout)
        why = None
        try:
            while True:
                answer = frames.read(pipe)
                self._events.put((self, EVENTS[answer.kind](self._worker, *answer.content)))
        except (EOFError, OSError):
            pass
        except Exception as error:  # what cannot be unpickled here
            why = f"sent what cannot be read ({error!r})"
            self._popen.kill()
        pipe.close()
        status = self._popen.wait()
        self._outbox.put(None)
        self._events.put((self, Died(self._worker, why or self._why(status))))

    def _why(self, status: int) -> str:
        """'was killed (SIGKILL)' or 'ended with status 1: MemoryError'"""
        if status < 0:
            with suppress(ValueError):
                return f"was killed ({signal.Signals(-status).name})"
            return f"was killed (signal {-status})"
        last = ""
        with suppress(ValueError, OSError):
            self._told.seek(0)
            last = self._told.read().decode(errors="replace").rstrip().rpartition("\n")[2]
        return f"ended with status {status}" + (f": {last[:SHOWN]}" if last else "")
