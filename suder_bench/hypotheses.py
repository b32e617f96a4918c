"""What an estimate with a standard error lets one say, what many such tests at once do, and how many more questions would tell.

All by normal theory, or Student's t where the error comes from few clusters; one error of no size (two runs that are the same in
every cluster) is told by counting, as no spread was seen that could be trusted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

LEVEL = 0.05
WANTED = 0.80
"""The power that is planned for."""


@dataclass(frozen=True)
class More:
    """How many times the questions at hand, and the seeds."""

    questions: float
    seeds: float = 1.0


@dataclass(frozen=True)
class Estimate:
    """A difference of means with its standard error, both in `whole`ths of the scale: 100 where points are counted.

    `freedom` are the degrees of freedom of the error, `trained` the part of it (of its square) that is of the seeds of trainings.
    An error of 0 means that all `freedom` + 1 clusters were the same on both sides.
    """

    value: float
    error: float
    freedom: float = math.inf
    whole: float = 100.0
    trained: float = 0.0

    def p_different(self, other: float = 0.0) -> float:
        """Two-sided, of the null hypothesis that the difference is `other`."""
        return min(1.0, 2 * min(self.p_above(other), self.p_below(other)))

    def p_above(self, bound: float) -> float:
        """One-sided, of the null hypothesis that the difference is at most `bound`."""
        return self._tail(self.value - bound)

    def p_below(self, bound: float) -> float:
        """One-sided, of the null hypothesis that the difference is at least `bound`."""
        return self._tail(bound - self.value)

    def p_within(self, margin: float) -> float:
        """Of two one-sided tests (Schuirmann 1987) the larger p: the null hypothesis is a difference of `margin` or more."""
        return max(self.p_above(-margin), self.p_below(margin))

    def p_beyond(self, margin: float) -> float:
        """Two-sided, of the null hypothesis that the difference is less than `margin`, either way (Hodges and Lehmann 1954)."""
        return min(1.0, 2 * min(self.p_above(margin), self.p_below(-margin)))

    def more_to_differ(self, difference: float, level: float = LEVEL) -> More:
        """What a two-sided test at the `level` needs to find the `difference` four times in five.

        The square of the error falls with questions, but for the part of seeds, which falls with these; they are added where
        their part alone is more than half of what may be. Where all clusters were the same: what rules that difference out.
        """
        if self.error == 0:
            return self._more_to_rule_out(abs(difference), level)
        return self._more(abs(difference) / (_z(1 - level / 2) + _z(WANTED)))

    def more_to_be_alike(self, margin: float, level: float = LEVEL) -> More:
        """What two one-sided tests at the `level` need to show a difference of none to be within the `margin`, four times in
        five: each may miss one time in ten. Where all clusters were the same: what shows it."""
        if self.error == 0:
            return self._more_to_rule_out(margin, level)
        return self._more(margin / (_z(1 - level) + _z((1 + WANTED) / 2)))

    def _more(self, error: float) -> More:
        """What brings the error down to this."""
        wanted, trained = error**2, self.trained**2
        asked = max(0.0, self.error**2 - trained)
        return More(asked / (wanted - trained)) if 2 * trained <= wanted else More(2 * asked / wanted, 2 * trained / wanted)

    def _more_to_rule_out(self, difference: float, level: float) -> More:
        return More(math.log(level) / math.log(1 - difference / self.whole) / (self.freedom + 1))

    def _tail(self, distance: float) -> float:
        from scipy.special import ndtr, stdtr  # a third of a second to import

        if self.error == 0:  # clusters that are the same in a share q of cases are so in all n of them q^n times
            return max(0.0, 1 - max(0.0, distance) / self.whole) ** (self.freedom + 1)
        t = -distance / self.error
        return float(ndtr(t)) if math.isinf(self.freedom) else float(stdtr(self.freedom, t))


def holm(p: Sequence[float]) -> list[float]:
    """The p-values adjusted for all of them being tested (Holm 1979), in their order.

    Where what is below a level is rejected, at most that share of all such families has a false rejection, one or more,
    however the tests depend on each other.
    """
    found, highest = [0.0] * len(p), 0.0
    for rank, place in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        highest = max(highest, min(1.0, (len(p) - rank) * p[place]))
        found[place] = highest
    return found


def holm_by_claim(p: Sequence[Sequence[float]]) -> list[list[float]]:
    """`holm` for claims about one number each, of which several bounds are tested: it counts the claims and not the tests.

    Whatever the number is, those of its null hypotheses that hold are rejected by estimates that stray to one side, that of the
    nearest bound first; so all of them together have the false rejections of one test. By closed testing (Marcus,
    Peritz and Gabriel 1976) with Bonferroni's test between claims, each test is adjusted in the place of its claim, beside the
    largest p of each other claim. A claim without a test counts for nothing.
    """
    largest = [max(own, default=None) for own in p]
    others = [[q for j, q in enumerate(largest) if j != i and q is not None] for i in range(len(p))]
    return [[holm([one, *rest])[0] for one in own] for own, rest in zip(p, others, strict=True)]


def _z(quantile: float) -> float:
    from scipy.special import ndtri

    return float(ndtri(quantile))
