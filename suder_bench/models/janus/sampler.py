"""Drawing image tokens with the cached decoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import JanusForConditionalGeneration

from suder_bench.models.decoder import Decoder
from suder_bench.models.protocols import ImageSampling
from suder_bench.models.sampling import check_numbers, choose, distinct, noise_of, numbers


@dataclass(frozen=True)
class DrawnTokens:
    """`tokens` (samples, image tokens), int64; `logprobs` of them, same shape, float32, at temperature 1 without guidance."""

    tokens: torch.Tensor
    logprobs: torch.Tensor | None


def positions_of(model: JanusForConditionalGeneration) -> int:
    """The longest sequence that the language model was made for."""
    return int(model.model.language_model.config.max_position_embeddings)


def unconditional(ids: Sequence[int], *, keep: set[int], pad: int) -> list[int]:
    """The row that guidance compares with: all but begin-of-text and begin-of-image is padding, and all is attended to."""
    return [token if token in keep else pad for token in ids]


@torch.no_grad()
def draw_tokens(
    model: JanusForConditionalGeneration,
    prompts: Sequence[Sequence[int]],
    blanks: Sequence[Sequence[int]],
    *,
    seeds: Sequence[int],
    sampling: ImageSampling,
    return_logprobs: bool = False,
) -> DrawnTokens:
    """Sample image tokens after `prompts`, ids that end with begin-of-image; `blanks` are their unconditional rows.

    Equal rows are read once. At guidance 1 there are no unconditional rows. Raises `NoNumbersError` when logits are not finite.
    """
    janus, samples = model.model, len(prompts)
    steps = janus.vision_model.config.num_image_tokens
    guided = sampling.weight != 1
    rows, place = distinct([*prompts, *blanks] if guided else prompts, model.device)
    embed = janus.language_model.embed_tokens
    decoder = Decoder(janus.language_model, spare=steps)
    hidden = decoder.start([embed(torch.tensor(row, device=model.device)) for row in rows])[place]
    decoder.select(place)
    codes = janus.generation_aligner(janus.generation_embeddings.weight).to(model.dtype)
    noise = noise_of(seeds, steps, model.device)
    tokens = torch.empty(samples, steps, dtype=torch.long, device=model.device)
    logprobs = torch.empty(samples, steps, device=model.device) if return_logprobs else None
    sound = torch.ones(samples, dtype=torch.bool, device=model.device)
    for k in range(steps):
        logits = janus.generation_head(hidden).float()
        c = logits[:samples]
        mixed = c
        if guided:
            u = logits[samples:]
            mixed = u + sampling.weight * (c - u)
        sound &= numbers(mixed)
        if k in (0, steps - 1):  # an accelerator is not made to wait at every step
            check_numbers(sound, "the logits of image tokens")
        tokens[:, k] = choose(mixed, sampling.temperature, noise[:, k])
        if logprobs is not None:
            logprobs[:, k] = torch.log_softmax(c, dim=-1).gather(1, tokens[:, k : k + 1])[:, 0]
        if k + 1 < steps:
            x = codes[tokens[:, k]]
            hidden = decoder.step(torch.cat([x, x]) if guided else x)
    return DrawnTokens(tokens.cpu(), None if logprobs is None else logprobs.cpu())
