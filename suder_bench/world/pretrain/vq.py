"""The image tokenizers: codes are set beforehand, and a network learns to name them and to draw from them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import nn

from suder_bench.world.language import FAMILIES, draw_text
from suder_bench.world.pretrain.machine import quick_halves, signals
from suder_bench.world.render import render
from suder_bench.world.scenes import draw
from suder_bench.world.vocabulary import BACKGROUNDS, CELL, SIZE

SEED = (2506, 7963, 1)
POOL = 20_000
BATCH = 24
CLUSTERED = 8_000
"""Pictures whose patches are clustered into codes."""
ROUNDS = 25


def pictures(n: int, seed: tuple[int, ...]) -> np.ndarray:
    """(n, 64, 64, 3) uint8: training scenes, every family in turn."""
    names = list(FAMILIES)
    made = []
    for i in range(n):
        rng = np.random.default_rng([*seed, i])
        description, _ = draw_text(names[i % len(names)], rng, "train")
        made.append(render(draw(description, rng)))
    return np.stack(made)


def to_pixels(pictures: np.ndarray) -> torch.Tensor:
    """uint8 (B, H, W, 3) to float (B, 3, H, W) in [-1, 1]."""
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float().div(127.5).sub(1).contiguous()


def cells(pictures: np.ndarray) -> np.ndarray:
    """(n, 64, 64, 3) pictures to (n, 64, 192) patches in raster order."""
    side = SIZE // CELL
    return pictures.reshape(-1, side, CELL, side, CELL, 3).transpose(0, 1, 3, 2, 4, 5).reshape(-1, side * side, CELL * CELL * 3)


def cells_drawn(patches: torch.Tensor) -> torch.Tensor:
    """(n, 64, 192) patches in raster order to (n, 3, 64, 64) pictures."""
    side = SIZE // CELL
    return patches.reshape(-1, side, side, CELL, CELL, 3).permute(0, 5, 1, 3, 2, 4).reshape(-1, 3, SIZE, SIZE)


def mosaics(pictures: np.ndarray, places: np.ndarray) -> np.ndarray:
    """(k, 64, 64, 3) pictures put together of the patches at (k, 64) `places` of all the pictures' patches in raster order."""
    side = SIZE // CELL
    which, row, column = np.unravel_index(places, (len(pictures), side, side))
    patches = pictures.reshape(-1, side, CELL, side, CELL, 3)[which, row, :, column]
    return patches.reshape(-1, side, side, CELL, CELL, 3).swapaxes(2, 3).reshape(-1, SIZE, SIZE, 3)


def cluster(pictures: np.ndarray, codes: int) -> torch.Tensor:
    """(codes, 192) mean patches by k-means, where a patch weighs the root of how often it occurs, at most 20."""
    patches, count = np.unique(cells(pictures).reshape(-1, CELL * CELL * 3), axis=0, return_counts=True)
    points = torch.from_numpy(patches).float()
    weight = torch.from_numpy(count).float().sqrt().clamp(max=20)
    means = points[torch.multinomial(weight, codes, generator=torch.Generator().manual_seed(sum(SEED)))].clone()
    for _ in range(ROUNDS):
        nearest = name(points, means)
        total = torch.zeros(codes).index_add_(0, nearest, weight)
        sums = torch.zeros_like(means).index_add_(0, nearest, points * weight[:, None])
        used = total > 0
        means[used] = sums[used] / total[used, None]
        # Codes that nothing chose go where the error is largest.
        error = (points - means[nearest]).square().sum(1) * weight
        means[~used] = points[error.topk(int((~used).sum())).indices]
    return means


def name(patches: torch.Tensor, means: torch.Tensor) -> torch.Tensor:
    """The nearest mean of each of (n, 192) patches."""
    length = means.square().sum(1)
    return torch.cat([(2 * part @ means.T - length).argmax(1) for part in patches.split(8192)])


def is_ground(means: torch.Tensor) -> np.ndarray:
    """(codes,) bool: which of (codes, 192) mean patches stand for bare ground."""
    grounds = torch.tensor(BACKGROUNDS, dtype=torch.float32).repeat(1, CELL * CELL)
    return np.isin(np.arange(len(means)), name(grounds, means).numpy())


def weights(pictures: np.ndarray) -> torch.Tensor:
    """(B, 1, H, W): 5 on things, 1 on the background, which would otherwise drown them."""
    grounds = np.array(BACKGROUNDS, np.int16)
    distance = np.abs(pictures[:, :, :, None].astype(np.int16) - grounds).max(-1).min(-1)
    return torch.from_numpy(np.where(distance > 8, 5.0, 1.0).astype(np.float32))[:, None]


