"""Threads of torch on a CPU: what is computed must not depend on how many there are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import torch

from suder_bench.machine import side_by_side

MOST_TOGETHER, MOST_TOKENS = 8, 512
"""Pictures that a network sees at once, and their tokens: many small ones, or one."""


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


def together(tokens: int) -> int:
    """How many pictures of so many tokens a network may well see at once."""
    return max(1, min(MOST_TOGETHER, MOST_TOKENS // tokens))


def in_equal_parts(compute: Callable[[torch.Tensor], torch.Tensor], pictures: torch.Tensor, together: int) -> torch.Tensor:
    """What a network makes of pictures, (pictures, ...), at least one, of which it sees so many `together`; without gradients.

    Convolutions round differently at other batch sizes and numbers of threads, and truncation to 8 bits would show it: the
    network always sees equally many pictures, the last ones filled up, and on a CPU one thread computes them. A training's
    autocast, which other threads know nothing of, has no say.
    """

    @torch.no_grad()
    def computed(part: torch.Tensor) -> torch.Tensor:
        with torch.autocast(part.device.type, enabled=False):
            return compute(torch.cat([part, part[-1:].expand(together - len(part), *part.shape[1:])]))[: len(part)]

    chunks = pictures.split(together)
    if pictures.device.type != "cpu":
        return torch.cat([computed(chunk) for chunk in chunks])
    with one_thread_each() as map_each:
        return torch.cat(list(map_each(computed, chunks)))
