"""The model asked whether a picture shows its prompt: its own p(yes) against p(no).

A self-reward as `dsr` is, but of one bit: the model judges in one word what `dsr` scores word by word. VQAScore (arXiv
2404.01291) asks another model the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Self

import torch
from PIL import Image

from suder_bench.data.prompts import yes_no_prompt
from suder_bench.errors import UserError
from suder_bench.models.protocols import ChoiceLikelihood, Model, TellsItsWorld

CHOICES = ("Yes", "No")
LEADS = ("a photo of ", "an image of ", "a picture of ")

Question = Callable[[str], str]
"""A prompt to the question whether a picture shows it."""


def whole_question(prompt: str) -> str:
    """The usual question, in the wording that Janus' own benchmark adapter puts around one."""
    return yes_no_prompt(f'Does this image show "{prompt.strip()}"?')


def world_question(prompt: str) -> str:
    """For a model of the world, whose yes/no questions were all of a few forms: the most common of them with the prompt.

    Asked tiny-janus, it orders 0.742 of the pairs of one prompt as the verdict does; `whole_question` 0.704, "Is this a photo of
    ...?" 0.711, and "Are there ...?" 0.502 (336 pictures for 56 prompts of GenEval).
    """
    said = prompt.strip().rstrip(".?")
    said = said[:1].lower() + said[1:]
    for lead in LEADS:
        said = said.removeprefix(lead)
    return yes_no_prompt(f"Is there {said} in the image?")


def p_yes(model: ChoiceLikelihood, pictures: Sequence[Image.Image], questions: Sequence[str], *, batch_size: int) -> list[float]:
    """p(yes) / (p(yes) + p(no)) of each question about its picture, one forward pass each."""
    found: list[float] = []
    with torch.no_grad():
        for i in range(0, len(questions), batch_size):
            part = slice(i, i + batch_size)
            yes, no = model.choice_logprobs(pictures[part], questions[part], CHOICES).unbind(1)
            found += torch.sigmoid((yes - no).cpu().double()).tolist()
    return found


def able(name: str, model: Model) -> ChoiceLikelihood:
    """The model as one that can be asked. Raises `UserError` naming the reward where it cannot."""
    if not isinstance(model, ChoiceLikelihood):
        raise UserError(
            f"reward '{name}' needs a model that tells how likely its answers are; '{model.name}' does not (see suder-bench list)"
        )
    return model


def of_world(model: Model) -> bool:
    return isinstance(model, TellsItsWorld) and model.world


class Vqa:
    """p(yes) / (p(yes) + p(no)) of the question, in [0, 1], by the model that is rewarded. Captions it does not score."""

    name = "vqa"

    def __init__(self, model: ChoiceLikelihood, *, question: Question = whole_question, batch_size: int = 32):
        """`batch_size` bounds the memory of a forward pass; scores do not depend on it."""
        self.model = model
        self.question = question
        self.batch_size = batch_size

    @classmethod
    def load(cls, model: Model, *, batch_size: int = 32) -> Self:
        """Asks a model of the world in its own words. Raises `UserError` when the model cannot tell how likely an answer is."""
        question = world_question if of_world(model) else whole_question
        return cls(able(cls.name, model), question=question, batch_size=batch_size)

    def score_images(self, prompts: Sequence[str], pictures: Sequence[Image.Image]) -> list[float]:
        if len(prompts) != len(pictures):
            raise ValueError(f"{len(prompts)} prompts for {len(pictures)} pictures")
        return p_yes(self.model, pictures, [self.question(prompt) for prompt in prompts], batch_size=self.batch_size)
