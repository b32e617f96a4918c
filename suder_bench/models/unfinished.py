"""Files of a checkpoint that are not whole yet: Git LFS pointers, downloads under way, weights that grow while they are read."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from suder_bench.errors import UserError

_POINTER = b"version https://git-lfs"
_KEPT = r"(?:safetensors|bin|json|model|txt|jinja)"
_UNDER_WAY = re.compile(
    rf".+\.{_KEPT}\.(?:incomplete|tmp|part|partial|aria2|crdownload|download)|\..+\.{_KEPT}\.\w{{6}}", re.IGNORECASE
)
"""What copies call a file that they are at, or keep beside it: curl and browsers, aria2c (whose file has its full length from
the start), rsync (a hidden name with six characters more)."""

_HUB = ".cache/huggingface/download"
"""Where `hf download --local-dir` keeps what it has not moved to its place yet."""


def check_folder(folder: Path) -> None:
    """Raises `UserError` naming a file that is still being written into the folder."""
    found = [file for file in folder.iterdir() if _UNDER_WAY.fullmatch(file.name)]
    under_way = sorted([*found, *(folder / _HUB).rglob("*.incomplete")])
    if under_way:
        raise UserError(
            f"{under_way[0]}: the checkpoint is still being written or downloaded; wait until it is whole, "
            "or delete this file if a copy that was broken off left it"
        )


def check_fetched(file: Path, what: str = "its contents") -> None:
    """Raises `UserError` for a file that Git LFS was to fetch and has not. One that cannot be read is left to its reader."""
    try:
        with file.open("rb") as stream:
            pointer = stream.read(len(_POINTER)) == _POINTER
    except OSError:
        return
    if pointer:
        raise UserError(f"{file} is a Git LFS pointer, not {what}; fetch them with git lfs pull")


@contextmanager
def unchanged(files: Sequence[Path]) -> Iterator[None]:
    """Raises `UserError` naming a file that is another one after what is done inside than before: it is still being written."""
    before = [_look(file) for file in files]
    yield
    for file, (size, changed) in zip(files, before, strict=True):
        found = _look(file)
        if found != (size, changed):
            raise UserError(
                f"{file} changed while it was read ({size:,} bytes, now {found[0]:,}); it is still being written: "
                "wait until it is whole"
            )


def _look(file: Path) -> tuple[int, int]:
    try:
        stat = file.stat()
    except OSError:
        return 0, 0
    return stat.st_size, stat.st_mtime_ns
