"""Parts of speech and noun chunks of the world's sentences, as spaCy's small English model gives them.

Colours, textures and forms are adjectives. The sides in "on the left of" are nouns with chunks of their own, "it" is a
chunk, and "front" in "in front of" and "side" in "on side of" are chunks without a determiner.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from suder_bench.world.sentences import ALWAYS, ANYTHING
from suder_bench.world.vocabulary import COLORS, FORMS, NOUNS, NUMBERS, TEXTURES, plural

Tagged = tuple[str, str]
"""A word and its universal part of speech."""

_NOUNS = (*NOUNS, ANYTHING, *ALWAYS, "object", "color", "texture", "form", "sign", "arrow")
_WORDS = {
    "DET": ("a", "an", "the", "no", "this", "that", "which", "some"),
    "NUM": (*NUMBERS[1:], "zero"),
    "ADJ": (*COLORS, *TEXTURES, *(form for form in FORMS if form)),
    "NOUN": (*_NOUNS, *map(plural, _NOUNS)),
    "PRON": ("it", "they", "there", "you", "what"),
    "AUX": ("is", "are", "does", "do", "can", "would"),
    "VERB": ("touches", "touch", "holds", "hold", "points", "point", "hidden", "see"),
    "ADP": ("of", "on", "in", "at", "to", "by", "behind", "near", "above", "below", "inside"),
    "ADV": ("next", "exactly", "where", "how"),
    "CCONJ": ("and", "or"),
}
_TAGS = {word: tag for tag, words in _WORDS.items() for word in words} | {"left": "NOUN", "right": "NOUN"}


def tag(text: str) -> list[Tagged]:
    """Every word and mark of a text. A word the world does not know is a noun after a determiner, an adjective or a number."""
    tagged: list[Tagged] = []
    for word in re.findall(r"[A-Za-z]+(?:'[a-z]+)?|\d+|[^\sA-Za-z\d]", text):
        before = tagged[-1][1] if tagged else ""
        tagged.append((word, _tag(word, before)))
    return tagged


def _tag(word: str, before: str) -> str:
    lower = word.lower()
    if lower in _TAGS:
        # "left of" and "right of" without "the" are adverbs.
        return "ADV" if lower in ("left", "right") and before != "DET" else _TAGS[lower]
    if word.isdigit():
        return "NUM"
    if not word[0].isalpha():
        return "PUNCT"
    return "NOUN" if before in ("DET", "ADJ", "NUM") else "X"


def chunks(tagged: Sequence[Tagged]) -> list[str]:
    """Noun chunks in order: [determiner] [numbers and adjectives] noun, and pronouns that stand for a thing."""
    found: list[str] = []
    open_words: list[str] = []
    for i, (word, part) in enumerate(tagged):
        if part == "DET":
            open_words = [word]
        elif part in ("ADJ", "NUM"):
            open_words.append(word)
        elif part == "NOUN":
            open_words.append(word)
            if i + 1 == len(tagged) or tagged[i + 1][1] != "NOUN":
                found.append(" ".join(open_words))
                open_words = []
        else:
            open_words = []
            if word.lower() in ("it", "they", "you", "what"):
                found.append(word)
    return found
