"""What was measured of pictures inside files is kept while the files are what they were, and only what such files decide."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from suder_bench.data.embedded import Cell, Encoded
from suder_bench.data.source import cache
from suder_bench.errors import PictureError
from suder_bench.records import Embedded, Sample
from suder_bench.runs.plan import samples_digest

pyarrow = pytest.importorskip("pyarrow")
files = pytest.importorskip("pyarrow.parquet")


def written(file: Path, values: list[object], *, age: int = 10) -> list[Embedded]:
    """A parquet file that was changed `age` seconds ago, and its pictures: every other one has a name."""
    files.write_table(pyarrow.Table.from_pylist([{"image": value} for value in values]), file, row_group_size=2)
    aged(file, age)
    return [Cell(file, "image", row, f"{row}.png" if row % 2 else "") for row in range(len(values))]


def aged(file: Path, age: int) -> None:
    status = file.stat()
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns - age * 10**9))


def digest(pictures: list[Embedded]) -> str:
    return samples_digest([Sample(str(number), "c", "p", (picture,)) for number, picture in enumerate(pictures)])


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The pictures that are read, in order."""
    seen: list[str] = []
    for kind in (Cell, Encoded):

        def read(self: Embedded, whole=kind.read) -> bytes:  # type: ignore[no-untyped-def]
            seen.append(str(self))
            content: bytes = whole(self)
            return content

        monkeypatch.setattr(kind, "read", read)
    return seen


BYTES: list[object] = [{"bytes": bytes([row]) * 50, "path": "a.png"} for row in range(5)]


def test_pictures_are_read_once_and_again_where_the_file_changed(tmp_path: Path, reads: list[str]) -> None:
    file = tmp_path / "test-00000-of-00001.parquet"
    pictures = written(file, BYTES)
    first = digest(pictures)
    assert len(reads) == 5
    assert digest(pictures) == first
    assert len(reads) == 5
    assert digest([*pictures, Cell(file, "image", 1)]) != first
    assert len(reads) == 6, "of a picture without a name the content counts, and it was known by its size"
    changed = [*BYTES[:4], {"bytes": b"another size", "path": "a.png"}]
    assert digest(written(file, changed)) != first
    assert digest(written(file, BYTES)) == first
    shown = digest(pictures[:4])
    os.utime(file, ns=(1, 1))
    count = len(reads)
    assert digest(pictures[:4]) == shown
    assert len(reads) == count + 4


def test_a_file_that_has_just_changed_is_not_taken_for_known(tmp_path: Path, reads: list[str]) -> None:
    pictures = written(tmp_path / "a.parquet", BYTES, age=0)
    assert digest(pictures) == digest(pictures)
    assert len(reads) == 10


def test_rehash_trusts_nothing_that_was_kept(tmp_path: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = written(tmp_path / "a.parquet", BYTES)
    digest(pictures)
    monkeypatch.setenv("SUDER_BENCH_REHASH", "1")
    digest(pictures)
    assert len(reads) == 10


@pytest.mark.parametrize("value", ["b.png", {"bytes": None, "path": "b.png"}, [{"bytes": None, "path": "b.png"}]])
def test_a_picture_that_lies_beside_the_file_is_looked_at_each_time(tmp_path: Path, value: object) -> None:
    (tmp_path / "b.png").write_bytes(b"one")
    pictures = written(tmp_path / "a.parquet", [value, value])
    found = digest(pictures)
    (tmp_path / "b.png").write_bytes(b"another")
    assert digest(pictures) != found


def test_tables_are_measured_too(tmp_path: Path, reads: list[str]) -> None:
    file = tmp_path / "a.tsv"
    file.write_text("index\timage\n1\taGVsbG8=\n")
    aged(file, 10)
    picture = Encoded(file, 14, 8)
    assert picture.read() == b"hello"
    assert digest([picture]) == digest([picture])
    assert len(reads) == 2


@pytest.mark.parametrize(
    "torn", ["", "{", "[]", "7", '{"pictures": 1}', '{"pictures": {}}', '{"pictures": {"int image/1": null}}']
)
def test_a_torn_entry_counts_as_none(tmp_path: Path, torn: str) -> None:
    pictures = written(tmp_path / "a.parquet", BYTES)
    found = digest(pictures)
    [entry] = (cache() / "pictures").iterdir()
    whole = entry.read_text()
    entry.write_text(torn)
    assert digest(pictures) == found
    assert json.loads(entry.read_text()) == json.loads(whole)


def test_a_cache_that_cannot_be_written_keeps_nothing(tmp_path: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cache").write_text("a file")
    monkeypatch.setenv("SUDER_BENCH_CACHE", str(tmp_path / "cache"))
    pictures = written(tmp_path / "a.parquet", BYTES)
    assert digest(pictures) == digest(pictures)
    assert len(reads) == 10


def test_what_cannot_be_read_is_still_told(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match=r"image of row 0 of .*gone\.parquet cannot be read"):
        digest([Cell(tmp_path / "gone.parquet", "image", 0)])
    [empty] = written(tmp_path / "a.parquet", [{"bytes": None, "path": None}])
    with pytest.raises(PictureError, match="holds no picture"):
        digest([empty])
