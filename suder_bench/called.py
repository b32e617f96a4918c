"""The command line that this process is at work on, so that what it makes can tell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True)
class Command:
    """Its words, without the program's name, and when it began."""

    words: tuple[str, ...]
    began: datetime


_at_work: ContextVar[Command | None] = ContextVar("_at_work", default=None)


@contextmanager
def called(words: Sequence[str]) -> Iterator[None]:
    """Within, `command` tells these words."""
    token = _at_work.set(Command(tuple(words), datetime.now(UTC)))
    try:
        yield
    finally:
        _at_work.reset(token)


def command() -> Command | None:
    """None in a program that only uses this package."""
    return _at_work.get()
