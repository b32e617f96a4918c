"""Writing answers with transformers' own `generate`, each with its own stream of random numbers.

A logits processor chooses every token itself and leaves `generate` no choice: a sample depends on its prompt, seed and
temperature alone, and nothing else of a generation_config.json (penalties, beams, top-p) has a say.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import GenerationConfig, GenerationMixin, LogitsProcessor, LogitsProcessorList

from suder_bench import machine
from suder_bench.errors import UserError
from suder_bench.models.protocols import TextSampling


class UnwritableError(UserError):
    """An answer that cannot be scored, because what it would be chosen by is NaN or infinite."""

    status = 1


class Chooser(LogitsProcessor):
    """Chooses the token of every row: the likeliest at temperature 0, else the one in whose share of the distribution function
    the next number of the row's own generator falls. `written` are the tokens, (rows,) a step."""

    def __init__(self, seeds: Sequence[int], temperature: float, ends: Sequence[int]) -> None:
        self.temperature = temperature
        self.streams = [torch.Generator().manual_seed(seed) for seed in seeds]
        self.ends = torch.tensor(sorted(ends))
        self.written: list[torch.Tensor] = []
        self.going = torch.ones(len(seeds), dtype=torch.bool)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        sound = torch.softmax(scores.float(), dim=-1).isfinite().all(dim=-1).cpu()
        if not bool((sound | ~self.going).all()):
            raise UnwritableError(
                "the logits of an answer's tokens are NaN or infinite, so that there is nothing to score: the weights have "
                "diverged, or the numbers outgrow the precision (--dtype)"
            )
        token = self._chosen(scores.float())
        self.written.append(token.cpu())
        self.going &= ~torch.isin(token.cpu(), self.ends)
        return torch.full_like(scores, -torch.inf).scatter(1, token[:, None], 0.0)

    def _chosen(self, logits: torch.Tensor) -> torch.Tensor:
        if self.temperature == 0:
            return logits.argmax(dim=-1)
        uniform = torch.stack([torch.rand(1, generator=stream, dtype=torch.float64) for stream in self.streams])
        place = logits.device if machine.has_float64(logits.device.type) else torch.device("cpu")
        shares = torch.softmax(logits / self.temperature, dim=-1).to(place).double().cumsum(dim=-1)
        found = torch.searchsorted(shares, uniform.to(place) * shares[:, -1:], right=True)[:, 0]
        return found.clamp(max=logits.shape[-1] - 1).to(logits.device)


def forget_settings(model: Any) -> None:
    """Take a checkpoint's generation config away, from which `generate` would fill in what it is not told: penalties, beams.
    InstructBLIP's language model has one of its own."""
    start = getattr(model.config.get_text_config(), "decoder_start_token_id", None)
    given = model.generation_config.decoder_start_token_id
    for part in model.modules():
        if isinstance(part, GenerationMixin):
            part.generation_config = GenerationConfig(decoder_start_token_id=given if start is None else start)


def write(
    model: Any,
    batch: dict[str, torch.Tensor],
    *,
    seeds: Sequence[int],
    sampling: TextSampling,
    ends: Sequence[int],
    rooms: Sequence[int | None],
) -> list[list[int]]:
    """Answers as ids, without the end token, of at most so many tokens as a row has room for. `model` has been through
    `forget_settings`."""
    chooser = Chooser(seeds, sampling.temperature, ends)
    limits = [sampling.max_new_tokens if room is None else min(room, sampling.max_new_tokens) for room in rooms]
    plain = GenerationConfig(
        do_sample=False, num_beams=1, max_new_tokens=max(limits), eos_token_id=sorted(ends), pad_token_id=min(ends)
    )
    model.generate(**batch, generation_config=plain, logits_processor=LogitsProcessorList([chooser]))
    rows = torch.stack(chooser.written, dim=1).tolist()
    return [_until(row[:limit], set(ends)) for row, limit in zip(rows, limits, strict=True)]


def _until(tokens: Sequence[int], ends: set[int]) -> list[int]:
    return list(tokens[: next((place for place, token in enumerate(tokens) if token in ends), len(tokens))])
