"""One training of a subject: drawing and reading together, one log, resumable after any kill."""

from __future__ import annotations

import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedTokenizerFast

from suder_bench.world.pretrain import vq
from suder_bench.world.pretrain.curriculum import Turn
from suder_bench.world.pretrain.hints import Hints
from suder_bench.world.pretrain.machine import quick_halves, signals
from suder_bench.world.pretrain.muon import Muon
from suder_bench.world.pretrain.school import Drawing, Page, School
from suder_bench.world.vocabulary import SIZE

LOGGED, SAVED = 100, 200
"""Steps between rows of the log, and between states."""

Batch = dict[str, torch.Tensor]
Scored = tuple[torch.Tensor, dict[str, torch.Tensor]]
"""A loss, and by name whether each of some guesses was right: no lesson comes twice, so that this is what was learned."""


class Subject(Protocol):
    """What is trained: `model`'s parameters that require gradients, by one loss a side. It is `school.Tokenizer`, too."""

    model: nn.Module

    def encode(self, pictures: np.ndarray) -> np.ndarray: ...

    def decode(self, codes: np.ndarray) -> np.ndarray: ...

    def length(self, turn: Turn) -> int:
        """Tokens of a turn about a picture, its answer and end among them."""
        ...

    def begin(self) -> None:
        """Once, before the first step: what an untrained model is given along."""
        ...

    def hints(self) -> Hints:
        """New heads of its width."""
        ...

    def drawing(self, drawings: Sequence[Drawing], rng: np.random.Generator) -> list[Batch]:
        """Batches, each with a `share` (a number): the sum of their losses times it is the side's loss."""
        ...

    def reading(self, pages: Sequence[Page], rng: np.random.Generator) -> list[Batch]: ...

    def drawing_loss(self, batch: Batch, hints: Hints) -> Scored: ...

    def reading_loss(self, batch: Batch, hints: Hints) -> Scored: ...

    def sample(self, prompts: Sequence[str]) -> np.ndarray:
        """Pictures (n, 64, 64, 3) uint8 as the subject draws them now."""
        ...

    def save(self, folder: Path) -> None:
        """A checkpoint in 16 bits, as the adapters read it."""
        ...


@dataclass(frozen=True)
class Kind:
    """A subject before it is trained: its image tokenizer, its text tokenizer, and itself, made of both and of the mean patches
    that codes stand for; texts to be drawn, pictures to be read and tokens of a page of a step; and steps."""

    name: str
    codes: Callable[[], vq.Tokenizer]
    words: Callable[[], PreTrainedTokenizerFast]
    subject: Callable[[Any, torch.Tensor, PreTrainedTokenizerFast], Subject]
    drawn: int
    read: int
    room: int
    steps: int


@dataclass(frozen=True)
class Plan:
    """How long and how fast. At the steps `sampling` (shares of all) the subject draws `samples` texts for its reading side."""

    steps: int
    peak: float = 1.5e-3
    decay: float = 0.05
    sampling: tuple[float, ...] = (0.4, 0.6, 0.8)
    samples: int = 300
    threads: int = 2

    def learning_rate(self, step: int) -> float:
        """Up in a fiftieth of the steps, level to three fifths, then straight down to a hundredth: a function of the step."""
        done = (step + 1) / self.steps
        return self.peak * min(1.0, done / 0.02, max(0.01, (1 - done) / 0.4))


class TrainingFolder:
    """The folder of one training: a resumable state a stage, and the log with the seconds of clock and processor in all."""

    def __init__(self, folder: Path):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        rows = self.rows()
        self.before = {name: rows[-1].get(name, 0.0) if rows else 0.0 for name in ("seconds", "processor_seconds")}
        self.started = time.perf_counter()

    def rows(self) -> list[dict[str, Any]]:
        file = self.folder / "log.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def state(self, stage: str) -> dict[str, Any]:
        file = self.folder / f"{stage}.pt"
        return torch.load(file, weights_only=True) if file.exists() else {}

    def save(self, stage: str, state: dict[str, Any]) -> None:
        temporary = self.folder / f"{stage}.pt.tmp"
        torch.save(state, temporary)
        temporary.replace(self.folder / f"{stage}.pt")

    def log(self, row: dict[str, Any]) -> None:
        worked = {"seconds": time.perf_counter() - self.started, "processor_seconds": time.process_time()}
        row = row | {name: round(self.before[name] + more, 1) for name, more in worked.items()}
        print(json.dumps(row), flush=True)
        with (self.folder / "log.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n")


class Tally:
    """Losses and guesses between two rows of the log."""

    def __init__(self) -> None:
        self.losses: dict[str, float] = defaultdict(float)
        self.right: Counter[str] = Counter()
        self.asked: Counter[str] = Counter()

    def add(self, side: str, loss: torch.Tensor, guesses: Mapping[str, torch.Tensor]) -> None:
        self.losses[side] += loss.item()
        for name, right in guesses.items():
            self.right[name] += int(right.sum())
            self.asked[name] += len(right)

    def row(self, steps: int) -> dict[str, float]:
        """Mean losses a step, and shares of right guesses."""
        losses = {side: round(total / steps, 4) for side, total in sorted(self.losses.items())}
        return losses | {name: round(self.right[name] / n, 4) for name, n in sorted(self.asked.items()) if n}


