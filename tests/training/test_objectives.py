"""The two objectives: the method's worked numbers, TRL's own loss code, finite differences, and what must change nothing."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st
from torch.nn.utils.rnn import pad_sequence

from suder_bench.training.objectives import (
    GRPO,
    GroupLoss,
    Pairs,
    SimPO,
    advantages,
    grpo_losses,
    mean_logprobs,
    pairs,
    simpo_losses,
)

Samples = list[torch.Tensor]
steady = limits(max_examples=40, deadline=None, derandomize=True)


def tokens(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def draws(lengths: Sequence[int], seed: int) -> Samples:
    """Log-probabilities of samples of these lengths."""
    generator = torch.Generator().manual_seed(seed)
    return [-3 * torch.rand(length, generator=generator, dtype=torch.float64) - 0.1 for length in lengths]


def near(samples: Samples, seed: int, scale: float = 0.4) -> Samples:
    """The same under other weights: ratios on both sides of the clip."""
    generator = torch.Generator().manual_seed(seed)
    return [one + scale * torch.randn(len(one), generator=generator, dtype=torch.float64) for one in samples]


LENGTHS = (3, 7, 1, 5, 4, 2, 6, 6)
REWARDS = torch.tensor([[-1.0, -1.2, -0.9, -1.1], [-6.9, -6.95, -6.7, -6.8]], dtype=torch.float64)


def candidates(rewards: torch.Tensor) -> list[list[int]]:
    """Samples that all differ, for rewards (groups, G)."""
    return [[i] for i in range(rewards.numel())]


# SimPO, equation 4


@pytest.mark.parametrize(
    ("s_w", "s_l", "gamma", "loss"),
    [
        (-2.0, -2.0, 0.5, 0.974077),  # where a fresh run starts
        (-2.0, -2.0, 1.0, 1.313262),  # the rival reading of the margin
        (-1.20, -1.35, 0.5, 0.798139),
        (-6.90, -6.95, 0.5, 0.913015),
    ],
)
def test_simpo_of_the_methods_numbers(s_w: float, s_l: float, gamma: float, loss: float) -> None:
    best, worst = tokens(s_w - 0.5, s_w + 0.5), tokens(s_l - 1, s_l, s_l + 1)  # captions of different lengths
    assert simpo_losses([best], [worst], SimPO(simpo_gamma=gamma)).item() == pytest.approx(loss, abs=5e-7)


def test_simpos_gradient_is_spread_over_a_samples_tokens() -> None:
    best, worst = tokens(-1.0, -1.4).requires_grad_(), tokens(-1.35, -1.25, -1.45).requires_grad_()
    simpo_losses([best], [worst], SimPO()).sum().backward()
    assert best.grad is not None
    assert worst.grad is not None
    assert best.grad.tolist() == pytest.approx([-1.099668 / 2] * 2, abs=5e-7)
    assert worst.grad.tolist() == pytest.approx([1.099668 / 3] * 3, abs=5e-7)


def test_the_mean_log_probability_does_not_grow_with_length() -> None:
    assert mean_logprobs([tokens(-1.0), tokens(-1.0, -1.0, -1.0), tokens(-1.0, -3.0)]).tolist() == [-1.0, -1.0, -2.0]


def test_simpo_is_trls() -> None:
    pytest.importorskip("trl")
    cpo = pytest.importorskip("trl.experimental.cpo.cpo_trainer")
    best, worst = draws([3, 7, 1, 16], seed=0), draws([5, 2, 9, 16], seed=1)
    for settings in (SimPO(), SimPO(beta=0.7, simpo_gamma=1.1)):
        trainer = SimpleNamespace(
            alpha=0.0,
            accelerator=SimpleNamespace(device="cpu"),
            loss_type="simpo",
            simpo_gamma=settings.simpo_gamma,
            beta=settings.beta,
            label_smoothing=0.0,
        )
        theirs, _, _ = cpo.CPOTrainer.cpo_loss(trainer, mean_logprobs(best), mean_logprobs(worst))
        torch.testing.assert_close(simpo_losses(best, worst, settings), theirs, atol=1e-6, rtol=0)


def test_simpos_gradient_is_that_of_finite_differences() -> None:
    lengths = [3, 1, 4, 2]
    flat = torch.cat(draws(lengths, seed=2)).requires_grad_()
    assert torch.autograd.gradcheck(lambda one: simpo_losses(one.split(lengths)[:2], one.split(lengths)[2:], SimPO()), (flat,))


# Best and worst


def test_best_and_worst_of_each_group() -> None:
    assert pairs(REWARDS, candidates(REWARDS)) == Pairs(best=[2, 6], worst=[1, 5], groups=[0, 1])


def test_a_group_without_a_signal_has_no_pair() -> None:
    rewards = REWARDS.clone()
    rewards[0] = -1.0
    rewards[0, 1] -= 0.9e-8
    assert pairs(rewards, candidates(rewards)) == Pairs(best=[6], worst=[5], groups=[1])
    rewards[0, 1] = -1.0 - 1.1e-8
    assert pairs(rewards, candidates(rewards)).groups == [0, 1]


def test_a_best_that_is_the_worst_token_for_token_is_no_pair() -> None:
    samples = candidates(REWARDS)
    samples[1] = list(samples[2])
    assert pairs(REWARDS, samples).groups == [1]
    samples[1] = [*samples[2], 9]
    assert pairs(REWARDS, samples).groups == [0, 1]


def test_no_pairs_at_all() -> None:
    rewards = torch.full((3, 4), -2.0, dtype=torch.float64)
    assert pairs(rewards, candidates(rewards)) == Pairs([], [], [])


# Advantages, equation 5


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (GRPO(), [0.3870, -1.1610, 1.1610, -0.3870]),
        (GRPO(population_std=True), [0.4468, -1.3404, 1.3404, -0.4468]),
        (GRPO(scale_rewards=False), [0.05, -0.15, 0.15, -0.05]),
    ],
)
def test_advantages_of_the_methods_numbers(settings: GRPO, expected: list[float]) -> None:
    assert advantages(REWARDS[:1], settings)[0].tolist() == pytest.approx(expected, abs=5e-5)


@pytest.mark.parametrize("settings", [GRPO(), GRPO(scale_rewards=False), GRPO(advantage_epsilon=0.0)])
def test_a_group_without_a_signal_has_no_advantage(settings: GRPO) -> None:
    rewards = torch.tensor([[-1.0, -1.0, -1.0 - 5e-9], [-1.0, -2.0, -3.0]], dtype=torch.float64)
    found = advantages(rewards, settings)
    assert found[0].tolist() == [0.0, 0.0, 0.0]
    assert found[1, 0] > 0


groups = st.lists(
    st.lists(st.integers(-9000, 0), min_size=4, max_size=4).filter(lambda row: max(row) > min(row)), min_size=1, max_size=4
).map(lambda rows: torch.tensor(rows, dtype=torch.float64) / 1000)


@steady
@given(groups, st.floats(-50, 50), st.floats(0.01, 600), st.booleans())
def test_neither_a_shift_nor_a_scale_of_the_rewards_changes_an_advantage(
    rewards: torch.Tensor, shift: float, scale: float, population: bool
) -> None:
    settings = GRPO(advantage_epsilon=0.0, population_std=population)
    torch.testing.assert_close(advantages(scale * rewards + shift, settings), advantages(rewards, settings), atol=1e-6, rtol=1e-6)


@steady
@given(groups, st.integers(1, 576))
def test_the_sum_of_log_probabilities_picks_the_pair_that_the_mean_picks(rewards: torch.Tensor, length: int) -> None:
    assert pairs(rewards * length, candidates(rewards)) == pairs(rewards, candidates(rewards))


@steady
@given(groups)
def test_advantages_are_centred_and_order_as_the_rewards_do(rewards: torch.Tensor) -> None:
    found = advantages(rewards, GRPO())
    assert found.mean(dim=1).abs().max() < 1e-9
    assert torch.equal(found.argmax(dim=1), rewards.argmax(dim=1))
    assert bool((found.std(dim=1) < 1).all())


# GRPO, equation 7


def one_token(advantage: float, new: float, old: float = 0.0, reference: float | None = None, **settings: float) -> GroupLoss:
    return grpo_losses(
        [tokens(new)],
        [tokens(old)],
        None if reference is None else [tokens(reference)],
        torch.tensor([[advantage]], dtype=torch.float64),
        GRPO(**settings),  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("advantage", "ratio", "gain", "clipped"),
    [(1.0, 1.35, 1.28, 1.0), (1.0, 0.7, 0.70, 0.0), (-1.0, 0.7, -0.80, 1.0), (-1.0, 1.35, -1.35, 0.0)],
)
def test_the_clip_of_the_methods_numbers(advantage: float, ratio: float, gain: float, clipped: float) -> None:
    found = one_token(advantage, math.log(ratio))
    assert found.loss.tolist() == pytest.approx([-gain], abs=1e-12)
    assert (found.clipped, found.ratio) == (clipped, pytest.approx(ratio))


@pytest.mark.parametrize(("d", "k3"), [(-0.1, 0.0048374), (0.1, 0.0051709)])
def test_k3_of_the_methods_numbers(d: float, k3: float) -> None:
    found = one_token(0.0, -2.0, old=-2.0, reference=-2.0 + d)
    assert found.kl == pytest.approx(k3, abs=5e-8)
    assert found.loss.tolist() == pytest.approx([0.04 * k3], abs=5e-9)
    assert one_token(0.0, -2.0, old=-2.0, reference=-2.0 + d, beta=0.0).loss.tolist() == [0.0]


def test_the_loss_is_one_mean_over_all_tokens_of_a_group() -> None:
    """Token losses [-.2, -.4] and [.1, .1, .1, .1]: a mean of the sequences' means would be -0.1."""
    old = [tokens(-1.0, -1.0), tokens(-1.0, -1.0, -1.0, -1.0)]
    new = [tokens(-1.0 + math.log(0.5), -1.0), old[1]]
    found = grpo_losses(new, old, None, torch.tensor([[0.4, -0.1]], dtype=torch.float64), GRPO())
    assert found.loss.tolist() == pytest.approx([-0.2 / 6], abs=1e-12)


