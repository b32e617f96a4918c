"""Requests whose replies cost something: what came while another request of the batch failed is not asked for twice."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from suder_bench.errors import Unreachable, UserError
from suder_bench.remote.client import Client, Outcome, Request


@dataclass
class Subject:
    """What requests are about, a response for example, and how often each was made for it."""

    name: str
    asked: Counter[bytes] = field(default_factory=Counter)


_subject: ContextVar[Subject | None] = ContextVar("_subject", default=None)


@contextmanager
def asking_about(name: str) -> Iterator[None]:
    """Within, this thread's requests are about one thing alone, and their replies are kept as those."""
    token = _subject.set(Subject(name))
    try:
        yield
    finally:
        _subject.reset(token)


def subject() -> Subject | None:
    """None where requests are about several things."""
    return _subject.get()


@dataclass
class Kept:
    """Asks in batches, as the harness does, which halves a batch that fails until the requests to blame stand alone. Threads may
    share it.

    `before` knows replies from an earlier time. `cured` turns what is raised into what the user is told.
    """

    client: Client
    cured: Callable[[UserError], UserError] = lambda error: error
    before: Callable[[Request], bytes | None] = lambda request: None
    _left: dict[Request, Outcome] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def ask(self, requests: Sequence[Request]) -> list[bytes]:
        """The replies, in order; equal requests have one.

        Raises `Unreachable` where no request would be answered, else the first request's `UserError`.
        """
        found: dict[Request, Outcome] = {}
        with self._lock:
            for one in requests:
                if one in self._left:
                    found[one] = self._left.pop(one)
        for one in requests:
            if one not in found and (known := self.before(one)) is not None:
                found[one] = known
        open_ = [one for one in dict.fromkeys(requests) if one not in found]
        found.update(zip(open_, self.client.ask(open_), strict=True))
        errors = [outcome for one in requests if isinstance(outcome := found[one], UserError)]
        if not errors:
            return [outcome for one in requests if isinstance(outcome := found[one], bytes)]
        ended = [error for error in errors if isinstance(error, Unreachable)]
        with self._lock:  # of what failed, another call may try again what was alone
            for one, outcome in found.items():
                if isinstance(outcome, bytes) or not (ended or len(requests) == 1):
                    self._left[one] = outcome
        if ended and subject() is None and any(isinstance(outcome, bytes) for outcome in found.values()):
            raise UserError(str(self.cured(ended[0])))  # the harness halves the batch, and so comes by what was paid for
        raise self.cured((ended or errors)[0])
