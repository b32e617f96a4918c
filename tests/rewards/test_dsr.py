"""R_G and R_U are means of teacher-forced log-probabilities: known numbers from a fake, and the real model's own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from models.tiny import tiny_image_processor, tiny_janus_model, tiny_tokenizer
from PIL import Image

from suder_bench.errors import UserError
from suder_bench.models.janus import JanusModel
from suder_bench.models.protocols import ImageSampling
from suder_bench.rewards.dsr import Dsr
from suder_bench.rewards.protocols import CaptionReward


class Counting:
    """log p of word k is -k, of image token k of caption c is -k len(c); counts what it is asked."""

    def __init__(self) -> None:
        self.tokenised = 0
        self.batches: list[int] = []

    def text_logprobs(self, images: Sequence[Image.Image] | torch.Tensor, texts: Sequence[str]) -> list[torch.Tensor]:
        self.batches.append(len(texts))
        return [-torch.arange(1.0, len(text.split()) + 1) for text in texts]

    def image_logprobs(self, texts: Sequence[str], image_tokens: torch.Tensor) -> torch.Tensor:
        self.batches.append(len(texts))
        return -torch.tensor([len(text) for text in texts])[:, None] * image_tokens.float()

    def tokenize_images(self, images: Sequence[Image.Image]) -> torch.Tensor:
        self.tokenised += len(images)
        return torch.stack([torch.tensor([1, 2, 3, image.width]) for image in images])


def square(width: int) -> Image.Image:
    return Image.new("RGB", (width, width))


def test_the_mean_over_the_prompt() -> None:
    reward = Dsr(Counting())
    assert isinstance(reward, CaptionReward)
    assert reward.score_images(["a", "a red", "a red ball"], [square(4)] * 3) == [-1.0, -1.5, -2.0]


def test_the_mean_over_the_picture_tokenised_once() -> None:
    model = Counting()
    small, large = square(2), square(6)
    assert Dsr(model).score_captions([small, small, large], ["a", "", "ab"]) == [-2.0, 0.0, -6.0]
    assert model.tokenised == 2


def test_batches() -> None:
    model = Counting()
    scores = Dsr(model, batch_size=2).score_images(["a", "a b", "a", "a b", "a"], [square(4)] * 5)
    assert scores == [-1.0, -1.5, -1.0, -1.5, -1.0]
    assert model.batches == [2, 2, 1]
    assert Dsr(model).score_images([], []) == []
    assert Dsr(model).score_captions([], []) == []


def test_a_model_without_likelihoods_is_refused(janus: JanusModel) -> None:
    assert Dsr.load(janus).model is janus
    with pytest.raises(UserError, match="'flat' does not"):
        Dsr.load(SimpleNamespace(name="flat", fingerprint="", settings={}))


def test_an_empty_prompt_has_no_reward() -> None:
    with pytest.raises(ValueError, match="2 prompts \\(1 empty\\)"):
        Dsr(Counting()).score_images(["a", " "], [square(4)] * 2)
    with pytest.raises(ValueError, match="1 pictures for 2 captions"):
        Dsr(Counting()).score_captions([square(4)], ["a", "b"])


@pytest.fixture(scope="module")
def janus() -> JanusModel:
    return JanusModel(tiny_janus_model(), tiny_tokenizer(), tiny_image_processor())


def test_the_rewards_of_a_janus(janus: JanusModel) -> None:
    prompts = ["a red ball", "two blue boxes", "a star"]
    drawn = janus.draw(prompts, seeds=range(3), sampling=ImageSampling())
    made = janus.generate(prompts, seeds=range(3), sampling=ImageSampling())
    reward = Dsr(janus, batch_size=2)
    by_picture = reward.score_images(prompts, [one.picture for one in made])
    by_pixels = reward.score_images(prompts, janus.decode_tokens(drawn.tokens))
    expected = [float(one.detach().mean()) for one in janus.text_logprobs([one.picture for one in made], prompts)]
    np.testing.assert_allclose(by_picture, expected, atol=1e-5)
    np.testing.assert_allclose(by_pixels, by_picture, atol=0.3)  # eight bits against none
    captions = reward.score_captions([made[0].picture] * 3, prompts)
    codes = janus.tokenize_images([made[0].picture]).expand(3, -1)
    np.testing.assert_allclose(captions, janus.image_logprobs(prompts, codes).mean(1).tolist(), atol=1e-5)
    assert all(score < 0 and math.isfinite(score) for score in [*by_picture, *captions])
