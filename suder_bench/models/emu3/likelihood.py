"""Teacher-forced log-probabilities of texts and of pictures, in float32 and differentiable.

A text is scored over the whole vocabulary. Of a picture only the visual ids are scored, each among the visual ids: as the
sampler draws them, who is told where a row ends. Rows are padded on the right without a mask: under causal attention no token
sees the padding behind it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch.nn.utils.rnn import pad_sequence
from transformers import Emu3ForConditionalGeneration


def text_scores(
    model: Emu3ForConditionalGeneration, prompts: Sequence[Sequence[int]], answers: Sequence[Sequence[int]]
) -> list[torch.Tensor]:
    """log p(answer id k | prompt, answer ids < k) of each row."""
    hidden = _read(model, [[*prompt, *answer[:-1]] for prompt, answer in zip(prompts, answers, strict=True)])
    places = zip(hidden, prompts, answers, strict=True)
    scored = torch.cat([row[len(prompt) - 1 :][: len(answer)] for row, prompt, answer in places])
    distribution = torch.log_softmax(model.lm_head(scored).float(), dim=-1)
    targets = torch.tensor([one for answer in answers for one in answer], dtype=torch.long, device=distribution.device)
    return list(distribution.gather(1, targets[:, None])[:, 0].split([len(answer) for answer in answers]))


def next_token_scores(
    model: Emu3ForConditionalGeneration, prompts: Sequence[Sequence[int]], tokens: Sequence[int]
) -> torch.Tensor:
    """log p(id | prompt), (prompts, tokens)."""
    hidden = _read(model, prompts)
    last = torch.stack([row[len(prompt) - 1] for row, prompt in zip(hidden, prompts, strict=True)])
    return torch.log_softmax(model.lm_head(last).float(), dim=-1)[:, list(tokens)]


def image_scores(
    model: Emu3ForConditionalGeneration,
    prompts: Sequence[Sequence[int]],
    pictures: Sequence[Sequence[int]],
    codes: torch.Tensor,
    *,
    width: int,
    visual: torch.Tensor,
) -> torch.Tensor:
    """log p(code k | prompt, codes < k) among the codes, (rows, codes), without guidance.

    `pictures` are the ids of `codes` (rows, codes), every `width` of them closed by end-of-line; `visual` (vocabulary of codes,)
    are the ids of the codes.
    """
    hidden = _read(model, [[*prompt, *picture[:-1]] for prompt, picture in zip(prompts, pictures, strict=True)])
    places = torch.arange(len(pictures[0])).view(-1, width + 1)[:, :-1].flatten()  # all but what end-of-line is said after
    scored = torch.stack([row[len(prompt) - 1 + places.to(row.device)] for row, prompt in zip(hidden, prompts, strict=True)])
    distribution = torch.log_softmax(F.linear(scored, visual_head(model, visual)).float(), dim=-1)
    return distribution.gather(2, codes.to(distribution.device)[..., None])[..., 0]


def visual_head(model: Emu3ForConditionalGeneration, visual: torch.Tensor) -> torch.Tensor:
    """The rows of the vocabulary head that speak of codes, (codes, width): a sixth of the published one."""
    return model.lm_head.weight[visual.to(model.lm_head.weight.device)]


def _read(model: Emu3ForConditionalGeneration, rows: Sequence[Sequence[int]]) -> torch.Tensor:
    """Last hidden states, (rows, longest row, width)."""
    padded = pad_sequence([torch.tensor(row, dtype=torch.long, device=model.device) for row in rows], batch_first=True)
    return model.model.text_model(input_ids=padded, use_cache=False).last_hidden_state
