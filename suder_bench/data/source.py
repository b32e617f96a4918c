"""Where a run's benchmark files come from: the embedded world, the official files, or a folder of the user's."""

from __future__ import annotations

import filecmp
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from suder_bench import registry
from suder_bench.data.catalogue import catalogue
from suder_bench.data.fetch import ensure
from suder_bench.data.folder import SIZES, WORLD_FILE, of_world, unwritable
from suder_bench.errors import UserError
from suder_bench.partial import beside


@dataclass(frozen=True)
class Source:
    """`kind` and what it needs: `size` for the world, `path` for a folder."""

    kind: Literal["world", "official", "folder"]
    size: str | None = None
    path: Path | None = None

    @property
    def world(self) -> bool:
        return self.kind == "world" or (self.path is not None and of_world(self.path))

    @property
    def argument(self) -> str:
        """The value of `--data` that chooses this source."""
        return self.kind if self.path is None else str(self.path)

    def folder(self, benchmark: str, say: Callable[[str], None], *, offline: bool, protocol: str = "official") -> Path:
        """The folder to hand to the benchmark, and `say` is told what is done for it.

        The world's files are written on first use, official ones fetched unless `offline`, and checked at each use; a folder
        of the user's is taken as it is. A family's benchmarks (`registry.FAMILIES`) find their own files.
        Raises `UserError` for official files that are damaged or cannot be had, and for a family's benchmarks of the world.
        """
        if self.path is not None:
            return self.path
        if registry.family(benchmark) is not None:
            if self.kind == "world":
                raise UserError(f"{benchmark} has no form in the world; leave --data out, or give --data DIR")
            return official()
        if self.kind == "official":
            needed = [file for file in catalogue() if file.benchmark == benchmark and file.needed(protocol)]
            ensure(needed, official(), say, offline=offline)
            return official()
        return _world_folder(benchmark, self.size or SIZES[0], say)


def choose(data: str | None, size: str | None, *, world_model: bool) -> Source:
    """Read `--data` and `--size`; without `--data` a model of the world gets the world, any other the official files."""
    kind = data if data is not None else ("world" if world_model else "official")
    if kind == "world":
        return Source("world", size=size or SIZES[0])
    if size is not None:
        raise UserError(f"--size {size} is for --data world; the data here are '{kind}'")
    if kind == "official":
        return Source("official")
    path = Path(kind).expanduser().resolve()
    if not path.is_dir():
        raise UserError(f"--data '{kind}' is neither 'world', nor 'official', nor a folder")
    return Source("folder", path=path)


def cache() -> Path:
    """The cache folder: $SUDER_BENCH_CACHE, or ~/.cache/suder-bench."""
    return Path(os.environ.get("SUDER_BENCH_CACHE") or "~/.cache/suder-bench").expanduser()


def official() -> Path:
    """The folder of the fetched official files."""
    return cache() / "official"


def write_world(folder: Path, *, size: str, benchmarks: Sequence[str] | None = None) -> None:
    """Write the world's files into `folder`, which appears only when complete. An empty folder may be there already.

    A folder that holds these very files is left as it is: a kill may have come after the last one. Raises `UserError` when
    something else is there.
    """
    from suder_bench.world import tasks

    taken = folder.exists() and (not folder.is_dir() or any(folder.iterdir()))
    refused = UserError(f"'{folder}' is not empty; choose a new folder, or remove it first")
    if taken and not (folder / WORLD_FILE).is_file():
        raise refused
    whole = folder.absolute()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        written = beside(whole)
        try:
            tasks.write(written, size=size, benchmarks=benchmarks)
            if not taken:
                written.replace(folder)
            elif not _holds(folder, written):
                raise refused
        finally:
            shutil.rmtree(written, ignore_errors=True)
    except OSError as error:
        raise unwritable(folder, error) from None


def _holds(folder: Path, files: Path) -> bool:
    """Whether `folder` has all that `files` has, byte by byte."""
    for file in files.rglob("*"):
        place = folder / file.relative_to(files)
        if file.is_file() and not (place.is_file() and filecmp.cmp(file, place, shallow=False)):
            return False
    return True


def _world_folder(benchmark: str, size: str, say: Callable[[str], None]) -> Path:
    from suder_bench.world import tasks

    folder = cache() / "world" / str(tasks.VERSION) / size / benchmark
    if not folder.is_dir():
        say(f"writing the world's {benchmark} ({size}) to {folder}")
        try:
            write_world(folder, size=size, benchmarks=[benchmark])
        except (OSError, UserError):
            # Another process may have been faster, and then its files are the same; anything else is an error.
            if not folder.is_dir() or not any(folder.iterdir()):
                raise
    return folder
