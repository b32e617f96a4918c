"""`folder:DIR`, a model whose pictures were made elsewhere."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from fakes import FakeModel, flat, settings
from PIL import ExifTags, Image, ImageOps

from suder_bench.errors import UserError
from suder_bench.models.folder import FolderModel
from suder_bench.models.protocols import Model, StoredPictures
from suder_bench.models.reference import choose
from suder_bench.runs.execute import Run
from suder_bench.runs.screen import Screen
from suder_bench.runs.store import RunFolder

pytestmark = pytest.mark.usefixtures("fakes")


def screen() -> Screen:
    return Screen(io.StringIO())


def test_another_runs_pictures_get_the_same_score(tmp_path: Path) -> None:
    first = Run(tmp_path / "a", choose("fake:right"), settings("drawing")).execute(screen(), FakeModel)
    second = Run(tmp_path / "b", choose(f"folder:{tmp_path / 'a/images'}"), settings("drawing")).execute(screen())
    assert second.complete
    assert second.summary["benchmarks"] == first.summary["benchmarks"]
    copied = tmp_path / "b/images/drawing/000/samples/00000.png"
    assert copied.read_bytes() == (tmp_path / "a/images/drawing/000/samples/00000.png").read_bytes()


def test_missing_pictures_fail_by_name_and_others_count(tmp_path: Path) -> None:
    (tmp_path / "made/001/samples").mkdir(parents=True)
    for number in (3, 12):  # repeats are numbered in order, whatever the numbers
        flat(20).save(tmp_path / f"made/001/samples/{number}.png")
    told = screen()
    outcome = Run(tmp_path / "r", choose(f"folder:{tmp_path / 'made'}"), settings("drawing")).execute(told)
    entry = outcome.summary["benchmarks"]["drawing"]
    assert (outcome.complete, entry["n_responses"], entry["failed"]) == (False, 2, 22)
    assert "failed: drawing 000, repeat 0: no picture 0 of sample 000 in the folder" in told.stream.getvalue()  # type: ignore[attr-defined]


def test_pictures_beyond_the_repeats_are_told(tmp_path: Path) -> None:
    (tmp_path / "made/001/samples").mkdir(parents=True)
    for number in range(5):
        flat(20).save(tmp_path / f"made/001/samples/{number}.png")
    told = screen()
    Run(tmp_path / "r", choose(f"folder:{tmp_path / 'made'}"), settings("drawing")).execute(told)
    said = told.stream.getvalue().splitlines()  # type: ignore[attr-defined]
    assert said[0] == "drawing: 3 pictures beyond 2 of a prompt are not taken; --repeats 5 would"


def test_exchanged_pictures_are_another_model(tmp_path: Path) -> None:
    (tmp_path / "001/samples").mkdir(parents=True)
    before = FolderModel.load(str(tmp_path), device="cpu", dtype="float32")
    flat(20).save(tmp_path / "001/samples/0.png")
    after = FolderModel.load(str(tmp_path), device="cpu", dtype="float32")
    assert before.fingerprint != after.fingerprint
    assert isinstance(after, Model)
    assert isinstance(after, StoredPictures)


def test_no_folder_and_no_eyes(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        Run(tmp_path / "r", choose(f"folder:{tmp_path}/none"), settings("drawing")).execute(screen())
    with pytest.raises(UserError, match="answers no questions"):
        Run(tmp_path / "r", choose(f"folder:{tmp_path}"), settings("reading")).execute(screen())


def test_a_turned_picture_stays_turned(tmp_path: Path) -> None:
    """GenEval turns pictures as their EXIF says, in a run as where they lie."""
    turned = Image.new("RGB", (40, 20))
    exif = turned.getexif()
    exif[ExifTags.Base.Orientation] = 6
    turned.info["exif"] = exif.tobytes()
    RunFolder(tmp_path).save_picture(turned, "images/a.png")
    assert ImageOps.exif_transpose(Image.open(tmp_path / "images/a.png")).size == (20, 40)
