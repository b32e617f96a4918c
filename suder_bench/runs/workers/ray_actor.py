"""What a worker of a Ray cluster does: it takes up duties and does chunks, as `child` does it in a process of this machine.

Nothing heavy is imported until the actor has set what numerical libraries read when they are.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pickle import HIGHEST_PROTOCOL, dumps, loads
from typing import Any

from suder_bench.runs.workers import frames as frames  # whose import has records pickled
from suder_bench.runs.workers.child import Answer, Setting


class Actor:
    """`folder` and `path` are the driver's: where names of files start, and modules are looked for last, as far as they are
    on this machine too."""

    def __init__(self, environment: Mapping[str, str], folder: str, path: list[str]) -> None:
        os.environ.update(environment)
        with suppress(OSError):
            os.chdir(folder)
        self._path = [*sys.path, *(one for one in path if one not in sys.path and os.path.exists(one))]
        self._hand: Any = None

    def host(self) -> str:
        return socket.gethostname()

    def begin(self, table: Any, duty: bytes) -> bytes:
        """An `Answer`, pickled: ready or unfit."""
        from suder_bench.runs.batches import free_memory
        from suder_bench.runs.workers.foreign import carried

        self._hand = None
        free_memory()
        try:
            Setting(self._path, table).enter()
            self._hand = loads(duty).begin()
        except Exception as error:
            return _pickled(Answer("unfit", (carried(error),)))
        return _pickled(Answer("ready", (self._hand.card(),)))

    def do(self, chunk: bytes) -> bytes:
        """The parts that the chunk gives and the seconds that it took, pickled."""
        started = time.perf_counter()
        parts = list(self._parts(loads(chunk)))
        return _pickled((parts, time.perf_counter() - started))

    def _parts(self, chunk: Any) -> Iterator[Any]:
        from suder_bench.runs.workers.foreign import carried

        for part in self._hand.do(chunk):
            yield replace(part, failures=tuple((place, carried(error)) for place, error in part.failures))


def _pickled(answer: Any) -> bytes:
    return dumps(answer, protocol=HIGHEST_PROTOCOL)
