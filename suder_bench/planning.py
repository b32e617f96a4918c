"""How many questions and seeds a comparison needs to find a difference, from the variances that a pilot has shown.

A difference over n questions (or prompts, pictures, groups of questions) and s seeds has the variance

    (prompts + pictures / s) / n + seeds / s

and is found when it is so many standard errors as Student's t needs: with n - 1 degrees of freedom for the first part, s - 1 for
the second, and Satterthwaite's for both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from suder_bench.hypotheses import LEVEL, WANTED

MOST = 10_000_000
"""Questions; what needs more is taken for impossible."""


@dataclass(frozen=True)
class Variances:
    """Of a difference: of one question, of one seed, and of what one seed draws for one question."""

    prompts: float
    seeds: float = 0.0
    pictures: float = 0.0

    def detectable(self, questions: int, seeds: int = 1, *, power: float = WANTED, level: float = LEVEL) -> float:
        """The smallest difference that a two-sided test at the `level` finds with this power; infinite where seeds vary and there
        is one, or where there is one question."""
        from scipy.special import stdtrit

        asked, trained = (self.prompts + self.pictures / seeds) / questions, self.seeds / seeds
        if (questions < 2 and asked) or (seeds < 2 and trained):
            return math.inf
        below = sum(part**2 / freedom for part, freedom in ((asked, questions - 1), (trained, seeds - 1)) if part)
        if not below:
            return 0.0
        freedom = (asked + trained) ** 2 / below
        reach = float(stdtrit(freedom, 1 - level / 2) + stdtrit(freedom, power))
        return reach * math.sqrt(asked + trained)

    def questions(self, difference: float, seeds: int = 1, *, power: float = WANTED, level: float = LEVEL) -> int | None:
        """The fewest questions with which as many seeds find the `difference`; None where no number is enough."""

        def enough(questions: int) -> bool:
            return self.detectable(questions, seeds, power=power, level=level) <= difference

        high = 2
        while not enough(high):
            high *= 2
            if high > MOST:
                return None
        low = high // 2
        while low + 1 < high:
            middle = (low + high) // 2
            low, high = (low, middle) if enough(middle) else (middle, high)
        return high
