"""What each code of a picture is worth beside the others, in [-1, 1]: a credit that all objectives share.

From boxes: regions of a picture with scores, as SRUM's reward has them (arXiv 2510.12784), on whatever grid the codes form.
From guidance, the rival without boxes and without a judge (arXiv 2605.29198): a code is the prompt's as far as the prompt makes
it likelier, q = (P - P_u) / (P + P_u), with P_u its probability without the prompt; as p(yes) against p(no), 2 p - 1.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch

from suder_bench.errors import UserError
from suder_bench.models.pictures import picture
from suder_bench.models.protocols import TellsCodeGrid, Trainable
from suder_bench.rewards.protocols import CreditsRegions
from suder_bench.rewards.regions import Grid, Map, Spread, credit, spread
from suder_bench.training.halving import Halving
from suder_bench.training.objectives import Form
from suder_bench.training.recipe import Recipe
from suder_bench.training.rewards import RewardSum


class Credit(Protocol):
    """What objectives make of it, its `form` says."""

    @property
    def form(self) -> Form: ...

    def of(
        self, prompts: Sequence[str], pixels: torch.Tensor, codes: torch.Tensor, seeds: Sequence[int]
    ) -> list[torch.Tensor | None]:
        """A tensor (image tokens,), float64 on the CPU, for each picture; None for one that should teach nothing. `pixels` and
        `codes` as `Trainable.decode_tokens` has them; `seeds` are those of an estimated likelihood."""
        ...


@dataclass(frozen=True)
class BoxCredit:
    """By the regions that a reward knows. Where codes are drawn one after the other, credit is carried back to earlier ones."""

    reward: CreditsRegions
    model: Trainable
    map: Map
    spread: Spread
    rho: float
    centred: bool = False
    form: Form = "added"
    say: Callable[[str], None] = lambda line: None

    @cached_property
    def _parts(self) -> Halving:
        return Halving("crediting", sys.maxsize, self.say)  # the reward has batches of its own

    def of(
        self, prompts: Sequence[str], pixels: torch.Tensor, codes: torch.Tensor, seeds: Sequence[int]
    ) -> list[torch.Tensor | None]:
        grid = code_grid(self.model, codes.shape[1])
        how: Spread = "off" if self.model.estimator is not None else self.spread  # no code is drawn before another there
        shown = [picture(one) for one in pixels.detach().float().cpu()]
        found: list[torch.Tensor | None] = []
        judged = self._parts.over(len(shown), lambda part: self.reward.regions(prompts[part], shown[part]))
        for one, regions in zip(shown, [own for part in judged for own in part], strict=True):
            if regions is None:
                found.append(None)
                continue
            q = spread(credit(regions, one.size, grid, self.map), grid, how, self.rho)
            found.append(torch.from_numpy((q - q.mean() if self.centred else q).clip(-1, 1)))
        return found


@dataclass(frozen=True)
class GuidanceCredit:
    """By the log-probabilities of the model that samples, with the prompt and without: at guidance 0 they are the latter."""

    model: Trainable
    batch_size: int
    say: Callable[[str], None]
    form: Form = "multiplied"

    @cached_property
    def _parts(self) -> Halving:
        return Halving("crediting", self.batch_size, self.say)

    @torch.no_grad()
    def of(
        self, prompts: Sequence[str], pixels: torch.Tensor, codes: torch.Tensor, seeds: Sequence[int]
    ) -> list[torch.Tensor | None]:
        def difference(part: slice) -> torch.Tensor:
            given, alone = (
                torch.stack(self.model.image_scores(prompts[part], codes[part], guidance=w, seeds=seeds[part]).logprobs)
                for w in (1.0, 0.0)
            )
            return (given - alone).double().cpu()

        return [torch.tanh(row / 2) for part in self._parts.over(len(prompts), difference) for row in part]


def code_grid(model: Trainable, codes: int) -> Grid:
    """Rows and columns of a picture's codes in raster order: what the model tells, or else a square, as its pictures are. Raises
    `UserError` where they form none."""
    side = math.isqrt(codes)
    grid = model.code_grid if isinstance(model, TellsCodeGrid) else (side, side)
    if grid[0] * grid[1] != codes:
        raise UserError(
            f"srum.credit boxes: the {codes} codes of a picture by model '{model.name}' form no {grid[0]} x {grid[1]} grid"
        )
    return grid


def load(recipe: Recipe, reward: RewardSum, model: Trainable, say: Callable[[str], None]) -> Credit | None:
    """What the recipe asks for, of samples by `model`. Raises `UserError` where no reward knows regions."""
    settings = recipe.srum
    if settings.credit == "guidance":
        return GuidanceCredit(model, recipe.reward.batch_size, say)
    if settings.credit == "off":
        return None
    if reward.crediting is None:
        raise UserError("srum.credit boxes: no reward of reward.gen knows regions; add srum")
    return BoxCredit(reward.crediting, model, settings.map, settings.spread, settings.rho, settings.centred, say=say)
