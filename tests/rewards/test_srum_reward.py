"""The reward srum: the model's own judgement of a picture and of its nine regions, against numbers told by hand."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from suder_bench import registry
from suder_bench.errors import UserError
from suder_bench.models.janus import JanusModel
from suder_bench.rewards.protocols import CaptionReward
from suder_bench.rewards.srum import Srum, combined, regions
from suder_bench.world.checkpoints import path


class Redness:
    """p(yes) is the mean of the red channel; answers as they were asked are kept."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.questions: list[str] = []

    def choice_logprobs(self, images: Sequence[Image.Image], questions: Sequence[str], choices: Sequence[str]) -> torch.Tensor:
        self.batches.append(len(questions))
        self.questions += questions
        p = torch.tensor([np.asarray(one, float)[..., 0].mean() / 255 for one in images], dtype=torch.float64)
        return torch.stack([p, 1 - p], dim=1).clamp(min=1e-12).log()


def red_left() -> Image.Image:
    """12 x 12, the left third red."""
    picture = Image.new("RGB", (12, 12), "black")
    picture.paste((255, 0, 0), (0, 0, 4, 12))
    return picture


def test_the_formula() -> None:
    assert combined(1, [1] * 9) == 1
    assert combined(-1, [1] * 9) == 0
    assert combined(0, [1, -1]) == 0.25
    assert combined(0.5, [0, 0.5, -1]) == pytest.approx(0.75 * (0.5 + 0.75 + 0) / 3)


def test_a_picture_with_known_judgements() -> None:
    model = Redness()
    reward = Srum(model, whole=lambda prompt: f"whole {prompt}", region=lambda prompt: f"part {prompt}", batch_size=8)
    red, black = Image.new("RGB", (9, 9), "red"), Image.new("RGB", (9, 9), "black")
    scores = reward.score_images(["x", "y", "z"], [red_left(), red, black])
    assert scores == pytest.approx([1 / 3 * 1 / 3, 1, 0], abs=1e-9)
    assert model.batches == [8, 8, 8, 6]
    assert model.questions[:11] == ["whole x", *["part x"] * 9, "whole y"]
    judged = reward.judge(["x"], [red_left()])[0]
    assert judged == pytest.approx([1 / 3, *[1, 0, 0] * 3], abs=1e-9)
    assert reward.score_images([], []) == []
    with pytest.raises(ValueError, match="1 prompts for 2 pictures"):
        reward.score_images(["a"], [red, red])


def test_regions_cover_the_picture_once() -> None:
    picture = Image.fromarray(np.arange(64 * 40, dtype=np.uint16).reshape(40, 64).astype(np.uint8))
    cells = regions(picture)
    assert [cell.size for cell in cells] == [(w, h) for h in (13, 14, 13) for w in (21, 22, 21)]
    rows = [np.concatenate([np.asarray(cell) for cell in cells[i : i + 3]], axis=1) for i in (0, 3, 6)]
    assert (np.concatenate(rows) == np.asarray(picture)).all()


def test_a_model_that_cannot_be_asked() -> None:
    with pytest.raises(UserError, match="reward 'srum' needs a model that tells how likely its answers are"):
        Srum.load(SimpleNamespace(name="blind", fingerprint="", settings={}))


def test_tiny_janus_is_asked_in_the_worlds_words() -> None:
    reward = registry.load("rewards", "srum").load(JanusModel.load(str(path("tiny-janus"))))
    assert "Is there a ball in the image?" in reward.region("a photo of a ball")
    assert not isinstance(reward, CaptionReward)
    picture = Image.new("RGB", (64, 64), (128, 140, 155))
    [alone] = reward.score_images(["a ball"], [picture])
    both = reward.score_images(["a ball", "a star"], [picture] * 2)
    assert 0 <= alone < 0.2
    assert both[0] == pytest.approx(alone, abs=1e-5)
