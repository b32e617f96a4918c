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
from suder_bench.world.render import render
from suder_bench.world.scenes import draw
from suder_bench.world.vocabulary import BACKGROUNDS, CELL, SIZE

SEED = (2506, 7963, 1)
POOL = 20_000
BATCH = 24
LOCALITY = 1.0
"""Weight of `locality` in the loss."""


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


def quantise(vq: JanusVQVAE, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Normalised latents (B, 8, h, w), normalised codebook (codes, 8) and the nearest codes (B, h, w)."""
    z = F.normalize(vq.quant_conv(vq.encoder(pixels)).float(), dim=1)
    book = F.normalize(vq.quantize.embedding.weight.float(), dim=1)
    with torch.no_grad():
        codes = torch.einsum("bdhw,nd->bhwn", z, book).argmax(-1)
    return z, book, codes


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


def locality(vq: JanusVQVAE, pixels: torch.Tensor, z: torch.Tensor, seam: int) -> torch.Tensor:
    """How far a patch's latent moves when the rest of the picture is another's: mean squared distance of unit vectors.

    Normalisation and attention see the whole picture; left to themselves they give one patch a different code in every
    picture, and a small language model has to learn them all. From column `seam` on the picture is its neighbour's; the
    two columns at the seam may differ.
    """
    mixed = torch.cat([pixels[..., : seam * CELL], pixels.roll(1, 0)[..., seam * CELL :]], dim=-1)
    with torch.autocast("cpu", torch.bfloat16):
        latents = F.normalize(vq.quant_conv(vq.encoder(mixed)).float(), dim=1)
    wanted = torch.cat([z[..., :seam], z.roll(1, 0)[..., seam:]], dim=-1).detach()
    kept = [i for i in range(z.shape[-1]) if i not in (seam - 1, seam)]
    return (latents - wanted)[..., kept].square().sum(1).mean()


def train(state: dict, steps: int, pool_size: int, save: Callable[[dict], None], log: Callable[[dict], None]) -> JanusVQVAE:
    """Train to `steps`, from `state` if it holds an earlier one. AdamW to 2e-3, batches of 24."""
    torch.manual_seed(sum(SEED))
    vq = JanusVQVAE(vq_config())
    torch.nn.init.normal_(vq.quantize.embedding.weight)
    vq.train()
    optimiser = torch.optim.AdamW(vq.parameters(), lr=2e-3, betas=(0.9, 0.95), weight_decay=1e-4)
    start = 0
    if state:
        vq.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        start = state["step"]
    pool = pictures(pool_size, SEED)
    used = torch.zeros(vq.quantize.num_embeddings)
    for step in range(start, steps):
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(step, steps, peak=2e-3)
        rng = np.random.default_rng([*SEED, 1, step])
        batch = pool[rng.integers(pool_size, size=BATCH)]
        pixels, weight = to_pixels(batch), weights(batch)
        with torch.autocast("cpu", torch.bfloat16):
            z, book, codes = quantise(vq, pixels)
            q = book[codes].permute(0, 3, 1, 2)
            straight = z + (q - z).detach()
            drawn = vq.decoder(vq.post_quant_conv(straight)).float()
        error = drawn - pixels
        rebuilt = (weight * (error.square() + 0.5 * error.abs())).mean()
        commit = (q - z.detach()).square().mean() + 0.25 * (z - q.detach()).square().mean()
        # Use the whole codebook: soft assignments should be sharp one by one and spread in the mean.
        sample = z.permute(0, 2, 3, 1).reshape(-1, z.shape[1])[::4]
        soft = F.softmax(20 * sample @ book.T, dim=-1)
        mean = soft.mean(0)
        entropy = -(soft * (soft + 1e-9).log()).sum(-1).mean() + (mean * (mean + 1e-9).log()).sum()
        loss = rebuilt + commit + 0.02 * entropy + LOCALITY * locality(vq, pixels, z, int(rng.integers(2, SIZE // CELL - 1)))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vq.parameters(), 1.0)
        optimiser.step()
        used += torch.bincount(codes.flatten(), minlength=len(used)).float()
        if step % 200 == 199:
            log({"stage": "vq", "step": step + 1, "loss": round(rebuilt.item(), 5), "codes_used": int((used > 0).sum())})
            if step < steps * 0.6:
                _revive(vq, z, used, step)
            used.zero_()
        if step % 200 == 199 or step + 1 == steps:
            save({"model": vq.state_dict(), "optimiser": optimiser.state_dict(), "step": step + 1})
    return vq.eval()


@torch.no_grad()
def _revive(vq: JanusVQVAE, z: torch.Tensor, used: torch.Tensor, step: int) -> None:
    """Move codes that nothing chose to latents of the last batch."""
    dead = (used == 0).nonzero().flatten()
    latents = z.permute(0, 2, 3, 1).reshape(-1, z.shape[1])
    picked = latents[torch.randperm(len(latents), generator=torch.Generator().manual_seed(step))[: len(dead)]]
    vq.quantize.embedding.weight[dead[: len(picked)]] = picked
