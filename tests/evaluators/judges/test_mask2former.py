"""Mask2Former as GenEval's detector: what mmdet does before and after the network, and mmdet's own answers."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import mmdet_two
import numpy as np
import pytest
import tiny_detector
import torch
from PIL import Image
from tiny_judges import HERE, manifest

from suder_bench.errors import JudgeError
from suder_bench.evaluators.judges import mask2former, mmdet_detector, mmdet_weights, official, street
from suder_bench.evaluators.judges.mask2former import Mask2Former, Sizes, objects, prepare, tight_box
from suder_bench.evaluators.judges.protocols import Detection, NumberedClasses

NAMES = [f"thing {place}" for place in range(80)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tiny_detector.save(tmp_path_factory.mktemp("detector"))


@pytest.fixture(scope="module")
def detector(folder) -> Mask2Former:
    return official.load("detector", source=str(folder), **HERE)


def agree(found: list[Detection], expected: list[Detection]) -> None:
    """Box to 1e-3 pixels, confidence to 1e-4, mask to 99.9 %, in any order of equals.

    A pixel on the edge of a small mask can fall to either side by rounding, and takes its share of the mean with it; in a
    mask of one pixel nothing averages its rounding away.
    """
    left = list(expected)
    for one in found:
        near = next((other for other in left if one.label == other.label and _alike(one, other)), None)
        assert near is not None, one
        left = [other for other in left if other is not near]
    assert not left


def _alike(one: Detection, other: Detection) -> bool:
    flipped, pixels = int((one.mask != other.mask).sum()), max(1, int(one.mask.sum()))
    certain = abs(one.score - other.score) < 1e-4 + (1e-4 + 0.5 * flipped) / pixels
    return certain and flipped <= one.mask.size / 1000 and np.abs(np.subtract(one.box, other.box)).max() <= 1e-3


@pytest.mark.parametrize("scene", mmdet_two.SCENES)
def test_what_mmdet_2_finds(scene, detector):
    as_recorded(detector, scene, mmdet_two.read()[scene])


@pytest.mark.slow
def test_what_mmdet_2_finds_with_a_network_of_genevals_size(tmp_path):
    detector = official.load("detector", source=str(tiny_detector.save(tmp_path, mmdet_weights.geneval_config())), **HERE)
    for scene, rows in mmdet_two.read(full=True).items():
        as_recorded(detector, scene, rows)


def as_recorded(detector: Mask2Former, scene: mmdet_two.Scene, rows: list[dict[str, Any]]) -> None:
    (found,) = detector._detect([tiny_detector.scene(*scene)], 0.0)
    assert len(found) == mask2former.BEST
    recorded = [Detection(str(row["class"]), row["score"], tuple(row["box"]), row["mask"]) for row in rows]
    agree(found[: len(rows)], recorded)


@pytest.mark.parametrize("layers", [1, 2])
def test_what_mmdet_3_finds_where_it_is_installed(layers, tmp_path):
    mmdet = pytest.importorskip("mmdet")
    if mmdet.__version__.startswith("2."):
        pytest.skip("this back-end is for mmdet 3")
    source = str(tiny_detector.save(tmp_path, tiny_detector.config(layers)))
    pictures = [tiny_detector.scene(*scene) for scene in mmdet_two.SCENES]
    ours = official.load("detector", source=source, **HERE)
    theirs = mmdet_detector.load("detector", source=source, **HERE)
    for found, expected in zip(ours._detect(pictures, 0.0), theirs._detect(pictures, 0.0), strict=True):
        assert len(found) == mask2former.BEST
        agree(found, expected)
    counts = [len(own) for own in ours.detect(pictures)]
    assert counts == [len(own) for own in theirs.named(NAMES).detect(pictures)]
    assert max(counts) > 0


@pytest.mark.parametrize(
    ("size", "resized", "padded"),
    [
        ((1024, 1024), (800, 800), (800, 800)),
        ((384, 384), (800, 800), (800, 800)),
        ((640, 480), (800, 1067), (800, 1088)),
        ((1333, 800), (800, 1333), (800, 1344)),
        ((2000, 500), (333, 1333), (352, 1344)),
        ((97, 640), (1333, 202), (1344, 224)),
    ],
)
def test_pictures_are_resized_into_1333_x_800_and_padded_to_32(size, resized, padded):
    sizes = Sizes.of(Image.new("RGB", size))
    assert (sizes.original, sizes.resized, sizes.padded) == (size[::-1], resized, padded)


def test_grey_is_padded_before_normalising():
    picture = Image.new("RGB", (640, 480), (10, 20, 30))
    values = prepare(picture, Sizes.of(picture))
    assert values.shape == (3, 800, 1088)
    means, deviations = np.array(mask2former.MEAN), np.array(mask2former.STD)
    assert np.allclose(values[:, 799, 1066], (np.array([10, 20, 30]) - means) / deviations, atol=1e-6)
    assert np.allclose(values[:, 799, 1067], (128 - means) / deviations, atol=1e-6)


def told(classes: dict[tuple[int, int], float], masks: torch.Tensor, least: float = 0.0) -> list[Detection]:
    """`objects` of queries whose probabilities of (query, class) are given; the rest is no object."""
    probabilities = torch.full((len(masks), 3), 1e-6)
    for (query, index), probability in classes.items():
        probabilities[query, index] = probability
    probabilities[:, 2] = 1 - probabilities[:, :2].sum(dim=1)
    side = masks.shape[-1] * 4
    return objects(probabilities.log(), masks, Sizes((side, side), (side, side), (side, side)), ["cat", "dog"], least)


def test_confidence_is_the_class_times_the_mean_of_the_mask():
    logits = torch.full((1, 8, 8), -5.0)
    logits[0, 2:4, 3:6] = 4.0
    (found, *_) = told({(0, 1): 0.8}, logits)
    drawn = torch.nn.functional.interpolate(logits[None], (32, 32), mode="bilinear")[0, 0]
    assert found.label == "dog"
    assert found.score == pytest.approx(0.8 * float(drawn[drawn > 0].sigmoid().mean()), abs=1e-6)
    assert np.array_equal(found.mask, (drawn > 0).numpy())
    assert found.box == tight_box((drawn > 0).numpy())


def test_one_query_can_be_two_things():
    logits = torch.full((1, 8, 8), 9.0)
    found = told({(0, 0): 0.5, (0, 1): 0.4}, logits)
    assert [(one.label, one.box) for one in found] == [("cat", (0, 0, 32, 32)), ("dog", (0, 0, 32, 32))]


def test_an_empty_mask_has_no_box_and_no_confidence():
    logits = torch.stack([torch.full((8, 8), -1.0), torch.full((8, 8), 6.0)])
    given = {(0, 0): 0.99, (1, 1): 0.2}
    found = told(given, logits)
    (cat,) = [one for one in found if one.label == "cat" and not one.mask.any()]
    assert (cat.box, cat.score) == ((0, 0, 0, 0), 0)
    assert [(one.label, one.box) for one in told(given, logits, least=0.1)] == [("dog", (0, 0, 32, 32))]


def test_a_hundred_pairs_at_most_and_none_below_the_least():
    logits = torch.full((80, 4, 4), 3.0)
    many = {(query, index): 0.1 + query / 1000 for query in range(80) for index in (0, 1)}
    assert len(told(many, logits)) == 100
    assert len(told({(0, 0): 0.049, (1, 0): 0.06}, logits, least=mask2former.LEAST)) == 1


def test_a_tight_box_ends_after_its_last_pixel():
    mask = np.zeros((5, 7), dtype=bool)
    assert tight_box(mask) == (0, 0, 0, 0)
    mask[1, 2] = mask[3, 4] = True
    assert tight_box(mask) == (2, 1, 5, 4)


def test_pictures_do_not_change_each_others_answers(detector):
    pictures = [tiny_detector.scene(*size, seed) for seed, size in enumerate([(320, 24), (64, 64), (160, 12), (24, 320)])]
    together = detector.detect(pictures)
    for picture, found in zip(pictures, together, strict=True):
        agree(detector.detect([picture])[0], found)
    assert detector.detect([]) == []


def test_classes_are_called_as_the_benchmark_calls_them(detector):
    assert isinstance(detector, NumberedClasses)
    picture = tiny_detector.scene(64, 64, 0)
    (found,), (named,) = detector.detect([picture]), detector.named(NAMES).detect([picture])
    assert [f"thing {one.label}" for one in found] == [one.label for one in named]
    with pytest.raises(JudgeError, match=r"knows 80 classes, object_names.txt names 12; official judges need the official data"):
        detector.named(NAMES[:12])


def test_random_weights_fail_the_known_answers(detector):
    with pytest.raises(JudgeError, match="wrong weights"):
        detector.named(NAMES).check()


def test_the_street_must_be_read():
    assert street.picture().size == (640, 480)
    labels = [str(place) for place in range(80)]
    right = [Detection(str(place), 0.9, box) for place, box in street.THINGS.values()]
    street.check(right, labels)
    with pytest.raises(JudgeError, match="a drawn clock: expected it among the 2 detections"):
        street.check(right[:2], labels)
    moved = [*right[:2], Detection("74", 0.9, (0.0, 0.0, 10.0, 10.0))]
    with pytest.raises(JudgeError, match=r"a drawn clock at \(450, 80, 610, 240\): found at"):
        street.check(moved, labels)
    with pytest.raises(JudgeError, match=r"expected one above 0.3, the surest is 0.300"):
        street.check([Detection(one.label, 0.3, one.box) for one in right], labels)


def test_only_genevals_own_file_is_exact(folder, tmp_path, monkeypatch):
    assert official.load("detector", source=str(folder), **HERE).exact is False
    monkeypatch.setattr(mmdet_weights, "geneval_config", tiny_detector.config)
    other = official.load("detector", source=str(folder / "tiny.pth"), **HERE)
    assert (other.exact, other.backend) == (False, "mask2former:tiny.pth")
    settings = HERE | {"manifest": manifest("detector", folder / "tiny.pth")}
    own = official.load("detector", source=str(folder / "tiny.pth"), **settings)
    assert (own.exact, own.backend) == (True, "mask2former-swin-s")
    mmdet_weights.convert_file(folder / "tiny.pth", tmp_path / "converted")
    converted = official.load("detector", source=str(tmp_path / "converted"), **settings)
    assert (converted.exact, converted.backend, converted.fingerprint) == (True, own.backend, own.fingerprint)
    agree(converted.detect([tiny_detector.scene(64, 64, 0)])[0], own.detect([tiny_detector.scene(64, 64, 0)])[0])
    model = converted._model
    model.class_predictor.bias[0] += 1
    model.save_pretrained(tmp_path / "changed")
    changed = official.load("detector", source=str(tmp_path / "changed"), **settings)
    assert (changed.exact, changed.backend) == (False, "mask2former:changed")


def test_a_network_of_other_classes_is_refused(tmp_path):
    config = tiny_detector.config()
    config.num_labels = 7
    mmdet_weights.Mask2FormerForUniversalSegmentation(config).save_pretrained(tmp_path)
    with pytest.raises(JudgeError, match="knows 7 classes, COCO has 80"):
        official.load("detector", source=str(tmp_path), **HERE)


def test_missing_weights_in_one_line(own_cache, tmp_path):
    def said(source: str | None) -> str:
        with pytest.raises(JudgeError) as caught:
            official.load("detector", source=source, **HERE)
        assert "\n" not in str(caught.value)
        assert str(caught.value).startswith("judge detector: ")
        return str(caught.value)

    nowhere = said(None)
    assert f"is not at {own_cache}/weights/mask2former_swin-s" in nowhere
    assert "run: suder-bench judges fetch detector, or give --judge detector=official:FILE" in nowhere
    assert "suder-bench judges fetch detector" in said(str(tmp_path / "nothing.pth"))
    assert "is not a folder in transformers' format" in said(str(tmp_path))
    assert "facebook/mask2former-swin-small-coco-instance is not in the Hugging Face cache" in said(
        "facebook/mask2former-swin-small-coco-instance"
    )


@pytest.fixture
def no_mmdet():
    """mmdet is not there, and whatever stands in for it is forgotten."""
    if find_spec("mmdet") is not None:
        pytest.skip("mmdet is installed")
    yield
    for name in ("mmcv", "mmcv._ext", "mmdet"):
        sys.modules.pop(name, None)


def test_mmdet_that_is_not_there_or_broken_is_named(no_mmdet, monkeypatch, tmp_path):
    def said() -> str:
        with pytest.raises(JudgeError) as caught:
            mmdet_detector.load("detector", **HERE)
        assert 'pip install -c constraints.txt ".[mmdet]"' in str(caught.value)
        return str(caught.value)

    assert "mmdet is not installed" in said()
    for package, content in (("mmcv", ""), ("mmdet", "assert False, 'MMCV is too new'")):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text(content)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "does not import (MMCV is too new)" in said()
    (tmp_path / "mmdet/__init__.py").write_text("__version__ = '2.28.2'  # of another length than before")
    assert "mmdet 2.28.2 is not supported" in said()
