"""Drawing image tokens and writing answers with the cached decoder.

Every sample has its own stream of uniforms from its seed, and a token is found by inverting the distribution function,
so that a sample depends on (prompt, seed, settings) and not on its neighbours in the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import JanusForConditionalGeneration

from suder_bench import machine
from suder_bench.errors import UserError
from suder_bench.models.janus.decoder import Decoder
from suder_bench.models.protocols import ImageSampling, TextSampling

TEXT_COLUMNS = 64
"""Cache columns that an answer is given at a time: most answers are short, and the limit may be thousands."""


class NoNumbersError(UserError):
    """A response that cannot be scored, because what it would be made of is NaN or infinite."""

    status = 1


@dataclass(frozen=True)
class DrawnTokens:
    """`tokens` (samples, image tokens), int64; `logprobs` of them, same shape, float32, at temperature 1 without guidance."""

    tokens: torch.Tensor
    logprobs: torch.Tensor | None


def positions_of(model: JanusForConditionalGeneration) -> int:
    """The longest sequence that the language model was made for."""
    return int(model.model.language_model.config.max_position_embeddings)


def distinct(rows: Sequence[Sequence[int]], device: torch.device) -> tuple[list[Sequence[int]], torch.Tensor]:
    """The different rows in order of appearance, and for each given row the index of its like."""
    index: dict[tuple[int, ...], int] = {}
    place = [index.setdefault(tuple(row), len(index)) for row in rows]
    return [list(row) for row in index], torch.tensor(place, device=device)


def uniforms(seeds: Sequence[int], steps: int) -> torch.Tensor:
    """Shape (samples, steps), float64 in [0, 1), on the CPU whatever the device, so that machines agree."""
    return torch.stack([torch.rand(steps, generator=torch.Generator().manual_seed(s), dtype=torch.float64) for s in seeds])


def noise_of(seeds: Sequence[int], steps: int, device: torch.device) -> torch.Tensor:
    """The `uniforms` where `choose` compares them: on the model's device, or on the CPU where that knows no float64."""
    return uniforms(seeds, steps).to(device if machine.has_float64(device.type) else "cpu")


def choose(logits: torch.Tensor, temperature: float, uniform: torch.Tensor) -> torch.Tensor:
    """One token a row, (rows,), from float32 logits (rows, vocabulary): the arg-max at temperature 0, else the token in
    whose share of the distribution function `uniform` (rows,), float64, falls. Nothing is cut off.

    The distribution function is summed in float64 where `uniform` lies: a sum in float32 would lose the rare codes.
    """
    if temperature == 0:
        return logits.argmax(dim=-1)
    shares = torch.softmax(logits / temperature, dim=-1).to(uniform.device)
    total = shares.double().cumsum(dim=-1)
    found = torch.searchsorted(total, uniform[:, None] * total[:, -1:], right=True)[:, 0]
    return found.clamp(max=logits.shape[-1] - 1).to(logits.device)


def numbers(logits: torch.Tensor) -> torch.Tensor:
    """(rows,), bool: whether all of a row are finite. A sum keeps NaN and infinity, and costs less than a look at each."""
    return logits.sum(dim=-1).isfinite()


def check_numbers(rows: torch.Tensor, what: str) -> None:
    """Raises `NoNumbersError` where a row has none, to be blamed on a sample by whoever made the batch."""
    if not bool(rows.all()):
        raise NoNumbersError(
            f"{what} are NaN or infinite, so that there is nothing to score: the weights have diverged, or "
            "the numbers outgrow the precision (--dtype) or the guidance (--guidance)"
        )


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


@torch.no_grad()
def write_tokens(
    model: JanusForConditionalGeneration,
    prompts: Sequence[torch.Tensor],
    place: torch.Tensor,
    *,
    seeds: Sequence[int],
    sampling: TextSampling,
    ends: set[int],
    suppressed: Sequence[int],
) -> list[list[int]]:
    """Answers as ids, without the end token. Sample i follows the embeddings `prompts[place[i]]`, each (tokens, width).

    `suppressed` ids are never written. A finished row leaves the batch once half of the rows have finished. An answer ends
    where the model knows no further positions. Raises `NoNumbersError` when logits are not finite.
    """
    decoder = Decoder(model.model.language_model, spare=TEXT_COLUMNS)
    embed = model.model.language_model.embed_tokens
    hidden = decoder.start(prompts)[place]
    decoder.select(place)
    written: list[list[int]] = [[] for _ in seeds]
    noise = noise_of(seeds, sampling.max_new_tokens, model.device)
    going = list(range(len(seeds)))  # the sample in each row of the batch
    done = [False] * len(seeds)
    room = [positions_of(model) + 1 - len(prompts[row]) for row in place.tolist()]
    for k in range(sampling.max_new_tokens):
        logits = model.lm_head(hidden).float()
        unfinished = torch.tensor([not done[sample] for sample in going], device=model.device)
        check_numbers(numbers(logits) | ~unfinished, "the logits of an answer's tokens")
        logits[:, suppressed] = -torch.inf
        tokens = choose(logits, sampling.temperature, noise[going, k])
        for sample, token in zip(going, tokens.tolist(), strict=True):
            done[sample] = done[sample] or token in ends
            if not done[sample]:
                written[sample].append(token)
                done[sample] = len(written[sample]) >= room[sample]
        alive = [row for row, sample in enumerate(going) if not done[sample]]
        if not alive or k + 1 == sampling.max_new_tokens:
            break
        if 2 * len(alive) <= len(going):
            decoder.select(torch.tensor(alive, device=model.device))
            tokens, going = tokens[alive], [going[row] for row in alive]
        hidden = decoder.step(embed(tokens))
    return written
