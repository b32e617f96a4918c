"""What is kept of a failure is its words, and not what was in hand when it came."""

from __future__ import annotations

import gc
import weakref

from suder_bench.runs.batches import BatchSize, attempts


class Large:
    pass


def test_failures_keep_nothing_of_what_was_in_hand() -> None:
    held: list[weakref.ref[Large]] = []

    def do(items: object) -> list[int]:
        large = Large()
        held.append(weakref.ref(large))
        raise RuntimeError("bad")

    failures = list(attempts([1, 2, 3, 4], do, size=BatchSize(4)))
    gc.collect()
    assert len(failures) == 4
    assert not any(one() for one in held)
