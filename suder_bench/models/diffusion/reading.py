"""How much of a prompt a pipeline reads: its text encoders cut what is longer, and only a warning says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from suder_bench.models.diffusion.defaults import Defaults

CLIP = 77
"""CLIP's positions, begin and end among them."""

ENDLESS = 100_000
"""A tokenizer's length from here on says that it has none."""

_KNOWN = {
    "HunyuanDiTPipeline": {"tokenizer": 77, "tokenizer_2": 256},
    "HunyuanDiTPAGPipeline": {"tokenizer": 77, "tokenizer_2": 256},
    "IFPipeline": {"tokenizer": 77},
    "Kandinsky3Pipeline": {"tokenizer": 128},
}
"""Lengths that are numbers in the pipeline's code (diffusers 0.42)."""


def limits(pipeline: Any, own: Defaults) -> dict[str, int]:
    """{tokenizer: tokens}, special ones among them, of those whose limit is known."""
    known = _KNOWN.get(own.pipeline, {})
    found: dict[str, int] = {}
    for name, part in pipeline.components.items():
        if not name.startswith("tokenizer") or part is None:
            continue
        length = known.get(name, getattr(part, "model_max_length", ENDLESS))
        if "CLIP" in type(part).__name__:
            length = min(length, CLIP)
        elif name not in known and own.reads is not None:
            length = own.reads
        if length < ENDLESS:
            found[name] = int(length)
    return found


def cut(pipeline: Any, limits: Mapping[str, int], prompts: Sequence[str]) -> dict[str, int]:
    """{"tokenizer (77 tokens)": prompts that are longer}, without those that cut none."""
    found = {}
    for name, length in limits.items():
        tokenizer = getattr(pipeline, name)
        longer = sum(len(tokenizer(prompt, truncation=False, verbose=False).input_ids) > length for prompt in set(prompts))
        if longer:
            found[f"{name} ({length} tokens)"] = longer
    return found
