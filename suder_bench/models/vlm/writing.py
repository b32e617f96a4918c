"""Writing answers with transformers' own `generate`, each with its own stream of random numbers.

A logits processor chooses every token itself and leaves `generate` no choice: a sample depends on its prompt, seed and
temperature alone, and nothing else of a generation_config.json (penalties, beams, top-p) has a say.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import GenerationConfig, GenerationMixin, LogitsProcessor, LogitsProcessorList

from suder_bench.models.protocols import TextSampling
from suder_bench.models.sampling import check_numbers, choose, noise_of


class Chooser(LogitsProcessor):
    """Chooses the token of every row, as `sampling.choose`, by the row's own `noise` (rows, steps). `written` are the tokens,
    (rows,) a step."""

    def __init__(self, noise: torch.Tensor, temperature: float, ends: Sequence[int], device: torch.device) -> None:
        self.noise = noise
        self.temperature = temperature
        self.ends = torch.tensor(sorted(ends), device=device)
        self.written: list[torch.Tensor] = []
        self.going = torch.ones(len(noise), dtype=torch.bool, device=device)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        logits = scores.float()
        sound = logits.logsumexp(dim=-1).isfinite()  # no sum: Chameleon's masked tokens have the least numbers there are
        check_numbers(sound | ~self.going, "the logits of an answer's tokens")
        token = choose(logits, self.temperature, self.noise[:, len(self.written)])
        self.written.append(token)
        self.going &= ~torch.isin(token, self.ends)
        return torch.full_like(scores, -torch.inf).scatter(1, token[:, None], 0.0)


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
    limits = [sampling.max_new_tokens if room is None else min(room, sampling.max_new_tokens) for room in rooms]
    chooser = Chooser(noise_of(seeds, max(limits), model.device), sampling.temperature, ends, model.device)
    plain = GenerationConfig(
        do_sample=False, num_beams=1, max_new_tokens=max(limits), eos_token_id=sorted(ends), pad_token_id=min(ends)
    )
    model.generate(**batch, generation_config=plain, logits_processor=LogitsProcessorList([chooser]))
    rows = torch.stack(chooser.written, dim=1).tolist()
    return [_until(row[:limit], set(ends)) for row, limit in zip(rows, limits, strict=True)]


def _until(tokens: Sequence[int], ends: set[int]) -> list[int]:
    return list(tokens[: next((place for place, token in enumerate(tokens) if token in ends), len(tokens))])
