"""Workers as actors of a Ray cluster, which is there already or started for this command. Needs the extra `ray`.

The driver counts deaths, starts workers again and decides what is done again, as with any crew; so Ray restarts and retries
nothing by itself. Ray is imported when the first worker begins, since that takes seconds.
"""

from __future__ import annotations

import os
import pickle
import re
import socket
import sys
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from suder_bench import registry
from suder_bench.errors import UserError, install
from suder_bench.machine import LARGE_PAGES, ONE_THREAD, PASSIVE, cores
from suder_bench.runs.screen import Screen
from suder_bench.runs.workers import frames as frames  # whose import has records pickled
from suder_bench.runs.workers.protocol import Died, Done, Duty, Event, Gave, Ready, Unfit, WorkerError

AUTO = "auto"
PATIENCE = 20.0
"""Seconds after which it is told that a worker has no place in the cluster yet."""

REACH = 5.0
"""Seconds in which a cluster has to answer."""

STORE = 256 * 2**20
"""Bytes of shared memory in a cluster of this command's own; chunks and what they give are far smaller, and few at a time."""

CARRIED = (
    *("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "SUDER_BENCH_REHASH", "HF_HUB_DISABLE_PROGRESS_BARS"),
    *("OPENAI_BASE_URL", "SUDER_BENCH_LLM"),
)
"""What the environment says to the command, and actors of a cluster that was there before do not inherit. Keys stay here: judges
behind an address are the driver's to ask."""

_own: list[str] = []
"""The addresses of clusters that this process has started."""


@dataclass(frozen=True)
class Cluster:
    """Where workers are, and which share of a GPU one that responds has, and one that only judges."""

    address: str = AUTO
    gpus: float = 0.0
    judge_gpus: float = 0.0

    def count(self) -> int:
        """How many workers have a place in the cluster as it is, at least one: one a share of a GPU, or one a core."""
        own = connect(self.address)
        if self.gpus:
            return max(1, sum(int(node.get("GPU", 0) / self.gpus + 1e-6) for node in _nodes()))
        return cores() if own else max(1, sum(int(node.get("CPU", 0)) for node in _nodes()))


@dataclass(frozen=True)
class Seat:
    """What a worker needs of a node. One that `waits` is patient until a node has it, or joins with it."""

    gpus: float
    waits: bool


@dataclass
class _Worker:
    """An actor, what is asked of it, by reference, and since when it has no place."""

    actor: Any
    since: float
    host: str | None = None
    told: bool = False


@dataclass(frozen=True)
class _Call:
    worker: int
    what: str
    ticket: int = -1


class RayCrew:
    """Implements `Crew`: a worker for each of `seats`, those that do not wait last."""

    remote = True

    def __init__(self, address: str, seats: Sequence[Seat], screen: Screen) -> None:
        self.size = len(seats)
        self._address, self._seats, self._screen = address, seats, screen
        self._workers: dict[int, _Worker] = {}
        self._hosts: dict[int, str] = {}
        self._calls: dict[Any, _Call] = {}
        self._events: deque[Event] = deque()

    def name(self, worker: int) -> str:
        host = self._hosts.get(worker)
        return f"worker {worker + 1}" + (f" on {host}" if host else "")

    def begin(self, worker: int, duty: Duty) -> None:
        own = connect(self._address)
        if worker not in self._workers:
            lack = self._lack(worker, cpus=0 if own else 1)
            if lack:
                self._events.append(Unfit(worker, WorkerError(lack)))
                return
            self._workers[worker] = _Worker(self._actor(self._seats[worker], cpus=0 if own else 1), time.monotonic())
            self._hosts.pop(worker, None)
            self._call(_Call(worker, "host"))
        table = {group: dict(names) for group, names in registry.TABLE.items()}
        self._call(_Call(worker, "begin"), table, pickle.dumps(duty))

    def submit(self, worker: int, ticket: int, chunk: Any) -> None:
        if worker in self._workers:
            self._call(_Call(worker, "do", ticket), pickle.dumps(chunk, protocol=pickle.HIGHEST_PROTOCOL))

    def drop(self, worker: int, ticket: int) -> None:
        """Not done: what it gives is ignored."""

    def wait(self, timeout: float | None) -> Event | None:
        import ray

        until = None if timeout is None else time.monotonic() + timeout
        while not self._events:
            self._tell_waiting()
            left = 1.0 if until is None else min(1.0, max(0.0, until - time.monotonic()))
            ready: list[Any] = []
            if self._calls:
                ready, _ = ray.wait(list(self._calls), num_returns=1, timeout=left)
            else:
                time.sleep(left)
            for reference in ready:
                self._meet(reference, self._calls.pop(reference))
            if not ready and until is not None and time.monotonic() >= until:
                return None
        return self._events.popleft()

    def end(self, worker: int) -> None:
        import ray

        gone = self._workers.pop(worker, None)
        self._calls = {reference: call for reference, call in self._calls.items() if call.worker != worker}
        self._events = deque(event for event in self._events if event.worker != worker)
        if gone is not None:
            with suppress(ray.exceptions.RayError):
                ray.kill(gone.actor)

    def close(self) -> None:
        """End the workers. The connection stays for the next run of this process, and a cluster of its own ends with it."""
        for worker in [*self._workers]:
            self.end(worker)
        self._events.clear()

    def _actor(self, seat: Seat, *, cpus: int) -> Any:
        import ray

        from suder_bench.runs.workers.ray_actor import Actor

        threads = {name: os.environ.get(name, value) for name, value in {**ONE_THREAD, **PASSIVE, **LARGE_PAGES}.items()}
        carried = {name: os.environ[name] for name in CARRIED if name in os.environ}
        kind = ray.remote(max_restarts=0, max_task_retries=0)(Actor)
        where = kind.options(num_cpus=cpus, num_gpus=seat.gpus, scheduling_strategy="SPREAD")
        return where.remote({**threads, **carried}, os.getcwd(), list(sys.path))

    def _call(self, call: _Call, *arguments: Any) -> None:
        import ray

        method = getattr(self._workers[call.worker].actor, call.what)
        try:
            self._calls[method.remote(*arguments)] = call
        except ray.exceptions.RayError as error:
            self._died(call.worker, _why(error))

    def _meet(self, reference: Any, call: _Call) -> None:
        import ray

        worker = call.worker
        try:
            answer = ray.get(reference)
        except ray.exceptions.OutOfMemoryError:
            self._died(worker, "was ended by Ray, since the memory of its node was full", full=True)
        except ray.exceptions.RayTaskError as error:
            self._died(worker, f"broke: {_last(error)}")
        except ray.exceptions.ActorDiedError as error:
            if "creation task" in str(error):  # its node lacks a package
                self._hosts.setdefault(worker, _ip(error))
                begun = [one for one in (call, *self._calls.values()) if one.worker == worker and one.what == "begin"]
                self.end(worker)
                why = WorkerError(f"{_last(error)}; install the same packages there")
                self._events += [Unfit(worker, why)] * len(begun)
            else:
                self._died(worker, _why(error))
        except ray.exceptions.RayError as error:
            self._died(worker, _why(error))
        else:
            self._answered(call, answer)

    def _answered(self, call: _Call, answer: Any) -> None:
        if call.what == "host":
            self._hosts[call.worker] = self._workers[call.worker].host = answer
        elif call.what == "begin":
            told = pickle.loads(answer)
            kind = Ready if told.kind == "ready" else Unfit
            self._events.append(kind(call.worker, *told.content))
        else:
            parts, seconds = pickle.loads(answer)
            self._events += [Gave(call.worker, call.ticket, part) for part in parts]
            self._events.append(Done(call.worker, call.ticket, seconds))

    def _died(self, worker: int, why: str, *, full: bool = False) -> None:
        self.end(worker)
        self._events.append(Died(worker, why, full=full))

    def _lack(self, worker: int, *, cpus: int) -> str:
        """Why a worker has no place in the cluster, where it is not to wait for one; the seats before it are taken."""
        nodes, seat, fit = _nodes(), self._seats[worker], []
        for one in self._seats[: worker + 1]:
            need = {"CPU": cpus, "GPU": one.gpus}
            place = next((node for node in nodes if all(node.get(what, 0) >= n - 1e-6 for what, n in need.items())), None)
            fit.append(place is not None)
            if place is not None:
                place.update({what: place.get(what, 0) - n for what, n in need.items()})
        if fit[-1] or (seat.waits and any(fit)):
            return ""
        return f"no node of the Ray cluster has {_amount(cpus, seat.gpus)} left for it"

    def _tell_waiting(self) -> None:
        for number, worker in self._workers.items():
            if worker.host is None and not worker.told and time.monotonic() - worker.since > PATIENCE:
                worker.told = True
                amount = _amount(1, self._seats[number].gpus)
                self._screen.say(f"{self.name(number)} has no place in the Ray cluster yet; it waits for {amount}")


def connect(address: str) -> bool:
    """Connect to the cluster at "HOST:PORT"; or, with "auto", to the one that RAY_ADDRESS or `ray start` has told of, else to
    one of this process' own, which ends with it. Once connected, that stays. Returns whether the cluster is its own.

    Raises `UserError` without Ray, and where there is no connection.
    """
    if address.startswith("ray://"):
        raise UserError(f"--ray {address} is an address of Ray's client; give HOST:PORT of the cluster, or use ray job submit")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ModuleNotFoundError:
        raise UserError(f"--ray needs Ray, which is not installed; {install('ray')}") from None
    if not ray.is_initialized():
        _begin(ray, address)
    return ray.get_runtime_context().gcs_address in _own


def _begin(ray: Any, address: str) -> None:
    quiet = {"include_dashboard": False, "log_to_driver": False, "logging_level": "ERROR"}
    ray._private.worker._worker_logs_enabled = False  # else it prints what nodes say of their end, on stdout
    there = _there(ray, address)
    try:
        if there is None:
            context = ray.init(address="local", num_cpus=cores(), object_store_memory=STORE, **quiet)
            _own.append(context.address_info["gcs_address"])
        else:
            ray.init(address=None if address == AUTO else address, **quiet)
    except (ConnectionError, RuntimeError, ValueError, OSError, ray.exceptions.RayError) as error:
        raise UserError(f"no Ray with --ray {address}: {_last(error)}{_hint(error)}") from None


def _hint(error: Exception) -> str:
    if "AF_UNIX" in str(error):
        return "; set RAY_TMPDIR to a folder with a short name"
    # Ray sends its token to an address that was named only when it is told to.
    wanting = "connect" in str(error) and "RAY_AUTH_MODE" not in os.environ
    return "; where the cluster asks for a token, set RAY_AUTH_MODE=token" if wanting else ""


def _there(ray: Any, address: str) -> str | None:
    """The address of a cluster that is there; None where none is told of. Ray itself tries for minutes where nothing answers.

    Raises `UserError` where nothing answers at an address that the user has given.
    """
    given = os.environ.get("RAY_ADDRESS") if address == AUTO else address
    told = given or ray._private.utils.read_ray_address()
    host, _, port = (told or "").rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=REACH):
            return told
    except (OSError, ValueError, OverflowError) as error:
        if not given:  # what a cluster that was killed has left behind
            return None
        why = error.strerror if isinstance(error, OSError) and error.strerror else "no HOST:PORT"
        raise UserError(f"no Ray cluster answers at {told} ({why}); give --ray auto, or HOST:PORT of one that runs") from None


def _nodes() -> list[dict[str, float]]:
    """What each node has in all."""
    import ray

    return [dict(node["Resources"]) for node in ray.nodes() if node["Alive"]]


def _amount(cpus: int, gpus: float) -> str:
    parts = ([f"{gpus:g} GPU"] if gpus else []) + ([f"{cpus} core"] if cpus else [])
    return " and ".join(parts)


def _why(error: Exception) -> str:
    if "node has died" in str(error) or "node was terminated" in str(error):
        return "was on a node that is gone"
    return "ended" if "died" in str(error) else f"was lost ({_last(error)})"


def _ip(error: Exception) -> str:
    found = re.search(r"\bip=([0-9a-fA-F.:]+)", str(error))
    return found[1] if found else "a node"


def _last(error: Exception) -> str:
    """The last line of what Ray says: the error itself."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else repr(error)
