"""What sets a score apart from its benchmark's own, so that it never stands beside published numbers."""

from __future__ import annotations

import hashlib
import json
import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

from suder_bench.models.protocols import NOT_FINITE
from suder_bench.records import Sample, Stranger


def noted(*, rewritten: Mapping[str, str], left_out: int, unofficial: str = "") -> dict[str, Any]:
    """What run.json keeps of a benchmark's deviations: nothing where there are none."""
    digest = hashlib.sha256(json.dumps(sorted(rewritten.items())).encode()).hexdigest()[:8]
    kept = {"rewritten": {"prompts": len(rewritten), "digest": digest}} if rewritten else {}
    return kept | ({"left_out": left_out} if left_out else {}) | ({"unofficial": unofficial} if unofficial else {})


def deviations(recipe: Mapping[str, Any], benchmark: str) -> list[str]:
    """In words, from what run.json says of a benchmark and of the model."""
    planned = recipe.get("benchmarks", {}).get(benchmark, {})
    found = of_weights(recipe.get("model", {}).get("settings", {}))
    if rewritten := planned.get("rewritten"):
        found.append(f"{_several(rewritten['prompts'], 'prompt')} rewritten before drawing (rewriting {rewritten['digest']})")
    if style := planned.get("worded"):
        found.append(f"questions worded as by {style} (--prompt-style)")
    if unofficial := planned.get("unofficial"):
        found.append(f"not the official questions: {unofficial}")
    if left_out := planned.get("left_out"):
        found.append(f"{_several(left_out, 'sample')} left out (--allow-missing)")
    return found


def of_weights(settings: Mapping[str, Any]) -> list[str]:
    """The deviation of a model whose weights are no numbers, by its settings; none of any other."""
    return [f"{settings[NOT_FINITE]} (--allow-nonfinite)"] if NOT_FINITE in settings else []


def told(benchmark: str, samples: Iterable[Sample], rewritten: Mapping[str, str]) -> list[str]:
    """The line that names a rewriting, with its first example; none without one."""
    if not rewritten:
        return []
    first = next(sample for sample in samples if sample.id in rewritten)
    return [
        f"{benchmark}: {_several(len(rewritten), 'prompt')} rewritten before drawing, the first from '{_short(first.prompt)}' to"
        f" '{_short(rewritten[first.id])}'; they ask for the same, but scores do not compare with those of the official prompts"
    ]


def skipped(benchmark: str, stranger: Stranger) -> str:
    """The line that names a picture which is not scored."""
    owner = "belongs to no sample" if stranger.sample is None else f"of {stranger.sample.id} is not read"
    return f"skipped: {benchmark}: {stranger.file} {owner}: {stranger.why}"


def _short(prompt: str) -> str:
    return textwrap.shorten(prompt, 60, placeholder=" ...")


def _several(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
