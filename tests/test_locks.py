"""Locks between processes, also where the system has none or the file system refuses them."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import filelock._soft as soft
import pytest

from suder_bench import locks
from suder_bench.errors import UserError
from suder_bench.runs.store import RunFolder

HOLD = """
import sys, time
from pathlib import Path
from suder_bench import locks
{refuse}
with locks.locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)"""
REFUSE = """
def refuse(descriptor, **_): raise OSError({number}, 'no locks here')
locks.lock_descriptor = refuse"""


@pytest.fixture(params=["flock", errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def holder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[str]]:
    """A process that holds a lock; its file system, and this process', may refuse the system's locks."""
    refuse = "" if request.param == "flock" else REFUSE.format(number=request.param)
    if refuse:

        def refused(descriptor: int, **_: object) -> bool:
            raise OSError(request.param, "no locks here")

        monkeypatch.setattr(locks, "lock_descriptor", refused)
    command = [sys.executable, "-c", HOLD.format(refuse=refuse), str(tmp_path / ".lock")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_lock_is_held_by_one_process_and_freed_when_that_is_killed(holder: subprocess.Popen[str], tmp_path: Path) -> None:
    file = tmp_path / ".lock"
    assert locks.is_held(file)
    with pytest.raises(UserError, match=f"{tmp_path} is in use by another process"), RunFolder(tmp_path).locked():
        pass
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert not locks.is_held(file)
    with locks.locked(file):
        assert locks.is_held(file)
        with pytest.raises(locks.HeldError), locks.locked(file):
            pass
    assert not locks.is_held(file)
    with locks.locked(file, wait=True):
        pass


def test_what_nobody_ever_held_is_free(tmp_path: Path) -> None:
    assert not locks.is_held(tmp_path / ".lock")
    assert not locks.is_held(tmp_path / "nowhere" / ".lock")


def test_an_error_of_the_block_is_the_blocks(tmp_path: Path) -> None:
    with pytest.raises(FileExistsError, match="mine"), RunFolder(tmp_path).locked():
        raise FileExistsError("mine")


def test_a_system_without_fcntl_runs_and_locks(tmp_path: Path) -> None:
    """As Windows is, but for its own locks: then a marker file is one."""
    script = """
import sys
sys.modules["fcntl"] = None
from importlib import import_module
from pathlib import Path
from suder_bench.cli.dispatch import COMMANDS
for name in COMMANDS:
    import_module(f"suder_bench.cli.{name.replace('-', '_')}")
import suder_bench.training.track, suder_bench.data.fetch, suder_bench.training.trainer
from suder_bench import locks
from suder_bench.errors import UserError
from suder_bench.runs.store import RunFolder
with RunFolder(Path("r")).locked():
    assert Path("r/.lock.held").is_file() and RunFolder(Path("r")).in_use()
    try:
        with RunFolder(Path("r")).locked():
            raise AssertionError("two hold it")
    except UserError as error:
        assert "in use by another process" in str(error), error
assert not RunFolder(Path("r")).in_use() and not Path("r/.lock.held").exists()
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, env=os.environ)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_disk_that_locks_only_what_is_open_to_be_written_tells_who_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As NFS does."""
    own = locks.lock_descriptor

    def strict(descriptor: int, **how: bool) -> bool:
        if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, "not open to be written")
        return own(descriptor, **how)

    monkeypatch.setattr(locks, "lock_descriptor", strict)
    with locks.locked(tmp_path / ".lock"):
        assert locks.is_held(tmp_path / ".lock")
    assert not locks.is_held(tmp_path / ".lock")


def test_a_killed_process_marker_is_taken_over_where_the_disk_cannot_exchange_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int, **_: object) -> bool:
        raise OSError(errno.ENOLCK, "no locks here")

    monkeypatch.setattr(locks, "lock_descriptor", refuse)
    monkeypatch.setattr(soft, "exchange_names", lambda *_: False)
    file, marker = tmp_path / ".lock", tmp_path / ".lock.held"
    command = [sys.executable, "-c", HOLD.format(refuse=REFUSE.format(number=errno.ENOLCK)), str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(locks.HeldError), locks.locked(file):
            pass
        process.kill()
    left = marker.read_text()
    with locks.locked(file):
        assert marker.read_text().startswith(f"{os.getpid()}\n")
    marker.write_text(left.replace(socket.gethostname(), "another-machine"))
    with pytest.raises(locks.HeldError, match=re.escape(str(marker))), locks.locked(file):
        pass
