"""Threads of torch on a CPU: what is computed must not depend on how many there are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import torch

from suder_bench.machine import side_by_side


@contextmanager
def one_thread_each(most: int | None = None) -> Iterator[Callable[[Callable[..., Any], Iterable[Any]], Iterable[Any]]]:
    """A `map` whose calls run side by side on as many threads as torch, or this process, may use, each computing with one;
    on at most `most`, where each call needs much memory.

    Splitting one product over threads changes how its sums round; splitting the calls does not. For use in a `with` statement,
    in which the results must be taken.
    """
    threads = torch.get_num_threads()
    count = max(threads, side_by_side())
    count = count if most is None else min(count, most)
    torch.set_num_threads(1)
    try:
        if count == 1:
            yield map
        else:
            with ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(1,)) as pool:
                yield pool.map
    finally:
        torch.set_num_threads(threads)
