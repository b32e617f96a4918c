"""Pictures of the world for its own prompts, of which every other one is drawn right, in the benchmarks' layouts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from suder_bench.benchmark import Benchmark, GenerationBenchmark
from suder_bench.cli import main
from suder_bench.data.source import write_world
from suder_bench.records import Sample
from suder_bench.runs.plan import build
from suder_bench.world.examples import stream, texts
from suder_bench.world.language import FAMILIES, draw_text
from suder_bench.world.render import picture
from suder_bench.world.scenes import Description, draw
from suder_bench.world.write_geneval import PROMPTS, QUICK


@dataclass(frozen=True)
class Made:
    """`files` are (sample id, prompt, file) of each picture; `images` holds them in the benchmark's layout."""

    benchmark: str
    data: Path
    images: Path
    files: list[tuple[str, str, Path]]

    def verdicts(self, out: Path, *words: str) -> dict[str, dict[str, Any]]:
        """What `run --model folder:...` stored of each sample, with the judges that `score` asks."""
        command = ["run", "--model", f"folder:{self.images}", "--benchmark", self.benchmark, "--data", str(self.data)]
        assert main([*command, "--repeats", "1", "--device", "cpu", "--out", str(out), *words]) in (
            0,
            1,
        )  # prompts without a picture
        rows = [
            json.loads(line)
            for file in sorted((out / "verdicts" / self.benchmark).glob("*.jsonl"))
            for line in file.read_text(encoding="utf-8").splitlines()
        ]
        return {row["sample"]: row for row in rows}


def made(folder: Path, benchmark: str, count: int) -> Made:
    write_world(folder / "data", size="quick", benchmarks=[benchmark])
    built = build(benchmark, folder / "data", "official")
    drawn: list[tuple[str, str, Path]] = []
    rng = np.random.default_rng(0)
    right = _right() if benchmark == "geneval" else {}
    samples = built.samples()
    for i in range(count):
        sample = samples[i * len(samples) // count]
        file = folder / "images" / _path(built, sample)
        other, _ = draw_text(list(FAMILIES)[i % len(FAMILIES)], rng, "val")
        file.parent.mkdir(parents=True, exist_ok=True)
        picture(draw(right[sample.prompt] if i % 2 and right else other, rng)).save(file)
        drawn.append((sample.id, sample.prompt, file))
    return Made(benchmark, folder / "data", folder / "images", drawn)


def _path(built: Benchmark, sample: Sample) -> str:
    return cast(GenerationBenchmark, built).image_path(sample, 0)


def _right() -> dict[str, Description]:
    """What each prompt of the world's GenEval describes."""
    return {prompt: description for description, prompt in _described()}


def _described() -> Iterator[tuple[Description, str]]:
    for i, tag in enumerate(PROMPTS):
        yield from texts(tag, "val", QUICK, stream("geneval", i))
