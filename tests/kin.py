"""Which processes a process has started, whether they live, and their end."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

KIN = Path(f"/proc/self/task/{os.getpid()}/children").exists()
"""Whether this system tells."""


def children(process: int) -> list[int]:
    """The processes that a process has started, which live."""
    found: list[int] = []
    for thread in Path(f"/proc/{process}/task").glob("*"):
        try:
            found += map(int, (thread / "children").read_text().split())
        except OSError:
            continue
    return [child for child in found if alive(child)]


def alive(process: int) -> bool:
    """Whether a process is there, and not only its exit status."""
    if KIN:
        try:
            return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
        except OSError:
            return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def end(process: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)
