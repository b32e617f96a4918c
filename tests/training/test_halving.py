"""A full memory makes a training's parts smaller, as it makes the batches of a run smaller, and changes none of its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_trainings import Train, same, timeless, weights

from suder_bench.models.janus import JanusModel
from suder_bench.training.halving import Halving, MemoryFull
from suder_bench.training.policy import Policy
from suder_bench.training.rewards import RewardSum

FULL = "CUDA out of memory. Tried to allocate 72.50 GiB"


@given(count=st.integers(0, 60), size=st.integers(1, 64), most=st.integers(1, 64))
def test_every_sample_is_done_once_and_in_order(count: int, size: int, most: int) -> None:
    said: list[str] = []

    def do(part: slice) -> list[int]:
        if part.stop - part.start > most:
            raise torch.OutOfMemoryError(FULL)
        return list(range(part.start, part.stop))

    halving = Halving("drawing", size, said.append)
    assert [i for part in halving.over(count, do) for i in part] == list(range(count))
    assert len(said) <= 6
    before = halving.size
    halving.over(count, do)
    assert halving.size == before  # what was learned stays learned


def test_each_halving_is_told() -> None:
    said: list[str] = []

    def do(part: slice) -> None:
        if part.stop - part.start > 16:
            raise MemoryError

    Halving("drawing", 64, said.append).over(100, do)
    assert said == [f"drawing: out of memory at batch size {size}; going on with {size // 2}" for size in (64, 32)]


def test_one_sample_that_does_not_fit_ends_the_training_in_a_line() -> None:
    def do(part: slice) -> None:
        raise torch.OutOfMemoryError(FULL)

    with pytest.raises(MemoryFull, match="drawing: out of memory at batch size 1; train a smaller model, or on a larger"):
        Halving("drawing", 2, print).over(2, do)


def test_other_errors_pass() -> None:
    def do(part: slice) -> None:
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        Halving("drawing", 2, print).over(2, do)


@pytest.fixture
def small_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Holds two samples that are drawn or written, and one that is scored."""

    def bound(owner: type, name: str, most: int, place: int) -> None:
        whole = getattr(owner, name)

        def do(self: Any, *args: Sequence[Any], **kwargs: Any) -> Any:
            if len(args[place]) > most:
                raise torch.OutOfMemoryError(FULL)
            return whole(self, *args, **kwargs)

        monkeypatch.setattr(owner, name, do)

    bound(JanusModel, "draw", 2, 0)
    bound(JanusModel, "write", 2, 0)
    bound(RewardSum, "images", 1, 0)
    bound(RewardSum, "captions", 1, 0)


CHOSEN = ("reward.gen=red", "reward.und=letters", "num_generations=4", "trainer.max_steps=2")


def test_a_training_in_little_memory_is_the_same_training(
    train: Train, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train("whole", *CHOSEN) == 0
    capsys.readouterr()
    request.getfixturevalue("small_memory")
    assert train("halved", *CHOSEN) == 0
    said = [line.removeprefix("suder-bench: ") for line in capsys.readouterr().err.splitlines() if "out of memory" in line]
    whats = {"drawing": (8, 4), "writing": (8, 4), "scoring pictures": (8, 4, 2), "scoring captions": (8, 4, 2)}
    assert sorted(said) == sorted(
        f"{what}: out of memory at batch size {size}; going on with {size // 2}"
        for what, sizes in whats.items()
        for size in sizes
    )
    assert timeless("halved") == timeless("whole")
    assert same(weights("halved/checkpoint-2"), weights("whole/checkpoint-2"))


def test_an_update_that_does_not_fit_says_what_to_change(
    train: Train, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(self: Policy, *args: Any) -> Any:
        raise torch.OutOfMemoryError(FULL)

    monkeypatch.setattr(Policy, "forward", full)
    assert train("run", *CHOSEN) == 1
    assert capsys.readouterr().err.splitlines()[-1] == (
        "suder-bench: step 1: out of memory in the update, of trainer.per_device_train_batch_size 2; halve it, set"
        " trainer.gradient_checkpointing=true, or train lora, into another --out"
    )
    assert not Path("run/finished.json").exists()
