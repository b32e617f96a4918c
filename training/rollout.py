"""Candidates and their rewards: G samples of each prompt or picture, scored by the model's other side (method sections 2, 3)."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from PIL import Image

from suder_bench.models.protocols import ImageSampling, Task, TextSampling, Trainable
from suder_bench.runs.plan import seed_of
from suder_bench.training.credit import Credit
from suder_bench.training.halving import Halving
from suder_bench.training.items import Item
from suder_bench.training.objectives import pairs
from suder_bench.training.recipe import Sampling
from suder_bench.training.rewards import RewardSum, Scores, joined


@dataclass
class Rollout:
    """The samples of one batch of items, group after group, G to an item.

    `contexts` holds the prompt or picture of each sample; `tokens` what was sampled, captions with the end token where one
    was written; `captions` the texts (task und), `pixels` (samples, 3, size, size) in [-1, 1] the pictures (task gen).
    `old` and `reference` are log-probabilities under the weights that sampled and the start weights, where they are needed: a
    list for each view. A view is what an estimated likelihood draws at random, alike in all passes that are compared; `view` is
    that of the update at hand. `credits` is what each code is worth beside the others of its sample, None where that is not asked
    for or the sample should teach nothing; empty where nothing is credited. `failures` is what rewards could not read, by name.
    """

    task: Task
    items: list[Item]
    contexts: list[str] | list[Image.Image]
    tokens: list[list[int]]
    scores: Scores
    group: int
    captions: list[str] = field(default_factory=list)
    pixels: torch.Tensor | None = None
    old: list[list[torch.Tensor]] = field(default_factory=list)
    reference: list[list[torch.Tensor]] = field(default_factory=list)
    credits: list[torch.Tensor | None] = field(default_factory=list)
    failures: dict[str, dict[str, int]] = field(default_factory=dict)
    view: int = 0
    sampling_seconds: float = 0.0
    scoring_seconds: float = 0.0

    @property
    def rewards(self) -> torch.Tensor:
        """(items, G), float64."""
        return self.scores.total.view(-1, self.group)

    def parts(self, size: int) -> list[Rollout]:
        """The same in parts of `size` items, without the pictures and seconds."""
        return [self._part(start, start + size) for start in range(0, len(self.items), size)]

    def _part(self, start: int, end: int) -> Rollout:
        of = slice(start * self.group, end * self.group)
        scores = Scores(self.scores.total[of], {name: part[of] for name, part in self.scores.parts.items()})
        reference = [view[of] for view in self.reference]
        return Rollout(
            self.task,
            self.items[start:end],
            self.contexts[of],
            self.tokens[of],
            scores,
            self.group,
            self.captions[of],
            reference=reference,
            credits=self.credits[of],
        )


@dataclass
class Sampler:
    """Draws and scores. `model` is the one that learns; every sample has a seed of its own, from the training's seed and
    its item's place, so that neither batch size nor ranks nor a resume change it. `credit` is asked about all pictures, or about
    those alone that `pairs_only` are trained on."""

    model: Trainable
    rewards: dict[Task, RewardSum]
    settings: Sampling
    guidance: float
    group: int
    seed: int
    say: Callable[[str], None]
    credit: Credit | None = None
    pairs_only: bool = False

    def __post_init__(self) -> None:
        whole = sys.maxsize  # a reward has its own batches, which decide how numbers round
        sizes = {"drawing": self.settings.batch_size, "writing": self.settings.batch_size}
        sizes |= {"scoring pictures": whole, "scoring captions": whole}
        self._parts = {what: Halving(what, size, self.say) for what, size in sizes.items()}

    @torch.no_grad()
    def pictures(self, items: list[Item], prompts: Sequence[str]) -> Rollout:
        """G pictures of each prompt, and the rewards R_G."""
        started = time.perf_counter()
        asked = [prompt for prompt in prompts for _ in range(self.group)]
        seeds, sampling = self._seeds(items), ImageSampling(self.settings.temperature, self.guidance, self.settings.steps)

        def draw(part: slice) -> tuple[torch.Tensor, torch.Tensor]:
            drawn = self.model.draw(asked[part], seeds=seeds[part], sampling=sampling).tokens
            return drawn, self.model.decode_tokens(drawn)

        drawn, pixels = zip(*self._parts["drawing"].over(len(asked), draw), strict=True)
        codes, shown = torch.cat(drawn), torch.cat(pixels)
        drawn_at = time.perf_counter()
        reward = self.rewards["gen"]
        before = reward.failures()

        def score(part: slice) -> Scores:
            return reward.images(asked[part], shown[part], codes[part])

        scores = joined(self._parts["scoring pictures"].over(len(asked), score))
        rollout = Rollout("gen", items, asked, codes.tolist(), scores, self.group, pixels=shown)
        if self.credit is not None:
            rollout.credits = self._credits(self.credit, rollout, shown, codes)
        rollout.failures = {
            name: {what: count - before[name][what] for what, count in counts.items()}
            for name, counts in reward.failures().items()
        }
        return _timed(rollout, started, drawn_at)

    @torch.no_grad()
    def captions(self, items: list[Item], pictures: Sequence[Image.Image]) -> Rollout:
        """G captions of each picture, and the rewards R_U."""
        started = time.perf_counter()
        shown = [picture for picture in pictures for _ in range(self.group)]
        seeds, longest = self._seeds(items), self.settings.max_completion_length
        sampling = TextSampling(temperature=self.settings.temperature, max_new_tokens=longest)

        def write(part: slice) -> list[list[int]]:
            asked = [self.model.caption_request] * len(shown[part])
            return self.model.write([[one] for one in shown[part]], asked, seeds=seeds[part], sampling=sampling)

        written = [ids for part in self._parts["writing"].over(len(shown), write) for ids in part]
        captions = [self.model.text_of(ids) for ids in written]
        drawn_at = time.perf_counter()
        reward = self.rewards["und"]
        parts = self._parts["scoring captions"].over(len(shown), lambda part: reward.captions(shown[part], captions[part]))
        scores = joined(parts)
        tokens = [[*ids, self.model.end_token] if len(ids) < longest else ids for ids in written]
        rollout = Rollout("und", items, shown, tokens, scores, self.group, captions=captions)
        return _timed(rollout, started, drawn_at)

    def _credits(self, credit: Credit, rollout: Rollout, pixels: torch.Tensor, codes: torch.Tensor) -> list[torch.Tensor | None]:
        rows = list(range(len(rollout.tokens)))
        if self.pairs_only:
            found = pairs(rollout.rewards, rollout.tokens)
            rows = sorted(found.best + found.worst)
        seeds, prompts = self.view_seeds(rollout.items, 0), rollout.contexts
        credits: list[torch.Tensor | None] = [None] * len(rollout.tokens)
        if rows:
            asked = credit.of([str(prompts[row]) for row in rows], pixels[rows], codes[rows], [seeds[row] for row in rows])
            for row, one in zip(rows, asked, strict=True):
                credits[row] = one
        return credits

    def view_seeds(self, items: Sequence[Item], view: int) -> list[int]:
        """One a sample for `Trainable.image_scores`: alike within a group, whose samples compare then, another for each view."""
        found = [seed_of(self.seed, f"view/{item.task}", str(item.place), view) for item in items]
        return [seed for seed in found for _ in range(self.group)]

    def _seeds(self, items: Sequence[Item]) -> list[int]:
        return [
            seed_of(self.seed, f"training/{item.task}", str(item.place), repeat) for item in items for repeat in range(self.group)
        ]


def _timed(rollout: Rollout, started: float, drawn_at: float) -> Rollout:
    rollout.sampling_seconds = drawn_at - started
    rollout.scoring_seconds = time.perf_counter() - drawn_at
    return rollout
