"""From logits to what a trainer is told of tokens."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from suder_bench.models.protocols import TokenScores


def token_scores(logits: torch.Tensor, targets: Sequence[torch.Tensor], *, entropy: bool) -> TokenScores:
    """Of logits (all tokens, vocabulary), for the tokens of each row."""
    lengths = [len(target) for target in targets]
    distribution = torch.log_softmax(logits.float(), dim=-1)
    chosen = distribution.gather(1, torch.cat(list(targets)).to(logits.device)[:, None])[:, 0]
    if not entropy:
        return TokenScores(list(chosen.split(lengths)), [])
    with torch.no_grad():
        nats = -(distribution.exp() * distribution).sum(dim=-1)
    return TokenScores(list(chosen.split(lengths)), list(nats.split(lengths)))
