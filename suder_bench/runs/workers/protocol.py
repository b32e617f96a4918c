"""What a driver and its workers say to each other, whether a worker is this process, another one, or on another machine.

A worker holds what its duty brings, one model or one set of judges, and does chunks. It writes nothing: results come back, and
the driver alone keeps them. `driver` says what becomes of the chunks of a worker that ends.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from suder_bench.errors import UserError


class WorkerError(UserError):
    """What a worker, and no item, is to blame for."""

    status = 1


class Deserted(WorkerError):
    """No worker of its kind was left to do it."""


@dataclass(frozen=True)
class Card:
    """What a worker shows once it can work: on what kind of machine, and by `holds` what it has loaded, so that the driver can
    compare."""

    host: str
    device: str
    dtype: str
    versions: Mapping[str, str | None]
    holds: Any


@dataclass(frozen=True)
class Part:
    """Some of what a chunk gives: by place in the chunk, results and what failed; and lines for the user."""

    results: tuple[tuple[int, Any], ...] = ()
    failures: tuple[tuple[int, Exception], ...] = ()
    said: tuple[str, ...] = ()


class Packed(Protocol):
    """Items as they are sent to a worker."""

    def loaded(self) -> Packed:
        """With the content of files, for a worker that cannot read those of this machine."""
        ...


class Hand(Protocol):
    """What does a worker's chunks, with all that it needs loaded."""

    def card(self) -> Card: ...

    def prepare(self, chunk: Any) -> None:
        """Told of a chunk when it arrives, perhaps in another thread while one before it is being done."""
        ...

    def do(self, chunk: Any) -> Iterator[Part]:
        """Every item of the chunk once, in parts as they are made. What breaks on an item is in its part, and not raised."""
        ...


class Duty(Protocol):
    """What a worker is to hold. Goes to other processes and machines by pickle."""

    def begin(self) -> Hand:
        """Load it. Raises `UserError` where it cannot be had here."""
        ...


@dataclass(frozen=True)
class Event:
    worker: int


@dataclass(frozen=True)
class Ready(Event):
    card: Card


@dataclass(frozen=True)
class Unfit(Event):
    """The worker cannot load what its duty asks for, and would not the next time either."""

    error: Exception


@dataclass(frozen=True)
class Gave(Event):
    ticket: int
    part: Part


@dataclass(frozen=True)
class Done(Event):
    """The chunk of `ticket` has come to its end; `seconds` is how long the worker was busy with it."""

    ticket: int
    seconds: float


@dataclass(frozen=True)
class Died(Event):
    """The worker has ended, with everything that was submitted to it; `begin` starts another in its place.

    `full` where it is known to be for want of memory.
    """

    why: str
    full: bool = False


class Crew(Protocol):
    """Workers by number, from 0 on. Nothing here blocks but `wait`.

    `remote` workers cannot read this machine's files: what is submitted to them holds the content.
    """

    size: int
    remote: bool

    def name(self, worker: int) -> str:
        """For people: 'worker 2'."""
        ...

    def begin(self, worker: int, duty: Duty) -> None:
        """Have the worker, started anew where it has ended, take up a duty; `Ready` or `Unfit` answers."""
        ...

    def submit(self, worker: int, ticket: int, chunk: Any) -> None:
        """Have a ready worker do a chunk after those before it."""
        ...

    def drop(self, worker: int, ticket: int) -> None:
        """Forget a chunk that is not begun, where that is possible; else what it gives is the driver's to ignore."""
        ...

    def wait(self, timeout: float | None) -> Event | None:
        """The next event, or None after so many seconds without one."""
        ...

    def end(self, worker: int) -> None:
        """End a worker at once; nothing more is heard of it until it begins again."""
        ...

    def close(self) -> None:
        """End them all."""
        ...
