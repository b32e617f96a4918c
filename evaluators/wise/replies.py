"""What WISE's judge is asked in our words, and how its replies are read: exactly as the authors' scripts read them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from suder_bench.evaluators.judges.requests import Audit

MARKS = ("consistency", "realism", "aesthetic_quality")
"""Of the first WISE, each officially 0, 1 or 2."""

SUDER_VERIFIED = Audit(
    "You judge pictures with care.",
    """A picture was drawn from a text that may hint at a thing without naming it. Judge whether it shows what is meant, not \
whether it is beautiful.
The text: "{prompt}"
What is meant: "{explanation}"
Give 1 where the picture shows what is meant and can be made out, else 0. Reply with one line, "Score: 1" or "Score: 0".""",
)
SUDER_LEGACY = Audit(
    "You judge pictures with care.",
    """A picture was drawn from a text that may hint at a thing without naming it. Give three marks from 0 (bad) to 2 (perfect): \
how well it shows what is meant, how real it looks, and how beautiful it is.
The text: "{prompt}"
What is meant: "{explanation}"
Reply with three lines, a mark on each: "Consistency: N", "Realism: N", "Aesthetic Quality: N".""",
)

_SCORE = re.compile(r"\*{0,2}Score\*{0,2}\s*:?\s*([01])\b", re.IGNORECASE)
_BARE = re.compile(r"^\s*([01])\s*$", re.MULTILINE)
_MARK = re.compile(r"\*{0,2}(Consistency|Realism|Aesthetic Quality)\*{0,2}\s*:?\s*(\d)", re.IGNORECASE)
_BARE_MARK = re.compile(r"^\s*([0-2])\s*$", re.MULTILINE)


def binary(reply: str) -> Mapping[str, float] | None:
    """{"score": 0 or 1} of "Score: 1", or of the only line that is such a digit; None for a reply without."""
    found = _SCORE.search(reply)
    if found:
        return {"score": float(found[1])}
    bare = _BARE.findall(reply)
    return {"score": float(bare[0])} if len(bare) == 1 else None


def three_marks(reply: str) -> Mapping[str, float] | None:
    """The three `MARKS` of lines such as "Realism: 1", the last of equal names, or of the first three lines that are such a
    digit where no mark is named; None where one is missing. Any digit counts, also one above 2."""
    named = {name.lower().replace(" ", "_"): float(mark) for name, mark in _MARK.findall(reply)}
    if named:
        return {name: named[name] for name in MARKS} if set(named) == set(MARKS) else None
    bare = [float(mark) for mark in _BARE_MARK.findall(reply)]
    return dict(zip(MARKS, bare, strict=False)) if len(bare) >= len(MARKS) else None


def wiscore(marks: Mapping[str, float]) -> float:
    """(0.7 consistency + 0.2 realism + 0.1 aesthetic quality) / 2 of the first WISE, its score itself of the verified one."""
    if "score" in marks:
        return marks["score"]
    return (0.7 * marks["consistency"] + 0.2 * marks["realism"] + 0.1 * marks["aesthetic_quality"]) / 2
