"""How many of a benchmark's prompts stand among those that a model was trained on, word for word or in another order."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from suder_bench.records import Sample


@dataclass(frozen=True)
class Overlap:
    """Of `asked` prompts of a benchmark, `same` stand word for word, by category, among `trained` ones, of which `doubled` stand
    there before; `turned` have the same words as one of them in another order. `shared` are the ids of both.

    `without` are the benchmark's metrics over the prompts that are left, `gone` the categories of which none is. `of` is whose
    training it is, where it is not the row's own.
    """

    asked: int
    trained: int
    doubled: int
    same: Mapping[str, int]
    turned: Mapping[str, int]
    shared: frozenset[str]
    gone: tuple[str, ...] = ()
    without: Mapping[str, float | None] = field(default_factory=dict)
    of: str = ""

    def told(self, benchmark: str) -> str:
        """A footnote for the line with the means without them."""
        gone = ", ".join(filter(None, self.gone))
        left = f", of what is left: nothing of {gone}" if gone else ""
        return f"{self.counted(benchmark)}. Means without these {len(self.shared):,} stand below{left}."

    def counted(self, benchmark: str) -> str:
        """'geneval: of 380 prompts 142 stand word for word among the 720 prompts that it was trained on (colors 94), and ...'."""
        trained = f"the {self.trained:,} prompts that {self.of or 'it'} was trained on"
        parts = []
        if self.same:
            parts.append(f"{_count(self.same)} stand word for word among {trained}{_by(self.same)}")
        if self.turned:
            more = f"{_count(self.turned)} more" if self.same else _count(self.turned)
            among = "" if self.same else f" as one among {trained}"
            parts.append(f"{more} have the same words{among} in another order{_by(self.turned)}")
        told = f"{benchmark}: of {self.asked:,} prompts {', and '.join(parts)}"
        return told + (f"; {self.doubled:,} of the {self.trained:,} are doubled" if self.doubled else "")


def overlap(asked: Sequence[Sample], trained: Sequence[str]) -> Overlap:
    """Words are compared, without case and punctuation."""
    known = [_words(prompt) for prompt in trained]
    word_for_word, in_any_order = set(known), {tuple(sorted(words)) for words in known}
    same: Counter[str] = Counter()
    turned: Counter[str] = Counter()
    shared, left = [], set()
    for sample in asked:
        words = _words(sample.prompt)
        if words in word_for_word:
            same[_category(sample)] += 1
        elif tuple(sorted(words)) in in_any_order:
            turned[_category(sample)] += 1
        else:
            left.add(_category(sample))
            continue
        shared.append(sample.id)
    gone = [name for name in dict.fromkeys(map(_category, asked)) if name not in left]
    return Overlap(len(asked), len(known), len(known) - len(word_for_word), same, turned, frozenset(shared), tuple(gone))


def _words(prompt: str) -> tuple[str, ...]:
    return tuple(re.findall(r"\w+", prompt.casefold()))


def _category(sample: Sample) -> str:
    return str(sample.truth.get("category") or sample.truth.get("tag") or "")


def _count(by_category: Mapping[str, int]) -> str:
    return f"{sum(by_category.values()):,}"


def _by(by_category: Mapping[str, int]) -> str:
    """' (shape 4, spatial 2)', the most first."""
    named = sorted(((name, count) for name, count in by_category.items() if name), key=lambda one: (-one[1], one[0]))
    return f" ({', '.join(f'{name} {count:,}' for name, count in named)})" if named else ""
