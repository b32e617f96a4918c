"""The two objectives of SUDER (arXiv 2506.07963): online SimPO (equation 4) and GRPO with DAPO's changes (equations 5 to 7); and
SRUM's weighted likelihood (arXiv 2510.12784). All three take a credit for each token of a sample (method notes on SRUM, section
8): without one, or where it is 0 everywhere, SimPO and GRPO are what they are alone.

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


Form = Literal["added", "multiplied"]
"""How a credit in [-1, 1] acts. added: it is for or against a token by itself, as regions are good or bad. multiplied: it is how
much of the sample's praise or blame is the token's, as what follows the prompt and what does not."""


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


def simpo_losses(
    best: Sequence[torch.Tensor],
    worst: Sequence[torch.Tensor],
    settings: SimPO,
    weights: tuple[Sequence[torch.Tensor], Sequence[torch.Tensor]] | None = None,
) -> torch.Tensor:
    """Equation 4 for each pair, (pairs,): -log sigmoid(beta s(y_w) - beta s(y_l) - gamma), s being the mean log-probability
    of a sample's tokens under the weights that learn. No reference model, no likelihood term. `weights` of the tokens, of the
    best and of the worst, make the means weighted ones."""
    of_best, of_worst = weights or (None, None)
    s_w, s_l = mean_logprobs(best, of_best), mean_logprobs(worst, of_worst)
    return -logsigmoid(settings.beta * (s_w - s_l) - settings.simpo_gamma)


def mean_logprobs(samples: Sequence[torch.Tensor], weights: Sequence[torch.Tensor] | None = None) -> torch.Tensor:
    """s(y) = 1/|y| sum_t log P(y[t] | y[<t], x) of each sample, (samples,); with weights sum_t w_t log P / sum_t w_t."""
    if weights is None:
        return torch.stack([logprobs.mean() for logprobs in samples])
    cast = [one.to(logprobs) for one, logprobs in zip(weights, samples, strict=True)]
    return torch.stack([(one * logprobs).sum() / one.sum() for one, logprobs in zip(cast, samples, strict=True)])


def pair_weights(credit: torch.Tensor, alpha: float, form: Form, *, best: bool) -> torch.Tensor:
    """omega_n of a sample's tokens (option C): 1 + alpha max(0, q_n) of the best, 1 + alpha max(0, -q_n) of the worst; of a
    credit that multiplies the former for both."""
    sign = -1 if form == "added" and not best else 1
    return 1 + alpha * (sign * credit).clamp(min=0)


def weighted_losses(
    samples: Sequence[torch.Tensor], weights: Sequence[torch.Tensor | None], group: int, floor: float
) -> torch.Tensor:
    """Option A of each group, (groups,): the mean over its samples of -1/N sum_n (R_n + lambda) log P(y[n] | y[<n], x), with
    `floor` for lambda. A sample whose weights R are None is left out; a group of such samples counts 0."""
    losses = []
    for start in range(0, len(samples), group):
        pairs_of = list(zip(samples[start : start + group], weights[start : start + group], strict=True))
        kept = [-((one.to(logprobs) + floor) * logprobs).mean() for logprobs, one in pairs_of if one is not None]
        losses.append(torch.stack(kept).mean() if kept else 0.0 * samples[start].sum())
    return torch.stack(losses)


def advantages(rewards: torch.Tensor, settings: GRPO) -> torch.Tensor:
    """Equation 5, the shape of `rewards` (groups, G): centred on the group's mean, over its standard deviation; 0 in a group
    without a signal."""
    centred = rewards - rewards.mean(dim=1, keepdim=True)
    if settings.scale_rewards:
        deviation = rewards.std(dim=1, keepdim=True, correction=0 if settings.population_std else 1)
        centred = centred / (deviation + settings.advantage_epsilon)
    flat = rewards.amax(dim=1, keepdim=True) - rewards.amin(dim=1, keepdim=True) < NO_SIGNAL
    return centred.masked_fill(flat, 0.0)


def token_advantages(
    advantage: torch.Tensor, credits: Sequence[torch.Tensor], alpha: float, form: Form, *, clip: float, losers_gain: bool
) -> list[torch.Tensor]:
    """Option B: an advantage for each token of each sample, from those of the samples, (groups, G), and the tokens' credits q.

        q~_in = q_in - mean_n q_in                        zero mean inside a sample, whose own direction stays
        A_in = A_i + alpha q~_in / (std q~ + eps)         added; std over all tokens of the group
        A_in = A_i max(0, 1 + alpha q~_in / (std + eps))  multiplied

    held within [-clip, clip], or within [-|A_i|, |A_i|] where the sample's own is beyond it: without any credit nothing changes.
    In a group without a signal, whose A_i are all 0, all are 0. Unless `losers_gain`, a token of a sample with A_i <= 0 gains
    nothing by its credit: its A_in stays <= 0.
    """
    size = advantage.shape[1]
    found: list[torch.Tensor] = []
    for group, row in enumerate(advantage):
        centred = [one - one.mean() for one in credits[group * size : (group + 1) * size]]
        if not bool(row.any()):
            found += [torch.zeros_like(one) for one in centred]
            continue
        deviation = torch.cat(centred).std(correction=0) + GRPO.advantage_epsilon
        for own, one in zip(row, centred, strict=True):
            moved = alpha * one.to(row) / deviation.to(row)
            tokens = own + moved if form == "added" else own * (1 + moved).clamp(min=0)
            bound = max(clip, abs(float(own)))
            tokens = tokens.clamp(-bound, bound)
            found.append(tokens if losers_gain or float(own) > 0 else tokens.clamp(max=0.0))
    return found


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
    tokens: Sequence[torch.Tensor] | None = None,
) -> GroupLoss:
    """Equation 7 of each group, negated: one mean over all tokens of a group of

        min(r A, clip(r, 1 - epsilon, 1 + epsilon_high) A) - beta k3

    with r the ratio to the `old` (sampling) policy and k3 = exp(d) - d - 1, d = log P_ref - log P, the estimated KL to the
    start weights. `advantage` is (groups, G), in whose place those of `tokens` stand, one tensor a sample, where there are such;
    `reference` may be None where beta is 0.
    """
    lengths = torch.tensor([len(one) for one in new], device=new[0].device)
    groups = advantage.shape[0]
    logp = torch.cat(list(new))
    a = advantage.to(logp).flatten().repeat_interleave(lengths) if tokens is None else torch.cat(list(tokens)).to(logp)
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
