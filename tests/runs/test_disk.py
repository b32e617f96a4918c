"""Disks that are full or may not be written: one line, and what was there is there."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from fakes import REFERENCE, FakeModel, settings

from suder_bench.cli import main
from suder_bench.errors import DiskError
from suder_bench.runs.execute import Run
from suder_bench.runs.screen import Screen
from suder_bench.runs.store import RunFolder

pytestmark = pytest.mark.usefixtures("fakes")

full = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")


@pytest.fixture
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def command() -> int:
    return main(["run", "--model", "fake:right", "--benchmark", "drawing", "--data", ".", "--out", "r"])


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    stderr = capsys.readouterr().err
    assert "Traceback" not in stderr
    [line] = [line for line in stderr.splitlines() if line.startswith("suder-bench: ")]
    return line


@full
@pytest.mark.parametrize("file", ["responses/drawing/0.jsonl", "verdicts/drawing/0.jsonl"])
def test_a_full_disk_is_one_line_and_the_command_goes_on_from_there(
    in_folder: Path, capsys: pytest.CaptureFixture[str], file: str
) -> None:
    place = in_folder / "r" / file
    place.parent.mkdir(parents=True)
    Run(in_folder / "r2", REFERENCE, settings("drawing")).execute(Screen(), FakeModel)
    assert (
        main(["run", "--model", "fake:right", "--benchmark", "drawing", "--data", ".", "--out", "r", "--limit", "3", "--fresh"])
        == 0
    )
    made = (in_folder / "r/responses/drawing/0.jsonl").read_bytes()
    capsys.readouterr()
    kept = place.read_bytes() if place.exists() else None
    held = place.with_name("9.jsonl")
    if kept is not None:
        place.rename(held)
    place.symlink_to("/dev/full")
    assert command() == 1
    assert "No space left on device" in one_line(capsys)
    assert not (in_folder / "r/summary.json").exists()
    place.unlink(missing_ok=True)
    if kept is not None:
        assert held.read_bytes() == kept
    assert made in b"".join(path.read_bytes() for path in (in_folder / "r/responses/drawing").glob("*.jsonl"))
    assert command() == 0
    assert capsys.readouterr().err.startswith("resuming: ")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT])
def test_a_document_that_cannot_be_written_leaves_the_old_one(
    in_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    assert command() == 0
    capsys.readouterr()
    before = (in_folder / "r/run.json").read_bytes()

    def refuse(path: Path, content: bytes) -> int:
        raise OSError(number, os.strerror(number), str(path))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", refuse)
        assert command() == 1
    assert one_line(capsys).startswith(f"suder-bench: {Path('r/run.json')} cannot be used ({os.strerror(number)}); ")
    assert (in_folder / "r/run.json").read_bytes() == before
    assert not list(in_folder.rglob("*.partial"))
    assert command() == 0


def test_a_folder_that_may_not_be_written_is_told(
    in_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: os.PathLike[str], *arguments: object) -> int:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    with monkeypatch.context() as patched:
        patched.setattr("suder_bench.locks.os.open", refuse)
        with pytest.raises(DiskError, match="Read-only file system"), RunFolder(in_folder / "r").locked():
            pass


@pytest.mark.parametrize("name", ["responses", "verdicts", "images", "responses/drawing"])
def test_a_file_where_a_folder_should_be_is_told(in_folder: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert (
        main(["run", "--model", "fake:right", "--benchmark", "drawing", "--data", ".", "--out", "r", "--stage", "respond"]) == 0
    )
    (in_folder / "r" / name).rename(in_folder / "elsewhere") if (in_folder / "r" / name).exists() else None
    (in_folder / "r" / name).write_text("")
    capsys.readouterr()
    assert command() == 1
    assert f"{Path('r') / name}" in one_line(capsys)
