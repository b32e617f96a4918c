"""How good a written answer is, against a context that tells all there is and a reference that tells what was asked."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from suder_bench.world.reading import conjunction, probability
from suder_bench.world.sentences import Alike, Fact, Placed, Related, Shown, Unclear, read
from suder_bench.world.views import ToldView
from suder_bench.world.vocabulary import NUMBERS, plural

WORST, BEST = 1.0, 10.0


@dataclass(frozen=True)
class Grade:
    """Facts of an answer that the context bears out, those it does not, and facts that were asked for and not given."""

    right: tuple[Fact, ...]
    wrong: tuple[Fact, ...]
    missing: tuple[Fact, ...]
    asked: int

    @property
    def score(self) -> float:
        """1 to 10, to one decimal: 1 + 9 x (share of what was asked) x (share of what was said that is right)."""
        said = len(self.right) + len(self.wrong)
        if not said or not self.asked:
            return WORST
        share = (self.asked - len(self.missing)) / self.asked * len(self.right) / said
        return round(WORST + (BEST - WORST) * share, 1)

    @property
    def reason(self) -> str:
        parts = [f"{len(self.right)} right"]
        for name, facts in (("wrong", self.wrong), ("missing", self.missing)):
            parts.append(f"{len(facts)} {name}" + (f" ({'; '.join(dict.fromkeys(map(words, facts)))})" if facts else ""))
        return ", ".join(parts)


def grade(answer: str, reference: str, context: str) -> Grade:
    """Grade an answer. What is asked is what the reference rightly says; all of the context where it says nothing right."""
    known = read(context)
    world = ToldView(known)
    asked = _true(read(reference), world) or list(known)
    said = read(answer)
    right = _true(said, world)
    told = ToldView(said)
    missing = [fact for fact in asked if probability(fact, told) <= 0.5]
    return Grade(tuple(right), tuple(fact for fact in said if fact not in right), tuple(missing), len(asked))


_YES_OR_NO = re.compile(r"\s*(yes|no)\s*(?:[.,!;:]|$)", re.IGNORECASE)


def mark(answer: str, question: str, reference: str) -> str:
    """'correct', 'incorrect' or 'unclear': a yes/no question's answer against a sentence that tells how things are.

    What the answer says in facts counts; a bare yes or no counts as what it says about the question.
    """
    told = _YES_OR_NO.match(answer)
    said = [fact for fact in read(answer[told.end() :] if told else answer) if not isinstance(fact, Unclear)]
    world = ToldView(read(reference))
    if said:
        return "correct" if len(_true(said, world)) == len(said) else "incorrect"
    if told is None:
        return "unclear"
    return "correct" if (told[1].lower() == "yes") == (conjunction(question, world) > 0.5) else "incorrect"


def _true(facts: Sequence[Fact], world: ToldView) -> list[Fact]:
    return [fact for fact in facts if probability(fact, world) > 0.5]


def words(fact: Fact) -> str:
    """A fact as a person would note it: 'red ball', 'ball left of box'."""
    match fact:
        case Shown(phrase, exact):
            said = " ".join(w for w in (phrase.form, phrase.color, phrase.texture, phrase.noun) if w)
            if not exact:
                return said
            return (
                f"{NUMBERS[phrase.count]} {said if phrase.count == 1 else said.removesuffix(phrase.noun) + plural(phrase.noun)}"
            )
        case Related(first, kind, second):
            return f"{words(Shown(first))} {kind} {words(Shown(second))}"
        case Placed(phrase, place):
            return f"{words(Shown(phrase))} at {place}"
        case Alike(first, second, same):
            return f"{words(Shown(first))} and {words(Shown(second))} of {'one color' if same else 'different colors'}"
        case Unclear(said):
            return f"'{said[:60]}'"