def learning_rate(step: int, steps: int, *, peak: float, warm_up: float = 0.05) -> float:
    """Linear warm-up, then half a cosine to a hundredth of the peak: a function of the step, so that a run resumes exactly."""
    done = (step + 1) / steps
    if done < warm_up:
        return peak * done / warm_up
    return peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (done - warm_up) / (1 - warm_up))))


class Tokenizer(Protocol):
    """An image tokenizer to be trained: a network that names each patch's code, and draws the picture from the codes."""

    @property
    def model(self) -> nn.Module: ...

    @property
    def codes(self) -> int: ...

    @property
    def mosaics(self) -> int:
        """Pictures of a batch that are put together of patches from anywhere."""
        ...

    def begin(self, means: torch.Tensor) -> torch.Tensor:
        """Get ready for codes that stand for (codes, 192) mean patches, and return these in the order of the codes."""
        ...

    def learn(self, pixels: torch.Tensor, codes: torch.Tensor, rarity: torch.Tensor) -> Learned:
        """`pixels` (B, 3, 64, 64) are of `codes` (B, 64); `rarity` (codes,) is the weight of naming each."""
        ...


@dataclass(frozen=True)
class Learned:
    """How badly the codes were named, weighted by their rarity; what was said, (B, 64); the picture drawn from the true codes."""

    naming: torch.Tensor
    named: torch.Tensor
    drawn: torch.Tensor


def train(
    tokenizer: Tokenizer, state: dict, steps: int, pool_size: int, save: Callable[[dict], None], log: Callable[[dict], None]
) -> torch.Tensor | None:
    """Train to `steps`, from `state` if it holds an earlier one; the (codes, 192) mean patches that the codes stand for.
    AdamW to 2e-3, batches of 24. None where a signal ended it before."""
    model = tokenizer.model.train()
    if state:
        model.load_state_dict(state["model"])
        if state["step"] >= steps:
            model.eval()
            return state["means"]
    pool = pictures(pool_size, SEED)
    means = state["means"] if state else tokenizer.begin(cluster(pool[:CLUSTERED], tokenizer.codes))
    pool_codes = name(torch.from_numpy(cells(pool)).flatten(0, 1).float(), means).reshape(pool_size, -1)
    frequent = torch.bincount(pool_codes.flatten(), minlength=tokenizer.codes) / pool_codes.numel()
    rarity = (frequent + 1e-4).rsqrt()
    often = rarity[pool_codes.flatten()].double().cumsum(0).numpy()
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3, betas=(0.9, 0.95), weight_decay=1e-4)
    start = 0
    if state:
        optimiser.load_state_dict(state["optimiser"])
        start = state["step"]
    with signals() as ended:
        for step in range(start, steps):
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(step, steps, peak=2e-3)
            rng = np.random.default_rng([*SEED, 1, step])
            chosen = rng.integers(pool_size, size=BATCH - tokenizer.mosaics)
            codes, shown = pool_codes[chosen], pool[chosen]
            if tokenizer.mosaics:
                places = np.searchsorted(often, rng.random((tokenizer.mosaics, codes.shape[1])) * often[-1])
                codes = torch.cat([codes, pool_codes.flatten()[places]])
                shown = np.concatenate([shown, mosaics(pool, places)])
            pixels = to_pixels(shown)
            with torch.autocast("cpu", torch.bfloat16, enabled=quick_halves()):
                learned = tokenizer.learn(pixels, codes, rarity)
            error = learned.drawn - pixels
            missed = weights(shown) * (error.square() + 0.5 * error.abs())
            loss = learned.naming + 5 * missed.mean()
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            if step % 100 == 99:
                right = (learned.named == codes)[: len(chosen)]  # of whole pictures
                rare = frequent[codes[: len(chosen)]] < 0.05  # not the bare grounds
                painted = (cells_drawn(means[codes]) / 127.5 - 1 - pixels)[: len(chosen)]  # were the mean patches pasted
                pasted = (weights(pool[chosen]) * (painted.square() + 0.5 * painted.abs())).mean()
                row = {"named": right.float().mean(), "things_named": right[rare].float().mean()}
                row |= {"redrawn": missed[: len(chosen)].mean(), "pasted": pasted}
                log({"stage": "vq", "step": step + 1} | {key: round(value.item(), 4) for key, value in row.items()})
            if step % 200 == 199 or step + 1 == steps or ended():
                save({"model": model.state_dict(), "means": means, "optimiser": optimiser.state_dict(), "step": step + 1})
            if ended() and step + 1 < steps:
                log({"stage": "stopped", "step": step + 1})
                return None
    model.eval()
    return means
