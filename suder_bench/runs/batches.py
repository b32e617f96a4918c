"""Work in batches that survives a full memory and single bad items."""

from __future__ import annotations

import gc
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from suder_bench.errors import JudgeError, UserError
from suder_bench.runs.screen import Bar, Screen

Item = TypeVar("Item")
Result = TypeVar("Result")

AUTO = 32
"""Where an automatic batch size starts; it halves when memory is full."""

FULL = ("DefaultCPUAllocator: can't allocate memory", "MPS backend out of memory")
"""How torch's other devices say that their memory is full: by a plain RuntimeError."""

SHOWN = 3
"""Failures told one by one; further ones are only counted."""


@dataclass
class BatchSize:
    """The size in use, which only ever shrinks."""

    value: int = AUTO


@dataclass(frozen=True)
class Failure(Generic[Item]):
    item: Item
    error: Exception


@dataclass(frozen=True)
class Batch(Generic[Result]):
    """The results of consecutive items from the one at index `start` on."""

    start: int
    results: Sequence[Result]


@dataclass(frozen=True)
class Lost:
    """The item at an index failed on its own, or was not tried since a judge cannot go on."""

    index: int
    error: Exception


@dataclass(frozen=True)
class Halved:
    """Memory was full at the size `full`; it goes on with `half`."""

    full: int
    half: int

    def __str__(self) -> str:
        return f"out of memory at batch size {self.full}; going on with {self.half}"


def attempts(
    items: Sequence[Item], do: Callable[[Sequence[Item]], Sequence[Result]], *, size: BatchSize
) -> Iterator[Batch[Result] | Lost | Halved]:
    """`do` consecutive batches of `items`: their results, and the items that failed, as they come.

    A batch that runs out of memory is done again at half the size, and so is everything after it. A batch that fails
    otherwise is split until the items to blame stand alone; but a `JudgeError` is no item's fault, and ends the work with
    all that is left lost.
    """
    waiting = [(0, len(items))]  # half-open ranges, the next one last
    while waiting:
        start, end = waiting.pop()
        if end - start > size.value:
            waiting.append((start + size.value, end))
            end = start + size.value
        if start == end:
            continue
        error = None
        try:
            results = do(items[start:end])
            if len(results) != end - start:
                raise RuntimeError(f"asked for {end - start} results, got {len(results)}")
        except JudgeError as raised:
            yield from (Lost(index, raised) for index in range(start, len(items)))
            return
        except Exception as raised:
            traceback.clear_frames(raised.__traceback__)  # else what is kept of a failure keeps its tensors and pictures
            error = raised.with_traceback(None) if out_of_memory(raised) else raised
        if error is None:
            yield Batch(start, results)
        elif end - start == 1:
            yield Lost(start, error)
        else:
            half = (end - start) // 2
            if out_of_memory(error):
                yield Halved(end - start, half)
                size.value = half
                free_memory()
            waiting += [(start + half, end), (start, start + half)]


def work(
    items: Sequence[Item],
    do: Callable[[Sequence[Item]], Sequence[Result]],
    keep: Callable[[Sequence[Result]], None],
    *,
    size: BatchSize,
    bar: Bar,
) -> list[Failure[Item]]:
    """`attempts` at `items`, whose results are kept batch by batch; returns the items that failed. What `keep` raises is
    nobody's sample's fault, and passes."""
    failures: list[Failure[Item]] = []
    for found in attempts(items, do, size=size):
        if isinstance(found, Batch):
            keep(found.results)
            bar.advance(len(found.results))
        elif isinstance(found, Lost):
            failures.append(Failure(items[found.index], found.error))
            bar.advance(1)
        else:
            bar.screen.say(f"{bar.label}: {found}")
    return failures


def out_of_memory(error: BaseException) -> bool:
    torch = sys.modules.get("torch")  # not imported: a model without torch cannot raise its error
    if isinstance(error, MemoryError) or (torch is not None and isinstance(error, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in FULL)


def free_memory() -> None:
    """Collect garbage and hand the accelerator's cached blocks back."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch is not None and torch.backends.mps.is_available():
        torch.mps.empty_cache()


def tell(failures: Sequence[Failure[Item]], name: Callable[[Item], str], screen: Screen) -> None:
    """Say what failed, a line each and the rest as a number; the first bug among them shows its traceback."""
    for failure in failures[:SHOWN]:
        error = failure.error
        screen.say(f"failed: {name(failure.item)}: {error if isinstance(error, UserError) else repr(error)}")
    if len(failures) > SHOWN:
        screen.say(f"failed: {len(failures) - SHOWN:,} more")
    bug = next((failure.error for failure in failures if not isinstance(failure.error, UserError)), None)
    if bug is not None and not out_of_memory(bug):
        screen.trace(bug)
