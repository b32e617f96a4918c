"""Sums of rewards by name: what each part gives, what an evaluator judges, and one line for whatever cannot be."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from suder_bench import registry
from suder_bench.data.source import Source
from suder_bench.errors import JudgeError, UserError
from suder_bench.evaluators.geneval import GenEval
from suder_bench.evaluators.t2i_compbench import CATEGORIES, T2ICompBench
from suder_bench.models.pictures import picture
from suder_bench.rewards.evaluator import EvaluatorReward
from suder_bench.training import rewards
from suder_bench.training.rewards import RewardError, RewardSum
from suder_bench.world import render, tasks, train_split
from suder_bench.world.examples import stream
from suder_bench.world.scenes import Description, Phrase, draw

OURS = SimpleNamespace(name="ours", fingerprint="", settings={}, world=True)
OTHERS = SimpleNamespace(name="theirs", fingerprint="", settings={})


class Scorer:
    """log p of a prompt is the mean pixel, of a picture's codes minus the caption's length."""

    def __init__(self) -> None:
        self.seen: list[object] = []

    def text_logprobs(self, images: Any, texts: Sequence[str]) -> list[torch.Tensor]:
        self.seen.append(images)
        return [image.mean().reshape(1) for image in images]

    def image_logprobs(self, texts: Sequence[str], image_tokens: torch.Tensor) -> torch.Tensor:
        return -torch.tensor([float(len(text)) for text in texts])[:, None].expand(-1, 4)

    def tokenize_images(self, images: Sequence[Image.Image]) -> torch.Tensor:
        return torch.zeros(len(images), 4, dtype=torch.long)


class Redness:
    """A reward for pictures only; prompts that name a number get it."""

    name = "redness"

    @classmethod
    def load(cls, model: object) -> Redness:
        return cls()

    def score_images(self, prompts: Sequence[str], pictures: Sequence[Image.Image]) -> list[float]:
        named = [re.search(r"nan|inf", prompt) for prompt in prompts]
        return [
            float(found[0]) if found else float(np.asarray(one)[..., 0].mean())
            for found, one in zip(named, pictures, strict=True)
        ]


class Length(Redness):
    """Scores captions too."""

    name = "length"

    def score_captions(self, pictures: Sequence[Image.Image], captions: Sequence[str]) -> list[float]:
        return [float("nan") if "nan" in caption else float(len(caption)) for caption in captions]


class Short(Redness):
    def score_images(self, prompts: Sequence[str], pictures: Sequence[Image.Image]) -> list[float]:
        return [0.0]


@pytest.fixture(autouse=True)
def named(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    mine = {name: f"{__name__}:{kind}" for name, kind in (("redness", "Redness"), ("length", "Length"), ("short", "Short"))}
    monkeypatch.setattr(registry, "TABLE", {**registry.TABLE, "rewards": {**registry.TABLE["rewards"], **mine}})
    registry.table.cache_clear()
    yield
    registry.table.cache_clear()


def load(weights: dict[str, float], task: Any = "gen", *, model: Any = OURS, **others: Any) -> RewardSum:
    others = {"scorer": Scorer(), "batch_size": 4} | others
    return RewardSum.load(weights, model=model, task=task, **others)


def pixels(*values: float) -> torch.Tensor:
    return torch.tensor(values).view(-1, 1, 1, 1).expand(-1, 3, 4, 4)


def square(shade: int) -> Image.Image:
    return Image.new("RGB", (4, 4), (shade, shade, shade))


def test_the_weighted_sum_of_pictures() -> None:
    scores = load({"dsr": 1, "redness": 0.5, "length": -2}).images(["a", "b"], pixels(-1.0, 1.0))
    assert set(scores.parts) == {"dsr", "redness", "length"}
    assert scores.parts["dsr"].tolist() == [-1.0, 1.0]
    assert scores.parts["redness"].tolist() == [0.0, 255.0]
    assert scores.total.tolist() == [-1.0, 1.0 - 1.5 * 255]
    assert {one.dtype for one in (scores.total, *scores.parts.values())} == {torch.float64}


def test_the_weighted_sum_of_captions() -> None:
    scores = load({"dsr": 2, "length": 1}, "und").captions([square(1)] * 2, ["ab", ""])
    assert scores.parts["dsr"].tolist() == [-2.0, 0.0]
    assert scores.total.tolist() == [-2.0, 0.0]


def test_a_reward_of_weight_0_is_only_told() -> None:
    scores = load({"dsr": 1, "redness": 0}).images(["a"], pixels(1.0))
    assert (scores.total.tolist(), scores.parts["redness"].tolist()) == ([1.0], [255.0])


def test_dsr_gets_the_pixels_and_pictures_are_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[torch.Tensor] = []
    monkeypatch.setattr(rewards, "picture", lambda one: made.append(one) or picture(one))
    scorer = Scorer()
    load({"dsr": 1}, scorer=scorer).images(["a", "b"], pixels(0.0, 1.0))
    assert made == []
    assert all(isinstance(images, torch.Tensor) for images in scorer.seen)
    load({"dsr": 1, "redness": 1, "length": 1}, scorer=scorer).images(["a", "b"], pixels(0.0, 1.0))
    assert len(made) == 2


def test_the_scorer_is_who_is_asked() -> None:
    frozen, partner = Scorer(), Scorer()
    load({"dsr": 1}, scorer=partner).images(["a"] * 5, pixels(*[0.0] * 5))
    assert (len(frozen.seen), [len(images) for images in partner.seen]) == (0, [4, 1])


def test_nothing_to_score() -> None:
    scores = load({"dsr": 1, "redness": 1, "clip": 1, "evaluator:geneval": 1}).images([], torch.zeros(0, 3, 4, 4))
    assert (scores.total.shape, set(map(len, scores.parts.values()))) == ((0,), {0})
    assert load({"dsr": 1, "clip": 1}, "und").captions([], []).total.shape == (0,)


def test_self_rewards_ask_the_scorer_too() -> None:
    class Asked(Scorer):
        def choice_logprobs(self, images: Any, questions: Sequence[str], choices: Sequence[str]) -> torch.Tensor:
            self.seen.append(len(images))
            return torch.zeros(len(images), 2)

    scorer = Asked()
    scores = load({"vqa": 1, "srum": 1}, scorer=scorer).images(["a", "b"], pixels(0.0, 1.0))
    assert scores.parts["vqa"].tolist() == [0.5, 0.5]
    assert scores.parts["srum"].tolist() == [0.25, 0.25]
    assert scorer.seen == [2, 4, 4, 4, 4, 4]
    with pytest.raises(UserError, match=r"reward 'vqa' cannot score captions; choose reward.und from clip, dsr"):
        load({"vqa": 1}, "und", scorer=scorer)


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_what_is_no_number_stops(value: str) -> None:
    with pytest.raises(RewardError, match=f"reward 'redness' is {value} for a picture for 'a {value}'") as caught:
        load({"redness": 1}).images(["a", f"a {value}"], pixels(0.0, 0.0))
    assert (caught.value.status, isinstance(caught.value, UserError)) == (1, True)
    assert "\n" not in str(caught.value)


def test_what_is_no_number_of_a_caption_stops() -> None:
    with pytest.raises(RewardError, match="reward 'length' is nan for caption 'nan two' of picture 1 of the batch"):
        load({"length": 1}, "und").captions([square(1)] * 2, ["a", "nan\ntwo"])


def test_a_reward_gives_a_number_for_each_sample() -> None:
    with pytest.raises(RuntimeError, match=r"reward 'short' gave \(1,\) numbers for 2 samples"):
        load({"short": 1}).images(["a", "b"], pixels(0.0, 0.0))


@pytest.mark.parametrize(
    ("weights", "task", "message"),
    [
        ({"drs": 1}, "gen", "unknown reward 'drs'; did you mean 'dsr'.*clip, dsr, evaluator:geneval, .*evaluator:t2i-compbench"),
        ({"clp": 1}, "und", r"did you mean 'clip'\? \(choices: clip, dsr, length\)"),
        ({"evaluator:genval": 1}, "gen", "unknown reward 'evaluator:genval'; did you mean 'evaluator:geneval'"),
        ({"evaluator:pope": 1}, "gen", "unknown reward 'evaluator:pope'"),
        ({"redness": 1}, "und", "reward 'redness' cannot score captions; choose reward.und from clip, dsr, length"),
        ({"evaluator:geneval": 1}, "und", "'evaluator:geneval' cannot score captions; choose reward.und from clip, dsr"),
        ({}, "gen", "reward.gen is nothing; give a reward a finite weight"),
        ({"dsr": 0}, "und", "reward.und is dsr: 0; give"),
        ({"dsr": 1, "clip": math.nan}, "gen", "clip: nan; give"),
    ],
)
def test_a_wrong_reward_is_told_in_one_line(weights: dict[str, float], task: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        load(weights, task)
    assert "\n" not in str(caught.value)


def scene(*phrases: Phrase) -> torch.Tensor:
    """Pixels in [-1, 1] of a picture of the phrases."""
    drawn = np.asarray(render.picture(draw(Description(phrases), stream("a test", 1))))
    return torch.from_numpy(drawn.copy()).permute(2, 0, 1).float()[None] / 127.5 - 1


def test_geneval_judges_its_training_prompts() -> None:
    reward = load({"evaluator:geneval": 1})
    prompts = [row["prompt"] for row in train_split.geneval_rows()]
    reward.check(prompts)
    shown = torch.cat([scene(Phrase("ball", color="red")), scene(Phrase("ball", color="blue")), scene(Phrase("ball", count=2))])
    scores = reward.images(["a photo of a red ball", "a photo of a red ball", "a photo of two balls"], shown)
    assert scores.total.tolist() == [1.0, 0.0, 1.0]


def test_a_prompt_that_is_not_asked_is_named_with_the_fix() -> None:
    reward = load({"evaluator:geneval": 1, "dsr": 1})
    message = r"'evaluator:geneval' does not know the prompt 'an orange cat'.*choose another reward"
    with pytest.raises(UserError, match=message):
        reward.check(["a photo of a ball", "an orange cat"])
    with pytest.raises(UserError, match=message):
        reward.images(["an orange cat"], pixels(0.0))


def test_a_folder_of_ones_own(tmp_path: Path) -> None:
    tasks.write(tmp_path, size="quick", benchmarks=["geneval"])
    asked = [sample.prompt for sample in GenEval(tmp_path).samples()]
    files = {"geneval": tmp_path}  # the folder tells that its pictures are the world's
    load({"evaluator:geneval": 1}, model=OTHERS, data=files).check(asked)
    (tmp_path / "world.json").unlink()
    with pytest.raises(JudgeError, match="judge detector"):
        load({"evaluator:geneval": 1}, model=OTHERS, data=files, offline=True)


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("quick")
    tasks.write(folder, size="quick", benchmarks=["t2i-compbench"])
    return folder


def test_t2i_compbench_judges_its_training_prompts(quick: Path) -> None:
    reward = load({"evaluator:t2i-compbench": 1}, data={"t2i-compbench": quick})
    samples = T2ICompBench(quick).training_samples()
    assert len({sample.id for sample in samples} | {sample.id for sample in T2ICompBench(quick).samples()}) == 8 * (70 + 10)
    by_category = {sample.truth["category"]: sample for sample in samples}
    assert list(by_category) == list(CATEGORIES)
    assert {sample.truth["list"] for sample in samples if "list" in sample.truth} == {"action", "spatial", "spatialaction"}
    prompts = [sample.prompt for sample in by_category.values()]
    scores = reward.images(prompts, torch.cat([scene(Phrase("ring", color="pink"))] * 8)).total
    assert scores.shape == (8,)
    assert ((scores >= 0) & (scores <= 1)).all()
    color = next(sample.prompt for sample in samples if sample.truth["category"] == "color")
    (_, one, first), (_, two, second) = (part.split(" ") for part in color.split(" and "))
    right = scene(Phrase(first, color=one), Phrase(second, color=two))
    wrong = scene(Phrase(second, color=two))
    better, worse = reward.images([color] * 2, torch.cat([right, wrong])).total.tolist()
    assert better > 0.8 > 0.2 > worse


def test_t2i_compbench_does_not_judge_its_test_prompts(quick: Path) -> None:
    reward = load({"evaluator:t2i-compbench": 1}, data={"t2i-compbench": quick})
    with pytest.raises(UserError, match="does not know the prompt"):
        reward.check([T2ICompBench(quick).samples()[0].prompt])


def test_official_prompts_are_judged_by_official_judges(monkeypatch: pytest.MonkeyPatch, quick: Path) -> None:
    asked: list[str] = []

    def folder(source: Source, benchmark: str, say: object, *, offline: bool) -> Path:
        asked.append(source.kind)
        return quick

    monkeypatch.setattr(Source, "folder", folder)
    with pytest.raises(JudgeError, match=r"judge vqa|judge detector-2d"):
        load({"evaluator:t2i-compbench": 1}, model=OTHERS, offline=True)
    assert asked == ["official"]


def test_only_the_judges_of_the_prompts_at_hand_are_needed(tmp_path: Path) -> None:
    tasks.write(tmp_path, size="quick", benchmarks=["t2i-compbench"])
    (tmp_path / "world.json").unlink()  # so that the other judges are the official ones, which are not here
    colors = [one.prompt for one in T2ICompBench(tmp_path).training_samples() if one.truth["category"] == "color"]
    options = {
        "model": OTHERS,
        "data": {"t2i-compbench": tmp_path},
        "judges": {"vqa": "world", "parser": "world"},
        "offline": True,
    }
    reward = load({"evaluator:t2i-compbench": 1}, prompts=colors, **options)
    reward.check(colors)
    assert 0 <= reward.images(colors[:1], pixels(0.0)).total.item() <= 1
    with pytest.raises(JudgeError, match="judge detector-2d"):
        load({"evaluator:t2i-compbench": 1}, **options)


def test_a_verdict_without_a_number_is_refused(tmp_path: Path) -> None:
    class Wordy(GenEval):
        def verdicts(self, answered: Any, judges: Any) -> Any:
            return (SimpleNamespace(scores={"words": 1.0}, correct=None) for _ in answered)

    train_split.write_geneval(tmp_path)
    reward = EvaluatorReward(Wordy(tmp_path), {})
    with pytest.raises(UserError, match="a verdict holds words, none of score, correct"):
        reward.score_images(["a photo of a ball"], [square(1)])
