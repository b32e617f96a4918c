"""The reward srum: the model's own judgement of a picture and of its nine regions, against numbers told by hand."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from suder_bench import registry
from suder_bench.errors import UserError
from suder_bench.models.janus import JanusModel
from suder_bench.rewards import proposals
from suder_bench.rewards.proposals import objects
from suder_bench.rewards.protocols import CaptionReward
from suder_bench.rewards.regions import Region, cells
from suder_bench.rewards.srum import Judging, Srum, combined
from suder_bench.rewards.srum_words import read_layout, read_regions
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
    assert combined(0.5, None) == 0.75
    assert combined(0.5, []) == 0.375


def test_a_picture_with_known_judgements() -> None:
    model = Redness()
    reward = Srum(model, whole=lambda prompt: f"whole {prompt}", region=lambda prompt: f"part {prompt}", batch_size=8)
    red, black = Image.new("RGB", (9, 9), "red"), Image.new("RGB", (9, 9), "black")
    scores = reward.score_images(["x", "y", "z"], [red_left(), red, black])
    assert scores == pytest.approx([1 / 3 * 1 / 3, 1, 0], abs=1e-9)
    assert model.batches == [8, 8, 8, 6]
    assert model.questions[:11] == ["whole x", *["part x"] * 9, "whole y"]
    [judged] = reward.regions(["x"], [red_left()])
    assert judged is not None
    assert [one.score for one in judged] == pytest.approx([1, -1, -1] * 3, abs=1e-9)
    assert len(model.batches) == 4  # what was just scored is not asked again
    assert reward.score_images([], []) == []
    with pytest.raises(ValueError, match="1 prompts for 2 pictures"):
        reward.score_images(["a"], [red, red])


def test_regions_cover_the_picture_once() -> None:
    picture = Image.fromarray(np.arange(64 * 40, dtype=np.uint16).reshape(40, 64).astype(np.uint8))
    crops = [picture.crop(cell) for cell in cells(picture.size, 3)]
    assert [crop.size for crop in crops] == [(w, h) for h in (13, 14, 13) for w in (21, 22, 21)]
    rows = [np.concatenate([np.asarray(crop) for crop in crops[i : i + 3]], axis=1) for i in (0, 3, 6)]
    assert (np.concatenate(rows) == np.asarray(picture)).all()


def test_the_global_scalar_asks_of_the_whole_alone_until_regions_are_wanted() -> None:
    model = Redness()
    reward = Srum(model, judging=Judging(scalar="global", cells=2), batch_size=64)
    assert reward.score_images(["x"], [red_left()]) == pytest.approx([1 / 3])
    [found] = reward.regions(["x"], [red_left()])
    assert found is not None
    assert [(one.box, round(one.score, 6)) for one in found] == [
        ((0, 0, 6, 6), round(1 / 3, 6)),
        ((6, 0, 12, 6), -1.0),
        ((0, 6, 6, 12), round(1 / 3, 6)),
        ((6, 6, 12, 12), -1.0),
    ]
    assert model.batches == [1, 4]


def boxed(prompts: Sequence[str], pictures: Sequence[Image.Image]) -> list[list[tuple[int, int, int, int]]]:
    """As a segmenter would: a left third, a pixel, one that reaches outside, and one that is none."""
    return [[(11, 11, 12, 12), (0, 0, 4, 12), (4, 0, 99, 12), (3, 3, 3, 9)] for _ in pictures]


def unboxed(prompts: Sequence[str], pictures: Sequence[Image.Image]) -> list[list[str]]:
    return [["left"] for _ in pictures]


def endless(prompts: Sequence[str], pictures: Sequence[Image.Image]) -> list[list[tuple[float, ...]]]:
    return [[(0, 0, 4, float("inf"))] for _ in pictures]


def few(prompts: Sequence[str], pictures: Sequence[Image.Image]) -> list[list[tuple[int, int, int, int]]]:
    return []


class Asked(Redness):
    """Answers with what it was told to, and as the adapters have it a name."""

    name, fingerprint, settings = "asked", "", {}

    def __init__(self, *replies: str) -> None:
        super().__init__()
        self.replies = list(replies)
        self.asked: list[str] = []

    def answer(self, images: object, questions: Sequence[str], *, seeds: Sequence[int], sampling: object) -> list[str]:
        self.asked += questions
        return [self.replies.pop(0) for _ in questions]


def test_boxes_of_a_plug_in_are_cut_and_the_largest_kept() -> None:
    reward = Srum.load(Asked(), judging=Judging(boxes=f"{__name__}:boxed", most=2))
    [found] = reward.regions(["x"], [red_left()])
    assert found == [Region((4, 0, 12, 12), pytest.approx(-1)), Region((0, 0, 4, 12), pytest.approx(1))]
    assert reward.score_images(["x"], [red_left()]) == pytest.approx([1 / 3 * 1 / 2])


@pytest.mark.parametrize(
    ("boxes", "says"),
    [
        ("gird", "unknown source of boxes 'gird'; did you mean 'grid'"),
        ("nowhere:boxes", "boxes 'nowhere:boxes' are no function that can be imported"),
        (f"{__name__}:nothing", "are no function that can be imported"),
        (f"{__name__}:endless", "are not four numbers each, left, top, right, bottom"),
        (f"{__name__}:unboxed", "are not four numbers each, left, top, right, bottom"),
        (f"{__name__}:few", "came for 0 pictures, not for 1; give a list for each"),
    ],
)
def test_boxes_that_nobody_gives_are_told_in_a_line(boxes: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        Srum.load(Asked(), judging=Judging(boxes=boxes)).regions(["x"], [red_left()])


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("a red ball on the left of two cups", ["a red ball", "two cups"]),
        ("1. Ball\n2. a cup, and a tree.", ["ball", "a cup", "a tree"]),
        ("- sand - a boat", ["sand - a boat"]),
        ("", []),
        ("...", []),
    ],
)
def test_what_a_model_names_is_split_into_things(text: str, names: list[str]) -> None:
    assert objects(text) == names


def test_boxes_of_the_model_are_where_it_says_yes() -> None:
    model = Asked("A ball, a ball and a cup", "")
    reward = Srum.load(model, judging=Judging(boxes="model"))
    assert reward.boxes.propose(["x"], [red_left()]) == [[(0, 0, 4, 12)]]  # both things are where it is red
    assert "Is there a ball in the image?" in model.questions[0]
    assert reward.boxes.propose(["x"], [red_left()]) == [[]]
    green = Asked("a ball")
    assert Srum.load(green, judging=Judging(boxes="model")).boxes.propose(["x"], [Image.new("RGB", (12, 12))]) == [[(0, 0, 4, 4)]]
    with pytest.raises(UserError, match="boxes 'model' need a model that answers"):
        proposals.load("model", SimpleNamespace(name="mute", fingerprint="", settings={}), cells=3, batch_size=1)


# In words, as the released code asks and reads


@pytest.mark.parametrize(
    ("reply", "score"),
    [
        ("Score: 0.75\nReason: fine", 0.75),
        ("score:-1", -1.0),
        ("Layout: good Score: 0. Score: 1", 0.0),
        ("Score: 9</think>Score: 0.5</think> Score: 0.25", 0.25),
        ("Score:\n\n0.5", 0.5),
        ("Score: 0.5/1", 0.5),
        ("Score: 3", 3.0),
        ("Score: .5", None),
        ("Score: +0.5", None),
        ("Score: high", None),
        ("**Score:** 0.5", None),
        ("0.5", None),
        ("Score: 0.5</think>", None),
        ("", None),
    ],
)
def test_what_is_read_of_a_layout(reply: str, score: float | None) -> None:
    assert read_layout(reply) == score


BLOCK = "Region ID: {}\nIdentified Object: a ball\nScore: {}\nReason: because"


@pytest.mark.parametrize(
    ("reply", "scores"),
    [
        (BLOCK.format(1, 0.5) + "\n\n" + BLOCK.format(2, -1), {1: 0.5, 2: -1.0}),
        pytest.param(
            BLOCK.format("1" * 5000, 1) + "\n\n" + BLOCK.format(2, "9" * 5000), {2: float("inf")}, id="of a model that babbles"
        ),
        (BLOCK.format(1, 0.5) + "\n" + BLOCK.format(2, -1), {1: 0.5}),  # no empty line: one block
        (BLOCK.format(1, 0.5) + "\n\n" + BLOCK.format(1, 0.25), {1: 0.25}),
        (BLOCK.format(1, 0.5) + "\n\nRegion ID: 1", {}),
        ("Region ID: 1\nScore: 0.5", {}),  # its object is missing
        ("Region ID: 1\nIdentified Object:\nScore: 0.5", {1: 0.5}),
        ("Region ID: one\nIdentified Object: a ball\nScore: 0.5", {}),
        (BLOCK.format(7, "none"), {}),
        ("The regions are fine.</think>" + BLOCK.format(3, "0.1"), {3: 0.1}),
        (BLOCK.format(3, "0.1") + "</think>nothing", {}),
        ("", {}),
    ],
)
def test_what_is_read_of_regions(reply: str, scores: dict[int, float]) -> None:
    assert read_regions(reply) == scores


def test_a_grid_finer_than_the_picture_has_a_cell_for_each_pixel() -> None:
    reward = Srum.load(Asked("a ball"), judging=Judging(boxes="model", cells=100))
    assert reward.boxes.propose(["x"], [red_left()]) == [[(0, 0, 4, 12)]]


def test_a_picture_judged_in_words() -> None:
    model = Asked("Score: 0.5", BLOCK.format(1, 1) + "\n\n" + BLOCK.format(3, -0.5))
    reward = Srum.load(model, judging=Judging(score="text", cells=2))
    assert reward.score_images(["a ball"], [red_left()]) == pytest.approx([0.75 * (1 + 0.25) / 2])
    assert '"a ball"' in model.asked[0]
    assert "1: [0, 0, 6, 6]\n2: [6, 0, 12, 6]" in model.asked[1]
    assert reward.regions(["a ball"], [red_left()]) == [[Region((0, 0, 6, 6), 1.0), Region((0, 6, 6, 12), -0.5)]]
    assert reward.failures() == {"scores": 5, "unread": 2, "outside": 0}
    assert model.batches == []


@pytest.mark.parametrize("whole", ["Score: 0.0", "what a nice picture"])
def test_a_layout_of_zero_or_that_cannot_be_read_teaches_nothing(whole: str) -> None:
    reward = Srum.load(Asked(whole, "sorry"), judging=Judging(score="text"))
    assert reward.score_images(["a ball"], [red_left()]) == [0.25]  # S = 0, and one half outside of all boxes
    assert reward.regions(["a ball"], [red_left()]) == [None]
    assert reward.failures() == {"scores": 10, "unread": 9 + (whole != "Score: 0.0"), "outside": 0}


@pytest.mark.parametrize(
    ("scalar", "replies"),
    [
        ("product", ["sorry", BLOCK.format(1, 1), "Score: 0.5", BLOCK.format(1, 1), "sorry"]),
        ("global", ["sorry", "Score: 0.5", "sorry", BLOCK.format(1, 1)]),
    ],
)
def test_a_picture_without_a_layout_teaches_nothing_though_others_were_scored_since(scalar: Any, replies: list[str]) -> None:
    """As where memory holds only a part of the pictures at once: the first is asked about again, and not about its boxes."""
    model = Asked(*replies)
    reward = Srum.load(model, judging=Judging(scalar=scalar, score="text"))
    blue = Image.new("RGB", (12, 12), (0, 0, 255))
    for prompt, one in (("a ball", red_left()), ("a cube", blue)):
        reward.score_images([prompt], [one])
    assert reward.regions(["a ball", "a cube"], [red_left(), blue]) == [None, [Region((0, 0, 4, 4), 1.0)]]
    assert model.replies == []


def test_a_score_outside_is_cut_off_and_counted() -> None:
    reward = Srum.load(Asked("Score: 7"), judging=Judging(scalar="global", score="text"))
    assert reward.score_images(["a ball"], [red_left()]) == [1.0]
    assert reward.failures() == {"scores": 1, "unread": 0, "outside": 1}


def test_probabilities_have_nothing_that_could_not_be_read() -> None:
    assert Srum(Redness()).failures() == {}


def test_a_model_that_cannot_be_asked() -> None:
    with pytest.raises(UserError, match="reward 'srum' with score 'text' needs a model that answers; 'mute' does not"):
        Srum.load(SimpleNamespace(name="mute", fingerprint="", settings={}), judging=Judging(score="text"))
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
