"""Training on an estimated likelihood of pictures: what the estimate draws at random is alike wherever two passes compare."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from small_trainings import Train, rows, timeless

from suder_bench.models.janus import JanusModel
from suder_bench.models.protocols import TokenScores
from suder_bench.training.recipe import read_recipe

GEN = ("strategy=only-gen", "trainer.max_steps=4", "trainer.save_steps=2", "trainer.per_device_train_batch_size=1")
TWICE = ("algorithm=diffu-grpo", "grpo.num_iterations=2")

Asked = list[tuple[list[str], list[int], bool]]
"""Prompts and seeds of each pass, and whether it had gradients."""


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """A Janus that scores pictures by prompts of which words are dropped at random, as an estimator does."""
    exact, seen = JanusModel.image_scores, Asked()

    def estimated(
        self: JanusModel, texts: Sequence[str], tokens: torch.Tensor, *, seeds: Sequence[int], **others: Any
    ) -> TokenScores:
        seen.append((list(texts), list(seeds), torch.is_grad_enabled()))
        return exact(self, [_dropped(text, seed) for text, seed in zip(texts, seeds, strict=True)], tokens, **others)

    monkeypatch.setattr(JanusModel, "image_scores", estimated)
    monkeypatch.setattr(JanusModel, "estimator", "words dropped")
    return seen


def _dropped(text: str, seed: int) -> str:
    rng = random.Random(seed)
    return " ".join(word if rng.random() < 0.5 else "a" for word in text.split())


@pytest.mark.parametrize("chosen", [("algorithm=simpo",), ("algorithm=grpo",), TWICE], ids=["simpo", "grpo", "diffu-grpo"])
def test_a_group_shares_its_seed_and_no_two_groups_do(chosen: tuple[str, ...], train: Train, asked: Asked) -> None:
    assert train("run", *GEN, *chosen) == 0
    assert asked
    groups = defaultdict(set)
    for prompts, seeds, _ in asked:
        assert len(set(zip(prompts, seeds, strict=True))) == len(set(seeds)) == len(set(prompts))
        for prompt, seed in zip(prompts, seeds, strict=True):
            groups[seed].add(prompt)
    assert all(len(prompts) == 1 for prompts in groups.values())


def test_weights_that_stay_have_a_ratio_of_one_and_no_distance_to_the_start(train: Train, asked: Asked) -> None:
    """Only where the new, the old and the reference pass of each update drop the same words."""
    assert train("run", *GEN, *TWICE, "trainer.learning_rate=0") == 0
    assert [(row["gen/ratio"], row["gen/kl"]) for row in rows("run")] == [(1.0, 0.0)] * 4


@pytest.mark.parametrize(("algorithm", "views"), [("grpo", 1), ("diffu-grpo", 2)])
def test_diffu_grpo_drops_anew_in_each_update_on_the_same_samples(algorithm: str, views: int, train: Train, asked: Asked) -> None:
    assert train("run", *GEN, *TWICE, f"algorithm={algorithm}") == 0
    updates = defaultdict(list)
    for prompts, seeds, graded in asked:
        if graded:
            updates[prompts[0]].append(seeds[0])
    assert updates
    for seeds in updates.values():
        for first, second in zip(seeds[::2], seeds[1::2], strict=True):
            assert len({first, second}) == views


def test_a_training_is_the_same_again(train: Train, asked: Asked) -> None:
    for run in ("one", "two"):
        assert train(run, *GEN, *TWICE) == 0
    assert timeless("one") == timeless("two")


def test_the_estimator_is_told_and_the_start_written_down(train: Train, asked: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    assert train("run", *GEN, *TWICE, "trainer.max_steps=2") == 0
    assert "suder-bench: the likelihood of pictures is estimated: words dropped" in capsys.readouterr().err.splitlines()
    start = json.loads(Path("run/model.json").read_text())
    assert start.keys() == {"name", "fingerprint", "settings"}
    assert start["fingerprint"] == JanusModel.load(start["name"]).fingerprint


def test_diffu_grpo_is_not_for_an_exact_likelihood(train: Train, capsys: pytest.CaptureFixture[str]) -> None:
    assert train("run", *GEN, *TWICE) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "algorithm: diffu-grpo is for an estimated likelihood, but that of model" in line
    assert line.endswith("is exact; use grpo")


def test_checkpoints_lie_between_samples() -> None:
    recipe = read_recipe("tiny", TWICE)
    assert (recipe.updates, recipe.needs_start) == (2, True)
    assert (read_recipe("tiny").updates, read_recipe("tiny").needs_start) == (1, False)
