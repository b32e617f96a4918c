"""Detections from a file: found by what the detector saw, in its order, and refused by line where they are damaged."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from tiny_judges import noise

from suder_bench.errors import JudgeError, UserError
from suder_bench.evaluators.judges import detections_file
from suder_bench.evaluators.judges.detections_file import frame_digest
from suder_bench.evaluators.t2i_compbench.spatial import Query, detect, judge_spatial, to_frame

RS200, R50 = "Unified_learned_OCIM_RS200_6x+2x", "Unified_learned_OCIM_R50_6x+2x"


def line(picture, *found: tuple[str, float, tuple[float, ...]], detector: str = RS200) -> dict:
    labels, scores, boxes = ([one[i] for one in found] for i in range(3))
    frame = to_frame(picture)
    return {
        "detector": detector,
        "file": "a.png",
        "size": list(frame.size),
        "digest": frame_digest(frame),
        "labels": labels,
        "scores": scores,
        "boxes": boxes,
    }


def write(file: Path, *lines: dict) -> Path:
    file.write_text("\n".join(map(json.dumps, lines)) + "\n")
    return file


CAT, DOG = ("cat", 0.9, (100.5, 100, 150, 150)), ("dog", 0.8, (300, 100, 350, 150))


def test_a_picture_gets_its_own_detections_in_order(tmp_path):
    pictures = [noise(512, 512, 1), noise(640, 480, 2)]
    file = write(tmp_path / "found.jsonl", line(pictures[0], CAT, DOG, ("cat", 0.05, (0, 0, 1, 1))), line(pictures[1]))
    judge = detections_file.load("detector-2d", source=str(file))
    judge.check()
    assert (judge.exact, judge.backend) == (False, f"{RS200} as declared by a file ({judge.fingerprint})")
    found = detect([pictures[1], pictures[0]], [[], []], judge)
    assert [[(one.label, one.score, one.box) for one in own] for own in found] == [[], [CAT, DOG]]
    (finding,) = judge_spatial(pictures[:1], [Query("cat", "dog", "on the left of")], judge)
    assert finding.score == pytest.approx(0.25 * 0.9 + 0.25 * 0.8 + 0.5)


def test_another_picture_is_not_given_them(tmp_path):
    shown, other = noise(512, 512, 1), noise(512, 512, 2)
    judge = detections_file.load("detector-2d", source=str(write(tmp_path / "found.jsonl", line(shown, CAT))))
    with pytest.raises(UserError, match=r"holds no detections for this picture \(479 x 479 in UniDet's frame, digest "):
        detect([other], [[]], judge)


def test_a_folder_is_read_whole(tmp_path):
    pictures = [noise(512, 512, i) for i in range(2)]
    for i, picture in enumerate(pictures):
        write(tmp_path / f"{i}.jsonl", line(picture, (CAT, DOG)[i]))
    judge = detections_file.load("detector-2d", source=str(tmp_path))
    assert [own[0].label for own in detect(pictures, [[], []], judge)] == ["cat", "dog"]
    alone = detections_file.load("detector-2d", source=str(tmp_path / "0.jsonl"))
    assert alone.fingerprint != judge.fingerprint


@pytest.mark.parametrize(("role", "detector"), [("detector-2d", RS200), ("detector-3d", R50), ("detector-2d", "yolo")])
def test_whatever_a_line_names_it_is_not_the_benchmarks_own(tmp_path, role, detector):
    file = write(tmp_path / "found.jsonl", line(noise(64, 64), CAT, detector=detector))
    judge = detections_file.load(role, source=str(file))
    assert judge.exact is False
    assert f"{detector} as declared by a file" in judge.backend


def test_a_detector_that_found_nothing_anywhere_is_not_trusted(tmp_path):
    file = write(tmp_path / "found.jsonl", line(noise(64, 64)), line(noise(64, 64, 1)))
    with pytest.raises(JudgeError, match="not one detection in any of 2 pictures"):
        detections_file.load("detector-2d", source=str(file)).check()


GOOD = line(noise(64, 64), CAT)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({name: value for name, value in GOOD.items() if name != "digest"}, r"found\.jsonl:2: not a line .*digest"),
        (GOOD | {"scores": [1.2]}, r"found\.jsonl:2: needs a detector"),
        (GOOD | {"labels": ["cat", "dog"]}, r"found\.jsonl:2: needs"),
        (GOOD | {"boxes": [[5, 0, 1, 1]]}, r"found\.jsonl:2: needs"),
        (GOOD | {"scores": ["high"]}, r"found\.jsonl:2: not a line"),
        (GOOD | {"scores": [True]}, r"found\.jsonl:2: needs"),
        (GOOD | {"boxes": [[True, 0, 1, 1]]}, r"found\.jsonl:2: needs"),
        (GOOD | {"boxes": [[float("nan"), 0, 1, 1]]}, r"found\.jsonl:2: needs"),
        (GOOD | {"labels": "c"}, r"found\.jsonl:2: needs"),
        (GOOD | {"labels": [None]}, r"found\.jsonl:2: needs"),
        (GOOD | {"scores": {"0": 0.5}}, r"found\.jsonl:2: (needs|not a line)"),
        (GOOD | {"detector": "yolo"}, "several detectors"),
        ([], r"found\.jsonl:2: not a line"),
    ],
)
def test_damaged_files_are_refused_by_line(tmp_path, bad, said):
    file = write(tmp_path / "found.jsonl", GOOD, bad)
    with pytest.raises(JudgeError, match=said):
        detections_file.load("detector-2d", source=str(file))


def test_missing_files_are_named(tmp_path):
    with pytest.raises(JudgeError, match=r"--judge detector-2d=file:FILE"):
        detections_file.load("detector-2d")
    with pytest.raises(JudgeError, match=r"there is no \S+none"):
        detections_file.load("detector-2d", source=str(tmp_path / "none"))
    with pytest.raises(JudgeError, match=r"there is no \*\.jsonl in"):
        detections_file.load("detector-2d", source=str(tmp_path))
    tmp_path.joinpath("empty.jsonl").write_text("\n")
    with pytest.raises(JudgeError, match="is empty"):
        detections_file.load("detector-2d", source=str(tmp_path))


def test_the_documented_lines_are_read(tmp_path, monkeypatch):
    """The snippet of docs/detections.md, run on stand-ins for what the official script has at hand."""
    text = Path(__file__).parents[3].joinpath("docs/detections.md").read_text()
    first, second = (block.partition("```")[0] for block in text.split("```python\n")[1:3])
    picture = noise(600, 500)
    frame = np.asarray(to_frame(picture), dtype=np.float32)

    class Values(list):
        def tolist(self):
            return list(self)

        def float(self):
            return self

        def cpu(self):
            return self

    class Boxes:
        tensor = Values([list(CAT[2])])

    class OnTheGpu(np.ndarray):
        """Where accelerate puts the frame; its own values cannot be read there."""

        def cpu(self):
            return SimpleNamespace(numpy=lambda: np.asarray(self))

    fields = {"pred_boxes": Boxes, "pred_classes": Values([7]), "scores": Values([0.9])}
    instances = type("Instances", (), {"get_fields": lambda self: fields})()
    scope = {
        "outpath": str(tmp_path),
        "test_data": [{"image": frame[:, :, ::-1].transpose(2, 0, 1).view(OnTheGpu), "image_path": "x/samples/a cat_000000.png"}],
        "test_pred": [{"instances": instances}],
        "obj_label_map": {7: "cat"},
        "k": 0,
    }
    exec(first, scope)
    exec(second, scope)
    scope["detections"].close()
    judge = detections_file.load("detector-2d", source=str(tmp_path / "detections.jsonl"))
    assert judge.backend.startswith(RS200)
    assert [(one.label, one.box) for one in detect([picture], [[]], judge)[0]] == [("cat", CAT[2])]
