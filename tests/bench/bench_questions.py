"""The digest of a benchmark's data in parquet files, at the first plan and at a later one: python tests/bench/bench_questions.py.

14,000 pictures of 40 to 70 kB in four files, as SEED-Bench has them; a process each, the files in the page cache, which spares
the first one the disk. The last line is one JSON document.
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

FILES, AGE = 4, 60 * 10**9


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=14_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.read:
        print(json.dumps(read(arguments.read)))
        return 0
    first, later = [], []
    with tempfile.TemporaryDirectory() as place:
        folder = write(Path(place), arguments.pictures)
        for number in range(arguments.rounds):
            cache = os.environ | {"SUDER_BENCH_CACHE": str(Path(place) / f"cache{number}")}
            found = [timed(folder, cache) for _ in range(2)]
            assert found[0][1] == found[1][1]
            first.append(found[0][0])
            later.append(found[1][0])
    seconds = {"first": round(statistics.median(first), 3), "later": round(statistics.median(later), 3)}
    ratio = statistics.median(once / again for once, again in zip(first, later, strict=True))
    print(json.dumps({"pictures": arguments.pictures, "seconds": seconds, "times": round(ratio, 1)}))
    return 0


def write(place: Path, pictures: int) -> Path:
    import pyarrow
    from pyarrow import parquet

    folder = place / "seedbench"
    folder.mkdir()
    for part in range(FILES):
        numbers = range(part * pictures // FILES, (part + 1) * pictures // FILES)
        rows = [
            {"question_id": str(n), "image": [{"bytes": os.urandom(40_000 + n % 7 * 5_000), "path": f"{n}.jpg"}]} for n in numbers
        ]
        file = folder / f"test-{part:05d}-of-{FILES:05d}.parquet"
        parquet.write_table(pyarrow.Table.from_pylist(rows), file, row_group_size=100)
        status = file.stat()
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns - AGE))  # as if it had not been fetched just now
    return folder


def timed(folder: Path, environment: dict[str, str]) -> tuple[float, str]:
    done = subprocess.run(
        [sys.executable, __file__, "--read", str(folder)], stdout=subprocess.PIPE, text=True, check=True, env=environment
    )
    seconds, digest = json.loads(done.stdout)
    return seconds, digest


def read(folder: Path) -> tuple[float, str]:
    """Seconds that the digest takes, the rows being read, and the digest."""
    from suder_bench.evaluators.forms import hub
    from suder_bench.records import Sample
    from suder_bench.runs.plan import samples_digest

    rows = hub.rows(sorted(folder.glob("*.parquet")))
    samples = [
        Sample(row["question_id"], "c", "p", (hub.named(row[hub.PLACE], f"{number}.jpg", place),))
        for number, (place, row) in enumerate(rows)
    ]
    start = time.perf_counter()
    found = samples_digest(samples)
    return time.perf_counter() - start, found


if __name__ == "__main__":
    raise SystemExit(main())
