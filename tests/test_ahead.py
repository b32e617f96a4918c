"""Work done ahead: in order, in threads, and never more of it at once than two batches."""

from __future__ import annotations

import gc
import threading
import time
import weakref

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from suder_bench.ahead import Ahead


class Thing:
    """Something large."""

    def __init__(self, number: int) -> None:
        self.number = number


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.integers(1, 12))
def test_results_come_in_order_each_made_once(count: int, size: int) -> None:
    made: list[int] = []

    def square(number: int) -> int:
        made.append(number)
        return number * number

    with Ahead(square, range(count)) as squares:
        found = [value for start in range(0, count, size) for value in squares.take(range(start, min(start + size, count)))]
    assert found == [number * number for number in range(count)]
    assert sorted(made) == list(range(count))


def test_the_next_batch_is_made_while_this_one_is_in_use() -> None:
    made = threading.Event()
    with Ahead(lambda number: made.set() if number == 5 else None, range(8)) as ahead:
        ahead.take(range(4))
        assert made.wait(10)


def test_at_most_two_batches_are_alive_whatever_the_number_of_items() -> None:
    alive: weakref.WeakSet[Thing] = weakref.WeakSet()
    most = 0

    def make(number: int) -> Thing:
        nonlocal most
        thing = Thing(number)
        alive.add(thing)
        most = max(most, len(alive))
        return thing

    with Ahead(make, range(200)) as things:
        for start in range(0, 200, 8):
            batch = things.take(range(start, start + 8))
            time.sleep(0.001)
            del batch
    assert most <= 16
    del things
    gc.collect()
    assert len(alive) == 0


def test_a_batch_can_be_taken_again_in_parts() -> None:
    made: list[int] = []
    with Ahead(lambda number: made.append(number) or number, range(16)) as ahead:
        assert ahead.take(range(8)) == list(range(8))
        assert ahead.take(range(4)) + ahead.take(range(4, 8)) == list(range(8))
    assert sorted(made) == list(range(16))


def test_an_error_is_the_takers_and_the_next_try_may_succeed() -> None:
    troubles = [MemoryError()]

    def make(number: int) -> int:
        if number == 2 and troubles:
            raise troubles.pop()
        return number

    with Ahead(make, range(4), workers=1) as ahead:
        with pytest.raises(MemoryError):
            ahead.take(range(4))
        assert ahead.take(range(4)) == [0, 1, 2, 3]
