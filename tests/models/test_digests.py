"""Digests of large files are kept between processes, and trusted only while nothing about the file has changed."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from suder_bench.models import digests

HOUR = 3600 * 10**9


def content(seed: int = 0) -> bytes:
    return np.random.default_rng(seed).bytes(digests.LARGE)


def aged(file: Path, mtime_ns: int | None = None) -> Path:
    """A file that was last written an hour ago, or then."""
    then = file.stat().st_mtime_ns - HOUR if mtime_ns is None else mtime_ns
    os.utime(file, ns=(then, then))
    return file


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of kept digests, which is empty yet."""
    monkeypatch.setenv("SUDER_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(digests.REHASH, raising=False)
    return tmp_path / "cache" / "digests"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "weights.bin").write_bytes(content())
    return aged(tmp_path / "weights.bin")


@pytest.fixture
def another_process(monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """Forgets what this process has read; returns the paths that are read as a whole from now on."""
    read: list[str] = []
    whole = digests._read

    def counted(one: digests.Identity) -> str:
        read.append(one.path)
        return whole(one)

    def start() -> list[str]:
        digests._sha256.cache_clear()
        read.clear()
        return read

    monkeypatch.setattr(digests, "_read", counted)
    start()
    return start


def true_digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def spoil(kept: Path) -> None:
    """Another digest in the place of the one that is kept."""
    (entry,) = kept.iterdir()
    entry.write_text(json.dumps(json.loads(entry.read_text()) | {"sha256": "0" * 64}))


@pytest.mark.usefixtures("kept")
def test_a_second_process_does_not_read_the_file(file: Path, another_process: Callable[[], list[str]]) -> None:
    first = digests.sha256(file)
    assert first == true_digest(file)
    read = another_process()
    assert digests.sha256(file) == first
    assert read == []


@pytest.mark.parametrize("where", ["first", "last", "header"])
def test_other_bytes_under_the_same_name_size_and_time(
    kept: Path, tmp_path: Path, another_process: Callable[[], list[str]], where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where a disk tells neither of two times."""
    whole = digests.Identity.of
    monkeypatch.setattr(digests.Identity, "of", lambda one: digests.Identity(**{**vars(whole(one)), "ctime_ns": 0}))
    names = [f"{'a long name of a weight':>100}{i}" for i in range(1000)]
    save_file({name: np.zeros(2048 + 64, np.float32) for name in names}, tmp_path / "a.safetensors")
    file = aged(tmp_path / "a.safetensors")
    before, then = digests.sha256(file), file.stat().st_mtime_ns
    assert list(kept.iterdir())
    changed = bytearray(file.read_bytes())
    header = int.from_bytes(changed[:8], "little")
    assert header > digests.END
    place = {"first": 30, "header": header - 10, "last": len(changed) - 1}[where]
    changed[place] ^= 1
    with file.open("r+b") as stream:
        stream.write(changed)
    aged(file, then)
    another_process()
    assert digests.sha256(file) == true_digest(file) != before


@pytest.mark.usefixtures("kept")
def test_bytes_changed_in_the_middle_with_the_old_time_put_back(file: Path, another_process: Callable[[], list[str]]) -> None:
    before, then = digests.sha256(file), file.stat().st_mtime_ns
    with file.open("r+b") as stream:
        stream.seek(digests.LARGE // 2)
        stream.write(b"other")
    aged(file, then)
    another_process()
    assert digests.sha256(file) == true_digest(file) != before


@pytest.mark.usefixtures("kept")
@pytest.mark.parametrize("change", ["mtime", "inode", "path", "size"])
def test_a_file_that_is_not_the_same_is_read(file: Path, another_process: Callable[[], list[str]], change: str) -> None:
    digests.sha256(file)
    then = file.stat().st_mtime_ns
    if change == "mtime":
        aged(file, then - 1)
    elif change == "size":
        file.write_bytes(content() + b"1")
        aged(file, then)
    else:
        copy = file.with_name("copy.bin")
        copy.write_bytes(file.read_bytes())
        file = aged(copy.replace(file) if change == "inode" else copy, then)
    read = another_process()
    assert digests.sha256(file) == true_digest(file)
    assert read == [str(file)]


@pytest.mark.usefixtures("kept")
def test_a_file_just_written_is_read_again(file: Path, another_process: Callable[[], list[str]]) -> None:
    """It could be written again within one tick of the disk's clock."""
    file.touch()
    digests.sha256(file)
    read = another_process()
    digests.sha256(file)
    assert read == [str(file)]


def test_small_files_leave_nothing_behind(kept: Path, file: Path) -> None:
    aged(file).write_bytes(b"small")
    assert digests.sha256(aged(file)) == true_digest(file)
    assert not kept.exists()


@pytest.mark.parametrize(
    "entry", [b"", b"[]", b"{", b"\xff", b'{"sha256": 5}', b'{"sha256": "' + b"0" * 64 + b'"}', b"[" * 10**5]
)
def test_what_is_kept_may_be_damaged(kept: Path, file: Path, another_process: Callable[[], list[str]], entry: bytes) -> None:
    digests.sha256(file)
    (place,) = kept.iterdir()
    place.write_bytes(entry)
    another_process()
    assert digests.sha256(file) == true_digest(file)
    another_process()
    assert digests.sha256(file) == true_digest(file)
    assert json.loads(place.read_bytes())["sha256"] == true_digest(file)


def test_a_cache_that_cannot_be_written_keeps_nothing(
    tmp_path: Path, file: Path, another_process: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a file").write_text("")
    monkeypatch.setenv("SUDER_BENCH_CACHE", str(tmp_path / "a file"))
    for _ in range(2):
        read = another_process()
        assert digests.sha256(file) == true_digest(file)
        assert read == [str(file)]


def test_rehash_reads_anew_and_says_that_a_kept_digest_was_wrong(
    kept: Path,
    file: Path,
    another_process: Callable[[], list[str]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    digests.sha256(file)
    spoil(kept)
    another_process()
    assert digests.sha256(file) == "0" * 64  # what it is for
    monkeypatch.setenv(digests.REHASH, "1")
    with caplog.at_level(logging.WARNING):
        assert digests.sha256(file) == true_digest(file)
    (told,) = caplog.messages
    assert f"{file}: the digest that was kept of it, 000000000000, was wrong: it is {true_digest(file)[:12]}" in told
    monkeypatch.delenv(digests.REHASH)
    another_process()
    assert digests.sha256(file) == true_digest(file)


@pytest.mark.usefixtures("kept")
def test_rehash_says_nothing_where_all_is_well(
    file: Path, another_process: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    digests.sha256(file)
    monkeypatch.setenv(digests.REHASH, "1")
    read = another_process()
    assert digests.sha256(file) == true_digest(file)
    assert read == [str(file)]
    assert caplog.messages == []


def test_what_is_kept_of_files_that_are_gone_is_dropped_after_a_month(file: Path, kept: Path, tmp_path: Path) -> None:
    others = [tmp_path / name for name in ("here.bin", "gone.bin", "just gone.bin")]
    for other in others:
        other.write_bytes(content())
        digests.sha256(aged(other))
    long_ago = time.time() - digests.MONTH - 1
    for entry in kept.iterdir():
        if "just gone" not in entry.read_text():
            os.utime(entry, (long_ago, long_ago))
    others[1].unlink()
    others[2].unlink()
    digests.sha256(file)
    left = {Path(json.loads(entry.read_text())["path"]).name for entry in kept.iterdir()}
    assert left == {"here.bin", "just gone.bin", "weights.bin"}


def test_no_more_is_kept_than_the_newest(kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digests, "MOST", 2)
    (kept.parent / "digests").mkdir(parents=True)
    for i in range(4):
        (tmp_path / f"{i}.bin").write_bytes(content(i))
        digests.sha256(aged(tmp_path / f"{i}.bin"))
        for entry in kept.iterdir():
            os.utime(entry, (entry.stat().st_mtime - 60,) * 2)
    assert {Path(json.loads(entry.read_text())["path"]).name for entry in kept.iterdir()} == {"2.bin", "3.bin"}
