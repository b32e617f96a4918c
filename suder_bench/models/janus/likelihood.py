"""Teacher-forced log-probabilities of answers and of image tokens, in float32 and differentiable.

Rows are padded on the right without a mask: under causal attention no token sees the padding behind it, and the positions
count from zero, so that a row scores as it does alone. Only the scored positions reach a vocabulary head.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import JanusForConditionalGeneration

from suder_bench.models.protocols import TokenScores
from suder_bench.models.scoring import token_scores


def embed(model: JanusForConditionalGeneration, ids: Sequence[int], features: torch.Tensor | None = None) -> torch.Tensor:
    """Embeddings of a prompt, (tokens, width); `features` (pictures, image tokens, width) replace its placeholders."""
    row = torch.tensor(ids, dtype=torch.long, device=model.device)
    embedded = model.model.language_model.embed_tokens(row)
    if features is None:
        return embedded
    return embedded.masked_scatter((row == model.config.image_token_id)[:, None], features.to(embedded.dtype))


def answer_scores(
    model: JanusForConditionalGeneration,
    prompts: Sequence[torch.Tensor],
    answers: Sequence[Sequence[int]],
    *,
    entropy: bool,
) -> TokenScores:
    """log p(answer token k | prompt, answer tokens < k) for each prompt of embeddings (tokens, width), from the text head."""
    followed = [torch.cat([p, embed(model, answer[:-1])]) for p, answer in zip(prompts, answers, strict=True)]
    hidden = _read(model, followed)
    scored = [h[len(p) - 1 : len(p) - 1 + len(answer)] for h, p, answer in zip(hidden, prompts, answers, strict=True)]
    targets = [torch.tensor(answer, dtype=torch.long) for answer in answers]
    return token_scores(model.lm_head(torch.cat(scored)), targets, entropy=entropy)


def next_token_scores(
    model: JanusForConditionalGeneration, prompts: Sequence[torch.Tensor], tokens: Sequence[int]
) -> torch.Tensor:
    """log p(token | prompt), (prompts, tokens), for each prompt of embeddings (tokens, width), from the text head."""
    hidden = _read(model, prompts)
    last = torch.stack([h[len(prompt) - 1] for h, prompt in zip(hidden, prompts, strict=True)])
    return torch.log_softmax(model.lm_head(last).float(), dim=-1)[:, list(tokens)]


def image_scores(
    model: JanusForConditionalGeneration,
    prompts: Sequence[Sequence[int]],
    tokens: torch.Tensor,
    *,
    blanks: Sequence[Sequence[int]] = (),
    guidance: float = 1.0,
    entropy: bool,
) -> TokenScores:
    """log p(image token k | prompt, image tokens < k) of each row, from the image head, by default without guidance.

    `prompts` are ids that end with begin-of-image; `tokens` (rows, image tokens), int64. With a `guidance` other than 1 the
    distribution is that of u + guidance (c - u), u being the logits after `blanks`, the unconditional rows.
    """
    tokens = tokens.to(model.device)
    rows = [*prompts, *blanks] if guidance != 1 else list(prompts)
    count = tokens.shape[1]
    images = model.prepare_embeddings_for_image_generation(tokens[:, :-1])
    images = torch.cat([images, images]) if guidance != 1 else images
    followed = [torch.cat([embed(model, ids), image]) for ids, image in zip(rows, images, strict=True)]
    hidden = _read(model, followed)
    scored = torch.stack([h[len(ids) - 1 : len(ids) - 1 + count] for h, ids in zip(hidden, rows, strict=True)])
    logits = model.model.generation_head(scored).float()
    if guidance != 1:
        c, u = logits.chunk(2)
        logits = u + guidance * (c - u)
    return token_scores(logits.flatten(0, 1), list(tokens), entropy=entropy)


def _read(model: JanusForConditionalGeneration, rows: Sequence[torch.Tensor]) -> torch.Tensor:
    """Last hidden states, (rows, longest row, width)."""
    padded = pad_sequence(list(rows), batch_first=True)
    return model.model.language_model(inputs_embeds=padded, use_cache=False).last_hidden_state
