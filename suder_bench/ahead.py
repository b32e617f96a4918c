"""Work done in threads ahead of its reader: pictures are decoded and prepared while a judge looks at the ones before."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Generic, Self, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

WORKERS = min(4, os.cpu_count() or 1)


class Ahead(Generic[Item, Result]):
    """`function` of `items`, taken batch by batch; while one batch is in use, the next of its size is being made.

    Holds the results of these two batches and no others, whatever the number of items. For use in a `with` statement.
    """

    def __init__(self, function: Callable[[Item], Result], items: Sequence[Item], *, workers: int = WORKERS) -> None:
        self._function, self._items = function, items
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="ahead")
        self._held: dict[int, Future[Result]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._pool.shutdown(cancel_futures=True)
        self._held.clear()

    def take(self, batch: Sequence[int]) -> list[Result]:
        """The results at consecutive indices, in order.

        What lies before the batch is given up, so that a batch can be taken again, or in parts, but none before it.
        Raises what `function` raises; the next call tries again.
        """
        start, end = batch[0], batch[-1] + 1
        self._held = {index: future for index, future in self._held.items() if index >= start}
        for index in range(start, min(2 * end - start, len(self._items))):
            if index not in self._held:
                self._held[index] = self._pool.submit(self._function, self._items[index])
        try:
            return [self._held[index].result() for index in batch]
        except BaseException:
            self._held.clear()
            raise
