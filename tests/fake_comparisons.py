"""Comparisons of rewards that nobody made: a folder as `reward compare` writes it, and what a page shows of one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from suder_bench.rewards import kept
from suder_bench.rewards.compare import Samples
from suder_bench.rewards.regions import Region
from suder_bench.rewards.sampled import Sampled

METRIC = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 8}
COMPARISON: dict[str, Any] = {
    "schema": 1,
    "model": "my-model",
    "benchmark": "geneval",
    "world": True,
    "seed": 0,
    "samples": "c/samples",
    "captions": None,
    "pictures": {
        "prompts": 8,
        "samples": 2,
        "mean": METRIC,
        "oracle": METRIC,
        "rewards": {
            name: {**dict.fromkeys(("best", "worst", "auc", "tau", "length"), METRIC), "milliseconds": 1.5}
            for name in ("dsr", "clip", "vqa", "srum")
        },
        "curves": {name: [METRIC, METRIC] for name in ("random", "dsr", "clip", "vqa", "srum", "oracle")},
    },
}


def compared(out: Path, *, world: bool = True, captions: bool = True, drawer: str = "m", regions: bool = False) -> Path:
    """A folder of `reward compare`: five prompts with three pictures each, and two captioned pictures; with `regions` clip says
    that the left half of each picture is good, the right half bad, and of a last picture nothing."""
    (out / "captions").mkdir(parents=True)
    files = [[out / f"samples/{i}-{k}.png" for k in range(3)] for i in range(5)]
    for file in (file for own in files for file in own):
        file.parent.mkdir(exist_ok=True)
        Image.new("RGB", (8, 8), "red").save(file)
    rewards = np.array([[-1.0, -0.5, -2.0]] * 5)
    samples = Samples(("c",) * 5, {"dsr": rewards, "clip": -rewards}, np.ones((5, 3)), np.array([[0.0, 1.0, 0.0]] * 5))
    halves = [Region((0, 0, 4, 8), 1.0), Region((4, 0, 8, 8), -0.5)]
    told = {"clip": [[halves, halves, None]] * 5} if regions else {}
    drawn = Sampled([f"prompt {i}" for i in range(5)], files, samples, {}, regions=told)
    said = Samples(("a", "b"), {"dsr": np.array([[-1.0, -0.5], [-0.5, -0.5]])}, np.ones((2, 2)), np.ones((2, 2)))
    written = Sampled([Image.new("RGB", (8, 8))] * 2, [["a cat", "a dog"], ["one", "other"]], said, {})
    kept.write(out, drawn, written if captions else None)
    found = {"schema": 1, "model": "m", "benchmark": "geneval", "world": world, "pictures_by": drawer, "captions_by": "m"}
    (out / "compare.json").write_text(json.dumps(found))
    return out
