"""UniDet as a judge: the original's own detections, its channels, batches and precisions, and where its weights lie."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import unidet_weights
from PIL import Image

from suder_bench import registry
from suder_bench.errors import JudgeError
from suder_bench.evaluators.judges import official, street
from suder_bench.evaluators.judges import unidet as package
from suder_bench.evaluators.judges.unidet import Found, UniDet
from suder_bench.evaluators.judges.unidet import judge as judges
from suder_bench.evaluators.judges.unidet.classes import names
from suder_bench.evaluators.judges.unidet.network import R50, RS200
from suder_bench.evaluators.judges.unidet.preprocess import prepare
from suder_bench.evaluators.t2i_compbench.spatial import to_frame

REPOSITORY = Path(__file__).parents[4]
ORIGINAL = json.loads(REPOSITORY.joinpath("tests/unidet_original.json").read_text())
HERE = {"device": "cpu", "dtype": "auto"}
SCORE, PIXELS = 1e-5, 1e-2


@pytest.fixture(scope="module")
def detector(file) -> UniDet:
    return UniDet.read(file, device="cpu")


def as_recorded(detector: UniDet, network: str) -> None:
    frames = [to_frame(unidet_weights.scene(*drawing)) for drawing in ORIGINAL["pictures"].values()]
    for frame, picture, found in zip(frames, ORIGINAL["pictures"], detector.detect(frames), strict=True):
        expected = ORIGINAL[network][picture]
        assert frame.size == tuple(expected["size"])
        assert [one.label for one in found] == [names()[number] for number in expected["classes"]]
        assert np.abs(np.subtract([one.box for one in found], expected["boxes"])).max() < PIXELS
        assert np.abs(np.subtract([one.score for one in found], expected["scores"])).max() < SCORE


def test_r50_finds_what_the_original_finds(detector):
    as_recorded(detector, "r50")


@pytest.mark.slow
def test_rs200_finds_what_the_original_finds(rs200):
    detector = UniDet.read(rs200, device="cpu")
    as_recorded(detector, "rs200")


def test_the_recorded_detections_tell_right_from_wrong():
    """Many objects, of many classes and scores, as many as are kept in one picture and fewer in the other."""
    for network in ("r50", "rs200"):
        a, b = (ORIGINAL[network][picture] for picture in ("a", "b"))
        assert 40 < len(a["classes"]) < 300 == len(b["classes"])
        assert len(set(a["classes"]) | set(b["classes"])) > 10
        assert np.ptp(a["scores"]) > 0.15


def test_blue_is_fed_first_to_both_networks_and_the_padding_is_the_mean():
    picture = Image.new("RGB", (40, 33), (200, 100, 50))
    for configuration in (R50, RS200):
        mean, deviation = np.array(configuration.mean), np.array(configuration.deviation)
        for rgb, channels in ((False, (50, 100, 200)), (True, (200, 100, 50))):
            values = prepare(picture, configuration, rgb=rgb)
            assert values.shape == (3, 64, 64)
            assert values[:, 32, 39].tolist() == pytest.approx(((channels - mean) / deviation).tolist(), rel=1e-5)
            assert not values[:, 33:].any()
            assert not values[:, :, 40:].any()


def test_the_order_of_channels_changes_the_result_and_the_fingerprint(file, detector):
    picture = unidet_weights.scene(128, 96, 0)
    other = UniDet.read(file, device="cpu", rgb=True)
    assert other.fingerprint != detector.fingerprint
    assert other.backend.startswith("unidet-r50-rgb")
    assert other.detect([picture]) != detector.detect([picture])


def test_a_picture_s_objects_do_not_depend_on_its_neighbours(detector):
    """In threads, as on a processor, and in batches, as on an accelerator."""
    frames = [unidet_weights.scene(*size, seed) for seed, size in enumerate([(128, 96), (96, 128), (120, 90)])]
    threads = torch.get_num_threads()
    together, batched = detector._in_threads(frames), detector._in_batches(frames)
    assert torch.get_num_threads() == threads
    for frame, some, others in zip(frames, together, batched, strict=True):
        own = detector._alone(frame)
        assert len(own.scores) > 5
        for objects in (some, others):
            assert objects.classes[:50].equal(own.classes[:50])
            assert torch.allclose(objects.boxes[:50], own.boxes[:50], atol=PIXELS)
            assert torch.allclose(objects.scores, own.scores, atol=SCORE)
    assert detector.detect([]) == []


def test_what_is_found_depends_on_no_number_of_threads(detector):
    frames = [unidet_weights.scene(96, 64, seed) for seed in range(3)]
    alone = [detector.detect([frame])[0] for frame in frames]
    threads = torch.get_num_threads()
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            assert detector.detect(frames) == alone
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_is_an_option_that_is_recorded(file, detector, dtype):
    other = UniDet.read(file, device="cpu", dtype=dtype)
    assert other.fingerprint == f"{detector.fingerprint}-{dtype}"
    (found,) = other.detect([unidet_weights.scene(128, 96, 0)])
    (own,) = detector.detect([unidet_weights.scene(128, 96, 0)])
    assert found != own
    assert len(found) == pytest.approx(len(own), rel=0.3)


def test_boxes_of_find_are_in_the_picture_s_own_pixels(detector):
    picture = unidet_weights.scene(960, 720, 0)
    (found,), (framed,) = detector.find([picture]), detector.detect([to_frame(picture)])
    assert found.names == [one.label for one in framed]
    assert np.allclose(found.boxes, 2 * np.array([one.box for one in framed]).reshape(-1, 4), atol=1e-3)


def test_a_fetched_file_is_the_official_judge_whose_digest_nobody_knows(file, tmp_path, monkeypatch):
    monkeypatch.setenv("SUDER_BENCH_CACHE", str(tmp_path))
    with pytest.raises(
        JudgeError, match=r"^judge detector-3d: UniDet R50 is not at \S+R50\S+pth; get it with suder-bench judges"
    ):
        official.load("detector-3d", **HERE)
    tmp_path.joinpath("weights").mkdir()
    shutil.copy(file, tmp_path / "weights")
    judge = official.load("detector-3d", **HERE)
    assert (judge.backend, judge.exact, judge.match) == ("unidet-r50", False, "digest unknown")
    assert registry.load("judges", "detector-2d/unidet")("detector-2d", source="r50", **HERE).fingerprint == judge.fingerprint


def test_the_other_network_is_not_taken_for_a_role_s_own(file, tmp_path):
    with pytest.raises(JudgeError, match=r"holds UniDet r50, which is for detector-3d; .*--judge detector-2d=unidet:"):
        official.load("detector-2d", source=str(file), **HERE)
    renamed = shutil.copy(file, tmp_path / "mine.pth")
    other = package.load("detector-2d", source=f"{renamed}#rgb", **HERE)
    assert (other.backend, other.exact) == ("unidet-r50-rgb:mine.pth", False)
    placed = package.load("detector-2d", source=str(file), **HERE)  # the official file, of the other role
    assert (placed.match, placed.exact) == ("another file", False)
    assert package.load("detector-3d", source=str(file), **HERE).match == "digest unknown"
    with pytest.raises(JudgeError, match="'#bgr' after unidet:"):
        package.load("detector-2d", source=f"{file}#bgr", **HERE)
    with pytest.raises(JudgeError, match=r"judge detector-2d: UniDet RS200 is not at /nowhere"):
        official.load("detector-2d", source="/nowhere", **HERE)


def test_random_weights_fail_the_known_answers_and_one_right_drawing_passes(detector, monkeypatch):
    with pytest.raises(JudgeError, match=r"three drawn things .*: expected one in its place above 0.1, got none among"):
        detector.check()
    _, clock = street.THINGS["clock"]

    def find(box):
        return lambda _, pictures: [Found(np.array([[0.0, 0, 9, 9], box]), np.array([0.9, 0.2]), ["car", "clock"])]

    monkeypatch.setattr(judges.UniDet, "find", find(clock))
    detector.check()
    monkeypatch.setattr(judges.UniDet, "find", find(street.THINGS["stop sign"][1]))
    with pytest.raises(JudgeError, match="got none among 2 objects"):
        detector.check()


def test_the_documented_lines_find_objects(file, tmp_path, monkeypatch, capsys):
    text = REPOSITORY.joinpath("docs/unidet.md").read_text()
    (lines,) = [block.partition("```")[0] for block in text.split("```python\n")[1:]]
    monkeypatch.chdir(tmp_path)
    shutil.copy(file, tmp_path)
    exec(lines, {"pictures": [unidet_weights.scene(*ORIGINAL["pictures"]["a"])]})
    assert str(ORIGINAL["r50"]["a"]["scores"][0])[:4] in capsys.readouterr().out
