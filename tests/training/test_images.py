"""Training pictures by source: lazily decoded, counted exactly, named when broken, and nothing read beside the pictures."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from suder_bench.errors import PictureError, UserError
from suder_bench.training import images
from suder_bench.training.images import ImageSource, open_images
from suder_bench.world import train_split

pyarrow = pytest.importorskip("pyarrow")
from pyarrow import parquet  # noqa: E402


def square(shade: int) -> Image.Image:
    return Image.new("RGB", (4, 4), (shade, shade, shade))


def encoded(shade: int) -> bytes:
    buffer = io.BytesIO()
    square(shade).save(buffer, "PNG")
    return buffer.getvalue()


def shades(pictures: object) -> list[int]:
    return [one.getpixel((0, 0))[0] for one in pictures]  # type: ignore[attr-defined]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve pictures in three kinds of file, and things that are none."""
    found = tmp_path / "pictures"
    for i in range(12):
        file = found / "abc"[i // 4] / f"{i:02d}.{('png', 'PNG', 'webp', 'png')[i % 4]}"
        file.parent.mkdir(parents=True, exist_ok=True)
        square(20 * i).save(file, lossless=True)
    (found / "a" / "00.txt").write_text("what is said of it")
    (found / "a" / "._00.png").write_bytes(b"left by a copy")
    return found


def test_a_folder_in_the_order_of_its_paths(folder: Path) -> None:
    pictures = open_images([ImageSource(str(folder))])
    assert len(pictures) == 12
    assert shades(pictures) == [20 * i for i in range(12)]
    assert {one.mode for one in pictures} == {"RGB"}
    assert shades([pictures[-1], *pictures[2:4]]) == [220, 40, 60]
    with pytest.raises(IndexError):
        pictures[12]


def test_every_ending_that_pillow_reads_is_found(tmp_path: Path) -> None:
    endings = ["bmp", "jpg", "png", "tif", "tiff", "webp"]
    for i, ending in enumerate(endings):
        square(20 * i).save(tmp_path / f"{i}.{ending}", lossless=True, quality=100)
    assert len(open_images([ImageSource(str(tmp_path))])) == len(endings)
    assert shades(open_images([ImageSource(str(tmp_path))])) == [20 * i for i in range(len(endings))]


def test_a_count_lies_evenly_over_the_set(folder: Path) -> None:
    assert shades(open_images([ImageSource(str(folder), 4)])) == [0, 60, 120, 180]
    assert shades(open_images([ImageSource(str(folder), 12)])) == [20 * i for i in range(12)]
    both = open_images([ImageSource(str(folder), 2), ImageSource(str(folder / "c"), 1)])
    assert (len(both), shades(both)) == (3, [0, 120, 160])


@given(st.integers(1, 40), st.data())
def test_no_picture_is_chosen_twice(size: int, data: st.DataObject) -> None:
    class Numbered:
        def __len__(self) -> int:
            return size

        def picture(self, i: int) -> Image.Image:
            return square(i)

    count = data.draw(st.integers(1, size))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(images, "_open", lambda source: Numbered())
        chosen = shades(open_images([ImageSource("numbered", count)]))
    assert len(chosen) == count == len(set(chosen))
    assert chosen == sorted(chosen)


def test_only_what_is_asked_for_is_decoded(folder: Path) -> None:
    (folder / "b" / "05.PNG").write_bytes(b"no picture")
    pictures = open_images([ImageSource(str(folder))])
    assert shades([pictures[4], pictures[6]]) == [80, 120]
    with pytest.raises(PictureError, match=r"b/05\.PNG is not a readable picture"):
        pictures[5]


def test_the_world_draws_its_training_scenes(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str]] = []
    draw_text = train_split.draw_text

    def noted(family: str, rng: object, split: str) -> object:
        asked.append((family, split))
        return draw_text(family, rng, split)  # type: ignore[arg-type]

    monkeypatch.setattr(train_split, "draw_text", noted)
    pictures = open_images([ImageSource("world", 28)])
    assert asked == []
    drawn = list(pictures)
    assert [split for _, split in asked] == ["train"] * 28
    assert len({family for family, _ in asked}) == 14
    assert {one.size for one in drawn} == {(64, 64)}
    assert len({one.tobytes() for one in drawn}) == 28
    assert open_images([ImageSource("world")])[9].tobytes() == drawn[9].tobytes()
    assert len(open_images([ImageSource("world")])) == 2800


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Pictures as the hub stores them, beside their captions; row 2 is broken, row 3 empty."""
    rows = [{"bytes": encoded(20 * i), "path": f"{i}.png"} for i in range(2)]
    rows += [{"bytes": b"no picture", "path": "2.png"}, {"bytes": None, "path": None}, {"bytes": encoded(80), "path": None}]
    columns = {"image": rows, "raw": [encoded(200 + i) for i in range(5)], "caption": ["a"] * 5, "label": range(5)}
    parquet.write_table(pyarrow.table({name: list(values) for name, values in columns.items()}), tmp_path / "set.parquet")
    return tmp_path / "set.parquet"


def test_a_parquet_file(table: Path) -> None:
    pictures = open_images([ImageSource(str(table))])
    assert len(pictures) == 5
    assert shades([pictures[0], pictures[1], pictures[4]]) == [0, 20, 80]
    with pytest.raises(PictureError, match=r"^row 2 of .*set\.parquet is not a readable picture"):
        pictures[2]
    with pytest.raises(PictureError, match=r"^row 3 of .*set\.parquet holds no picture"):
        pictures[3]
    assert shades(open_images([ImageSource(str(table), column="raw")])) == [200, 201, 202, 203, 204]


def test_captions_and_labels_are_not_read(table: Path, own_cache: Path) -> None:
    from datasets import Dataset

    open_images([ImageSource(str(table))])
    kept = [Dataset.from_file(str(file)).column_names for file in own_cache.rglob("*.arrow")]
    assert kept == [["image"]]
    for column in ("caption", "label"):
        with pytest.raises(UserError, match=f"column '{column}' holds (string|int64), no pictures"):
            open_images([ImageSource(str(table), column=column)])


def test_a_hub_set(table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package takes a folder of that name for the set."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "org" / "name").mkdir(parents=True)
    table.rename(tmp_path / "org" / "name" / "test.parquet")
    assert shades(open_images([ImageSource("hub:org/name", 1, split="test")])) == [0]
    with pytest.raises(UserError, match="'hub:org/name', split 'train', cannot be had") as caught:
        open_images([ImageSource("hub:org/name")])
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="unknown column 'picture'"):
        open_images([ImageSource("hub:org/name", split="test", column="picture")])


def test_without_the_package(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    for name in (str(table), "hub:org/name"):
        with pytest.raises(UserError, match=r'pip install -c constraints\.txt "\.\[train\]"'):
            open_images([ImageSource(name)])


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (ImageSource("{folder}", 13), "holds 12 pictures, 13 are asked for"),
        (ImageSource("{folder}", 0), "count is 0; ask for 1 or more"),
        (ImageSource("world", -1), "count is -1"),
        (ImageSource("{empty}"), "holds no pictures"),
        (ImageSource("wrold"), "did you mean 'world'"),
        (ImageSource("missing.parquet"), "'missing.parquet': there is no such file"),
        (ImageSource("{broken}"), "broken.parquet' cannot be read"),
        (ImageSource("{table}", column="imag"), "unknown column 'imag'; did you mean 'image'"),
        (ImageSource("hub:nobody"), "write hub:ORG/NAME"),
    ],
)
def test_a_bad_source_is_told_in_one_line(folder: Path, table: Path, tmp_path: Path, source: ImageSource, message: str) -> None:
    broken, empty = tmp_path / "broken.parquet", tmp_path / "empty"
    broken.write_bytes(b"PAR1 but no more")
    empty.mkdir()
    name = source.source.format(folder=folder, empty=empty, broken=broken, table=table)
    with pytest.raises(UserError, match=message) as caught:
        open_images([ImageSource(name, source.count, column=source.column)])
    assert "\n" not in str(caught.value)


def test_no_source_at_all() -> None:
    with pytest.raises(UserError, match="no pictures to train on"):
        open_images([])
