"""What is logged at every step, what is left of it after a kill, and the guard against collapse."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st

from suder_bench.training.items import Item
from suder_bench.training.metrics import METRICS_FILE, Tally, Watch, Work, add_rollout, append_row, cut_rows, read_rows
from suder_bench.training.recipe import Guard, Task
from suder_bench.training.rewards import Scores
from suder_bench.training.rollout import Rollout


def rollout(task: Task = "gen", rewards: tuple[float, ...] = (-1.0, -3.0, -2.0, -2.0), **parts: tuple[float, ...]) -> Rollout:
    """Two groups of two; captions of 1, 2, 3 and 4 tokens."""
    scores = Scores(
        torch.tensor(rewards, dtype=torch.float64),
        {name: torch.tensor(values, dtype=torch.float64) for name, values in (parts or {"dsr": rewards}).items()},
    )
    tokens = [[0] * 16] * 4 if task == "gen" else [[0] * (1 + i) for i in range(4)]
    items = [Item(task, index, index, 0) for index in range(2)]
    return Rollout(task, items, ["a star"] * 4, tokens, scores, 2, sampling_seconds=2.0, scoring_seconds=0.5)


def alone(table: torch.Tensor) -> torch.Tensor:
    return table


# Means over the batches and ranks of a step


def test_a_tally_gives_means_once() -> None:
    tally = Tally()
    tally.add("a", [1.0, 2.0])
    tally.add("b", [5.0])
    tally.add("a", [6.0])
    assert tally.take(alone) == {"a": 3.0, "b": 5.0}
    assert tally.take(alone) == {}
    tally.add("a", [7.0])
    assert tally.take(alone) == {"a": 7.0}


def test_every_value_weighs_alike_over_the_ranks() -> None:
    ranks = [Tally(), Tally()]
    ranks[0].add("a", [1.0, 2.0, 3.0])
    ranks[1].add("a", [10.0])
    ranks[0].add("b", [])  # a rank without a value knows the name all the same, or the tables would not fit
    ranks[1].add("b", [4.0])
    ranks[0].add("c", [])
    ranks[1].add("c", [])
    seen: list[torch.Tensor] = []
    for tally in ranks:
        tally.take(lambda table: seen.append(table) or table)
    whole = Tally()
    for name in "abc":
        whole.add(name, [])
    assert whole.take(lambda table: table + seen[0] + seen[1]) == {"a": 4.0, "b": 4.0}


@limits(max_examples=40, deadline=None, derandomize=True)
@given(st.dictionaries(st.sampled_from("abcd"), st.lists(st.floats(-1e6, 1e6), max_size=6)))
def test_a_tallys_means_are_means(values: dict[str, list[float]]) -> None:
    tally = Tally()
    for name, numbers in values.items():
        tally.add(name, numbers)
    found = tally.take(alone)
    assert found == {name: pytest.approx(math.fsum(v) / len(v), abs=1e-6) for name, v in values.items() if v}


def test_the_rewards_of_a_batch() -> None:
    tally = Tally()
    add_rollout(tally, rollout())
    found = tally.take(alone)
    assert found == {
        "gen/reward": -2.0,
        "gen/reward_best": -1.5,
        "gen/reward_worst": -2.5,
        "gen/reward_std": pytest.approx(math.sqrt(2) / 2),
        "gen/no_signal": 0.5,
    }


def test_captions_have_a_length_and_sums_their_parts() -> None:
    tally = Tally()
    add_rollout(tally, rollout("und", dsr=(-1.0, -3.0, -2.0, -2.0), letters=(0.0, 0.0, 1.0, 1.0)))
    found = tally.take(alone)
    assert (found["und/length"], found["und/reward/dsr"], found["und/reward/letters"]) == (2.5, -2.0, 0.5)
    assert not any(name.startswith("gen/") for name in found)


def test_seconds_and_amounts_of_a_step() -> None:
    work = Work()
    work.add(rollout("gen"))
    work.add(rollout("und"))
    assert work.take(10.0, world=3) == {
        "seconds/step": 10.0,
        "seconds/sampling": 4.0,
        "seconds/scoring": 1.0,
        "seconds/update": 5.0,
        "images_per_second": 4 * 3 / 10,
        "tokens_per_second": (4 * 16 + 10) * 3 / 10,
    }
    again = work.take(2.0, world=3)  # a further update on the same samples
    assert (again["seconds/update"], again["seconds/sampling"], again["images_per_second"]) == (2.0, 0.0, 0.0)


# The file


def written(folder: Path, *steps: int) -> Path:
    for step in steps:
        append_row(folder, {"step": step, "loss": step / 10})
    return folder / METRICS_FILE


def test_rows_are_read_as_they_were_written(tmp_path: Path) -> None:
    assert read_rows(tmp_path / "new") == []
    append_row(tmp_path / "new", {"step": 1, "loss": float("nan"), "note": "ü\u2028"})
    append_row(tmp_path / "new", {"step": 2, "loss": 0.5})
    assert read_rows(tmp_path / "new") == [{"step": 1, "loss": None, "note": "ü\u2028"}, {"step": 2, "loss": 0.5}]


@pytest.mark.parametrize("torn", ['{"step": 3', '{"step": 3, "loss": 0.', '{"step": 3, "loss": 0.3}', "\x00\x00\x00"])
def test_a_torn_line_is_forgotten_and_what_is_appended_later_is_whole(tmp_path: Path, torn: str) -> None:
    file = written(tmp_path, 1, 2)
    with file.open("a") as stream:
        stream.write(torn)
    assert [row["step"] for row in cut_rows(tmp_path, 2)] == [1, 2]
    written(tmp_path, 3)
    assert [json.loads(line)["step"] for line in file.read_text().splitlines()] == [1, 2, 3]


def test_rows_after_the_checkpoint_are_forgotten(tmp_path: Path) -> None:
    file = written(tmp_path, 1, 2, 3, 4)
    assert [row["step"] for row in cut_rows(tmp_path, 2)] == [1, 2]
    assert [row["step"] for row in read_rows(tmp_path)] == [1, 2]
    assert cut_rows(tmp_path, 0) == []
    assert file.read_text() == ""
    assert cut_rows(tmp_path / "nothing", 5) == []
    assert not (tmp_path / "nothing").exists()


# The guard


def row(task: str = "gen", *, entropy: float = 4.0, reward: float = -3.0, std: float = 0.1) -> dict[str, Any]:
    return {f"{task}/entropy": entropy, f"{task}/reward": reward, f"{task}/reward_std": std, "loss": 0.5}


def told(watch: Watch, rows: list[dict[str, Any]]) -> list[tuple[int, str]]:
    """What the guard says, with the number of the row."""
    return [(i, said) for i, one in enumerate(rows, 1) if (said := watch.look(one)) is not None]


WATCHED = Guard(window=3, entropy=0.2, reward=2.0)


@pytest.mark.parametrize("task", ["gen", "und"])
def test_a_collapse_of_entropy_is_told_once(task: str) -> None:
    watch = Watch(WATCHED)
    found = told(watch, [row(task, entropy=4.0)] * 4 + [row(task, entropy=0.5)] * 6)
    assert [step for step, _ in found] == [7]  # three steps of 0.5 are a window below a fifth of 4
    assert found[0][1] == (
        f"collapse: the entropy of {task} samples fell from 4 to 0.5, below 0.2 of the start;"
        " use a smaller trainer.learning_rate or a KL (algorithm=grpo), or set guard.action=warn"
    )


@pytest.mark.parametrize("task", ["gen", "und"])
def test_a_fall_of_the_reward_below_its_best_is_told_once(task: str) -> None:
    rising = [row(task, reward=-3.0 + 0.1 * i) for i in range(6)]
    found = told(Watch(WATCHED), rising + [row(task, reward=-3.0)] * 5)
    assert [step for step, _ in found] == [8]  # the best window is at -2.6, the last one at -2.83
    assert found[0][1] == (
        f"collapse: the mean reward of {task} fell from -2.6 to -2.83, more than 2 standard deviations within a group (0.1);"
        " use a smaller trainer.learning_rate, or set guard.action=warn"
    )


def test_a_fall_is_measured_by_the_spread_there_is_now() -> None:
    """A reward may be the same for all samples at the start."""
    flat, alive = row(reward=0.0) | {"gen/reward_std": 0.0}, row(reward=0.3) | {"gen/reward_std": 0.3}
    assert told(Watch(WATCHED), [flat] * 5 + [alive] * 5 + [alive | {"gen/reward": 0.29}] * 5) == []


def test_a_reward_without_a_signal_is_told_once() -> None:
    rows = [row()] * 3 + [row() | {"gen/no_signal": 1.0}] * 6
    assert told(Watch(WATCHED), rows) == [
        (
            3 + WATCHED.window,
            f"the reward of gen gave all samples of a group the same for {WATCHED.window} steps, from which nothing is learned;"
            " choose another reward.gen, or set guard.action=warn",
        )
    ]


def test_both_collapses_of_a_step_are_told_one_after_the_other() -> None:
    found = told(Watch(WATCHED), [row()] * 3 + [row(entropy=0.1, reward=-9.0)] * 5)
    assert ["entropy" in said for _, said in found] == [True, False]
    assert [step for step, _ in found] == [6, 7]


@pytest.mark.parametrize(
    "rows",
    [
        [row()] * 20,
        [row(entropy=4.0 - 0.1 * i) for i in range(30)],  # sharper, and not collapsed
        [row(reward=-3.0 + 0.1 * (-1) ** i) for i in range(20)],  # noise
        [row(reward=-3.0 - 0.019 * i) for i in range(10)],  # a little worse
        [row()] * 3 + [row(entropy=0.0)] * 2,  # no window yet
        [{"loss": 0.5, "step": 1}] * 20,
        [{**row(), "gen/entropy": None}] * 20,
    ],
)
def test_what_is_no_collapse(rows: list[dict[str, Any]]) -> None:
    assert told(Watch(WATCHED), rows) == []


def test_an_odd_step_counts_as_much_as_the_window_is_narrow() -> None:
    assert told(Watch(Guard(window=10)), [row()] * 20 + [row(reward=-3.0 - 4.9)]) == []
    assert told(Watch(Guard(window=10)), [row()] * 20 + [row(reward=-3.0 - 5.1)]) != []


def test_the_guard_may_be_off() -> None:
    assert told(Watch(Guard(action="off", window=3)), [row()] * 4 + [row(entropy=0.0, reward=-9.0)] * 6) == []


def test_a_resumed_guard_knows_the_start() -> None:
    watch = Watch(WATCHED, [row()] * 4)
    assert [step for step, _ in told(watch, [row(entropy=0.5)] * 6)] == [3]


def test_the_tasks_are_watched_apart() -> None:
    rows = [row("gen") | row("und")] * 4 + [row("gen") | row("und", entropy=0.1)] * 6
    assert ["und" in said for _, said in told(Watch(WATCHED), rows)] == [True]
