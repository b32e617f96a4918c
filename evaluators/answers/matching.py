"""Answers under a harness's own numbers, given to the questions that they are about by what these say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from suder_bench.errors import UserError
from suder_bench.evaluators.answers.fields import quoted
from suder_bench.evaluators.answers.harnesses import Given
from suder_bench.records import Sample

Key = tuple[str, ...]


def words(text: str) -> str:
    """The text with one space between its words: files that went through a spreadsheet lose others."""
    return " ".join(text.replace("_x000D_", " ").split())


def matched(
    samples: Sequence[Sample], key_of: Callable[[Sample], Key], given: Iterable[tuple[Given, Sequence[Key]]]
) -> list[tuple[str, str]]:
    """(sample id, text) of each answer, for every key that it answers.

    Questions with one key and one truth are answered in their order: which answer goes to which of them changes no number.
    Raises `UserError` with the answer's place where no question has its key, or all that have are answered, or these expect
    different answers.
    """
    there: dict[Key, list[Sample]] = {}
    for sample in samples:
        there.setdefault(key_of(sample), []).append(sample)
    answered: Counter[Key] = Counter()
    found = []
    for one, keys in given:
        for key in keys:
            alike = there.get(key, [])
            _check(one, key, alike, answered[key])
            found.append((alike[answered[key]].id, one.text))
            answered[key] += 1
    return found


def _check(one: Given, key: Key, alike: Sequence[Sample], answered: int) -> None:
    asked = quoted(" / ".join(key))
    if not alike:
        raise UserError(f"{one.place}: an answer to {asked}, which is no question of this benchmark's data")
    if any(sample.truth != alike[0].truth for sample in alike):
        raise UserError(f"{one.place}: {len(alike)} questions say {asked} and expect different answers")
    if answered == len(alike):
        raise UserError(f"{one.place}: an answer too many to {asked}, which {answered} question{'s' if answered > 1 else ''} ask")


def same_words(place: str, index: str, question: str, expected: str, data: Path) -> None:
    """Raises `UserError` where the `question` beside an answer is not what the data ask under its index."""
    if words(question) != words(expected):
        raise UserError(
            f"{place}: index {index} asks {quoted(question)}, and in {data} {quoted(expected)}; give the data of these answers"
        )
