"""Where a training step's seconds go: python tests/bench/bench_training.py [--config tiny] [--steps 6] [--set KEY=VALUE ...].

Trains a shipped recipe for a few steps in a folder of its own and reads the trainer's own metrics; the first step, which warms
up, is left out. The last line is one JSON document.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path

import torch

from suder_bench.cli import main as suder_bench

PARTS = ("sampling", "scoring", "update")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", default="tiny")
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    arguments = parser.parse_args(argv)
    sets = [f"trainer.max_steps={arguments.steps}", "samples_steps=0", "trainer.save_strategy=no", *arguments.set]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        command = ["train", "--config", arguments.config, "--out", str(out)]
        status = suder_bench([*command, *(part for pair in sets for part in ("--set", pair))])
        if status:
            return status
        rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()][1:]
    seconds = {part: statistics.median(row[f"seconds/{part}"] for row in rows) for part in ("step", *PARTS)}
    result = {
        "recipe": arguments.config,
        "threads": torch.get_num_threads(),
        "seconds_per_step": round(seconds["step"], 2),
        **{f"{part}_share": round(seconds[part] / seconds["step"], 2) for part in PARTS},
        "images_per_second": round(statistics.median(row["images_per_second"] for row in rows), 1),
        "tokens_per_second": round(statistics.median(row["tokens_per_second"] for row in rows)),
    }
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
