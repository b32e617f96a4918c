"""Where a training step's seconds go: python tests/bench/bench_training.py [--config tiny] [--steps 6] [--set KEY=VALUE ...].

Trains a shipped recipe for a few steps in a folder of its own and reads the trainer's own metrics; the first step, which warms
up, is left out. With `--old CHECKOUT` that build trains in turns with this one, `--rounds` times each, and the ratio is of the
medians of all steps, this build's over the older one's. The last line is one JSON document.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

PARTS = ("sampling", "scoring", "update")
HERE = Path(__file__).parents[2]


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", default="tiny")
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--old", type=Path, metavar="DIR", help="a checkout of the build to compare with")
    parser.add_argument("--rounds", type=int, default=1)
    given = parser.parse_args(argv)
    builds = {"new": HERE} | ({"old": given.old.absolute()} if given.old else {})
    sets = [f"trainer.max_steps={given.steps}", "samples_steps=0", "trainer.save_strategy=no", *given.set]
    rows: dict[str, list[dict[str, float]]] = {name: [] for name in builds}
    for _ in range(given.rounds):
        for name, build in builds.items():
            rows[name] += trained(build, given.config, sets)
    found = {name: spent(steps) for name, steps in rows.items()}
    ratio = {"ratio": round(found["new"]["seconds_per_step"] / found["old"]["seconds_per_step"], 3)} if given.old else {}
    print(json.dumps({"recipe": given.config, **found["new"], **({"old": found["old"]} if given.old else {}), **ratio}))
    return 0


def trained(build: Path, config: str, sets: list[str]) -> list[dict[str, float]]:
    """The metrics of every step but the first of a training by the build, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        words = [word for pair in sets for word in ("--set", pair)]
        command = [sys.executable, "-m", "suder_bench", "train", "--config", config, "--out", "run", *words]
        subprocess.run(command, cwd=folder, check=True, env={**os.environ, "PYTHONPATH": str(build)})
        lines = (Path(folder) / "run/metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines][1:]


def spent(rows: list[dict[str, float]]) -> dict[str, float]:
    seconds = {part: statistics.median(row[f"seconds/{part}"] for row in rows) for part in ("step", *PARTS)}
    return {
        "seconds_per_step": round(seconds["step"], 3),
        **{f"{part}_share": round(seconds[part] / seconds["step"], 2) for part in PARTS},
        "images_per_second": round(statistics.median(row["images_per_second"] for row in rows), 1),
        "tokens_per_second": round(statistics.median(row["tokens_per_second"] for row in rows)),
    }


if __name__ == "__main__":
    raise SystemExit(main())
