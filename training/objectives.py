"""The two objectives of SUDER (arXiv 2506.07963): online SimPO (equation 4) and GRPO with DAPO's changes (equations 5 to 7).

Log-probabilities come as one tensor of tokens for each sample, so that captions of any length need no mask: nothing is
padding, and nothing is ever taken for truncated. Samples stand group by group, G to an input.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch.nn.functional import logsigmoid

NO_SIGNAL = 1e-8
"""Groups whose rewards differ by less teach nothing (method section 4)."""


@dataclass(frozen=True)
class SimPO:
    """`simpo_gamma` stands outside of beta's scaling, as in SimPO and in TRL's field of that name."""

    beta: float = 2.0
    simpo_gamma: float = 0.5


@dataclass(frozen=True)
class GRPO:
    """TRL's field names. `beta` weighs the KL to the start weights; `num_iterations` is the updates on each batch of samples;
    `scale_rewards` divides by the group's standard deviation, `population_std` by that of the population, not of the sample.
    `anchor`: equation 6 is printed with the reference policy in the ratio's denominator, and read as the sampling one."""

    beta: float = 0.04
    epsilon: float = 0.2
    epsilon_high: float = 0.28
    num_iterations: int = 1
    anchor: Literal["old", "reference"] = "old"
    scale_rewards: bool = True
    population_std: bool = False
    advantage_epsilon: float = 1e-4


@dataclass(frozen=True)
class Pairs:
    """The best and worst sample of every group with a signal: `best` and `worst` index all samples, `groups` the groups."""

    best: list[int]
    worst: list[int]
    groups: list[int]


def pairs(rewards: torch.Tensor, samples: Sequence[Sequence[int]]) -> Pairs:
    """Best and worst of each group by reward, shape (groups, G). A group whose rewards are all alike, or whose best is its
    worst token for token, has no pair. `samples` are the tokens, group after group."""
    size = rewards.shape[1]
    found = Pairs([], [], [])
    for group, row in enumerate(rewards):
        best, worst = group * size + int(row.argmax()), group * size + int(row.argmin())
        if float(row.max() - row.min()) >= NO_SIGNAL and list(samples[best]) != list(samples[worst]):
            found.best.append(best)
            found.worst.append(worst)
            found.groups.append(group)
    return found


def simpo_losses(best: Sequence[torch.Tensor], worst: Sequence[torch.Tensor], settings: SimPO) -> torch.Tensor:
    """Equation 4 for each pair, (pairs,): -log sigmoid(beta s(y_w) - beta s(y_l) - gamma), s being the mean log-probability
    of a sample's tokens under the weights that learn. No reference model, no likelihood term."""
    s_w, s_l = mean_logprobs(best), mean_logprobs(worst)
    return -logsigmoid(settings.beta * (s_w - s_l) - settings.simpo_gamma)


def mean_logprobs(samples: Sequence[torch.Tensor]) -> torch.Tensor:
    """s(y) = 1/|y| sum_t log P(y[t] | y[<t], x) of each sample, (samples,)."""
    return torch.stack([logprobs.mean() for logprobs in samples])


def advantages(rewards: torch.Tensor, settings: GRPO) -> torch.Tensor:
    """Equation 5, the shape of `rewards` (groups, G): centred on the group's mean, over its standard deviation; 0 in a group
    without a signal."""
    centred = rewards - rewards.mean(dim=1, keepdim=True)
    if settings.scale_rewards:
        deviation = rewards.std(dim=1, keepdim=True, correction=0 if settings.population_std else 1)
        centred = centred / (deviation + settings.advantage_epsilon)
    flat = rewards.amax(dim=1, keepdim=True) - rewards.amin(dim=1, keepdim=True) < NO_SIGNAL
    return centred.masked_fill(flat, 0.0)


@dataclass(frozen=True)
class GroupLoss:
    """`loss` (groups,), differentiable; means over all tokens for the log: `kl` (k3), `clipped` the share of tokens whose
    ratio the clip holds back, `ratio`."""

    loss: torch.Tensor
    kl: float
    clipped: float
    ratio: float


def grpo_losses(
    new: Sequence[torch.Tensor],
    old: Sequence[torch.Tensor],
    reference: Sequence[torch.Tensor] | None,
    advantage: torch.Tensor,
    settings: GRPO,
) -> GroupLoss:
    """Equation 7 of each group, negated: one mean over all tokens of a group of

        min(r A, clip(r, 1 - epsilon, 1 + epsilon_high) A) - beta k3

    with r the ratio to the `old` (sampling) policy and k3 = exp(d) - d - 1, d = log P_ref - log P, the estimated KL to the
    start weights. `advantage` is (groups, G); `reference` may be None where beta is 0.
    """
    lengths = torch.tensor([len(tokens) for tokens in new], device=new[0].device)
    groups = advantage.shape[0]
    logp = torch.cat(list(new))
    a = advantage.to(logp).flatten().repeat_interleave(lengths)
    r = (logp - torch.cat(list(old))).exp()
    held = r.clamp(1 - settings.epsilon, 1 + settings.epsilon_high)
    gain = torch.minimum(r * a, held * a)
    k3 = torch.zeros_like(logp)
    if settings.beta and reference is not None:
        d = torch.cat(list(reference)) - logp
        k3 = d.exp() - d - 1
        gain = gain - settings.beta * k3
    per_group = lengths.view(groups, -1).sum(dim=1)
    loss = torch.stack([-part.mean() for part in gain.split(per_group.tolist())])
    with torch.no_grad():
        clipped = ((r < 1 - settings.epsilon) & (a < 0)) | ((r > 1 + settings.epsilon_high) & (a > 0))
        return GroupLoss(loss, float(k3.mean()), float(clipped.cpu().double().mean()), float(r.mean()))
