"""The fingerprint of a checkpoint of 1 GB the second time against the first: python tests/bench/bench_fingerprint.py.

Each reading is a process of its own, which is not counted itself; first readings with `--rehash`, in turns with second ones, the
file in the page cache. The last line is one JSON document.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

sys.path.insert(0, str(Path(__file__).parents[1]))


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--read", help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.read:
        print(json.dumps(read(Path(arguments.read))))
        return 0
    with tempfile.TemporaryDirectory() as place:
        folder = written(Path(place) / "checkpoint", arguments.megabytes)
        found: dict[str, list[float]] = {"first": [], "second": []}
        for _ in range(arguments.rounds):
            for way, rehash in (("first", "1"), ("second", "0")):
                environment = {**os.environ, "SUDER_BENCH_CACHE": f"{place}/cache", "SUDER_BENCH_REHASH": rehash}
                command = [sys.executable, __file__, "--read", str(folder)]
                done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
                found[way].append(json.loads(done.stdout.splitlines()[-1]))
    seconds = {way: round(statistics.median(each), 4) for way, each in found.items()}
    print(json.dumps({"seconds": seconds, "times": round(seconds["first"] / seconds["second"])}))
    return 0


def written(folder: Path, megabytes: int) -> Path:
    """A folder with what a fingerprint covers, weights in 100 tensors, written an hour ago."""
    folder.mkdir()
    numbers = np.random.default_rng(0).random(megabytes * 10_000 // 4, dtype=np.float32)
    save_file({f"weight {i}": numbers for i in range(100)}, folder / "model.safetensors")
    (folder / "config.json").write_text("{}")
    then = time.time() - 3600
    os.utime(folder / "model.safetensors", (then, then))
    return folder


def read(folder: Path) -> float:
    from suder_bench.models import checkpoint

    start = time.perf_counter()
    checkpoint.fingerprint(checkpoint.digests(folder))
    return time.perf_counter() - start


if __name__ == "__main__":
    raise SystemExit(main())
