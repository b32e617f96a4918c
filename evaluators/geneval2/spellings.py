"""What GenEval 2 takes for the right answer's first token, and what a question scores (Soft-TIFA)."""

from __future__ import annotations

from collections.abc import Sequence

YES = ("Yes", "yes", " yes", " Yes")
NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
OTHER = "other"
"""In place of the digits of an answer that is none of `NUMBERS`, as in the official script."""

COUNTING = "How many"
REQUEST = " Answer in one word."
"""Follows each question."""


def accepted(question: str, answer: str) -> tuple[str, ...]:
    """The spellings of the right answer: of yes to all questions but those that count, else of the number word and its digits."""
    if not question.startswith(COUNTING):
        return YES
    digits = str(NUMBERS.index(answer) + 1) if answer in NUMBERS else OTHER
    written = (answer, answer.capitalize())
    return (*written, *(f" {word}" for word in written), digits, f" {digits}")


def apart(spellings: Sequence[str]) -> list[int]:
    """A number for each spelling, equal for equal ones: of judges whose tokens are told by their letters."""
    numbers = {word: number for number, word in enumerate(dict.fromkeys(spellings))}
    return [numbers[word] for word in spellings]


def soft_score(probabilities: Sequence[float], tokens: Sequence[int], *, fixed: bool) -> float:
    """The sum of the first tokens' probabilities; where `fixed`, each token once.

    The official script adds a token as often as spellings begin with it, so that a score may exceed 1.
    """
    counted = dict(zip(tokens, probabilities, strict=True)).values() if fixed else probabilities
    return float(sum(counted))
