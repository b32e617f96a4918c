"""Where the files of one benchmark lie inside a data folder."""

from __future__ import annotations

from pathlib import Path

from suder_bench.data.catalogue import catalogue
from suder_bench.data.owners import wanting
from suder_bench.errors import UserError


def benchmark_folder(data: Path, name: str, marker: str, protocol: str = "official") -> Path:
    """`data/name` if it holds the file `marker`, else `data` itself if that does.

    Raises `UserError` naming the missing file and the command that brings it.
    """
    for folder in (data / name, data):
        if (folder / marker).is_file():
            return folder
    known = [file.benchmark for file in catalogue() if (file.folder, file.name) == (name, marker)]
    elsewhere = wanting(name.replace("_", "-"), data, protocol) or "put the official files there"
    way = f"get the official files with suder-bench data fetch {known[0]}" if known else elsewhere
    raise UserError(f"no {name}/{marker} in {data}; {way}, pass their folder with --data DIR, or use --data world")


SIZES = ("quick", "full")
"""How large the world writes its data."""

WORLD_FILE = "world.json"
"""Stands at the top of a data folder that the world wrote; such data are judged by the world's judges."""


def of_world(folder: Path) -> bool:
    """Whether the world wrote this data folder, or the one above it: one benchmark's folder is a data folder too."""
    return any((place / WORLD_FILE).is_file() for place in (folder, folder.parent))


def unwritable(folder: Path, error: OSError) -> UserError:
    """For a folder of data, which is in the cache unless the user named it."""
    return UserError(
        f"{folder} cannot be written ({error.strerror or error}); choose another folder, or export SUDER_BENCH_CACHE=FOLDER, one"
        " that can be"
    )
