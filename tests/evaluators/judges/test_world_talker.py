"""The world's vision-language judges: replies and probabilities that come from the pixels."""

from __future__ import annotations

import json

import pytest
from PIL import Image

from suder_bench.errors import JudgeError
from suder_bench.evaluators.geneval2.spellings import REQUEST, YES, accepted
from suder_bench.evaluators.judges import known_answers
from suder_bench.evaluators.judges.protocols import Talk
from suder_bench.evaluators.judges.world import source_digest
from suder_bench.evaluators.judges.world_talker import WorldFirstToken, WorldMllm
from suder_bench.evaluators.t2i_compbench import mllm
from suder_bench.evaluators.t2i_reasonbench.replies import DESCRIBE, QUESTIONS
from suder_bench.evaluators.wise.replies import SUDER_LEGACY, SUDER_VERIFIED, binary, three_marks
from suder_bench.world.render import picture
from suder_bench.world.scenes import Scene, Thing

SHOWN = picture(
    Scene(
        0,
        (
            Thing("ball", "red", "solid", "", (0, 2, 3, 3)),
            Thing("ball", "red", "solid", "", (0, 5, 3, 3)),
            Thing("box", "blue", "striped", "", (5, 3, 3, 3)),
        ),
        (0, 1, 2),
    )
)
NOTHING = Image.new("RGB", (64, 64), (128, 140, 155))
EXACT = {"q1": "Is it so?", "c1": "1: two red balls and a blue box; 0.5: a ball; 0: neither"}


def said(request: str, shown: Image.Image = SHOWN) -> str:
    (reply,) = WorldMllm().reply([Talk(shown, (DESCRIBE, "A picture.", request))], max_tokens=9)
    return reply


def test_known_answers() -> None:
    WorldMllm.load(device="cpu").check()
    WorldFirstToken.load(device="cpu").check()


def test_a_judge_that_says_yes_to_all_fails_its_known_answers() -> None:
    class Yes(WorldMllm):
        def reply(self, talks, *, max_tokens):  # type: ignore[no-untyped-def]
            return ["Score: 1"] * len(talks)

    class Sure(WorldFirstToken):
        def first_tokens(self, pictures, questions, spellings):  # type: ignore[no-untyped-def]
            return [[1.0] * len(words) for words in spellings]

    with pytest.raises(JudgeError, match=r"whether a .* is in a picture: expected Score: 0, got 'Score: 1'"):
        known_answers.check_talker(Yes())
    with pytest.raises(JudgeError, match="expected yes to be likelier to the first"):
        known_answers.check_first_token_of_scenes(Sure())


def test_a_description_names_what_is_there() -> None:
    assert said(DESCRIBE).count("a red ball") == 2
    assert "a blue striped box" in said(DESCRIBE)
    assert said(DESCRIBE, NOTHING) == "The picture shows nothing."


@pytest.mark.parametrize(
    ("asked", "scores"),
    [
        (EXACT, [1]),
        ({"aq1": "?", "ac1": EXACT["c1"].replace("two", "three")}, [0.5]),  # whatever the keys are called
        ({"q1": "?", "c1": "1: a star; 0: no star", "q2": "?", "c2": "1: a box right of a ball; 0: else"}, [0, 1]),
        ({"q1": "?", "c1": "1: everything is clear; 0.5: something is clear; 0: nothing is clear"}, [1]),
        ({}, []),
    ],
)
def test_questions_are_scored_by_their_criteria(asked: dict[str, str], scores: list[float]) -> None:
    assert json.loads(said(QUESTIONS.format(questions=str(asked))))["score"] == scores


def test_nothing_is_never_clear() -> None:
    asked = {"q1": "?", "c1": "1: everything is clear; 0.5: something is clear; 0: nothing is clear"}
    assert json.loads(said(QUESTIONS.format(questions=str(asked)), NOTHING))["score"] == [0]


@pytest.mark.parametrize(
    ("meant", "score", "marks"),
    [("two red balls", 1, (2, 2, 2)), ("two red balls and a star", 0, (1, 2, 2)), ("three stars", 0, (0, 2, 2))],
)
def test_wise(meant: str, score: int, marks: tuple[int, ...]) -> None:
    assert binary(said(SUDER_VERIFIED.request.format(prompt="a hint", explanation=meant))) == {"score": score}
    found = three_marks(said(SUDER_LEGACY.request.format(prompt='of "it"', explanation=meant)))
    assert found is not None
    assert tuple(found.values()) == marks


def test_ratings_of_t2i_compbench() -> None:
    asked = [mllm.REQUEST.format(prompt=prompt) for prompt in ("a red ball and a blue box", "a green ball and a blue box")]
    right, wrong = map(mllm.parse_score, WorldMllm().rate([SHOWN] * 2, asked))
    assert right > 90
    assert 0 <= wrong < 50


@pytest.mark.parametrize(
    ("question", "answer", "likely"),
    [
        ("How many balls are in the image?", "two", 0.9),
        ("How many balls are in the image?", "three", 0),
        ("How many boxes are in the image?", "one", 0.9),
        ("How many stars are in the image?", "one", 0),
        ("Are the balls red?", "Yes", 0.9),
        ("Is the box red?", "Yes", 0),
        ("Are there any balls in the image?", "Yes", 0.9),
        ("Are there any stars in the image?", "Yes", 0),
        ("Is the box to the right of the ball?", "Yes", 0.9),
        ("Is the box to the left of the ball?", "Yes", 0),
    ],
)
def test_first_tokens(question: str, answer: str, likely: float) -> None:
    judge, words = WorldFirstToken(), accepted(question, answer)
    (found,) = judge.first_tokens([SHOWN], [question + REQUEST], [words])
    assert len(found) == len(words)
    assert likely <= sum(found) <= (1 + 1e-9 if likely else 0.1)
    assert judge.shared(words) == list(range(len(words)))


def test_equal_spellings_share_a_token() -> None:
    assert WorldFirstToken().shared(["Yes", " Yes", "Yes"]) == [0, 1, 0]
    (found,) = WorldFirstToken().first_tokens([SHOWN], ["Is the box blue?" + REQUEST], [YES])
    assert [p > 0.9 for p in found] == [True, False, False, False]


def test_other_requests_are_refused() -> None:
    with pytest.raises(JudgeError, match=r"was asked 'Rate it from 1 to 5\.'; give --judge mllm=official"):
        said("Rate it from 1 to 5.")
    with pytest.raises(JudgeError, match="give --judge mllm=official"):
        WorldMllm().rate([SHOWN], ["Rate it."])
    with pytest.raises(JudgeError, match="How many dogs"):
        WorldFirstToken().first_tokens([SHOWN], ["How many dogs are in the image?" + REQUEST], [("one",)])


def test_a_fingerprint_is_of_the_world_and_of_this_code() -> None:
    assert WorldMllm.fingerprint[:2] == source_digest()[:2]
    assert WorldMllm.fingerprint != source_digest()
