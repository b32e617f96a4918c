"""Work on many samples in parts that become smaller when memory is full, as `run` does it with batches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from suder_bench.errors import UserError
from suder_bench.runs.batches import free_memory, out_of_memory

Result = TypeVar("Result")


class MemoryFull(UserError):
    """A single sample is too much: the machine's fault, not a mistake in the command."""

    status = 1


@dataclass
class Halving:
    """`size` only ever shrinks, and is what was left of it at the next call. `what` is done, for the line that `say` gets."""

    what: str
    size: int
    say: Callable[[str], None]

    def over(self, count: int, do: Callable[[slice], Result]) -> list[Result]:
        """`do` consecutive parts of `count` samples. Raises `MemoryFull` where memory does not hold a single one."""
        done: list[Result] = []
        start = 0
        while start < count:
            part = slice(start, min(start + self.size, count))
            result = self._try(do, part)
            if result is not None:
                done.append(result.value)
                start = part.stop
        return done

    def _try(self, do: Callable[[slice], Result], part: slice) -> _Done[Result] | None:
        """None where memory was full; the failed part's tensors are gone by then."""
        try:
            return _Done(do(part))
        except Exception as error:
            if not out_of_memory(error):
                raise
        size = part.stop - part.start
        if size == 1:
            raise MemoryFull(f"{self.what}: out of memory at batch size 1; train a smaller model, or on a larger device")
        self.size = size // 2
        self.say(f"{self.what}: out of memory at batch size {size}; going on with {self.size}")
        free_memory()
        return None


@dataclass(frozen=True)
class _Done(Generic[Result]):
    value: Result
