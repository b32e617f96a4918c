"""Where the files of one benchmark lie inside a data folder."""

from __future__ import annotations

from pathlib import Path

from suder_bench.errors import UserError


def benchmark_folder(data: Path, name: str, marker: str) -> Path:
    """`data/name` if it holds the file `marker`, else `data` itself if that does.

    Raises `UserError` naming the missing file and the command that brings it.
    """
    for folder in (data / name, data):
        if (folder / marker).is_file():
            return folder
    raise UserError(
        f"no {name}/{marker} in {data}; put the official files there, pass their folder with --data DIR, or use --data world"
    )
