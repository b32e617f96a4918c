"""The image tokenizer: Janus' VQ model trained with L2-normalised vectors on rendered scenes."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from transformers.models.janus.modeling_janus import JanusVQVAE

from suder_bench.world.language import FAMILIES, draw_text
from suder_bench.world.pretrain.architecture import vq_config
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
SHARPNESS = 40.0
"""Scale of the cosines between a patch and the codes."""


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


def train(
    state: dict, steps: int, pool_size: int, save: Callable[[dict], None], log: Callable[[dict], None]
) -> tuple[JanusVQVAE, torch.Tensor] | None:
    """Train to `steps`, from `state` if it holds an earlier one: the tokenizer, and the (codes, 192) mean patches that its codes
    stand for. AdamW to 2e-3, batches of 24. None where a signal ended it before."""
    torch.manual_seed(sum(SEED))
    vq = JanusVQVAE(vq_config()).train()
    if state:
        vq.load_state_dict(state["model"])
        if state["step"] >= steps:
            return vq.eval(), state["means"]
    book = vq.quantize.embedding.weight
    pool = pictures(pool_size, SEED)
    means = state["means"] if state else cluster(pool[:CLUSTERED], len(book))
    pool_codes = name(torch.from_numpy(cells(pool)).flatten(0, 1).float(), means).reshape(pool_size, -1)
    if not state:
        with torch.no_grad():  # alike patches begin as neighbours
            likeness, size, _ = torch.pca_lowrank(means, book.shape[1])
            book.copy_(F.normalize(likeness * size.sqrt(), dim=-1))
    frequent = torch.bincount(pool_codes.flatten(), minlength=len(book)) / pool_codes.numel()
    rarity = (frequent + 1e-4).rsqrt()
    optimiser = torch.optim.AdamW(vq.parameters(), lr=2e-3, betas=(0.9, 0.95), weight_decay=1e-4)
    start = 0
    if state:
        optimiser.load_state_dict(state["optimiser"])
        start = state["step"]
    with signals() as ended:
        for step in range(start, steps):
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(step, steps, peak=2e-3)
            chosen = np.random.default_rng([*SEED, 1, step]).integers(pool_size, size=BATCH)
            codes, pixels = pool_codes[chosen], to_pixels(pool[chosen])
            with torch.autocast("cpu", torch.bfloat16, enabled=quick_halves()):
                vectors = F.normalize(book, dim=-1)
                latents = F.normalize(vq.quant_conv(vq.encoder(pixels)).float(), dim=1).flatten(2).transpose(1, 2)
                likeness = SHARPNESS * (latents @ vectors.T).float()
                patterns = vectors[codes].transpose(1, 2).unflatten(2, (SIZE // CELL, -1))
                drawn = vq.decoder(vq.post_quant_conv(patterns)).float()
            naming = F.cross_entropy(likeness.flatten(0, 1), codes.flatten(), rarity)
            error = drawn - pixels
            redrawn = (weights(pool[chosen]) * (error.square() + 0.5 * error.abs())).mean()
            loss = naming + 5 * redrawn
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(vq.parameters(), 1.0)
            optimiser.step()
            if step % 100 == 99:
                right = likeness.argmax(-1) == codes
                rare = frequent[codes] < 0.05  # not the bare grounds
                painted = cells_drawn(means[codes]) / 127.5 - 1 - pixels  # were the mean patches pasted
                pasted = (weights(pool[chosen]) * (painted.square() + 0.5 * painted.abs())).mean()
                row = {"named": right.float().mean(), "things_named": right[rare].float().mean()}
                row |= {"redrawn": redrawn, "pasted": pasted}
                log({"stage": "vq", "step": step + 1} | {key: round(value.item(), 4) for key, value in row.items()})
            if step % 200 == 199 or step + 1 == steps or ended():
                save({"model": vq.state_dict(), "means": means, "optimiser": optimiser.state_dict(), "step": step + 1})
            if ended() and step + 1 < steps:
                log({"stage": "stopped", "step": step + 1})
                return None
    return vq.eval(), means
