"""What a killed process leaves half written goes with the next command; what another is writing stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from suder_bench import partial
from suder_bench.runs.jsonl import replace_file
from suder_bench.runs.store import RunFolder

KILLED = """
import os, signal, sys
from pathlib import Path
from suder_bench.runs import jsonl
from suder_bench.runs.store import RunFolder
from PIL import Image

def kill(*_): os.kill(os.getpid(), signal.SIGKILL)

jsonl.os.replace = kill
{what}
"""


def killed(folder: Path, what: str) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED.format(what=what)], cwd=folder)
    assert done.returncode == -signal.SIGKILL


@pytest.fixture(autouse=True)
def next_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command sweeps a folder once; here each test is one."""
    monkeypatch.setattr(partial, "_swept", set())


def hidden(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob(".*") if path.name != ".lock")


def test_a_document_is_written_without_what_was_left_of_the_last_one(tmp_path: Path) -> None:
    killed(tmp_path, "jsonl.replace_file(Path('out/curves.csv'), b'1')")
    killed(tmp_path, "jsonl.replace_file(Path('out/other.csv'), b'1')")
    assert len(hidden(tmp_path)) == 1  # the second has removed what the first left
    replace_file(tmp_path / "out/curves.csv", b"2")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["curves.csv"]


@pytest.mark.parametrize(
    "what",
    [
        "RunFolder(Path('r')).write('run.json', {})",
        "Path('r').mkdir(); RunFolder(Path('r')).save_picture(Image.new('RGB', (4, 4)), 'images/a/0.png')",
        "RunFolder(Path('r')).add_verdicts('a', 'k', []); Path('r/verdicts/a/0.jsonl').write_text('{}'); "
        "RunFolder(Path('r')).verdicts('a', {'k'}, repair=True)",
    ],
)
def test_a_run_folder_is_swept_by_who_holds_it_next(tmp_path: Path, what: str) -> None:
    killed(tmp_path, what)
    assert len(hidden(tmp_path)) == 1
    with RunFolder(tmp_path / "r").locked():
        assert hidden(tmp_path) == []


def test_half_a_world_goes_with_the_next(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "suder_bench", "data", "world", "w"]
    with subprocess.Popen(command, cwd=tmp_path) as process:
        while not list(tmp_path.glob(".w.*/geneval")):
            time.sleep(0.005)
        process.kill()
    assert len(list(tmp_path.iterdir())) == 1
    for said in ("new", "there already"):
        assert subprocess.run(command, cwd=tmp_path, stdout=subprocess.DEVNULL).returncode == 0, said
        assert [path.name for path in tmp_path.iterdir()] == ["w"]


def test_what_others_write_and_other_files_stay(tmp_path: Path) -> None:
    host = partial._host()
    theirs = [
        f".a.json.{host}.{os.getppid()}-1.partial",  # a process that lives
        ".a.json.elsewhere.999999999-1.partial",  # another machine's, new
        ".partial",
        ".bashrc",
        "a.json.partial",
        f".a.json.{host}.abc-1.partial",
    ]
    gone = [f".a.json.{host}.999999999-1.partial", ".b.json.elsewhere.1-1.partial"]
    for name in (*theirs, *gone):
        (tmp_path / name).write_text("")
    yesterday = time.time() - 2 * partial.OLD
    os.utime(tmp_path / gone[1], (yesterday, yesterday))
    (tmp_path / f".folder.{host}.999999999-1.partial" / "inner").mkdir(parents=True)
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / f".link.{host}.999999999-1.partial").symlink_to(outside)
    partial.sweep(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {*theirs, "outside"}
