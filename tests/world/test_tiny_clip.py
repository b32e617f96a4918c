"""The shipped tiny-clip, and what it is trained and tested on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from suder_bench.evaluators.judges.clip import ClipSimilarity, TinyClip
from suder_bench.world import checkpoints
from suder_bench.world.language import FAMILIES, split_of
from suder_bench.world.pretrain import clip, clip_lessons
from suder_bench.world.reading import faithful
from suder_bench.world.render import picture
from suder_bench.world.scenes import Description, Phrase, draw
from suder_bench.world.train_split import stream

FOLDER = checkpoints.path("tiny-clip")


@pytest.fixture(scope="module")
def judge() -> TinyClip:
    return TinyClip.load()


def test_it_is_small_and_half_precision() -> None:
    assert sum(file.stat().st_size for file in FOLDER.iterdir()) < 5e6
    assert json.loads((FOLDER / "config.json").read_text())["suder_bench_world"] is True


def test_it_passes_its_known_answers_and_is_never_the_benchmarks_own(judge: TinyClip) -> None:
    judge.check()
    assert isinstance(judge, ClipSimilarity)
    assert (judge.backend, judge.exact) == ("tiny-clip", False)


def test_the_log_is_of_the_shipped_weights() -> None:
    """The last line was measured on them: some of it again."""
    log = [json.loads(line) for line in Path(clip.__file__).with_name("clip_log.jsonl").read_text().splitlines()]
    measured = log[-1]
    assert (measured["stage"], measured["pictures"]) == ("matching", clip.HELD_OUT)
    assert log[-2]["bytes"] == sum(file.stat().st_size for file in FOLDER.iterdir())
    again = clip.matching(FOLDER, 112)
    assert again["all"] == pytest.approx(measured["all"], abs=0.12)
    assert again["noun"] > 0.9


def test_a_caption_of_any_length_and_case_is_read(judge: TinyClip) -> None:
    seen = picture(draw(Description((Phrase("ball", color="red"),)), stream("a test", 0)))
    lower, upper, strange = judge.similarity([seen] * 3, ["a red ball", "A RED BALL", "Ünïcödé 日本 \x00 🎈"])
    assert lower == pytest.approx(upper, abs=1e-6)
    assert strange < lower
    [long] = judge.similarity_to_beginnings([seen], ["a red ball " * 200])
    assert -1 <= long <= 1


def test_near_misses_are_false_and_texts_true() -> None:
    for i in range(60):
        one = clip_lessons.pair(i)
        assert one.picture.shape == (64, 64, 3)
        assert not set(one.right) & set(one.wrong)
    rng = np.random.default_rng(0)
    description = Description((Phrase("ball", color="red"), Phrase("tent", color="blue")))
    scene = draw(description, rng)
    text = "a photo of a red ball and a blue tent"
    found = clip_lessons.near_misses(text, scene, rng)
    assert set(found) == {"noun", "attribute", "bearer"}
    assert found["bearer"] == "a photo of a red tent and a blue ball"
    assert faithful(text, scene)
    assert not any(faithful(wrong, scene) for wrong in found.values())
    assert all(faithful(clip_lessons.retold(scene, rng), scene) for _ in range(10))


def test_it_is_tested_on_texts_that_it_was_not_trained_on() -> None:
    families = list(FAMILIES)
    for i in range(56):
        assert split_of(families[i % len(families)], clip_lessons.held_out(i)[1]) in ("val", "both")


def test_the_loss_of_vectors_told_by_hand() -> None:
    own = torch.eye(2)
    scale = torch.tensor(1.0)
    loss, nearest = clip.contrastive(own, own, torch.empty(0, 2), scale)
    e = torch.e
    assert loss.item() == pytest.approx(float(-np.log(e / (e + 1))))
    assert nearest == 1
    loss, nearest = clip.contrastive(own, own, 2 * own[:1], scale)
    pictures = (-np.log(e / (e + 1 + e**2)) - np.log(e / (1 + e + 1))) / 2
    assert loss.item() == pytest.approx(float((pictures - np.log(e / (e + 1))) / 2))
    assert nearest == 0.5


@pytest.mark.slow
def test_a_short_training_writes_a_checkpoint_that_the_judge_reads(tmp_path: Path) -> None:
    short = ["--out", str(tmp_path), "--steps", "2", "--pool", "40", "--held-out", "56"]
    assert clip.main(short) == 0
    log = [json.loads(line) for line in (tmp_path / "clip_log.jsonl").read_text().splitlines()]
    assert [row["stage"] for row in log] == ["start", "pool", "clip", "exported", "matching"]
    first = {file.name: file.read_bytes() for file in (tmp_path / "tiny-clip").iterdir()}
    assert clip.main(short) == 0
    assert {file.name: file.read_bytes() for file in (tmp_path / "tiny-clip").iterdir()} == first
    seen = Image.new("RGB", (64, 64))
    towers = clip.TransformersTowers.load("clip", str(tmp_path / "tiny-clip"), device="cpu", dtype="auto", offline=True)
    assert len(ClipSimilarity(towers).similarity([seen], ["a ball"])) == 1
