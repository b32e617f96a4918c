"""Which prompt or picture is trained on when: the same order whatever the number of ranks, and all ranks on one task at a time.

An optimizer step takes the next `global_batch_size` items of each task. Prompts and pictures are shuffled independently, so
that no pair of them means anything. What does not fill a step at the end of an epoch waits for the next one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch.utils.data import DataLoader

from suder_bench.errors import UserError
from suder_bench.models.protocols import Task

_STREAM = {"gen": 0, "und": 1}


@dataclass(frozen=True)
class Item:
    """`index` of the prompt or picture; `place`, how many items of the task came before in the whole training, which seeds
    its samples; `iteration`, which of the updates on its samples this is."""

    task: Task
    index: int
    place: int
    iteration: int


@dataclass
class MicroBatches:
    """Batches of items for one rank, as a `DataLoader`'s batch sampler; every batch holds one task.

    `counts` is how many prompts (gen) and pictures (und) there are, for the tasks that are trained. Raises `UserError` where
    a step cannot be filled.
    """

    counts: Mapping[Task, int]
    batch_size: int
    global_batch_size: int
    rank: int
    world: int
    seed: int
    num_iterations: int = 1
    epoch: int = 0

    def __post_init__(self) -> None:
        share = self.batch_size * self.world
        if self.global_batch_size % share:
            raise UserError(
                f"global_batch_size {self.global_batch_size} is no multiple of trainer.per_device_train_batch_size"
                f" {self.batch_size} x {self.world} processes; change one of them"
            )
        if max(self.counts.values()) < self.global_batch_size:
            there = ", ".join(f"{count} {'prompts' if task == 'gen' else 'pictures'}" for task, count in self.counts.items())
            raise UserError(f"global_batch_size {self.global_batch_size} is more than there is ({there}); make it smaller")

    @property
    def accumulation(self) -> int:
        """Batches of this rank that make one optimizer step."""
        return len(self.counts) * (self.global_batch_size // (self.batch_size * self.world))

    @property
    def steps(self) -> int:
        """Items of each task in an epoch, in whole steps: as many as the larger of the two sets allows."""
        return max(self.counts.values()) // self.global_batch_size

    def __len__(self) -> int:
        return self.steps * self.num_iterations * self.accumulation

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __iter__(self) -> Iterator[list[Item]]:
        for step in range(self.epoch * self.steps, (self.epoch + 1) * self.steps):
            for iteration in range(self.num_iterations):
                for task in self.counts:
                    for part in range(self.accumulation // len(self.counts)):
                        first = step * self.global_batch_size + (part * self.world + self.rank) * self.batch_size
                        yield [self._item(task, first + i, iteration) for i in range(self.batch_size)]

    def onwards(self, batch: Sequence[Item], most: int) -> list[list[Item]]:
        """This batch and those after it on this rank of the same task and step, at most so many."""
        first = batch[0]
        end = (first.place // self.global_batch_size + 1) * self.global_batch_size
        places = range(first.place, end, self.world * self.batch_size)[:most]
        return [[self._item(first.task, place + i, first.iteration) for i in range(self.batch_size)] for place in places]

    def _item(self, task: Task, place: int, iteration: int) -> Item:
        cycle, within = divmod(place, self.counts[task])
        return Item(task, int(self._order(task, cycle)[within]), place, iteration)

    def _order(self, task: Task, cycle: int) -> np.ndarray:
        return np.random.default_rng([self.seed, _STREAM[task], cycle]).permutation(self.counts[task])


@dataclass(frozen=True)
class Items:
    """The data set of a loader over `MicroBatches`: an item is its own index."""

    count: int

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, item: Item) -> Item:
        return item


class ItemLoader(DataLoader[Item]):
    """Hands the batches of items on as they are, and the number of the epoch to its sampler, as the Trainer expects."""

    def __init__(self, batches: MicroBatches) -> None:
        super().__init__(Items(batches.steps * batches.global_batch_size), batch_sampler=batches, collate_fn=list)  # type: ignore[arg-type]
        self.batches = batches

    def set_epoch(self, epoch: int) -> None:
        self.batches.set_epoch(epoch)
