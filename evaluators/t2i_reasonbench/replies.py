"""What T2I-ReasonBench's judge is asked in our words, and how its replies are read: as the official scripts read them."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

DESCRIBE = "Say in a few sentences what the picture shows."
QUESTIONS = """\
Below are questions about the picture (q1, q2, ...), each with a criterion (c1, c2, ...) that says when to give 1, 0.5 or 0:
{questions}
Look at the picture again, and at what you said of it. Reply with JSON only, one reason and one score to each question:
{{"reason": ["<why>", ...], "score": [<1, 0.5 or 0>, ...]}}"""

POSSIBLE = (0.0, 0.5, 1.0)
_OBJECT = re.compile(r"\{.*?\}", re.DOTALL)


@dataclass(frozen=True)
class Marked:
    """The scores of one reply to `questions`."""

    scores: tuple[float, ...]
    questions: int

    @property
    def mean(self) -> float:
        """Over the scores that were given, however many there should be."""
        return sum(self.scores) / len(self.scores)

    @property
    def oddities(self) -> list[str]:
        """What an official score passes over."""
        found = [f"{len(self.scores)} scores to {self.questions} questions"] if len(self.scores) != self.questions else []
        odd = [score for score in self.scores if score not in POSSIBLE]
        return found + ([f"scored {odd[0]:g}, which is none of 1, 0.5 and 0"] if odd else [])


def scores_in(reply: str) -> tuple[float, ...] | None:
    """The list `score` of the first JSON object of a reply, which ends at the first "}" wherever that stands; texts of numbers
    count as these, also the letters of a text in place of the list.

    None where there is no object, or it is no JSON, or holds no such list: there the official script stops. So it is for an
    empty list and for numbers that are none.
    """
    found = _OBJECT.search(reply)
    if found is None:
        return None
    try:
        scores = tuple(float(score) for score in json.loads(found[0])["score"])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
    return scores if scores and all(map(math.isfinite, scores)) else None


def weighted_accuracy(means: Sequence[float]) -> float:
    """Of one group of questions its mean; of an entity's or a phenomenon's and of other details 0.7 and 0.3 of theirs."""
    return means[0] if len(means) == 1 else 0.7 * means[0] + 0.3 * means[1]