Loss = Callable[[Batch, Hints], Scored]


def gradients(
    loss: Loss, batches: Sequence[Batch], hints: Hints, trained: Sequence[nn.Parameter], tally: Tally
) -> list[torch.Tensor | None]:
    """One side's gradients; its loss goes into the tally. The two sides run on a core each."""
    sums: list[torch.Tensor | None] = [None] * len(trained)
    for batch in batches:
        with torch.autocast("cpu", torch.bfloat16, enabled=quick_halves(), cache_enabled=False):
            value, guesses = loss(batch, hints)
            value = value * batch["share"]
        tally.add(loss.__name__.removesuffix("_loss"), value, guesses)
        for i, one in enumerate(torch.autograd.grad(value, trained, allow_unused=True)):
            before = sums[i]
            sums[i] = one if before is None else before if one is None else before + one
    return sums


def optimisers(named: Mapping[str, nn.Parameter], plan: Plan) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the transformers' layers, AdamW for all else: vectors, embeddings, heads."""
    matrices = [p for name, p in named.items() if p.ndim == 2 and ".layers." in name]
    others = [(name, p) for name, p in named.items() if p.ndim != 2 or ".layers." not in name]
    groups: list[dict[str, Any]] = [
        {"params": [p for _, p in others if p.ndim > 1], "weight_decay": plan.decay},
        {"params": [p for _, p in others if p.ndim < 2], "weight_decay": 0.0},
    ]
    return [
        Muon(matrices, lr=plan.peak, weight_decay=plan.decay),
        torch.optim.AdamW(groups, lr=plan.peak, betas=(0.9, 0.98)),
    ]


def train(subject: Subject, school: School, plan: Plan, work: TrainingFolder) -> bool:
    """Train to the plan's end, from the folder's state if there is one. False where a signal ended it before."""
    hints = subject.hints()
    model = subject.model
    parts = [*model.named_parameters(), *hints.named_parameters("hints")]
    named = {name: p for name, p in parts if p.requires_grad}
    trained, both = list(named.values()), optimisers(named, plan)
    state, start = work.state("model"), 0
    if state:
        model.load_state_dict(state["model"])
        hints.load_state_dict(state["hints"])
        for optimiser, known in zip(both, state["optimisers"], strict=True):
            optimiser.load_state_dict(known)
        school.sampled = list(zip(state["pictures"].numpy(), state["words"], strict=True))
        start = state["step"]
    else:
        subject.begin()
    sampling = {round(share * plan.steps) for share in plan.sampling}

    def batches(step: int) -> tuple[list[Batch], list[Batch]]:
        drawings, pages = school.step(step)
        rng = np.random.default_rng([step])
        return subject.drawing(drawings, rng), subject.reading(pages, rng)

    def save(step: int) -> None:
        pictures = np.stack([p for p, _ in school.sampled]) if school.sampled else np.empty((0, SIZE, SIZE, 3), np.uint8)
        seen = {"pictures": torch.from_numpy(pictures), "words": [words for _, words in school.sampled]}
        weights = {"model": model.state_dict(), "hints": hints.state_dict(), "optimisers": [one.state_dict() for one in both]}
        work.save("model", weights | seen | {"step": step})

    tally, since = Tally(), start
    with signals() as ended, ThreadPoolExecutor(1) as ahead, ThreadPoolExecutor(min(2, plan.threads)) as sides:
        following: Future[tuple[list[Batch], list[Batch]]] = ahead.submit(batches, start)
        for step in range(start, plan.steps):
            drawing, reading = following.result()
            if step in sampling:
                model.eval()
                school.take_samples(subject.sample, plan.samples, step)
            model.train()
            torch.set_num_threads(1)
            following = ahead.submit(batches, step + 1)
            working = [
                sides.submit(gradients, loss, shown, hints, trained, tally)
                for loss, shown in ((subject.reading_loss, reading), (subject.drawing_loss, drawing))
            ]
            from_reading, from_drawing = (side.result() for side in working)
            for parameter, one, other in zip(trained, from_reading, from_drawing, strict=True):
                parameter.grad = one if other is None else other if one is None else one + other
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            torch.set_num_threads(plan.threads)
            for optimiser in both:
                for group in optimiser.param_groups:
                    group["lr"] = plan.learning_rate(step)
                optimiser.step()
            if (step + 1) % LOGGED == 0:
                work.log({"stage": "model", "step": step + 1} | tally.row(step + 1 - since))
                tally, since = Tally(), step + 1
            if (step + 1) % SAVED == 0 or step + 1 == plan.steps or ended():
                save(step + 1)
            if ended() and step + 1 < plan.steps:
                work.log({"stage": "stopped", "step": step + 1})
                return False
    model.eval()
    return True
