"""Pictures are decoded again where their files changed, and only there."""

from __future__ import annotations

import io
import json
import os
import shutil
from pathlib import Path

import pytest
from fakes import REFERENCE, FakeModel, flat, settings

from suder_bench.runs import seen
from suder_bench.runs.execute import Run
from suder_bench.runs.screen import Screen
from suder_bench.runs.store import RunFolder

pytestmark = pytest.mark.usefixtures("fakes")


@pytest.fixture
def drawn(tmp_path: Path) -> Path:
    Run(tmp_path / "r", REFERENCE, settings("drawing"), stage="respond").execute(Screen(io.StringIO()), FakeModel)
    return tmp_path / "r"


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The pictures that are decoded from here on."""
    found: list[Path] = []
    whole = seen.open_image
    monkeypatch.setattr(seen, "open_image", lambda file: found.append(file) or whole(file))
    return found


def test_pictures_that_a_run_drew_are_not_decoded_to_go_on(drawn: Path, decoded: list[Path]) -> None:
    assert len(RunFolder(drawn).responses("drawing", repair=True)) == 24
    assert decoded == []


def test_one_that_changed_is_decoded_and_no_other(drawn: Path, decoded: list[Path]) -> None:
    file, lost = drawn / "images/drawing/003/samples/00001.png", []
    stat = file.stat()
    flat(200).save(file)
    os.truncate(file, stat.st_size) if file.stat().st_size > stat.st_size else None
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    assert len(RunFolder(drawn).responses("drawing", repair=False, lost=lost.append)) == 23
    assert decoded == [file]
    assert [why for why in lost if str(file) in why] == lost != []


def test_one_that_was_only_touched_is_decoded_once(drawn: Path, decoded: list[Path]) -> None:
    file = drawn / "images/drawing/003/samples/00001.png"
    os.utime(file, ns=(1, 1))
    for _ in range(2):
        assert len(RunFolder(drawn).responses("drawing", repair=True)) == 24
    assert decoded == [file]


def test_two_that_changed_places_are_told(drawn: Path, decoded: list[Path]) -> None:
    one, other = (drawn / f"images/drawing/{name}/samples/00001.png" for name in ("003", "004"))
    one.rename(drawn / "aside")
    other.rename(one)
    (drawn / "aside").rename(other)
    assert len(RunFolder(drawn).responses("drawing", repair=False)) == 22
    assert sorted(decoded) == [one, other]


@pytest.mark.parametrize("torn", [None, 3, 8 * 5 + 3])
def test_a_memory_that_is_lost_or_torn_costs_time_alone(drawn: Path, decoded: list[Path], torn: int | None) -> None:
    [memory] = (drawn / "images/.seen/drawing").iterdir()
    memory.unlink() if torn is None else os.truncate(memory, torn)
    for _ in range(2):
        assert len(RunFolder(drawn).responses("drawing", repair=True)) == 24
    assert len(decoded) == 24 - (torn or 0) // 8


def test_a_copy_without_times_is_decoded_and_only_reading_it_writes_nothing(
    drawn: Path, decoded: list[Path], tmp_path: Path
) -> None:
    shutil.copytree(drawn, tmp_path / "copy", copy_function=shutil.copyfile)
    before = sorted((file, file.stat().st_size) for file in (tmp_path / "copy").rglob("*"))
    assert len(RunFolder(tmp_path / "copy").responses("drawing", repair=False)) == 24
    assert len(decoded) == 24
    assert sorted((file, file.stat().st_size) for file in (tmp_path / "copy").rglob("*")) == before


def test_a_digest_that_was_edited_is_found_out(drawn: Path, decoded: list[Path]) -> None:
    file = drawn / "responses/drawing/0.jsonl"
    first, *rest = file.read_text().splitlines()
    file.write_text("\n".join([json.dumps({**json.loads(first), "digest": "0" * 64}), *rest]) + "\n")
    assert len(RunFolder(drawn).responses("drawing", repair=False)) == 23
    assert len(decoded) == 1
