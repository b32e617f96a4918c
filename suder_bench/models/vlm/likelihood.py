"""Teacher-forced logits of answers, and their log-probabilities, in float32 and differentiable.

Prompt and answer stand at the right end of every row, so that the logits of an answer are the last ones; an encoder-decoder
reads the prompt alone and is given the answer as labels.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence

from suder_bench.errors import UserError
from suder_bench.models.vlm.batch import Joiner, Row, extended, groups

IGNORED = -100
"""transformers' label of what is not scored."""

NEVER = -1e30
"""A log-probability below this is of a token that the model masks: the least number of its dtype stands in its place."""


def answer_logits(model: Any, rows: Sequence[Row], answers: Sequence[Sequence[int]], join: Joiner) -> list[torch.Tensor]:
    """The logits from which each token of each answer would be drawn, (answer tokens, vocabulary) a row, float32."""
    found: dict[int, torch.Tensor] = {}
    score = _by_labels if encoder_decoder(model) else _at_the_end
    for places in groups(rows):
        logits = score(model, [rows[i] for i in places], [answers[i] for i in places], join)
        found |= dict(zip(places, logits, strict=True))
    return [found[i].float() for i in range(len(rows))]


def answer_logprobs(model: Any, rows: Sequence[Row], answers: Sequence[Sequence[int]], join: Joiner) -> list[torch.Tensor]:
    """log p(answer token k | row, answer tokens < k), (answer tokens,) a row. Raises `UserError` for a token never written."""
    scored = []
    for logits, answer in zip(answer_logits(model, rows, answers, join), answers, strict=True):
        wanted = torch.tensor(list(answer), dtype=torch.long, device=logits.device)
        logprobs = torch.log_softmax(logits, dim=-1).gather(1, wanted[:, None])[:, 0]
        if bool((logprobs < NEVER).any()):
            raise UserError(f"token {answer[int(logprobs.argmin())]} of a text is one that the model never writes in its answers")
        scored.append(logprobs)
    return scored


def encoder_decoder(model: Any) -> bool:
    """Whether answers are written by a decoder that reads the prompt through an encoder (Flan-T5)."""
    config = model.config
    return bool(config.is_encoder_decoder or getattr(config.get_text_config(), "is_encoder_decoder", False))


def _at_the_end(model: Any, rows: Sequence[Row], answers: Sequence[Sequence[int]], join: Joiner) -> list[torch.Tensor]:
    batch = join([extended(row, answer[:-1]) for row, answer in zip(rows, answers, strict=True)])
    most = max(len(answer) for answer in answers)
    fewer = {"logits_to_keep": most} if "logits_to_keep" in inspect.signature(model.forward).parameters else {}
    logits = model(**batch, **fewer, use_cache=False).logits
    return [row[len(row) - len(answer) :] for row, answer in zip(logits, answers, strict=True)]


def _by_labels(model: Any, rows: Sequence[Row], answers: Sequence[Sequence[int]], join: Joiner) -> list[torch.Tensor]:
    labels = pad_sequence([torch.tensor(list(answer)) for answer in answers], batch_first=True, padding_value=IGNORED)
    logits = model(**join(rows), labels=labels.to(model.device)).logits
    return [row[: len(answer)] for row, answer in zip(logits, answers, strict=True)]
