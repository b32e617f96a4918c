"""summary.json: every metric with its interval, and counts of what is missing. Its schema is `summary.schema.json`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from suder_bench import stats
from suder_bench.runs.compact import Rows
from suder_bench.runs.deviations import deviations
from suder_bench.runs.jsonl import plain
from suder_bench.runs.roles import absent, by_metric
from suder_bench.runs.score import Scored

SCHEMA = 1
_OUTSIDE = ("schema", "run", "suite", "world")


def summarise(
    recipe: Mapping[str, Any], scored: Sequence[Scored], asked: Mapping[str, Mapping[str, Any]] | None = None
) -> dict[str, Any]:
    """The document of a run.json and its verdicts. "benchmarks" is a pure function of responses, data and judges; `asked` is what
    judges behind an address took, by role (`Books.totals`)."""
    document: dict[str, Any] = plain(
        {
            "schema": SCHEMA,
            "run": recipe["run"],
            "model": recipe["model"]["name"],
            "suite": recipe["suite"],
            "world": recipe["world"],
            "recipe": {name: value for name, value in recipe.items() if name not in _OUTSIDE},
            "benchmarks": {one.benchmark.name: _entry(one) | _marks(recipe, one.benchmark.name) for one in scored},
            **({"asked": asked} if asked else {}),
        }
    )
    return document


def _entry(scored: Scored) -> dict[str, Any]:
    judged = scored.rows.samples if isinstance(scored.rows, Rows) else [sample for sample, _ in scored.rows]
    clusters = [sample.cluster for sample in judged]
    statistics = scored.benchmark.statistics(scored.rows) if scored.rows else {}
    unjudged = scored.unjudged
    open_ = set(unjudged.metrics) if unjudged else set()
    found = stats.metrics({name: one for name, one in statistics.items() if name not in open_}, clusters) if statistics else {}
    told = {"judges": by_metric(scored.benchmark, judged), "without": absent(scored.benchmark, scored.planned, judged)}
    return {
        "headline": scored.benchmark.headline,
        "paper_metrics": list(scored.benchmark.paper_metrics),
        "protocol": scored.protocol,
        "judges": scored.judges,
        "n_samples": len(scored.planned),
        "n_responses": len(scored.rows),
        "skipped": scored.skipped,
        "failed": scored.failed,
        **({"unjudged": asdict(unjudged)} if unjudged else {}),
        "intervals": stats.METHOD,
        "metrics": {
            name: metric.document() | {what: of[name] for what, of in told.items() if name in of}
            for name, metric in found.items()
        },
    }


def _marks(recipe: Mapping[str, Any], benchmark: str) -> dict[str, Any]:
    found = deviations(recipe, benchmark)
    return {"deviations": found} if found else {}
