"""How much work a stage of a run took: what was made or judged, in which time, by whom."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from suder_bench.runs import shapes
from suder_bench.runs.jsonl import read_object
from suder_bench.runs.store import RunFolder

FILE = "speed.json"
"""Beside the summary, whose bytes say nothing of how long they took."""


@dataclass
class Effort:
    """`responses` made or judged in `seconds` on the clock; `busy` are the seconds of all workers together, and `gpu_busy` those
    of workers with a GPU."""

    responses: int = 0
    seconds: float = 0.0
    busy: float = 0.0
    gpu_busy: float = 0.0
    workers: int = 1

    @contextmanager
    def timed(self) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds += time.perf_counter() - started

    def document(self, before: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """As speed.json has it, together with what earlier commands took."""
        known = before or {}
        responses = self.responses + known.get("responses", 0)
        seconds = self.seconds + known.get("seconds", 0.0)
        return {
            "responses": responses,
            "seconds": round(seconds, 3),
            "per_second": round(responses / seconds, 3) if seconds else 0.0,
            "worker_seconds": round(self.busy + known.get("worker_seconds", 0.0), 3),
            "gpu_seconds": round(self.gpu_busy + known.get("gpu_seconds", 0.0), 3),
            "workers": self.workers,
        }


def add(folder: RunFolder, efforts: Mapping[str, Effort]) -> None:
    """Add to speed.json what was done now; whoever holds the folder may call this. A file that is damaged counts as none."""
    done = {stage: one for stage, one in efforts.items() if one.responses}
    if not done:
        return
    try:
        before = read_object((folder.path / FILE).read_bytes())
        shapes.check(before, shapes.SPEED)
    except (OSError, ValueError):
        before = {}
    folder.write(FILE, {**before, **{stage: one.document(before.get(stage)) for stage, one in done.items()}})
