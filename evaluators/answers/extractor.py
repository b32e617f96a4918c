"""A language model that says which option a free answer means: what VLMEvalKit asks where its own rules read none.

It is told the question, its options and the answer, sees two examples and no picture, and replies with a letter, or Z where no
option fits. The request's wording is ours. Its reply is read by `choices.extract`; a reply that cannot be read is
asked for again, three times in all. VLMEvalKit draws a letter after that; here the answer stays unread.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from suder_bench.evaluators.answers import thoughts
from suder_bench.evaluators.answers.choices import extract

TRIES = 3

HEAD = """You are given a question with lettered options and what somebody answered. Say which option the answer means.
Reply with the capital letter of that option and nothing else. Where no option means the same as the answer, or it could be
several, reply Z.

Question: Where was the photo taken?
Options:
A. on a beach
B. in a forest
C. in a kitchen
Answer: Tall trees stand all around, so I would say somewhere in the woods.
Letter: B

Question: What is the boy holding?
Options:
A. a kite
B. an umbrella
Answer: He has a guitar in his hands.
Letter: Z

"""
ASKED = "Question: {question}\nOptions:\n{options}\nAnswer: {answer}\nLetter:"


class Marks(Protocol):
    def mark(self, prompts: Sequence[str]) -> list[str]: ...


@dataclass(frozen=True)
class Unread:
    """An answer that the rules cannot read."""

    question: str
    options: Mapping[str, str]
    text: str

    @property
    def request(self) -> str:
        options = "\n".join(f"{letter}. {option}" for letter, option in self.options.items())
        return HEAD + ASKED.format(question=self.question, options=options, answer=self.text)


@dataclass
class Extractor:
    """Replies by request, so that equal ones, and those of a batch that is tried again, cost nothing."""

    replies: dict[str, list[str]]

    def ask(self, judge: Marks, unread: Sequence[Unread]) -> list[tuple[str | None, list[str]]]:
        """(letter, Z or None, the judge's replies) of each answer. Raises what the judge does."""
        for _ in range(TRIES):
            left = list(dict.fromkeys(one.request for one in unread if self._open(one)))
            for request, reply in zip(left, judge.mark(left) if left else [], strict=True):
                self.replies.setdefault(request, []).append(reply)
        return [(self._letter(one), self.replies[one.request]) for one in unread]

    def _open(self, one: Unread) -> bool:
        return self._letter(one) is None and len(self.replies.get(one.request, ())) < TRIES

    def _letter(self, one: Unread) -> str | None:
        replies = self.replies.get(one.request)
        return extract(thoughts.split(replies[-1])[1], one.options) if replies else None
