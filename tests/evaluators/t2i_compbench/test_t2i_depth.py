"""3D relations: the depth map, the boxes that stand for the objects, the score."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from parses import parse
from PIL import Image

from suder_bench.evaluators.judges.protocols import Detection
from suder_bench.evaluators.t2i_compbench.depth import depth_query, frame_depth, judge_depth, pick, relation_3d, score_3d
from suder_bench.evaluators.t2i_compbench.spatial import Query

FRONT = Query("cat", "dog", "in front of")
BEHIND = Query("cat", "dog", "behind")
HALF_A, HALF_B = (0.0, 0.0, 30.0, 30.0), (10.0, 0.0, 40.0, 30.0)
A, B = (100.0, 100.0, 160.0, 160.0), (105.0, 100.0, 165.0, 160.0)
"""Boxes that overlap by more than half."""


def slope(axis: int) -> np.ndarray:
    """Nearer to the right (axis 1) or to the bottom (axis 0), in the frame."""
    ramp = np.linspace(0, 1, 479, dtype=np.float32)
    return np.tile(ramp, (479, 1)) if axis == 1 else np.tile(ramp[:, None], (1, 479))


@pytest.mark.parametrize(
    ("relation", "a", "b", "axis", "score"),
    [
        pytest.param("in front of", B, A, 0, 1.0, id="transposed-map-is-read-by-x-first"),
        pytest.param("in front of", B, A, 1, 0.0, id="transposed-map-hides-the-true-slope"),
        pytest.param("behind", A, B, 0, 1.0, id="behind-is-the-reverse"),
        pytest.param("hidden", A, B, 0, 1.0, id="hidden-is-behind"),
        pytest.param("in front of", A, B, 0, 0.0, id="depth-test-fails"),
        pytest.param("behind", HALF_A, HALF_B, 0, 0.0, id="15-exactly-half"),
        pytest.param("behind", (0, 0, 30, 30), (20, 0, 50, 30), 0, 0.4, id="a-fifth-counts-in-proportion"),
        pytest.param("behind", (0, 0, 30, 30), (200, 0, 230, 30), 0, 0.0, id="apart"),
        pytest.param("behind", (0, 0, 0.5, 0.5), (0, 0, 0.6, 0.6), 0, 0.0, id="empty-slice"),
        pytest.param(None, A, B, 0, 0.0, id="no-relation"),
    ],
)
def test_relation(relation, a, b, axis, score):
    assert relation_3d(relation, a, b, slope(axis)) == pytest.approx(score)


def test_fixed_reads_the_map_upright():
    assert relation_3d("in front of", B, A, slope(1), fixed=True) == 1
    assert relation_3d("in front of", B, A, slope(0), fixed=True) == 0


def test_no_floor_in_3d():
    """Edge case 15: an overlap of exactly half loses the relation and keeps the objects' confidences."""
    finding = score_3d(BEHIND, [Detection("cat", 0.6, HALF_A), Detection("dog", 0.4, HALF_B)], slope(0))
    assert finding.score == pytest.approx(0.25)
    assert finding.reason == "cat behind dog: no"


@pytest.mark.parametrize(
    ("labels", "official", "fixed"),
    [
        (["cat", "cat", "dog", "cat", "dog"], (1, 2), (0, 2)),
        (["wild cat", "hot dog"], (0, 1), (0, 1)),
        (["cat", "cat"], (0, None), (0, None)),
        (["dog", "bird"], (None, 0), (None, 0)),
        ([], (None, None), (None, None)),
        (["cat dog"], (0, 0), (0, 0)),
    ],
)
def test_which_detection_stands_for_an_object(labels, official, fixed):
    detections = [Detection(label, 0.9 - i / 10, A) for i, label in enumerate(labels)]
    for expected, repaired in ((official, False), (fixed, True)):
        picked = pick(FRONT, detections, fixed=repaired)
        assert picked == tuple(None if place is None else detections[place] for place in expected)


@pytest.mark.parametrize("size", [(64, 64), (100, 40)])
def test_depth_is_normalised_resized_and_cut_to_8_bits(size):
    raw = np.random.default_rng(0).normal(size=(48, 48)).astype(np.float32) * 7
    scaled = torch.from_numpy((raw - raw.min()) / (raw.max() - raw.min()))
    wide = torch.nn.functional.interpolate(scaled[None, None], size=size[::-1], mode="bilinear", align_corners=True)[0, 0].numpy()
    grey = np.floor(255 * wide).astype(np.uint8)
    found = frame_depth(raw, size)
    resized = np.asarray(Image.fromarray(grey).resize(found.shape[::-1], Image.Resampling.BILINEAR)) / 255
    assert np.abs(found - resized).max() <= 1 / 255 + 1e-6
    assert np.mean(np.abs(found - resized) > 1e-6) < 0.01


def test_depth_keeps_order_whatever_its_scale():
    raw = np.arange(64 * 64, dtype=np.float64).reshape(64, 64)
    assert np.array_equal(frame_depth(raw, (64, 64)), frame_depth(3 * raw - 50, (64, 64)))


def test_a_flat_map_decides_nothing():
    assert not frame_depth(np.full((8, 8), 3.0), (64, 64)).any()
    assert relation_3d("behind", A, B, frame_depth(np.full((8, 8), 3.0), (64, 64))) == 0


def test_prompt():
    words = parse("a/DET computer/NOUN hidden/VERB by/ADP a/DET girl/NOUN")
    assert depth_query("a computer hidden by a girl", words) == Query("computer", "person", "hidden")


def test_one_call_of_each_judge():
    class Eyes:
        backend, exact, fingerprint = "scripted", False, "0"

        def __init__(self) -> None:
            self.calls: list[list[tuple[int, int]]] = []

        def detect(self, pictures):
            self.calls.append([picture.size for picture in pictures])
            return [[Detection("cat", 0.8, A), Detection("dog", 0.8, B), Detection("dog", 0.05, A)]] * len(pictures)

        def depth(self, pictures):
            self.calls.append([picture.size for picture in pictures])
            return [np.tile(np.arange(picture.height, dtype=float)[:, None], (1, picture.width)) for picture in pictures]

    eyes = Eyes()
    findings = judge_depth([Image.new("RGB", (64, 64))] * 2, [BEHIND, FRONT], eyes, eyes)
    assert eyes.calls == [[(64, 64)] * 2, [(479, 479)] * 2]
    assert [finding.score for finding in findings] == pytest.approx([0.9, 0.4])
