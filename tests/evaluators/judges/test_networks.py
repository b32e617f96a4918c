"""What all networks behind the official judges share, and DPT: with tiny random weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_judges import HERE, noise
from transformers import BlipForQuestionAnswering, CLIPModel

from suder_bench.errors import JudgeError
from suder_bench.evaluators.judges import official
from suder_bench.evaluators.judges.dpt import DptDepth


def test_dpt_sees_480_pixels_whatever_it_was_trained_on(dpt):
    judge = DptDepth.load(str(dpt), **HERE)
    pictures = [noise(64, 64), noise(120, 40, 1)]
    maps = judge.depth(pictures)
    assert [depth.shape for depth in maps] == [(480, 480)] * 2
    assert all(np.isfinite(depth).all() and depth.std() > 0 for depth in maps)
    assert np.allclose(judge.depth(pictures[1:])[0], maps[1], atol=1e-4)


def test_dpt_squeezes_pictures_and_centres_them(dpt, monkeypatch):
    """Spec 3.3: 480 x 480 without aspect, bilinear, mean and deviation 0.5."""
    judge = DptDepth.load(str(dpt), **HERE)
    seen = []

    class Recorder:
        def __call__(self, values):
            seen.append(values)
            return type("Seen", (), {"predicted_depth": values[:, 0]})

    monkeypatch.setattr(judge, "_model", Recorder())
    picture = noise(300, 200)
    found = judge.depth([Image.new("RGB", (64, 32), "white"), Image.new("RGB", (10, 90)), picture])
    assert [(depth.min(), depth.max(), depth.dtype) for depth in found[:2]] == [(1, 1, np.float32), (-1, -1, np.float32)]
    squeezed = np.asarray(picture.resize((480, 480), Image.Resampling.BILINEAR), np.float32) / 255
    assert np.allclose(seen[0][2].numpy(), (squeezed.transpose(2, 0, 1) - 0.5) / 0.5, atol=1e-6)


def test_dpt_has_timms_epsilon(dpt):
    judge = DptDepth.load(str(dpt), **HERE)
    assert {module.eps for module in judge._model.modules() if isinstance(module, torch.nn.LayerNorm)} == {1e-6}
    assert (judge.exact, judge.match, judge.backend) == (False, "another file", f"dpt:{dpt.name}")


def test_dpt_must_give_a_depth_that_varies(dpt, monkeypatch):
    judge = DptDepth.load(str(dpt), **HERE)
    judge.check()
    for broken in (np.ones((480, 480)), np.full((480, 480), np.nan)):
        monkeypatch.setattr(judge, "depth", lambda pictures, found=broken: [found])
        with pytest.raises(JudgeError, match="finite depth that varies"):
            judge.check()


@pytest.mark.parametrize(("role", "fixture"), [("vqa", "blip"), ("clip", "clip"), ("color", "clip")])
def test_random_weights_fail_the_known_answers(role, fixture, request):
    folder = str(request.getfixturevalue(fixture))
    judge = official.load(role, device="cpu", offline=True, source=folder)
    with pytest.raises(JudgeError, match="wrong weights"):
        judge.check()


@pytest.mark.parametrize("role", ["clip", "vqa"])
def test_a_folder_without_its_vocabulary_is_refused(role, clip, blip, tmp_path):
    kind, folder = (CLIPModel, clip) if role == "clip" else (BlipForQuestionAnswering, blip)
    kind.from_pretrained(folder).save_pretrained(tmp_path)
    with pytest.raises(JudgeError, match="vocabulary"):
        official.load(role, device="cpu", offline=True, source=str(tmp_path))


def test_weights_of_another_network_are_refused(clip, tmp_path):
    model = CLIPModel.from_pretrained(clip)
    model.vision_model.save_pretrained(tmp_path)
    tmp_path.joinpath("config.json").write_text(clip.joinpath("config.json").read_text())
    with pytest.raises(JudgeError, match="lacks or misshapes"):
        official.load("clip", device="cpu", offline=True, source=str(tmp_path))
    with pytest.raises(JudgeError, match="judge depth"):
        official.load("depth", device="cpu", offline=True, source=str(tmp_path / "empty"))
