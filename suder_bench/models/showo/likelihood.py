"""Log-probabilities in float32, differentiable: exact of texts, estimated of pictures.

A text follows its picture, which all of it sees, token by token. The codes of a picture are not drawn one after the other: each
is scored as one forward pass sees it, with all of them masked or some, among the codes alone as the sampler draws them. What is
random about that follows from a seed a row.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch.nn.utils.rnn import pad_sequence
from transformers import PhiForCausalLM

from suder_bench.models.protocols import TokenScores
from suder_bench.models.scoring import token_scores
from suder_bench.models.showo.layout import Ids, drawing_ids, drawing_mask, prompt_ids
from suder_bench.models.showo.reference import ELBO, Estimator
from suder_bench.models.showo.sampler import UNKNOWN, visual_head
from suder_bench.models.showo.sizes import ShowoSizes


@dataclass(frozen=True)
class Pictured:
    """What stands before a text: embeddings (tokens, width), none where there is no picture, and what may look at what among
    them, (tokens, tokens), bool, where that is not causal."""

    embedded: torch.Tensor
    mask: torch.Tensor | None = None


def answer_scores(
    network: PhiForCausalLM,
    before: Sequence[Pictured],
    prompts: Sequence[Sequence[int]],
    answers: Sequence[Sequence[int]],
    *,
    entropy: bool,
) -> TokenScores:
    """log p(answer id k | what stands before, prompt, answer ids < k) of each row."""
    hidden = _read(network, before, [[*prompt, *answer[:-1]] for prompt, answer in zip(prompts, answers, strict=True)])
    scored = [row[len(prompt) - 1 :][: len(answer)] for row, prompt, answer in zip(hidden, prompts, answers, strict=True)]
    return token_scores(network.lm_head(torch.cat(scored)), [torch.tensor(list(a)).long() for a in answers], entropy=entropy)


def next_token_scores(
    network: PhiForCausalLM, before: Sequence[Pictured], prompts: Sequence[Sequence[int]], tokens: Sequence[int]
) -> torch.Tensor:
    """log p(id | what stands before, prompt), (prompts, tokens)."""
    hidden = _read(network, before, prompts)
    last = torch.stack([row[len(prompt) - 1] for row, prompt in zip(hidden, prompts, strict=True)])
    return torch.log_softmax(network.lm_head(last).float(), dim=-1)[:, list(tokens)]


def _read(network: PhiForCausalLM, before: Sequence[Pictured], texts: Sequence[Sequence[int]]) -> list[torch.Tensor]:
    """Last hidden states of the texts, each (longest text, width), behind equally many tokens with equal masks. Rows are padded
    on the right: no token sees the padding behind it."""
    ids = pad_sequence([torch.tensor(text, dtype=torch.long, device=network.device) for text in texts], batch_first=True)
    x = torch.cat([torch.stack([one.embedded for one in before]), network.model.embed_tokens(ids)], dim=1)
    tokens, seen = x.shape[1], before[0].mask
    mask = None
    if seen is not None:
        place = torch.arange(tokens, device=x.device)
        mask = place <= place[:, None]
        mask[: len(seen), : len(seen)] = seen
        mask = mask.expand(len(x), 1, -1, -1)
    hidden = network.model(inputs_embeds=x, attention_mask=mask, use_cache=False).last_hidden_state
    return list(hidden[:, tokens - ids.shape[1] :])


def image_scores(
    network: PhiForCausalLM,
    prompts: Sequence[Sequence[int]],
    codes: torch.Tensor,
    *,
    ids: Ids,
    sizes: ShowoSizes,
    estimator: Estimator,
    seeds: Sequence[int],
    guidance: float,
    entropy: bool,
) -> TokenScores:
    """The estimated log p(code k | prompt) of `codes` (rows, image tokens), one tensor a row: the mean over it is the estimate.

    `elbo` tells nothing of a code that its draws did not mask, which counts 0, and of the others so much more.
    """
    codes = codes.to(network.device)
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    logprobs, nats = torch.zeros(codes.shape, device=codes.device), torch.zeros(codes.shape, device=codes.device)
    for _ in range(estimator.draws):
        given, read = codes.new_full(codes.shape, UNKNOWN), [list(prompt) for prompt in prompts]
        weight = torch.ones(codes.shape, device=codes.device)
        if estimator.kind == ELBO:
            hidden = torch.stack([_masked(codes.shape[1], generator) for generator in generators]).to(codes.device)
            given = torch.where(hidden, UNKNOWN, codes)
            weight = hidden * (codes.shape[1] / hidden.sum(dim=1, keepdim=True))
        else:
            fill = ids.mask if estimator.fill == "mask" else ids.pad
            read = [_dropped(row, estimator.drop, fill, one) for row, one in zip(read, generators, strict=True)]
        logits = _code_logits(network, read, given, ids, sizes)
        if guidance != 1:
            blank = _code_logits(network, [prompt_ids([], ids, sizes.text_length)] * len(read), given, ids, sizes)
            logits = blank + guidance * (logits - blank)
        scores = token_scores(logits.flatten(0, 1), list(codes), entropy=entropy)
        logprobs = logprobs + weight * torch.stack(scores.logprobs)
        if entropy:
            nats += weight * torch.stack(scores.entropy)
    return TokenScores(list(logprobs / estimator.draws), list(nats / estimator.draws) if entropy else [])


def _code_logits(
    network: PhiForCausalLM, prompts: Sequence[Sequence[int]], codes: torch.Tensor, ids: Ids, sizes: ShowoSizes
) -> torch.Tensor:
    """Logits of the codes at their places, (rows, image tokens, codes), float32. Padding that all rows have is left out."""
    unread = sizes.prefix - max(map(len, prompts))
    sequences = drawing_ids(prompts, codes, ids, sizes.text_length)[:, unread:]
    hidden = network.model(
        input_ids=sequences,
        attention_mask=drawing_mask(sequences, ids, codes.shape[1]),
        position_ids=torch.arange(unread, unread + sequences.shape[1], device=codes.device)[None],
        use_cache=False,
    ).last_hidden_state
    return F.linear(hidden[:, -codes.shape[1] - 1 : -1], *visual_head(network, ids, sizes.magvit.codes)).float()


def _dropped(prompt: Sequence[int], share: float, fill: int, generator: torch.Generator) -> list[int]:
    """A prompt without a random share of its text; what frames that stays."""
    drop = torch.rand(len(prompt) - 3, generator=generator) < share
    text = [fill if gone else one for one, gone in zip(prompt[2:-1], drop.tolist(), strict=True)]
    return [*prompt[:2], *text, prompt[-1]]


def _masked(tokens: int, generator: torch.Generator) -> torch.Tensor:
    """Which codes a step of training hides, (tokens,), bool: cos(pi u / 2) of them, u uniform."""
    u = float(torch.rand(1, generator=generator))
    count = max(1, round(tokens * math.cos(math.pi * u / 2)))
    return torch.rand(tokens, generator=generator).argsort().argsort() < count
