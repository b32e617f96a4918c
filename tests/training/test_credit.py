"""A credit for each code: what the objectives make of it, where it comes from, and that without one nothing changes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from fake_rewards import Red
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st
from PIL import Image
from small_trainings import PROMPTS, Killed, Train, die_at, rows, same, timeless, weights

from suder_bench import registry
from suder_bench.errors import UserError
from suder_bench.models.janus import JanusModel
from suder_bench.models.protocols import ImageSampling
from suder_bench.rewards.regions import Region
from suder_bench.training.credit import BoxCredit, GuidanceCredit, code_grid
from suder_bench.training.objectives import (
    GRPO,
    Form,
    SimPO,
    advantages,
    grpo_losses,
    pair_weights,
    simpo_losses,
    token_advantages,
    weighted_losses,
)

steady = limits(max_examples=40, deadline=None, derandomize=True)


def tokens(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def draws(seed: int, *, samples: int = 8, length: int = 6) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return list(-3 * torch.rand(samples, length, generator=generator, dtype=torch.float64) - 0.1)


def credits(seed: int, *, samples: int = 8, length: int = 6) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return list(2 * torch.rand(samples, length, generator=generator, dtype=torch.float64) - 1)


REWARDS = tokens(0.1, 0.4, 0.9, 0.2, 0.5, 0.5, 0.7, 0.3).view(2, 4)
HELD: dict[str, Any] = {"clip": 3.0, "losers_gain": True}


# Option B: GRPO with an advantage for each token


@pytest.mark.parametrize("form", ["added", "multiplied"])
@pytest.mark.parametrize("constant", [0.0, 0.75])
def test_a_credit_that_is_alike_everywhere_is_plain_grpo_exactly(form: Any, constant: float) -> None:
    new, old, reference = draws(0), draws(1), draws(2)
    for size in (4, 8):  # also where the samples' own advantages are beyond the clip
        advantage = advantages(REWARDS.view(-1, size), GRPO())
        flat = [torch.full((6,), constant, dtype=torch.float64) for _ in range(8)]
        each = token_advantages(advantage, flat, 0.5, form, clip=1.0, losers_gain=False)
        plain = grpo_losses(new, old, reference, advantage, GRPO())
        credited = grpo_losses(new, old, reference, advantage, GRPO(), each)
        assert torch.equal(plain.loss, credited.loss)
        assert (plain.kl, plain.clipped, plain.ratio) == (credited.kl, credited.clipped, credited.ratio)


def test_the_advantages_of_numbers_told_by_hand() -> None:
    advantage = tokens(1.0, -1.0).view(1, 2)
    q = [tokens(1.0, 0.0, -1.0), tokens(0.5, 0.5, 0.5)]
    deviation = math.sqrt(2 / 6) + 1e-4
    first, second = token_advantages(advantage, q, 0.5, "added", **HELD)
    assert first.tolist() == pytest.approx([1 + 0.5 / deviation, 1, 1 - 0.5 / deviation])
    assert second.tolist() == [-1.0, -1.0, -1.0]
    first, second = token_advantages(advantage, q, 2.0, "multiplied", **HELD)
    assert first.tolist() == pytest.approx([3.0, 1, 0])  # held by the clip above, and by 0 below
    assert second.tolist() == [-1.0, -1.0, -1.0]


@steady
@given(st.integers(0, 30), st.floats(0, 3))
def test_credit_leaves_a_samples_own_direction_and_stays_within_its_bounds(seed: int, alpha: float) -> None:
    advantage, q = advantages(REWARDS, GRPO()), credits(seed)
    for own, each in zip(
        advantage.flatten(), token_advantages(advantage, q, alpha, "added", clip=1e9, losers_gain=True), strict=True
    ):
        assert float(each.mean()) == pytest.approx(float(own), abs=1e-9)
    for each in token_advantages(advantage, q, alpha, "added", **HELD):
        assert float(each.abs().max()) <= 3


@pytest.mark.parametrize("form", ["added", "multiplied"])
def test_a_group_without_a_signal_has_no_advantage_by_credit_either(form: Form) -> None:
    advantage = advantages(torch.cat([torch.full((1, 4), 0.7, dtype=torch.float64), REWARDS[:1]]), GRPO())
    each = token_advantages(advantage, credits(5), 0.5, form, **HELD)
    assert not any(bool(one.any()) for one in each[:4])
    assert all(bool(one.any()) for one in each[4:])


def test_good_parts_of_a_picture_that_loses_may_be_left_without_reward() -> None:
    advantage, q = tokens(-0.2, 0.2).view(1, 2), [tokens(1.0, -1.0)] * 2
    for gains in (True, False):
        loser, winner = token_advantages(advantage, q, 0.5, "added", clip=3.0, losers_gain=gains)
        assert (float(loser[0]) > 0) is gains
        assert float(loser[1]) < -0.2
        assert (float(winner[0]), float(winner[1])) == pytest.approx((0.7, -0.3), abs=1e-3)


# Option C: SimPO with weighted means


def test_weights_of_one_are_plain_simpo() -> None:
    best, worst = draws(3, samples=4), draws(4, samples=4)
    nothing = torch.zeros(6, dtype=torch.float64)
    ones = [pair_weights(nothing, 0.5, "added", best=True)] * 4
    assert ones[0].tolist() == [1.0] * 6
    found = simpo_losses(best, worst, SimPO(), (ones, ones))
    torch.testing.assert_close(found, simpo_losses(best, worst, SimPO()), rtol=1e-14, atol=0)


def test_the_weights_of_a_pair() -> None:
    q = tokens(1.0, 0.0, -0.5)
    assert pair_weights(q, 0.5, "added", best=True).tolist() == [1.5, 1.0, 1.0]
    assert pair_weights(q, 0.5, "added", best=False).tolist() == [1.0, 1.0, 1.25]
    for best in (True, False):
        assert pair_weights(q, 0.5, "multiplied", best=best).tolist() == [1.5, 1.0, 1.0]


def test_weighted_means_in_simpo() -> None:
    best, worst = tokens(-1.0, -2.0), tokens(-3.0, -1.0)
    found = simpo_losses([best], [worst], SimPO(beta=1.0, simpo_gamma=0.0), ([tokens(3.0, 1.0)], [tokens(1.0, 1.0)]))
    assert found.tolist() == pytest.approx([math.log1p(math.exp(-(-1.25 + 2.0)))])


# Option A: the weighted likelihood


def test_the_weighted_likelihood_of_numbers_told_by_hand() -> None:
    samples = [tokens(-1.0, -2.0), tokens(-3.0, -1.0), tokens(-1.0, -1.0), tokens(-2.0, -2.0)]
    w = [tokens(0.5, 0.0), None, None, None]
    found = weighted_losses(samples, w, 2, 0.5)
    assert found.tolist() == pytest.approx([(1.0 * 1.0 + 0.5 * 2.0) / 2, 0.0])
    assert weighted_losses(samples, [tokens(0.0, 0.0)] * 4, 4, 1.0).tolist() == pytest.approx([13 / 8])


# Where it comes from


class Told:
    """A reward whose regions are told."""

    def __init__(self, *regions: list[Region] | None) -> None:
        self.told = list(regions)

    def regions(self, prompts: Sequence[str], pictures: Sequence[Image.Image]) -> list[list[Region] | None]:
        return self.told


def test_the_grid_is_the_models() -> None:
    model: Any = SimpleNamespace(name="mine")
    assert code_grid(model, 576) == (24, 24)
    with pytest.raises(UserError, match="the 12 codes of a picture by model 'mine' form no 3 x 3 grid"):
        code_grid(model, 12)
    model.code_grid = (3, 4)
    assert code_grid(model, 12) == (3, 4)
    with pytest.raises(UserError, match="form no 3 x 4 grid"):
        code_grid(model, 16)


@pytest.mark.parametrize(
    ("estimator", "expected"), [(None, [0.6, 0.0, -0.2, 0.5, 0.0, -1.0]), ("one step", [0.5, 0.0, 0.0, 0.5, 0.0, -1.0])]
)
def test_boxes_credit_the_codes_below_them_and_those_drawn_before(estimator: str | None, expected: list[float]) -> None:
    """Two rows of three; where no code is drawn before another, nothing is carried back."""
    model: Any = SimpleNamespace(name="mine", estimator=estimator, code_grid=(2, 3))
    left, corner = Region((0, 0, 8, 16), 0.5), Region((16, 8, 24, 16), -1.0)
    credit = BoxCredit(Told([left, corner], None), model, "signed", "columns", 0.2)
    first, second = credit.of(["a", "b"], torch.zeros(2, 3, 16, 24), torch.zeros(2, 6, dtype=torch.long), [0, 0])
    assert second is None
    assert first is not None
    assert first.tolist() == pytest.approx(expected)
    [centred] = replace(credit, reward=Told([left, corner]), centred=True).of(
        ["a"], torch.zeros(1, 3, 16, 24), torch.zeros(1, 6, dtype=torch.long), [0]
    )
    assert centred is not None
    assert centred.tolist() == pytest.approx([max(-1.0, one - sum(expected) / 6) for one in expected])


class Narrow:
    """Has memory for the regions of two pictures."""

    def regions(self, prompts: Sequence[str], pictures: Sequence[Image.Image]) -> list[list[Region]]:
        if len(pictures) > 2:
            raise torch.OutOfMemoryError("full")
        return [[Region((0, 0, 2, 2), float(prompt))] for prompt in prompts]


def test_boxes_are_judged_in_smaller_parts_where_memory_is_full() -> None:
    model: Any = SimpleNamespace(name="mine", estimator=None, code_grid=(1, 1))
    told: list[str] = []
    reward: Any = Narrow()
    credit = BoxCredit(reward, model, "signed", "columns", 0.2, say=told.append)
    prompts = ["0.1", "0.2", "0.3", "0.4", "0.5"]
    for _ in range(2):
        found = credit.of(prompts, torch.zeros(5, 3, 2, 2), torch.zeros(5, 1, dtype=torch.long), [0] * 5)
        assert [float(one) for one in found if one is not None] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])
    assert told == ["crediting: out of memory at batch size 5; going on with 2"]


def test_guidance_asks_for_no_more_at_once_than_memory_held_before() -> None:
    class Full:
        def image_scores(self, prompts: Sequence[str], codes: torch.Tensor, **others: Any) -> Any:
            if len(prompts) > 2:
                raise torch.OutOfMemoryError("full")
            return SimpleNamespace(logprobs=[torch.tensor([-0.1]) for _ in prompts])

    told: list[str] = []
    model: Any = Full()
    credit = GuidanceCredit(model, 4, told.append)
    for _ in range(2):
        found = credit.of(PROMPTS, torch.zeros(4, 3, 2, 2), torch.zeros(4, 1, dtype=torch.long), [0] * 4)
        assert [float(one) for one in found if one is not None] == [0.0] * 4
    assert told == ["crediting: out of memory at batch size 4; going on with 2"]


def test_guidance_credits_what_the_prompt_makes_likelier(tiny_folder: Path) -> None:
    model = JanusModel.load(str(tiny_folder))
    drawn = model.draw(PROMPTS, seeds=range(4), sampling=ImageSampling(guidance=1)).tokens
    credit = GuidanceCredit(model, 3, print)
    found = credit.of(PROMPTS, model.decode_tokens(drawn), drawn, [0] * 4)
    with torch.no_grad():
        given, alone = (torch.stack(model.image_scores(PROMPTS, drawn, guidance=w).logprobs).double().exp() for w in (1.0, 0.0))
    q = torch.stack([one for one in found if one is not None])
    torch.testing.assert_close(q, (given - alone) / (given + alone), rtol=1e-3, atol=1e-6)
    assert q.abs().max() <= 1
    assert q.abs().max() > 0


# Trainings


class Split(Red):
    """Redness, and the left half of every picture is good, the right half bad."""

    name = "split"
    scores = (1.0, -1.0)

    def score_images(self, prompts: Sequence[str], pictures: Sequence[Image.Image]) -> list[float]:
        return [(value + 1) / 2 for value in super().score_images(prompts, pictures)]

    def regions(self, prompts: Sequence[str], pictures: Sequence[Image.Image]) -> list[list[Region] | None]:
        sizes = [one.size for one in pictures]
        return [[Region((0, 0, w // 2, h), self.scores[0]), Region((w // 2, 0, w, h), self.scores[1])] for w, h in sizes]


class Even(Split):
    """Nothing of a picture is better than the rest."""

    name = "even"
    scores = (0.0, 0.0)


class Sharp(Split):
    """1 for the redder pictures, 0 for all others."""

    name = "sharp"

    def score_images(self, prompts: Sequence[str], pictures: Sequence[Image.Image]) -> list[float]:
        return [float(value > 0.8) for value in super().score_images(prompts, pictures)]


class Nothing(Split):
    """No picture should teach anything."""

    name = "nothing"

    def regions(self, prompts: Sequence[str], pictures: Sequence[Image.Image]) -> list[list[Region] | None]:
        return [None] * len(pictures)


@pytest.fixture
def credited(train: Train, monkeypatch: pytest.MonkeyPatch) -> Train:
    """Trainings of pictures alone, which know these rewards too."""
    mine = {kind.name: f"{__name__}:{kind.__name__}" for kind in (Split, Even, Sharp, Nothing)}
    table = {**registry.TABLE, "rewards": {**registry.TABLE["rewards"], **mine}}
    monkeypatch.setattr(registry, "TABLE", table)
    registry.table.cache_clear()
    return lambda out, *sets, **others: train(out, "strategy=only-gen", "num_generations=4", *sets, **others)


def last(run: str) -> dict[str, torch.Tensor]:
    return weights(f"{run}/checkpoint-3")


@pytest.mark.parametrize("algorithm", ["simpo", "grpo"])
def test_without_a_difference_between_codes_a_training_is_the_plain_one(algorithm: str, credited: Train) -> None:
    chosen = (f"algorithm={algorithm}", "reward.gen=even")
    assert credited("plain", *chosen) == 0
    assert credited("credited", *chosen, "srum.credit=boxes") == 0
    without = [{name: value for name, value in row.items() if name != "gen/credit"} for row in timeless("credited")]
    assert [row["gen/credit"] for row in rows("credited")] == [0.0] * 3
    if algorithm == "grpo":
        assert without == timeless("plain")
        assert same(last("plain"), last("credited"))
    else:  # a mean with weights of 1 may round otherwise
        assert all(one == pytest.approx(other, rel=1e-4) for one, other in zip(without, timeless("plain"), strict=True))


@pytest.mark.parametrize("algorithm", ["simpo", "grpo", "weighted"])
@pytest.mark.parametrize("credit", ["boxes", "guidance"])
def test_credit_changes_what_is_learned_and_a_training_is_the_same_again(algorithm: str, credit: str, credited: Train) -> None:
    chosen = (f"algorithm={algorithm}", "reward.gen=split", f"srum.credit={credit}", "trainer.per_device_train_batch_size=1")
    assert credited("one", *chosen) == 0
    assert credited("two", *chosen, "sampling.batch_size=4", "reward.batch_size=2") == 0
    assert credited("off", *chosen[:2], "trainer.per_device_train_batch_size=1") == 0
    for one, two in zip(timeless("one"), timeless("two"), strict=True):  # sums of floats in another order
        assert one == pytest.approx(two, rel=1e-3, abs=1e-6)
    assert not same(last("one"), last("off"))


def test_only_the_pictures_that_simpo_trains_on_are_judged_in_parts(credited: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    regions = Split.regions

    def counted(self: Split, prompts: Sequence[str], pictures: Sequence[Image.Image]) -> Any:
        asked.append(len(pictures))
        return regions(self, prompts, pictures)

    monkeypatch.setattr(Split, "regions", counted)
    for algorithm, judged in (("simpo", 4), ("grpo", 8)):
        asked.clear()
        assert credited(algorithm, f"algorithm={algorithm}", "reward.gen=split", "srum.credit=boxes", "trainer.max_steps=1") == 0
        assert asked == [judged]  # of two prompts with four pictures each


def test_offline_samples_are_the_starts(credited: Train, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    by: list[dict[str, torch.Tensor]] = []
    draw = JanusModel.draw

    def watched(self: JanusModel, *args: Any, **others: Any) -> Any:
        by.append({name: one.clone() for name, one in self.network.state_dict().items()})
        return draw(self, *args, **others)

    monkeypatch.setattr(JanusModel, "draw", watched)
    chosen = ("algorithm=weighted", "reward.gen=split", "srum.credit=boxes")
    assert credited("start", *chosen) == 0
    assert all(same(one, weights(tiny_folder)) for one in by)
    assert not same(last("start"), weights(tiny_folder))
    by.clear()
    assert credited("current", *chosen, "srum.samples=current") == 0
    assert not same(by[-1], weights(tiny_folder))


def test_the_released_map_weighs_by_good_parts_alone_and_never_below_0(credited: Train) -> None:
    """Half of a picture is good, m = 1; the other bad, m = 1/2: the mean weight is 3/4 of g, with `signed` 1/2 of it."""
    chosen = ("algorithm=weighted", "reward.gen=split", "srum.credit=boxes", "srum.spread=off", "trainer.learning_rate=0")
    for kind, share in (("released", 0.75), ("signed", 0.5)):
        assert credited(kind, *chosen, f"srum.map={kind}") == 0
        for row in rows(kind):
            assert row["gen/weight"] == pytest.approx(share * row["gen/reward"], rel=1e-5)
            assert row["gen/trained"] == 1.0


def test_pictures_that_should_teach_nothing_are_left_out(credited: Train, tiny_folder: Path) -> None:
    assert credited("run", "algorithm=weighted", "reward.gen=nothing", "srum.credit=boxes") == 0
    assert [(row["loss"], row["gen/trained"]) for row in rows("run")] == [(0.0, 0.0)] * 3
    assert same(last("run"), weights(tiny_folder))


def test_the_likelihood_of_what_is_worth_more_rises(credited: Train, tiny_folder: Path) -> None:
    chosen = ("algorithm=weighted", "reward.gen=sharp", "srum.floor=0", "srum.samples=current", "num_generations=8")
    assert credited("run", *chosen, "trainer.learning_rate=1e-2", "trainer.max_steps=8", "trainer.save_steps=8") == 0
    prompts = [PROMPTS[i % 4] for i in range(32)]
    found = []
    for folder in (str(tiny_folder), "run/checkpoint-8"):
        made = JanusModel.load(folder).generate(prompts, seeds=range(32), sampling=ImageSampling(guidance=1))
        found.append(np.mean(Red().score_images(prompts, [one.picture for one in made])))
    assert found[1] > found[0] + 0.02


def test_a_killed_training_goes_on_with_the_starts_samples(credited: Train) -> None:
    chosen = ("algorithm=weighted", "reward.gen=split", "srum.credit=boxes")
    assert credited("whole", *chosen) == 0
    with die_at(2), pytest.raises(Killed):
        credited("killed", *chosen)
    assert credited("killed", *chosen, resume=True) == 0
    assert timeless("killed") == timeless("whole")
    assert same(last("killed"), last("whole"))


def test_srum_judges_and_credits_in_a_training(credited: Train) -> None:
    """The reward itself, by a random network: in words, which it cannot write, and by probabilities."""
    chosen = ("reward.gen=srum", "srum.credit=boxes", "srum.cells=2", "trainer.max_steps=1")
    assert credited("asked", *chosen, "srum.scalar=global", "algorithm=simpo") == 0
    assert 0 < rows("asked")[0]["gen/reward"] < 1
    assert 0 < rows("asked")[0]["gen/credit"] <= 1


def test_srum_in_words_in_a_training(credited: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of four regions gets a score; the prompt about a star a layout of 0, so that its pictures are left out."""

    def answer(self: JanusModel, images: Any, questions: Sequence[str], **others: Any) -> list[str]:
        layouts = ["Score: 0" if "star" in one else "Score: 0.5" for one in questions]
        region = "Region ID: 2\nIdentified Object: a ball\nScore: -1"
        return [layout if "layout" in one else region for layout, one in zip(layouts, questions, strict=True)]

    monkeypatch.setattr(JanusModel, "answer", answer)
    chosen = ("algorithm=weighted", "srum.credit=boxes", "reward.gen=srum", "srum.scalar=global", "srum.score=text")
    assert credited("run", *chosen, "srum.cells=2", "trainer.max_steps=2", "global_batch_size=2") == 0
    unread = [row["gen/unread/srum"] for row in rows("run")]
    assert unread == pytest.approx([3 / 5, 12 / 24])  # of what is left out no region is asked about
    assert sum(row["gen/trained"] for row in rows("run")) == 1.5
    assert {round(row["gen/weight"], 6) for row in rows("run")} == {round(0.75 * 0.75 / 2, 6)}


