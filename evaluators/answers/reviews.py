"""What a language judge's replies say: LLaVA-Bench's two scores, and HallusionBench's marks; files of published reviews."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from suder_bench.errors import UserError
from suder_bench.evaluators.answers.fields import ID, TEXT, Kind, Row, id_text
from suder_bench.evaluators.answers.files import json_rows

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


def is_review(row: Mapping[str, object]) -> bool:
    """Whether the line is LLaVA's review of an answer, and not an answer."""
    return {"content", "tuple"} <= row.keys()


def read_reviews(file: Path) -> list[Row]:
    """LLaVA's lines: question_id, category, the review's whole text (`content`) and the scores that were read from it (`tuple`).

    Raises `UserError` with the line where the two tell different scores: one of them was edited.
    """
    scores = Kind("two numbers", lambda value: isinstance(value, list) and len(value) == 2 and all(map(_number, value)))
    rows = json_rows(file, {"question_id": ID, "category": TEXT, "content": TEXT, "tuple": scores})
    for row in rows:
        read = parse_scores(row["content"])
        if read != tuple(row["tuple"]):
            raise UserError(
                f"{file}: question {id_text(row['question_id'])}: 'tuple' tells {row['tuple']}, and the review itself"
                f" {list(read) if read != FAILED else 'no two scores'}"
            )
    return rows


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def judge_mark(reply: str) -> int:
    """The official reading of a judge's mark, by substring: "not incorrect" is wrong all the same."""
    word = reply.lower()
    return WRONG if "incorrect" in word else RIGHT if "correct" in word else UNCLEAR
