"""What is logged at every step, and the guard that notices a collapse in it."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from suder_bench.errors import UserError
from suder_bench.runs.jsonl import plain, replace_file
from suder_bench.training.objectives import NO_SIGNAL
from suder_bench.training.recipe import Guard
from suder_bench.training.rollout import Rollout

METRICS_FILE = "metrics.jsonl"


class TrainingFailed(UserError):
    """Training stopped on what it met, not on a mistake in the command; the checkpoints stay."""

    status = 1


class Tally:
    """Sums and counts by name over the batches of a step, so that means over ranks weigh every batch alike."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = defaultdict(float)
        self._counts: dict[str, float] = defaultdict(float)

    def add(self, name: str, values: Iterable[float]) -> None:
        """Values whose mean is wanted. A name counts even without values, for all ranks must know the same names."""
        for value in values:
            self._sums[name] += float(value)
            self._counts[name] += 1
        self._counts[name] += 0

    def add_mean(self, name: str, mean: float, count: int) -> None:
        """The mean of so many values."""
        self._sums[name] += mean * count
        self._counts[name] += count

    def take(self, reduce: Any) -> dict[str, float]:
        """The means since the last call, leaving out names without values; `reduce` sums a tensor over all ranks."""
        names = sorted(self._counts)
        table = torch.tensor([[self._sums[name], self._counts[name]] for name in names], dtype=torch.float64)
        if names:
            table = reduce(table)
        self._sums.clear()
        self._counts.clear()
        return {name: total / count for name, (total, count) in zip(names, table.tolist(), strict=True) if count}


class Work:
    """Seconds and amounts of the batches of a step on this rank."""

    def __init__(self) -> None:
        self._rollouts: list[tuple[float, float, int, int]] = []

    def add(self, rollout: Rollout) -> None:
        images = len(rollout.tokens) if rollout.task == "gen" else 0
        tokens = sum(map(len, rollout.tokens))
        self._rollouts.append((rollout.sampling_seconds, rollout.scoring_seconds, images, tokens))

    def take(self, seconds: float, world: int) -> dict[str, float]:
        """Seconds of the step and its parts, and what all ranks together sampled per second of the step."""
        rollouts = self._rollouts or [(0.0, 0.0, 0, 0)]  # an update on the samples of the step before
        sampling, scoring, images, tokens = (sum(column) for column in zip(*rollouts, strict=True))
        self._rollouts = []
        return {
            "seconds/step": seconds,
            "seconds/sampling": sampling,
            "seconds/scoring": scoring,
            "seconds/update": seconds - sampling - scoring,
            "images_per_second": images * world / seconds,
            "tokens_per_second": tokens * world / seconds,
        }


def add_rollout(tally: Tally, rollout: Rollout) -> None:
    """Rewards of a batch: mean, best, worst and deviation within a group, and the share of groups that teach nothing."""
    task, rewards = rollout.task, rollout.rewards
    tally.add(f"{task}/reward", rewards.flatten().tolist())
    tally.add(f"{task}/reward_best", rewards.amax(dim=1).tolist())
    tally.add(f"{task}/reward_worst", rewards.amin(dim=1).tolist())
    tally.add(f"{task}/reward_std", rewards.std(dim=1).tolist())
    tally.add(f"{task}/no_signal", (rewards.amax(dim=1) - rewards.amin(dim=1) < NO_SIGNAL).double().tolist())
    for name, part in rollout.scores.parts.items() if len(rollout.scores.parts) > 1 else ():
        tally.add(f"{task}/reward/{name}", part.tolist())
    for name, counts in rollout.failures.items():
        if counts["scores"]:
            tally.add_mean(f"{task}/unread/{name}", counts["unread"] / counts["scores"], counts["scores"])
    if rollout.credits:
        tally.add(f"{task}/credit", [float(one.abs().mean()) for one in rollout.credits if one is not None])
    if task == "und":
        tally.add("und/length", [len(tokens) for tokens in rollout.tokens])


