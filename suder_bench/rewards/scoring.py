"""What rewards say of samples, and what it costs: seconds, and memory beyond what was held before."""

from __future__ import annotations

import ctypes
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from suder_bench.errors import UserError
from suder_bench.runs.batches import free_memory
from suder_bench.runs.screen import Screen

BATCH = 32
"""Samples that are scored at once."""

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass(frozen=True)
class Cost:
    """Of one sample, of `BATCH` scored at once. `bytes` is the growth of the peak of memory while they are, shared out; None
    where it cannot be told: on CUDA it is what torch allocates, elsewhere the resident memory of the process (Linux only)."""

    seconds: float
    bytes: float | None


def score(
    rewards: Mapping[str, Any],
    items: Sequence[Any],
    prepare: Callable[[str, Any], Callable[[], Sequence[float]]],
    what: str,
    screen: Screen,
) -> tuple[dict[str, np.ndarray], dict[str, Cost]]:
    """Each reward's numbers of all items, and its cost; `prepare` gets a batch ready, and what it returns is measured.

    Raises `UserError` for a reward that gives no finite number.
    """
    numbers, costs = {}, {}
    for name in rewards:
        free_memory()
        values: list[float] = []
        seconds, largest = 0.0, -1.0
        with screen.bar(f"{name} of {what}", len(items)) as bar:
            for batch in batches(items):
                ready = prepare(name, batch)
                before = _held()
                start = time.perf_counter()
                values += ready()
                seconds += time.perf_counter() - start
                if before is not None:
                    largest = max(largest, _peak(before) / len(batch))
                bar.advance(len(batch))
        if not np.isfinite(values).all():
            raise UserError(f"reward '{name}' gives no number for some of the {what}; leave it out of --rewards")
        numbers[name] = np.array(values, float)
        costs[name] = Cost(seconds / len(items), None if largest < 0 else largest)
    return numbers, costs


def batches(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    return (items[i : i + BATCH] for i in range(0, len(items), BATCH))


def _held() -> int | None:
    """The bytes held now, after the peak was set back to them; None where that cannot be."""
    torch = sys.modules.get("torch")  # without it nothing is on a GPU
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        return int(torch.cuda.memory_allocated())
    try:
        # What was freed before must not hide what is taken now.
        ctypes.CDLL(None).malloc_trim(0)
        _RESET.write_text("5")
        return _resident("VmRSS")
    except (OSError, AttributeError):
        return None


def _peak(before: int) -> int:
    """The most bytes held since `_held`, above those it told."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.synchronize()
        return int(torch.cuda.max_memory_allocated()) - before
    return max(_resident("VmHWM") - before, 0)


def _resident(name: str) -> int:
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(f"{name}:"))
    return 1024 * int(line.split()[1])
