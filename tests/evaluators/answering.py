"""Answers scored without a model: what the tests of the understanding benchmarks share."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from suder_bench.records import Answered, Response, Sample, Statistic, Verdict

Pairs = Sequence[tuple[Sample, str]]

OFFICIAL = Path(os.environ.get("SUDER_BENCH_DATA", "/nonexistent"))
"""Set SUDER_BENCH_DATA to a folder of official files to run the tests on them."""


def official(relative: str) -> Path:
    if not (OFFICIAL / relative).is_file():
        pytest.skip(f"{relative} is not in SUDER_BENCH_DATA")
    return OFFICIAL / relative


def answered(pairs: Pairs) -> list[Answered]:
    return [
        Answered(sample, Response("b", sample.id, 0, 0, sha256(text.encode()).hexdigest(), text=text)) for sample, text in pairs
    ]


def judge(benchmark: Any, pairs: Pairs, judges: Mapping[str, Any] | None = None) -> list[tuple[Sample, Verdict]]:
    """The verdict rows that `statistics` takes."""
    verdicts = list(benchmark.verdicts(answered(pairs), judges or {}))
    assert [verdict.sample for verdict in verdicts] == [sample.id for sample, _ in pairs]
    json.dumps([dict(verdict.scores) | dict(verdict.details) for verdict in verdicts])
    return [(sample, verdict) for (sample, _), verdict in zip(pairs, verdicts, strict=True)]


def values(statistics: Mapping[str, Statistic], rows: int) -> dict[str, float]:
    """Every statistic at full weight; resamples keep their shape and repeat the number when nothing changes."""
    for statistic in statistics.values():
        assert statistic.of(np.ones((3, 2, rows))).shape == (3, 2)
    return {name: float(statistic.of(np.ones(rows))) for name, statistic in statistics.items()}


def score(benchmark: Any, pairs: Pairs, judges: Mapping[str, Any] | None = None) -> dict[str, float]:
    return values(benchmark.statistics(judge(benchmark, pairs, judges)), len(pairs))


def jsonl(file: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def picture(file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4)).save(file)
    return file


def duplicating(rows: Sequence[tuple[Sample, Verdict]], multiplicity: Mapping[str, int]) -> tuple[list[Any], np.ndarray]:
    """The rows with each cluster repeated, as other clusters, and the weights that should say the same."""
    weights = np.array([float(multiplicity[sample.cluster]) for sample, _ in rows])
    copies = [(sample, replace(verdict, repeat=copy)) for sample, verdict in rows for copy in range(multiplicity[sample.cluster])]
    return copies, weights
