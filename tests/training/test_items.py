"""Which item is trained on when: the same whatever the ranks, every item once a cycle, and a resume that misses nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from itertools import chain
from typing import Any

import pytest
from accelerate import skip_first_batches
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st

from suder_bench.errors import UserError
from suder_bench.training.items import Item, ItemLoader, MicroBatches

steady = limits(max_examples=50, deadline=None, derandomize=True)


def made(**changes: Any) -> MicroBatches:
    """22 prompts and 17 pictures, 8 of each a step, 2 in a batch: 2 steps an epoch, of 4 + 4 batches."""
    usual = MicroBatches({"gen": 22, "und": 17}, batch_size=2, global_batch_size=8, rank=0, world=1, seed=3)
    return replace(usual, **changes)


def epochs(batches: MicroBatches, count: int) -> list[list[Item]]:
    """All batches of the first epochs."""
    found = []
    for epoch in range(count):
        batches.set_epoch(epoch)
        found += list(batches)
    return found


def steps(batches: MicroBatches, count: int) -> list[list[Item]]:
    """The items of each optimizer step of the first epochs, on this rank."""
    all_batches, size = epochs(batches, count), batches.accumulation
    return [list(chain(*all_batches[i : i + size])) for i in range(0, len(all_batches), size)]


def of(task: str, items: Iterable[Item]) -> list[Item]:
    return [item for item in items if item.task == task]


@st.composite
def plans(draw: st.DrawFn) -> MicroBatches:
    share, parts = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    tasks = draw(st.sampled_from([("gen",), ("und",), ("gen", "und"), ("und", "gen")]))
    counts = {task: draw(st.integers(1, 30)) for task in tasks}
    counts[tasks[0]] = max(counts[tasks[0]], share * parts)
    return made(
        counts=counts,
        batch_size=share,
        global_batch_size=share * parts,
        seed=draw(st.integers(0, 2**32)),
        num_iterations=draw(st.integers(1, 3)),
    )


# Ranks


@pytest.mark.parametrize("world", [1, 2, 4])
@pytest.mark.parametrize("batch_size", [1, 2])
def test_a_step_takes_the_same_items_on_any_number_of_ranks(world: int, batch_size: int) -> None:
    alone = [Counter(step) for step in steps(made(batch_size=8), 3)]
    ranks = [steps(made(rank=rank, world=world, batch_size=batch_size), 3) for rank in range(world)]
    assert [Counter(chain(*parts)) for parts in zip(*ranks, strict=True)] == alone


@pytest.mark.parametrize("world", [2, 4])
def test_all_ranks_work_on_one_task_at_a_time_and_share_no_item(world: int) -> None:
    ranks = [epochs(made(rank=rank, world=world, num_iterations=2), 2) for rank in range(world)]
    for batches in zip(*ranks, strict=True):
        items = list(chain(*batches))
        assert len({(item.task, item.iteration) for item in items}) == 1
        assert len({item.place for item in items}) == len(items) == 2 * world


@pytest.mark.parametrize(
    ("changes", "accumulation", "length"),
    [
        ({}, 8, 16),
        ({"world": 2}, 4, 8),
        ({"world": 4}, 2, 4),
        ({"batch_size": 8}, 2, 4),
        ({"counts": {"und": 17}}, 4, 8),
        ({"num_iterations": 3}, 8, 48),
        ({"counts": {"gen": 5600, "und": 5600}, "global_batch_size": 128}, 128, 43 * 128),  # the paper's 43 steps an epoch
    ],
)
def test_how_many_batches_make_a_step_and_an_epoch(changes: dict[str, Any], accumulation: int, length: int) -> None:
    batches = made(**changes)
    assert batches.accumulation == accumulation
    assert len(batches) == len(ItemLoader(batches)) == length


@steady
@given(plans())
def test_an_epoch_is_as_long_as_it_says_in_whole_steps_of_all_tasks(batches: MicroBatches) -> None:
    assert len(epochs(batches, 1)) == len(batches)
    assert all(len(batch) == batches.batch_size and len({item.task for item in batch}) == 1 for batch in epochs(batches, 1))
    for step in steps(batches, 1):
        assert {task: len(of(task, step)) for task in batches.counts} == dict.fromkeys(batches.counts, batches.global_batch_size)


@pytest.mark.parametrize("world", [1, 2])
def test_the_batches_to_come_of_a_step(world: int) -> None:
    batches = made(rank=world - 1, world=world, num_iterations=2)
    made_in = [(one[0].place // 8, one[0].task, one[0].iteration) for one in epochs(batches, 2)]
    for at, batch in enumerate(epochs(batches, 2)):
        rest = zip(epochs(batches, 2)[at:], made_in[at:], strict=True)
        assert batches.onwards(batch, 99) == [one for one, its in rest if its == made_in[at]]
        assert batches.onwards(batch, 1) == [batch]


# Order


@steady
@given(plans())
def test_every_item_comes_once_in_each_cycle_whatever_the_epochs(batches: MicroBatches) -> None:
    items = [item for item in chain(*epochs(batches, 4)) if item.iteration == 0]
    for task, count in batches.counts.items():
        ours = of(task, items)
        assert [item.place for item in ours] == list(range(len(ours)))
        for first in range(0, len(ours), count):
            cycle = [item.index for item in ours[first : first + count]]
            assert len(set(cycle)) == len(cycle)
            assert set(cycle) <= set(range(count))


def test_cycles_tasks_and_seeds_have_orders_of_their_own() -> None:
    batches = made(counts={"gen": 16, "und": 16})
    first, second = (list(chain(*part)) for part in (epochs(batches, 1), epochs(batches, 2)[len(batches) :]))
    orders = [[item.index for item in of(task, part)] for part in (first, second) for task in ("gen", "und")]
    orders.append([item.index for item in of("gen", chain(*epochs(replace(batches, seed=4), 1)))])
    assert all(sorted(order) == list(range(16)) for order in orders)
    assert len({tuple(order) for order in orders}) == len(orders)
    assert epochs(batches, 1) == epochs(made(counts={"gen": 16, "und": 16}), 1)


def test_what_fills_no_step_waits_for_the_next_epoch() -> None:
    gen = of("gen", chain(*epochs(made(), 3)))
    assert len(gen) == 3 * 16  # of 22 prompts, 6 are left after an epoch
    assert sorted(item.index for item in gen[:22]) == list(range(22))
    assert sorted(item.index for item in gen[22:44]) == list(range(22))


def test_the_tasks_do_not_change_each_others_order() -> None:
    both, alone = made(), made(counts={"und": 17}, global_batch_size=8)
    assert of("und", chain(*epochs(both, 2)))[:16] == list(chain(*epochs(alone, 1)))


def test_updates_on_the_same_samples_follow_each_other() -> None:
    once, thrice = steps(made(), 2), steps(made(num_iterations=3), 2)
    assert [step for step in once for _ in range(3)] == [[replace(item, iteration=0) for item in step] for step in thrice]
    assert [{item.iteration for item in step} for step in thrice] == [{0}, {1}, {2}] * len(once)


# Loading


def test_a_loader_hands_the_batches_on() -> None:
    loader = ItemLoader(made())
    loader.set_epoch(2)
    assert list(loader) == epochs(made(), 3)[2 * len(loader) :]
    assert len(loader.dataset) == 16  # type: ignore[arg-type]


@pytest.mark.parametrize("done", [1, 4, 7])
@pytest.mark.parametrize("epoch", [0, 2])
def test_a_resumed_epoch_goes_on_where_it_was_left(epoch: int, done: int) -> None:
    """As the Trainer does: skip first, then tell the sampler below which epoch it is."""
    whole = epochs(made(), epoch + 1)[epoch * len(made()) :]
    rest: Any = skip_first_batches(ItemLoader(made()), done)
    rest.batch_sampler.batch_sampler.set_epoch(epoch)
    assert list(rest) == whole[done:]


# Mistakes


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"global_batch_size": 9},
            "global_batch_size 9 is no multiple of trainer.per_device_train_batch_size 2 x 1 processes; change one of them",
        ),
        (
            {"world": 3},
            "global_batch_size 8 is no multiple of trainer.per_device_train_batch_size 2 x 3 processes; change one of them",
        ),
        (
            {"global_batch_size": 32},
            "global_batch_size 32 is more than there is (22 prompts, 17 pictures); make it smaller",
        ),
        (
            {"counts": {"und": 7}},
            "global_batch_size 8 is more than there is (7 pictures); make it smaller",
        ),
    ],
)
def test_steps_that_cannot_be_filled(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError) as told:
        made(**changes)
    assert str(told.value) == says


def test_the_smaller_set_may_be_smaller_than_a_step() -> None:
    step = steps(made(counts={"gen": 8, "und": 3}), 1)[0]
    assert Counter(item.index for item in of("und", step)) in ({0: 3, 1: 3, 2: 2}, {0: 3, 1: 2, 2: 3}, {0: 2, 1: 3, 2: 3})
