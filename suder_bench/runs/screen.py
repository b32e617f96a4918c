"""What a run says while it works: lines on stderr, and how far it is, as a bar on a terminal and a line a minute elsewhere."""

from __future__ import annotations

import math
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TextIO

REDRAW = 0.1
"""Seconds between two drawings of the bar."""

EVERY = 60.0
"""Seconds between two lines about one piece of work where there is no terminal, as in a log file."""

SOME = 20
"""Lines of one kind that are told one by one."""


@dataclass
class Bar:
    """Counts what is done of one piece of work. `note` gives what else its line is to say."""

    label: str
    total: int
    screen: Screen
    done: int = 0
    started: float = field(default_factory=time.perf_counter)
    drawn: float = -math.inf
    note: Callable[[], str] | None = None

    def advance(self, count: int) -> None:
        self.done += count
        now = time.perf_counter()
        if self.screen.live and (now - self.drawn > REDRAW or self.done == self.total):
            self.drawn = now
            self.screen.redraw(self._told(now))
        elif not self.screen.live and now - max(self.drawn, self.started) >= EVERY and self.done < self.total:
            self.drawn = now
            self.screen.say(self._told(now))

    def _told(self, now: float) -> str:
        rate = self.done / max(now - self.started, 1e-9)
        left = duration((self.total - self.done) / max(rate, 1e-9))
        return f"{self.label}  {self.done:,}/{self.total:,}  {rate:.1f}/s  {left} left" + (
            self.note() if self.note is not None else ""
        )


@dataclass
class Screen:
    """Writes to stderr, so that stdout stays free for the result. The bar appears on terminals, elsewhere a line a minute."""

    stream: TextIO = field(default_factory=lambda: sys.stderr)

    def __post_init__(self) -> None:
        self.live = self.stream.isatty()

    def say(self, line: str) -> None:
        if self.live:
            self.stream.write("\r\x1b[K")
        self.stream.write(line + "\n")
        self.stream.flush()

    def say_some(self, lines: Sequence[str], what: str) -> None:
        """Say a line each up to `SOME`, and the rest as a number of `what`."""
        for line in lines[:SOME]:
            self.say(line)
        if len(lines) > SOME:
            self.say(f"{len(lines) - SOME:,} more {what}")

    def trace(self, error: BaseException) -> None:
        """Show a bug with its traceback."""
        self.say("".join(traceback.format_exception(error)).rstrip())

    def redraw(self, line: str) -> None:
        self.stream.write("\r\x1b[K" + line)
        self.stream.flush()

    @contextmanager
    def bar(self, label: str, total: int, note: Callable[[], str] | None = None) -> Iterator[Bar]:
        bar = Bar(label, total, self, note=note)
        try:
            yield bar
        finally:
            if self.live and bar.done:
                self.stream.write("\n")
                self.stream.flush()


def duration(seconds: float) -> str:
    """'0:42', '3:05' or '2:10:07'."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
