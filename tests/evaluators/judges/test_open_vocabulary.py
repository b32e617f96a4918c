"""The open-vocabulary detector with tiny random weights: what OWLv2 says of each noun, in the picture's pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_judges import HERE, noise
from transformers import CLIPTokenizer, Owlv2ForObjectDetection
from transformers.models.owlv2.image_processing_pil_owlv2 import Owlv2ImageProcessorPil

from suder_bench.errors import JudgeError
from suder_bench.evaluators.judges import open_vocabulary
from suder_bench.evaluators.judges.open_vocabulary import LEAST_SCORE, apart, overlaps, square
from suder_bench.evaluators.judges.protocols import PromptedDetector
from suder_bench.evaluators.judges.weights import OPENAI_MEAN, OPENAI_STD, pixels
from suder_bench.evaluators.judges.world import WorldDetector
from suder_bench.evaluators.t2i_compbench.numeracy import judge_numeracy
from suder_bench.evaluators.t2i_compbench.spatial import Query, judge_spatial


def load(folder):
    return open_vocabulary.load("detector-2d", source=str(folder), **HERE)


def test_scores_and_boxes_are_owls(owl):
    picture, names = noise(96, 64), ["dog", "red ball"]
    (found,) = load(owl).detect_named([picture], [names])
    model, tokenizer = Owlv2ForObjectDetection.from_pretrained(owl).eval(), CLIPTokenizer.from_pretrained(owl)
    processor = Owlv2ImageProcessorPil(size={"height": 64, "width": 64})
    for column, name in enumerate(names):
        text = tokenizer([f"a photo of a {name}"], padding="max_length", max_length=32, return_tensors="pt")
        with torch.no_grad():
            seen = model(**text, pixel_values=pixels(square(picture, 64), OPENAI_MEAN, OPENAI_STD)[None])
        (best,) = processor.post_process_object_detection(seen, threshold=LEAST_SCORE, target_sizes=[(64, 96)])
        own = [one for one in found if one.label == name]
        assert own[0].score == pytest.approx(float(best["scores"].max()), abs=1e-5)
        box = best["boxes"][best["scores"].argmax()].clamp(min=0)
        box = torch.minimum(box, torch.tensor([96.0, 64.0, 96.0, 64.0]))
        assert own[0].box == pytest.approx(box.tolist(), abs=1e-2)
        assert column == names.index(name)
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)


def test_a_picture_is_prepared_nearly_as_the_processor_does():
    """Which pads and stretches the same way, but rounds to no 8 bits in between."""
    picture = noise(40, 32)
    theirs = Owlv2ImageProcessorPil(size={"height": 64, "width": 64})(picture, return_tensors="pt")["pixel_values"][0]
    ours = pixels(square(picture, 64), OPENAI_MEAN, OPENAI_STD)
    assert (ours - theirs)[:, :48].abs().mean() < 0.02  # the padding below is grey here and there


def test_detections_do_not_depend_on_the_batch(owl):
    judge = load(owl)
    pictures = [noise(64, 64, i) for i in range(10)]
    names = [["dog"], [], ["cat", "red ball", "dog"], *([["dog"]] * 7)]
    whole = judge.detect_named(pictures, names)
    assert whole[1] == []
    for picture, own, found in zip(pictures, names, whole, strict=True):
        (alone,) = judge.detect_named([picture], [own])
        assert {one.label for one in alone} <= set(own)
        assert [one.score for one in alone] == pytest.approx([one.score for one in found], abs=1e-5)


def test_boxes_that_repeat_a_surer_one_are_dropped():
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 9], [0, 0, 10, 5], [20, 20, 30, 30], [5, 5, 5, 5]], dtype=float)
    scores = np.array([0.5, 0.9, 0.3, 0.4, 0.2])
    assert apart(boxes, scores) == [1, 3, 4]  # the third overlaps the second by 5/9
    assert overlaps(boxes, boxes[0]).tolist() == [1, 0.9, 0.5, 0, 0]
    assert len(apart(np.tile(np.arange(400.0)[:, None] * 20, 4) + np.array([0, 0, 5, 5]), np.ones(400))) == 300


def test_it_is_never_exact_and_random_weights_fail(owl):
    judge = load(owl)
    assert judge.exact is False
    assert judge.backend == f"open-vocabulary-{owl.name}"
    with pytest.raises(JudgeError, match="a drawn disc"):
        judge.check()


def test_missing_weights_say_what_to_do(tmp_path):
    with pytest.raises(
        JudgeError, match="judge detector-3d: google/owlv2-base-patch16-ensemble is not in the Hugging Face cache"
    ):
        open_vocabulary.load("detector-3d", **HERE)
    with pytest.raises(JudgeError, match="not a folder in transformers' format"):
        open_vocabulary.load("detector-3d", **(HERE | {"source": str(tmp_path)}))


class Asked:
    """Remembers what it was told to look for."""

    backend, exact, fingerprint = "asked", False, "0"

    def __init__(self) -> None:
        self.names: list = []

    def check(self) -> None:
        pass

    def detect_named(self, pictures, names):
        assert all(picture.size == (479, 479) for picture in pictures)
        self.names += names
        return [[] for _ in pictures]


def test_each_prompt_is_looked_for_by_its_own_nouns():
    judge, picture = Asked(), Image.new("RGB", (64, 64))
    assert isinstance(judge, PromptedDetector)
    assert not isinstance(WorldDetector(), PromptedDetector)
    judge_spatial([picture] * 3, [Query("person", "dog", "near"), Query("cat", "cat", None), Query(None, None, None)], judge)
    judge_numeracy([picture], [[("ship", 2), ("dog", 1), ("boat", 1)]], judge)
    assert judge.names == [["person", "dog"], ["cat"], [], ["boat", "dog"]]
