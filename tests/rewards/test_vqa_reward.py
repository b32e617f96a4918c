"""The reward vqa: the prompt as a question to the model itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from tiny_judges import noise

from suder_bench import registry
from suder_bench.errors import UserError
from suder_bench.models.janus import JanusModel
from suder_bench.rewards.protocols import CaptionReward
from suder_bench.rewards.vqa import Vqa, whole_question, world_question
from suder_bench.world.checkpoints import path
from suder_bench.world.render import picture
from suder_bench.world.scenes import Description, Phrase, draw
from suder_bench.world.train_split import stream

TAIL = "Answer the question using a single word or phrase."


class Sure:
    """p(Yes) = 0.6 and p(No) = 0.2, whatever is asked."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []

    def choice_logprobs(self, images: Sequence[Image.Image], questions: Sequence[str], choices: Sequence[str]) -> torch.Tensor:
        assert (list(choices), len(images)) == (["Yes", "No"], len(questions))
        self.batches.append(list(questions))
        return torch.tensor([[math.log(0.6), math.log(0.2)]] * len(questions))


def test_the_share_of_yes_in_batches() -> None:
    model = Sure()
    scores = Vqa(model, batch_size=2).score_images(["a red ball"] * 3, [noise(8, 8)] * 3)
    assert scores == pytest.approx([0.75] * 3, abs=1e-6)
    asked = f'\nDoes this image show "a red ball"?\n{TAIL}'
    assert model.batches == [[asked, asked], [asked]]
    assert Vqa(model).score_images([], []) == []
    with pytest.raises(ValueError, match="1 prompts for 2 pictures"):
        Vqa(model).score_images(["a"], [noise(8, 8)] * 2)


@pytest.mark.parametrize(
    ("prompt", "question"),
    [
        ("a photo of a red ball", "Is there a red ball in the image?"),
        ("A bowl touches a tent. ", "Is there a bowl touches a tent in the image?"),
        ("a photo of three tents", "Is there three tents in the image?"),
        ("one moon and two bowls", "Is there one moon and two bowls in the image?"),
    ],
)
def test_a_model_of_the_world_is_asked_as_it_was_trained(prompt: str, question: str) -> None:
    assert world_question(prompt) == f"\n{question}\n{TAIL}"


def test_a_model_that_cannot_be_asked() -> None:
    with pytest.raises(UserError, match="reward 'vqa' needs a model that tells how likely its answers are; 'blind' does not"):
        Vqa.load(SimpleNamespace(name="blind", fingerprint="", settings={}))


def test_tiny_janus_tells_what_is_there_from_what_is_not() -> None:
    reward = registry.load("rewards", "vqa").load(JanusModel.load(str(path("tiny-janus"))))
    assert reward.question is world_question is not whole_question
    assert not isinstance(reward, CaptionReward)
    seen = picture(draw(Description((Phrase("ball", color="red"),)), stream("a test", 0)))
    right, wrong = reward.score_images(["a photo of a red ball", "a photo of a blue star"], [seen] * 2)
    assert 1 >= right > 0.5 > wrong >= 0
