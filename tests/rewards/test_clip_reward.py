"""CLIP as a reward: the judge of the role clip, tiny-clip for a model of the world."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
from huggingface_hub import constants
from PIL import Image
from tiny_judges import HERE, clip, noise

from suder_bench import registry
from suder_bench.errors import JudgeError
from suder_bench.evaluators.judges import official
from suder_bench.evaluators.judges.clip import TinyClip
from suder_bench.models.janus import JanusModel
from suder_bench.rewards.clip import Clip
from suder_bench.rewards.protocols import CaptionReward
from suder_bench.world.checkpoints import path
from suder_bench.world.render import picture
from suder_bench.world.scenes import Description, Phrase, draw
from suder_bench.world.train_split import stream


def shown(*phrases: Phrase) -> Image.Image:
    return picture(draw(Description(phrases), stream("a test", 0)))


@pytest.fixture(scope="module")
def world() -> Clip:
    return registry.load("rewards", "clip").load(JanusModel.load(str(path("tiny-janus"))))


def test_a_model_of_the_world_gets_tiny_clip(world: Clip) -> None:
    assert isinstance(world, CaptionReward)
    assert isinstance(world.judge, TinyClip)
    seen = shown(Phrase("ball", color="red"), Phrase("star", color="blue"))
    right, half, wrong = world.score_images(
        ["a red ball and a blue star", "a red ball and a pink star", "a pink ball and a pink star"], [seen] * 3
    )
    assert 1 >= right > half > wrong >= -1
    again, empty = world.score_captions([seen] * 2, ["a red ball and a blue star", ""])
    assert again == pytest.approx(right, abs=1e-6)
    assert empty < right


def test_lengths_must_agree(world: Clip) -> None:
    with pytest.raises(ValueError, match="1 prompts for 2 pictures"):
        world.score_images(["a"], [noise(8, 8)] * 2)
    with pytest.raises(ValueError, match="2 pictures for 1 captions"):
        world.score_captions([noise(8, 8)] * 2, ["a"])
    assert world.score_images([], []) == []


def test_any_other_model_needs_the_weights_of_clip(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(JudgeError, match="openai/clip-vit-base-patch32 is not in the Hugging Face cache") as caught:
        Clip.load(SimpleNamespace(name="another", fingerprint="", settings={}))
    assert "\n" not in str(caught.value)


def test_the_beginning_of_a_long_caption_counts(tmp_path: Path) -> None:
    reward = Clip(official.load("clip", source=str(clip(tmp_path)), **HERE))
    seen = [noise(40, 32)]
    cut, whole = (reward.score_captions(seen, ["dog " * words])[0] for words in (400, 75))
    assert cut == pytest.approx(whole, abs=1e-6)
    assert reward.score_captions([], []) == []


class Lengths:
    def similarity(self, pictures: Sequence[Image.Image], texts: Sequence[str]) -> list[float]:
        return [float(len(text)) for text in texts]


def test_a_judge_without_a_limit_reads_captions_whole() -> None:
    assert Clip(Lengths()).score_captions([noise(8, 8)], ["dog " * 400]) == [1600.0]
