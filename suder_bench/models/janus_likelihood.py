"""Teacher-forced log-probabilities of answers and of image tokens, in float32 and differentiable.

Rows are padded on the right without a mask: under causal attention no token sees the padding behind it, and the positions
count from zero, so that a row scores as it does alone. Only the scored positions reach a vocabulary head.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import JanusForConditionalGeneration


def embed(model: JanusForConditionalGeneration, ids: Sequence[int], features: torch.Tensor | None = None) -> torch.Tensor:
    """Embeddings of a prompt, (tokens, width); `features` (pictures, image tokens, width) replace its placeholders."""
    row = torch.tensor(ids, dtype=torch.long, device=model.device)
    embedded = model.model.language_model.embed_tokens(row)
    if features is None:
        return embedded
    return embedded.masked_scatter((row == model.config.image_token_id)[:, None], features.to(embedded.dtype))


def answer_logprobs(
    model: JanusForConditionalGeneration, prompts: Sequence[torch.Tensor], answers: Sequence[Sequence[int]]
) -> list[torch.Tensor]:
    """log p(answer token k | prompt, answer tokens < k) for each prompt of embeddings (tokens, width), from the text head."""
    followed = [torch.cat([p, embed(model, answer[:-1])]) for p, answer in zip(prompts, answers, strict=True)]
    hidden = _read(model, followed)
    scored = [h[len(p) - 1 : len(p) - 1 + len(answer)] for h, p, answer in zip(hidden, prompts, answers, strict=True)]
    logits = model.lm_head(torch.cat(scored)).float()
    target = torch.tensor([token for answer in answers for token in answer], dtype=torch.long, device=logits.device)
    chosen = torch.log_softmax(logits, dim=-1).gather(1, target[:, None])[:, 0]
    return list(chosen.split([len(answer) for answer in answers]))


def image_logprobs(
    model: JanusForConditionalGeneration, prompts: Sequence[Sequence[int]], tokens: torch.Tensor
) -> torch.Tensor:
    """log p(image token k | prompt, image tokens < k), (rows, image tokens), without guidance, from the image head.

    `prompts` are ids that end with begin-of-image; `tokens` (rows, image tokens), int64.
    """
    tokens = tokens.to(model.device)
    count = tokens.shape[1]
    images = model.prepare_embeddings_for_image_generation(tokens[:, :-1])
    followed = [torch.cat([embed(model, ids), image]) for ids, image in zip(prompts, images, strict=True)]
    hidden = _read(model, followed)
    scored = torch.stack([h[len(ids) - 1 : len(ids) - 1 + count] for h, ids in zip(hidden, prompts, strict=True)])
    logits = model.model.generation_head(scored).float()
    return torch.log_softmax(logits, dim=-1).gather(2, tokens[..., None])[..., 0]


def _read(model: JanusForConditionalGeneration, rows: Sequence[torch.Tensor]) -> torch.Tensor:
    """Last hidden states, (rows, longest row, width)."""
    padded = pad_sequence(list(rows), batch_first=True)
    return model.model.language_model(inputs_embeds=padded, use_cache=False).last_hidden_state