def append_row(folder: Path, row: Mapping[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / METRICS_FILE, "a", encoding="utf-8") as file:
        file.write(json.dumps(plain(row), allow_nan=False) + "\n")


def read_rows(folder: Path) -> list[dict[str, Any]]:
    """All whole rows; a torn last line is left out."""
    file = folder / METRICS_FILE
    rows = []
    for line in file.read_text(encoding="utf-8").splitlines() if file.is_file() else ():
        try:
            rows.append(json.loads(line))
        except ValueError:
            continue
    return rows


def cut_rows(folder: Path, step: int) -> list[dict[str, Any]]:
    """Forget what was logged after `step`, where a resumed training goes on; returns what is left."""
    kept = [row for row in read_rows(folder) if row["step"] <= step]
    if (folder / METRICS_FILE).is_file():
        replace_file(folder / METRICS_FILE, "".join(json.dumps(row) + "\n" for row in kept).encode())
    return kept


class Watch:
    """The guard against collapse: feeds on the logged rows, one a step."""

    def __init__(self, guard: Guard, rows: Iterable[Mapping[str, Any]] = ()) -> None:
        self.guard = guard
        self._seen: dict[str, list[float]] = defaultdict(list)
        self._warned: set[str] = set()
        for row in rows:
            self._take(row)

    def look(self, row: Mapping[str, Any]) -> str | None:
        """What is wrong after this step, once for each kind, or None."""
        self._take(row)
        if self.guard.action == "off":
            return None
        for task in ("gen", "und"):
            checks = {"entropy": self._entropy, "reward": self._reward, "no_signal": self._no_signal}
            for kind, check in checks.items():
                found = check(task)
                if found and f"{task}/{kind}" not in self._warned:
                    self._warned.add(f"{task}/{kind}")
                    return found
        return None

    def _take(self, row: Mapping[str, Any]) -> None:
        for name, value in row.items():
            if name.endswith(("/entropy", "/reward", "/reward_std", "/no_signal")) and isinstance(value, int | float):
                self._seen[name].append(float(value))

    def _entropy(self, task: str) -> str | None:
        start, last, _ = self._windows(f"{task}/entropy")
        if math.isnan(last) or last >= self.guard.entropy * start:
            return None
        return (
            f"collapse: the entropy of {task} samples fell from {start:.3g} to {last:.3g}, below {self.guard.entropy:g} of the"
            " start; use a smaller trainer.learning_rate or a KL (algorithm=grpo), or set guard.action=warn"
        )

    def _reward(self, task: str) -> str | None:
        _, last, best = self._windows(f"{task}/reward")
        at_start, now, _ = self._windows(f"{task}/reward_std")
        deviation = max(at_start, now)
        if math.isnan(last) or not deviation or last >= best - self.guard.reward * deviation:
            return None
        return (
            f"collapse: the mean reward of {task} fell from {best:.3g} to {last:.3g}, more than {self.guard.reward:g} standard"
            f" deviations within a group ({deviation:.3g}); use a smaller trainer.learning_rate, or set guard.action=warn"
        )

    def _no_signal(self, task: str) -> str | None:
        last = self._seen[f"{task}/no_signal"][-self.guard.window :]
        if len(last) < self.guard.window or min(last) < 1:
            return None
        return (
            f"the reward of {task} gave all samples of a group the same for {self.guard.window} steps, from which nothing is"
            f" learned; choose another reward.{task}, or set guard.action=warn"
        )

    def _windows(self, name: str) -> tuple[float, float, float]:
        """Means over the first window, the last, and the best one; NaN before there are two."""
        values, size = self._seen[name], self.guard.window
        if len(values) < 2 * size:
            return (math.nan, math.nan, math.nan)
        means = [sum(values[i : i + size]) / size for i in range(len(values) - size + 1)]
        return means[0], means[-1], max(means)
