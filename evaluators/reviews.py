"""What a language judge's replies say: LLaVA-Bench's two scores, and HallusionBench's marks."""

from __future__ import annotations

import math

FAILED = (-1.0, -1.0)
"""The scores of a review that cannot be read."""

WRONG, RIGHT, UNCLEAR = 0, 1, 2


def parse_scores(review: str) -> tuple[float, float]:
    """(reference, model) from the first line: two numbers with one space or comma between them, nothing else; else `FAILED`."""
    fields = review.split("\n")[0].replace(",", " ").split(" ")
    try:
        reference, model = map(float, fields)
    except ValueError:
        return FAILED
    return (reference, model) if math.isfinite(reference) and math.isfinite(model) else FAILED


def judge_mark(reply: str) -> int:
    """The official reading of a judge's mark, by substring: "not incorrect" is wrong all the same."""
    word = reply.lower()
    return WRONG if "incorrect" in word else RIGHT if "correct" in word else UNCLEAR
