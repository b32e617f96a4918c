"""Parses for tests, written as tagged text: "a/DET [dog/NOUN] ..."."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from suder_bench.evaluators.judges.protocols import Parse, Token


def parse(tagged: str, *chunks: str) -> Parse:
    """Read "dog/NOUN near/ADP cat/NOUN"; a word without a tag is X."""
    pairs = [word.partition("/") for word in tagged.split()]
    return Parse(tuple(Token(word, pos or "X") for word, _, pos in pairs), chunks)


class ScriptedParser:
    """Gives the parse written for each text, and remembers what it was asked."""

    backend, exact, fingerprint = "scripted", False, "0"

    def __init__(self, parses: Mapping[str, Parse]) -> None:
        self.parses, self.asked = parses, list[str]()

    def parse(self, texts: Sequence[str]) -> list[Parse]:
        self.asked += texts
        return [self.parses[text] for text in texts]
