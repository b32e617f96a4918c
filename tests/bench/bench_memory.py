"""Peak memory of scoring 200 and 2,000 pictures made elsewhere: python tests/bench/bench_memory.py [--side 256].

Each number of pictures is scored in a process of its own, in GenEval's layout, by judges that find nothing; every prompt
has four pictures, links to a few files, so that the disk is small and every picture is still decoded. `held` is
what all pictures of the larger number would take at once. The last line is one JSON document.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

REPEATS = 4
FILES = 8


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--counts", type=int, nargs=2, default=[200, 2000], metavar="N")
    parser.add_argument("--side", type=int, default=512, help="pixels")
    parser.add_argument("--score", type=Path, metavar="DIR", help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.score:
        print(json.dumps(measure(arguments.score)))
        return 0
    rows = []
    for count in arguments.counts:
        with tempfile.TemporaryDirectory() as folder:
            prepare(Path(folder), count, arguments.side)
            command = [sys.executable, __file__, "--score", folder]
            done = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
        row = json.loads(done.stdout.splitlines()[-1])
        assert row["responses"] == count, done.stderr
        rows.append(row)
        print(f"{count:>6} pictures: peak {row['peak_mib']:.0f} MiB, {row['seconds']:.1f} s")
    few, many = rows
    result = {
        "side": arguments.side,
        "rows": rows,
        "growth_mib": round(many["peak_mib"] - few["peak_mib"], 1),
        "held_mib": round(arguments.counts[1] * arguments.side**2 * 4 / 2**20),  # Pillow keeps four bytes a pixel
    }
    print(json.dumps(result))
    return 0


def prepare(folder: Path, count: int, side: int) -> None:
    """`count` pictures for count / 4 prompts, and the prompts themselves."""
    rng = np.random.default_rng(0)
    (folder / "files").mkdir()
    for number in range(FILES):
        blocks = rng.integers(0, 255, (side // 16, side // 16, 3), dtype=np.uint8)
        Image.fromarray(blocks).resize((side, side), Image.Resampling.BICUBIC).save(folder / f"files/{number}.png")
    records = [
        {"tag": "single_object", "prompt": f"a photo of cat {index}", "include": [{"class": "cat", "count": 1}]}
        for index in range(count // REPEATS)
    ]
    (folder / "geneval").mkdir()
    (folder / "geneval/evaluation_metadata.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    (folder / "geneval/object_names.txt").write_text("cat\n")
    for number in range(count):
        samples = folder / f"made/{number // REPEATS:05d}/samples"
        samples.mkdir(parents=True, exist_ok=True)
        (samples / f"{number % REPEATS:05d}.png").symlink_to(folder / f"files/{number % FILES}.png")


class Blind:
    """Finds nothing, after having looked at every pixel."""

    backend, exact, fingerprint = "blind", False, "0"

    @classmethod
    def load(cls, **_: Any) -> Blind:
        return cls()

    def detect(self, pictures: Any) -> list[list[Any]]:
        for picture in pictures:
            np.asarray(picture).mean()
        return [[] for _ in pictures]


def measure(folder: Path) -> dict[str, Any]:
    """Score what `prepare` left; the peak is the process' own."""
    from suder_bench import registry
    from suder_bench.data.source import Source
    from suder_bench.runs.elsewhere import Elsewhere
    from suder_bench.runs.screen import Screen

    load = registry.load
    registry.load = lambda group, name: Blind if group == "judges" else load(group, name)
    start = time.perf_counter()
    outcome = Elsewhere("geneval", folder / "made", Source("folder", path=folder)).score(Screen())
    return {
        "responses": outcome.summary["benchmarks"]["geneval"]["n_responses"],
        "seconds": round(time.perf_counter() - start, 1),
        "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    }


if __name__ == "__main__":
    raise SystemExit(main())
