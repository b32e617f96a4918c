"""How a question is put to a model: the wording of Janus' own benchmark adapter, for evaluators and pretraining alike."""

from __future__ import annotations

from collections.abc import Sequence

LETTERS = "ABCD"
PASS = 1_000_000
"""MMBench asks each question once per rotation of its options: the k-th of question i has the index i + k * PASS."""

CAPTION_REQUEST = "Describe the image."
"""The one fixed request for captions: for sampling them, and for scoring a prompt against a picture (R_G)."""

YES_NO_REQUEST = "Answer the question using a single word or phrase."
CHOICE_REQUEST = "Answer with the option's letter from the given choices directly."


def yes_no_prompt(question: str) -> str:
    """A yes/no question; the tail that some POPE files carry is dropped."""
    return f"\n{question.replace(' Please answer yes or no.', '')}\n{YES_NO_REQUEST}"


def choice_prompt(question: str, options: Sequence[str], hint: str | None = None) -> str:
    """A question with two to four options, lettered from A; an empty hint is left out."""
    hint_line = f"Hint: {hint}\n" if hint else ""
    lines = "".join(f"{letter}. {option}\n" for letter, option in zip(LETTERS, options, strict=False))
    return f"\n{hint_line}{question}\n{lines}\n{CHOICE_REQUEST}"
