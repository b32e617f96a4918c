"""What every family does alike with a batch of questions, and with answers as ids."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import takewhile
from typing import Any


def check_asked(images: Sequence[Any], questions: Sequence[str], others: Sequence[Any], what: str = "seeds") -> None:
    """Raises `ValueError` unless there are as many of each."""
    if not len(images) == len(questions) == len(others):
        raise ValueError(f"{len(images)} picture lists, {len(questions)} questions, {len(others)} {what}")


def texts(tokenizer: Any, answers: Iterable[Sequence[int]]) -> list[str]:
    """Answers of ids in words, without special tokens and outer blanks."""
    return [str(tokenizer.decode(list(ids), skip_special_tokens=True)).strip() for ids in answers]


def beginning(ids: Sequence[Sequence[int]]) -> list[int]:
    """The tokens that all rows begin with."""
    return [same[0] for same in takewhile(lambda column: len(set(column)) == 1, zip(*ids, strict=False))]


def apart(ids: Sequence[Sequence[int]], choices: Sequence[str]) -> tuple[list[int], list[int]]:
    """The tokens that all choices begin with, and the first of each that differs. Raises `ValueError` where none does."""
    shared = beginning(ids)
    different = [each[len(shared)] for each in ids if len(each) > len(shared)]
    if len(set(different)) < len(choices):
        raise ValueError(f"no one token tells the choices {', '.join(choices)} apart")
    return shared, different
