"""Locks between processes: the system's own where there is one, a marker file where the file system refuses it.

The system frees its lock when the process ends, however it ends. A marker names its process and its machine: of one that was
killed on this machine the next process takes the lock over; of one killed on another machine the marker has to be removed.
"""

from __future__ import annotations

import errno
import os
import socket
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it warns where the system has no locks, for which there are markers here
    from filelock import SoftFileLock, Timeout, lock_descriptor

from suder_bench.partial import lives

REFUSED = frozenset({errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL})
"""What file systems without locks answer: network and cluster disks mounted so, some FUSE disks, systems without flock."""


class HeldError(Exception):
    """Another process has the lock."""


LOOKS = 3
LOOK = 0.02
"""Seconds between so many tries: `is_held` has the lock for some microseconds."""


@contextmanager
def locked(file: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold the lock `file`, which is made where it is missing and stays.

    Raises `HeldError` when another process has it, unless told to `wait`; `OSError` when the file cannot be made.
    """
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        with lent(descriptor, file, wait=wait):
            yield
    finally:
        os.close(descriptor)


@contextmanager
def lent(descriptor: int, file: Path, *, wait: bool = False) -> Iterator[None]:
    """`locked` on a file that is open already, until the block ends; closing it is the caller's."""
    try:
        taken = lock_descriptor(descriptor) if wait else _tried(descriptor)
    except OSError as error:
        if error.errno not in REFUSED:
            raise
        with _marked(file, wait=wait):
            yield
        return
    if not taken:
        raise HeldError(f"{file} is held by another process")
    yield


def is_held(file: Path) -> bool:
    """Whether some process has the lock; nothing is changed for it, and to read the file is enough."""
    if _marker(file).exists():
        try:
            with _marked(file, wait=False):
                pass
        except HeldError:
            return True
        except OSError:
            return True
    try:
        descriptor = _opened(file)
    except FileNotFoundError:
        return False
    try:
        return not _tried(descriptor)
    except OSError as error:
        if error.errno in REFUSED or error.errno == errno.EBADF:  # EBADF: a network disk locks only what is open to be written
            return False
        raise
    finally:
        os.close(descriptor)


def _opened(file: Path) -> int:
    """To be written where that is allowed: a network disk locks nothing else."""
    try:
        return os.open(file, os.O_RDWR)
    except FileNotFoundError:
        raise
    except OSError:
        return os.open(file, os.O_RDONLY)


def _tried(descriptor: int) -> bool:
    """Take the lock if it is free, and not just looked at by an `is_held` elsewhere."""
    for _ in range(LOOKS):
        if lock_descriptor(descriptor, blocking=False):
            return True
        time.sleep(LOOK)
    return False


def _marker(file: Path) -> Path:
    return file.with_name(f"{file.name}.held")


def _cleared(marker: Path) -> bool:
    """Take away the marker of a process of this machine that has ended; filelock does so only where the disk exchanges names."""
    try:
        content = marker.read_text(encoding="utf-8")
        process, host = content.split("\n")[:2]
        if host != socket.gethostname() or lives(int(process)):
            return False
        aside = marker.with_name(f"{marker.name}.{os.getpid()}.gone")
        marker.rename(aside)
        if aside.read_text(encoding="utf-8") != content:  # somebody took it over meanwhile
            with suppress(OSError):
                os.link(aside, marker)
        aside.unlink()
        return True
    except (OSError, ValueError):
        return False


@contextmanager
def _marked(file: Path, *, wait: bool) -> Iterator[None]:
    lock = SoftFileLock(_marker(file), timeout=0)
    while True:
        try:
            lock.acquire()
            break
        except Timeout:
            if _cleared(_marker(file)):
                continue
            if not wait:
                raise HeldError(f"{file} is held by another process ({_marker(file)})") from None
            time.sleep(LOOK)
    try:
        yield
    finally:
        lock.release()
