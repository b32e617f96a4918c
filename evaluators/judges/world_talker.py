"""Vision-language judges that read the embedded world: they answer the benchmarks' requests, in our words, from the pixels."""

from __future__ import annotations

import ast
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from string import Formatter
from typing import Self

from suder_bench.errors import JudgeError
from suder_bench.evaluators.geneval2.spellings import COUNTING, NUMBERS, REQUEST, apart
from suder_bench.evaluators.judges import known_answers
from suder_bench.evaluators.judges.protocols import Picture, Talk
from suder_bench.evaluators.judges.world import percept, source_digest
from suder_bench.evaluators.t2i_compbench import mllm
from suder_bench.evaluators.t2i_reasonbench.replies import DESCRIBE, QUESTIONS
from suder_bench.evaluators.wise.replies import SUDER_LEGACY, SUDER_VERIFIED
from suder_bench.world.language import article
from suder_bench.world.perception import Percept
from suder_bench.world.reading import agreement, conjunction, probability
from suder_bench.world.scenes import Phrase
from suder_bench.world.sentences import Shown
from suder_bench.world.vocabulary import NOUNS, plural
from suder_bench.world.write_t2i_reasonbench import ALL_CLEAR, SOME_CLEAR

CLEAR = 0.9
"""How sure a thing must be to be called clear: GenEval's threshold for what counts."""

PARTLY = 0.05
"""The agreement with a text of which half of the facts are shown, and more than one of which none is."""

_SINGULAR = {plural(noun): noun for noun in NOUNS}
_CRITERION = re.compile(r"(1|0\.5): (.*?)(?:;|$)")
_THERE = re.compile(r"Are there any (\w+) in the image\?")
_HOW_MANY = re.compile(rf"{COUNTING} (\w+) are in the image\?")


def digest() -> str:
    """The world's judges' with that of this module."""
    start, _, rest = source_digest().partition("-")
    return f"{start}-{hashlib.sha256(rest.encode() + Path(__file__).read_bytes()).hexdigest()[:14]}"


class _WorldModel:
    """They need no weights, and are never a benchmark's own judge."""

    backend = "world"
    exact = False
    fingerprint = digest()

    @classmethod
    def load(cls, *, device: str = "cpu", dtype: str = "auto", offline: bool = False) -> Self:
        """Nothing to load; the arguments are those of every judge."""
        return cls()


class WorldMllm(_WorldModel):
    """Implements `PictureRater` for T2I-CompBench's request and `PictureTalker` for T2I-ReasonBench's and WISE's, all in our
    words. Raises `JudgeError` for any other request."""

    def rate(self, pictures: Sequence[Picture], requests: Sequence[str]) -> list[str]:
        return [_rating(percept(picture), request) for picture, request in zip(pictures, requests, strict=True)]

    def reply(self, talks: Sequence[Talk], *, max_tokens: int) -> list[str]:
        return [_turn(percept(talk.picture), talk.turns[-1]) for talk in talks]

    def check(self) -> None:
        known_answers.check_talker(self)


class WorldFirstToken(_WorldModel):
    """Implements `FirstToken` for GenEval 2's questions: a yes is said as "Yes", and a number as its word, in small letters.
    Each spelling is a token of its own."""

    whole_vocabulary = True

    def first_tokens(
        self, pictures: Sequence[Picture], questions: Sequence[str], spellings: Sequence[Sequence[str]]
    ) -> list[list[float]]:
        found = []
        for picture, question, words in zip(pictures, questions, spellings, strict=True):
            likely = _answers(percept(picture), question.removesuffix(REQUEST))
            found.append([likely.get(word, 0.0) for word in words])
        return found

    def shared(self, spellings: Sequence[str]) -> list[int]:
        return apart(spellings)

    def check(self) -> None:
        known_answers.check_first_token_of_scenes(self)


def _rating(seen: Percept, request: str) -> str:
    asked = _fields(mllm.REQUEST, request)
    if asked is None:
        raise _stranger(request)
    score = round(100 * agreement(asked["prompt"], seen))
    return json.dumps({"score": score, "explanation": _described(seen)})


def _turn(seen: Percept, request: str) -> str:
    if request == DESCRIBE:
        return _described(seen)
    if (asked := _fields(QUESTIONS, request)) is not None:
        return _examined(seen, ast.literal_eval(asked["questions"]))
    if (asked := _fields(SUDER_VERIFIED.request, request)) is not None:
        return f"Score: {int(conjunction(asked['explanation'], seen) > 0.5)}"
    if (asked := _fields(SUDER_LEGACY.request, request)) is not None:
        meant = asked["explanation"]
        consistency = 2 if conjunction(meant, seen) > 0.5 else int(agreement(meant, seen) > PARTLY)
        clear = int(_holds(SOME_CLEAR, seen)) + int(_holds(ALL_CLEAR, seen))
        return f"Consistency: {consistency}\nRealism: {clear}\nAesthetic Quality: {clear}"
    raise _stranger(request)


def _described(seen: Percept) -> str:
    looks = (" ".join(filter(None, (one.color, one.texture.replace("solid", ""), one.noun))) for one in seen.objects)
    return f"The picture shows {', '.join(map(article, looks)) or 'nothing'}."


def _examined(seen: Percept, asked: Mapping[str, str]) -> str:
    """The scores of a group of questions, whatever its keys are called: each question is followed by its criterion."""
    reasons, scores = [], []
    for criterion in list(asked.values())[1::2]:
        met = next(((score, words) for score, words in _CRITERION.findall(criterion) if _holds(words, seen)), ("0", "neither"))
        scores.append(float(met[0]))
        reasons.append(met[1])
    return json.dumps({"reason": reasons, "score": scores})


def _holds(sentence: str, seen: Percept) -> bool:
    clear = [one.confidence > CLEAR for one in seen.objects]
    if sentence in (ALL_CLEAR, SOME_CLEAR):
        return any(clear) and (sentence == SOME_CLEAR or all(clear))
    return conjunction(sentence, seen) > 0.5


def _answers(seen: Percept, question: str) -> dict[str, float]:
    """How likely each answer is. Raises `JudgeError` for a count of what the world has no word for."""
    if counted := _HOW_MANY.fullmatch(question):
        if counted[1] not in _SINGULAR:
            raise _stranger(question)
        numbers = enumerate(NUMBERS[:8], start=1)
        return {word: probability(Shown(Phrase(_SINGULAR[counted[1]], n), exact=True), seen) for n, word in numbers}
    there = _THERE.fullmatch(question)
    yes = conjunction(article(_SINGULAR.get(there[1], there[1])) if there else question, seen)
    return {"Yes": yes, "No": 1 - yes}


@cache
def _pattern(template: str) -> re.Pattern[str]:
    """What `template.format(...)` gives for any fields."""
    parts = [re.escape(text) + (f"(?P<{name}>.*)" if name else "") for text, name, *_ in Formatter().parse(template)]
    return re.compile("".join(parts), re.DOTALL)


def _fields(template: str, text: str) -> dict[str, str] | None:
    """The fields that `template` was filled with to give the text; None where it was not."""
    found = _pattern(template).fullmatch(text)
    return found.groupdict() if found else None


def _stranger(request: str) -> JudgeError:
    return JudgeError(
        "the world's judge of pictures reads the requests of T2I-CompBench, T2I-ReasonBench, WISE and GenEval 2 in our words"
        f" only, and was asked {request[:60]!r}; give --judge mllm=official"
    )
