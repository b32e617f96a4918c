"""A whole `run --suite gen --model tiny-janus`, this build against an older: python tests/bench/bench_suite.py --old CHECKOUT.

Both builds run the same command from start to summary, in turns, each in a process and a folder of its own; the median of the
rounds counts, their start and imports included. What follows `--` is given to this build alone (`-- --workers 2`). The older
build is a checkout, made with: git worktree add DIR 1d5114e. The last line is one JSON document.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).absolute().parents[2]
COMMAND = ("run", "--suite", "gen", "--model", "tiny-janus", "--out", "run")
START = """
import sys
build = sys.argv.pop(1)
sys.meta_path[:] = [one for one in sys.meta_path if "Editable" not in getattr(one, "__name__", "")]
sys.path.insert(0, build)
import suder_bench
suder_bench.__path__.append(build)  # where evaluators, reports and training lie
from suder_bench.cli import main
sys.exit(main())
"""


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--old", type=Path, metavar="DIR", help="a checkout of the build to compare with")
    parser.add_argument("--limit", type=int, default=40, metavar="N", help="prompts of each benchmark (default: 40)")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("own", nargs="*", metavar="OPTION", help="for this build alone, after --")
    given = parser.parse_args(argv)
    limit = ("--limit", str(given.limit))
    builds = {"new": (HERE, (*limit, *given.own))} | ({"old": (given.old.absolute(), limit)} if given.old else {})
    clock: dict[str, list[float]] = {name: [] for name in builds}
    for turn in range(given.rounds):
        for name, (build, options) in builds.items():
            wall, processor = run(build, options)
            clock[name].append(wall)
            print(f"round {turn}: {name} {wall:.1f} s on the clock, {processor:.1f} s of the processors", flush=True)
    seconds = {name: round(statistics.median(log), 1) for name, log in clock.items()}
    ratio = {"ratio": round(seconds["new"] / seconds["old"], 3)} if given.old else {}
    print(json.dumps({"limit": given.limit, "own": given.own, "cores": os.cpu_count(), "seconds": seconds, **ratio}))
    return 0


def run(build: Path, options: Sequence[str]) -> tuple[float, float]:
    """Seconds on the clock and of the processors that the command takes in a process and a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        before, started = children(), time.perf_counter()
        command = [sys.executable, "-c", START, str(build), *COMMAND, *options]
        place = {**os.environ, "PYTHONPATH": str(build)}  # for the workers, which are processes of their own
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=place)
        taken = time.perf_counter() - started, children() - before
        if done.returncode or not (Path(folder) / "run/summary.json").is_file():
            raise SystemExit(done.stderr)
    return taken


def children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    raise SystemExit(main())
