"""Names of what is being written, and the removal of what a killed process left half written."""

from __future__ import annotations

import os
import re
import shutil
import socket
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

OLD = 24 * 60 * 60
"""Seconds after which what another machine was writing counts as left behind."""

_NAME = re.compile(r"\..*\.(?P<host>[\w-]+)\.(?P<process>[0-9]+)-[0-9]+\.partial")
_swept: set[Path] = set()


def beside(file: Path) -> Path:
    """A hidden name on the same disk that no other thread, process or machine writes to at this moment.

    The first call for a folder removes what killed processes left in it under such names.
    """
    folder = file.parent.absolute()
    if folder not in _swept:
        _swept.add(folder)
        sweep(folder)
    return file.with_name(f".{file.name}.{_host()}.{os.getpid()}-{threading.get_ident()}.partial")


def sweep(folder: Path) -> None:
    """Remove the files and folders in `folder` that bear such a name, and whose process on this machine has ended; those of
    other machines when nothing has touched them for a day."""
    with suppress(OSError):
        for entry in list(os.scandir(folder)):
            name = _NAME.fullmatch(entry.name)
            with suppress(OSError):
                if name and _left_behind(name, entry):
                    if entry.is_dir(follow_symlinks=False):
                        shutil.rmtree(entry.path, ignore_errors=True)
                    else:
                        os.unlink(entry.path)


def _left_behind(name: re.Match[str], entry: os.DirEntry[str]) -> bool:
    if name["host"] == _host() and sys.platform != "win32":
        return not lives(int(name["process"]))
    return time.time() - entry.stat(follow_symlinks=False).st_mtime > OLD


def lives(process: int) -> bool:
    """Whether a process of this machine has not ended."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # somebody else's
        return True
    return True


def _host() -> str:
    return re.sub(r"[^\w-]", "-", socket.gethostname()) or "host"