@pytest.mark.parametrize(
    ("chosen", "told"),
    [
        (("algorithm=weighted", "strategy=unified"), "algorithm weighted has no map of captions, which strategy unified trains"),
        (("srum.credit=boxes", "strategy=only-und"), "srum.credit boxes is of pictures, which strategy only-und does not train"),
        (("srum.credit=boxes", "reward.gen=red"), "srum.credit: boxes are nothing that reward.gen (red) looks at; add srum"),
        (("srum.boxes=gird",), "srum.boxes: unknown source of boxes 'gird'; did you mean 'grid'"),
        (("srum.boxes=none:nothing",), "srum.boxes: boxes 'none:nothing' are no function that can be imported"),
        (("srum.alpha=-1",), "srum.alpha must be a number from 0 on, not -1"),
        (("srum.cells=0",), "srum.cells must be above 0, not 0"),
        (("srum.map=realised",), "unknown srum.map 'realised'; did you mean 'released'"),
        (("srum.lambda=1",), "unknown key 'srum.lambda'"),
    ],
)
def test_mistakes_are_told_in_a_line(
    chosen: tuple[str, ...], told: str, credited: Train, capsys: pytest.CaptureFixture[str]
) -> None:
    assert credited("run", *chosen) == 2
    assert told in capsys.readouterr().err.splitlines()[-1]


def test_the_weighted_likelihood_needs_rewards_from_0_on(credited: Train, capsys: pytest.CaptureFixture[str]) -> None:
    assert credited("run", "algorithm=weighted", "reward.gen=dsr") == 1
    assert "the algorithm weighted needs rewards from 0 on" in capsys.readouterr().err.splitlines()[-1]