def test_every_group_has_a_mean_of_its_own() -> None:
    new, old, reference = draws(LENGTHS, 0), near(draws(LENGTHS, 0), 1), near(draws(LENGTHS, 0), 2)
    advantage = advantages(REWARDS, GRPO())
    both = grpo_losses(new, old, reference, advantage, GRPO()).loss
    for i, part in enumerate((slice(0, 4), slice(4, 8))):
        alone = grpo_losses(new[part], old[part], reference[part], advantage[i : i + 1], GRPO()).loss
        torch.testing.assert_close(both[i : i + 1], alone)


@steady
@given(st.permutations(range(3)), st.integers(0, 5))
def test_the_order_of_groups_changes_no_groups_loss(order: list[int], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    new = draws(torch.randint(1, 6, (6,), generator=generator).tolist(), seed)
    old, reference = near(new, seed + 1), near(new, seed + 2)
    rewards = torch.rand(3, 2, generator=generator, dtype=torch.float64)
    rows = [2 * group + i for group in order for i in range(2)]

    def losses(which: Sequence[int], ours: torch.Tensor) -> torch.Tensor:
        parts = [[one[row] for row in which] for one in (new, old, reference)]
        return grpo_losses(*parts, advantages(ours, GRPO()), GRPO()).loss

    torch.testing.assert_close(losses(rows, rewards[list(order)]), losses(range(6), rewards)[list(order)])


def test_the_ratio_is_exactly_one_at_the_weights_that_sampled() -> None:
    new = [one.float().requires_grad_() for one in draws(LENGTHS, 3)]
    old = [one.detach() for one in new]
    advantage = advantages(REWARDS, GRPO(beta=0.0))
    found = grpo_losses(new, old, None, advantage, GRPO(beta=0.0))
    assert (found.ratio, found.clipped, found.kl) == (1.0, 0.0, 0.0)
    found.loss.sum().backward()
    for i, one in enumerate(new):  # the gradient of plain policy gradient: -A over the tokens of the group
        assert one.grad is not None
        tokens_of_group = sum(LENGTHS[:4]) if i < 4 else sum(LENGTHS[4:])
        expected = -float(advantage.flatten()[i]) / tokens_of_group
        assert one.grad.tolist() == pytest.approx([expected] * len(one), rel=1e-5)


def test_a_group_without_a_signal_still_feels_the_kl() -> None:
    new, reference = draws([2, 3], 4), near(draws([2, 3], 4), 5)
    flat = torch.full((1, 2), -1.0, dtype=torch.float64)
    found = grpo_losses(new, new, reference, advantages(flat, GRPO()), GRPO())
    assert found.loss.tolist() == pytest.approx([0.04 * found.kl])
    assert found.kl > 0


@pytest.mark.parametrize("settings", [GRPO(), GRPO(beta=0.0), GRPO(beta=0.5, epsilon=0.1, epsilon_high=0.1)])
def test_grpos_gradient_is_that_of_finite_differences(settings: GRPO) -> None:
    start = draws(LENGTHS, 6)
    old, reference = near(start, 7), near(start, 8)
    advantage = advantages(REWARDS, settings)
    flat = torch.cat(start).requires_grad_()
    ratio = (flat.detach() - torch.cat(old)).exp()
    edges = torch.tensor([1 - settings.epsilon, 1 + settings.epsilon_high], dtype=torch.float64)
    assert float((ratio[:, None] - edges).abs().min()) > 1e-4  # finite differences do not step over the clip's edge
    assert torch.autograd.gradcheck(
        lambda one: grpo_losses(one.split(LENGTHS), old, reference, advantage, settings).loss, (flat,)
    )


def trls(new: Samples, old: Samples, reference: Samples, advantage: torch.Tensor, settings: GRPO) -> tuple[float, Any]:
    """TRL's loss and its log, tokens padded and masked as it has them."""
    pytest.importorskip("trl")
    grpo = pytest.importorskip("trl.trainer.grpo_trainer")
    padded = pad_sequence(new, batch_first=True)
    mask = pad_sequence([torch.ones(len(one), dtype=torch.long) for one in new], batch_first=True)
    ids = torch.zeros_like(mask)
    log: dict[str, dict[str, list[float]]] = {"train": defaultdict(list)}
    trainer = SimpleNamespace(
        _get_per_token_logps_and_entropies=lambda *args, **kwargs: (padded, torch.zeros_like(padded), None),
        _metrics=log,
        _entropy_bonus_enabled=False,
        accelerator=SimpleNamespace(gather=lambda x: x, reduce=lambda x, reduction: x),
        args=SimpleNamespace(use_bias_correction_kl=False, delta=None),
        aux_loss_enabled=False,
        beta=settings.beta,
        current_gradient_accumulation_steps=1,
        epsilon_high=settings.epsilon_high,
        epsilon_low=settings.epsilon,
        importance_sampling_level="token",
        loss_type="bnpo",
        model=SimpleNamespace(training=True),
        off_policy_mask_threshold=None,
        top_entropy_quantile=1.0,
        use_vllm=False,
    )
    inputs = {
        "prompt_ids": ids,
        "prompt_mask": mask,
        "completion_ids": ids,
        "completion_mask": mask,
        "advantages": advantage.flatten(),
        "old_per_token_logps": pad_sequence(old, batch_first=True),
        "ref_per_token_logps": pad_sequence(reference, batch_first=True),
    }
    return float(grpo.GRPOTrainer._compute_loss(trainer, None, inputs)), log["train"]


@pytest.mark.parametrize("lengths", [(16, 16, 16, 16), (3, 7, 1, 5)], ids=["pictures", "captions"])
@pytest.mark.parametrize("settings", [GRPO(), GRPO(beta=0.0), GRPO(beta=0.3, epsilon=0.05, epsilon_high=0.5)])
def test_a_groups_grpo_loss_is_trls(lengths: tuple[int, ...], settings: GRPO) -> None:
    start = draws(lengths, 9)
    old, reference = near(start, 10), near(start, 11)
    advantage = advantages(REWARDS[:1], settings)
    ours = grpo_losses(start, old, reference, advantage, settings)
    theirs, log = trls(start, old, reference, advantage, settings)
    assert ours.loss.tolist() == pytest.approx([theirs], abs=1e-6)
    assert [ours.clipped] == pytest.approx(log["clip_ratio/region_mean"], abs=1e-6)
    assert ours.clipped > 0
    if settings.beta:
        assert [ours.kl] == pytest.approx(log["kl"], abs=1e-6)


def test_trl_takes_one_mean_over_a_batch_where_ours_is_over_a_group() -> None:
    start = draws(LENGTHS, 12)
    old, reference = near(start, 13), near(start, 14)
    advantage = advantages(REWARDS, GRPO())
    ours = grpo_losses(start, old, reference, advantage, GRPO()).loss
    weights = torch.tensor([sum(LENGTHS[:4]), sum(LENGTHS[4:])], dtype=torch.float64)
    theirs, _ = trls(start, old, reference, advantage, GRPO())
    assert float((ours * weights).sum() / weights.sum()) == pytest.approx(theirs, abs=1e-6)
