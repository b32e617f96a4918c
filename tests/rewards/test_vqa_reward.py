"""The reward vqa: the prompt as a question to the judge of that role."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from PIL import Image
from tiny_judges import noise

from suder_bench import registry
from suder_bench.evaluators.judges.world import WorldVqa
from suder_bench.rewards.protocols import CaptionReward
from suder_bench.rewards.vqa import Vqa
from suder_bench.world.render import picture
from suder_bench.world.scenes import Description, Phrase, draw
from suder_bench.world.train_split import stream


class Asked:
    def __init__(self) -> None:
        self.questions: list[list[str]] = []

    def p_yes(self, pictures: Sequence[Image.Image], questions: Sequence[Sequence[str]]) -> list[list[float]]:
        self.questions += map(list, questions)
        return [[0.25] for _ in pictures]


def test_a_prompt_becomes_one_question() -> None:
    judge = Asked()
    assert Vqa(judge).score_images(["a red ball", "A red ball. "], [noise(8, 8)] * 2) == [0.25, 0.25]
    assert judge.questions == [["a red ball?"], ["A red ball?"]]
    assert Vqa(judge).score_images([], []) == []
    with pytest.raises(ValueError, match="1 prompts for 2 pictures"):
        Vqa(judge).score_images(["a"], [noise(8, 8)] * 2)


class OfTheWorld:
    name = "any"
    fingerprint = ""
    settings: dict[str, str] = {}  # noqa: RUF012
    world = True


def test_the_worlds_judge_answers_for_a_model_of_the_world() -> None:
    reward = registry.load("rewards", "vqa").load(OfTheWorld())
    assert isinstance(reward.judge, WorldVqa)
    assert not isinstance(reward, CaptionReward)
    seen = picture(draw(Description((Phrase("ball", color="red"),)), stream("a test", 0)))
    right, wrong = reward.score_images(["a photo of a red ball", "a photo of a blue star"], [seen] * 2)
    assert 1 >= right > 0.9 > 0.1 > wrong >= 0
