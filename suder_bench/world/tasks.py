"""The embedded world's test files, in the official formats and under the official names of all benchmarks."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from suder_bench.data.folder import SIZES, WORLD_FILE
from suder_bench.errors import unknown
from suder_bench.world import (
    write_geneval,
    write_geneval2,
    write_hallusionbench,
    write_llavabench,
    write_mmbench,
    write_pope,
    write_seedbench,
    write_t2i_compbench,
    write_t2i_reasonbench,
    write_wise,
)
from suder_bench.world.examples import SEED, Size, write_text
from suder_bench.world.version import VERSION

__all__ = ["VERSION", "WRITERS", "write"]

WRITERS: Mapping[str, Callable[[Path, Size], None]] = MappingProxyType(
    {
        "geneval": write_geneval.write,
        "t2i-compbench": write_t2i_compbench.write,
        "pope": write_pope.write,
        "hallusionbench": write_hallusionbench.write,
        "llavabench": write_llavabench.write,
        "mmbench": write_mmbench.write,
        "seedbench": write_seedbench.write,
        "geneval2": write_geneval2.write,
        "t2i-reasonbench": write_t2i_reasonbench.write,
        "wise-verified": write_wise.write_verified,
        "wise-legacy": write_wise.write_legacy,
    }
)
"""One for each benchmark; the folder's name is the benchmark's, with '_' for '-'."""


def write(folder: Path, *, size: str, benchmarks: Sequence[str] | None = None) -> None:
    """Write the files of the benchmarks (all of them by default) below `folder`, and `world.json` last.

    `size` is 'quick' (all of it is written in about a second) or 'full' (as large as the official files, where the world
    has as many different texts). The same version and size give the same bytes.
    Raises `UserError` for an unknown benchmark or size.
    """
    names = list(WRITERS) if benchmarks is None else list(benchmarks)
    for name in names:
        if name not in WRITERS:
            raise unknown("benchmark", name, WRITERS)
    if size not in SIZES:
        raise unknown("size", size, SIZES)
    chosen: Size = "quick" if size == "quick" else "full"
    for name in names:
        WRITERS[name](folder / name.replace("-", "_"), chosen)
    marker = {"version": VERSION, "size": size, "seed": SEED, "benchmarks": names}
    write_text(folder / WORLD_FILE, json.dumps(marker, indent=2) + "\n")
