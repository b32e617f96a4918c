"""Known pictures of the world and what its judges must answer: a judge with wrong weights must not score anything.

Each check raises `JudgeError` that says what was asked, what was expected and what came.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from PIL import Image

from suder_bench.errors import JudgeError
from suder_bench.evaluators.answers import thoughts
from suder_bench.evaluators.answers.reviews import FAILED, RIGHT, WRONG, judge_mark, parse_scores
from suder_bench.evaluators.geneval2.spellings import REQUEST as IN_ONE_WORD
from suder_bench.evaluators.geneval2.spellings import accepted, soft_score
from suder_bench.evaluators.judges.protocols import (
    ColorClassifier,
    DepthEstimator,
    Detector,
    FirstToken,
    ImageTextScorer,
    LanguageJudge,
    PictureRater,
    PictureTalker,
    Talk,
    TextParser,
    VisualQuestionAnswerer,
)
from suder_bench.evaluators.t2i_compbench.mllm import NO_SCORE, REQUEST, parse_score
from suder_bench.evaluators.wise.replies import SUDER_VERIFIED, binary
from suder_bench.world.render import picture
from suder_bench.world.scenes import Scene, Thing
from suder_bench.world.vocabulary import COLORS, NOUNS, TEXTURES

UNFIT = "this model does not judge well enough"


@cache
def scenes() -> tuple[Scene, ...]:
    """Six pictures of two things, every noun once; one thing of the last partly covers the other."""
    colors, made = list(COLORS), []
    for i in range(0, len(NOUNS), 2):
        corners = ((0, 0, 3, 3), (4, 4, 3, 3)) if i < len(NOUNS) - 2 else ((1, 1, 4, 4), (3, 3, 3, 3))
        textures = (TEXTURES[i // 2 % len(TEXTURES)], "solid") if i < len(NOUNS) - 2 else ("solid", "solid")
        things = tuple(
            Thing(NOUNS[i + k], colors[(i + k) % len(colors)], textures[k], "big" if corners[k][2] == 4 else "", corners[k])
            for k in range(2)
        )
        made.append(Scene(i // 2 % 4, things, (0, 1)))
    return tuple(made)


def pictures() -> list[Image.Image]:
    return [picture(scene) for scene in scenes()]


def _require(right: bool, asked: str, expected: object, came: object, why: str = "wrong weights or class names?") -> None:
    if not right:
        raise JudgeError(f"{asked}: expected {expected}, got {came}; {why}")


def check_detector(judge: Detector) -> None:
    """The surest detections of a picture are its two things, in their places."""
    for scene, found in zip(scenes(), judge.detect(pictures()), strict=True):
        expected = {thing.noun for thing in scene.things}
        _require(
            {d.label for d in found[:2]} == expected, "the things in a picture", sorted(expected), [d.label for d in found[:2]]
        )
        for detection in found[:2]:
            box = next(thing.box for thing in scene.things if thing.noun == detection.label)
            _require(
                bool(np.abs(np.subtract(detection.box, box)).max() < 4), f"where the {detection.label} is", box, detection.box
            )
            _require(detection.score > 0.5, f"the score of a {detection.label}", "more than 0.5", detection.score)


def check_color(judge: ColorClassifier) -> None:
    """A plain thing on the grey canvas has its own colour."""
    colors = list(COLORS)
    crops = []
    for color in colors:
        crop = Image.new("RGB", (24, 24), (153, 153, 153))
        crop.paste(COLORS[color], (4, 4, 20, 20))
        crops.append(crop)
    scores = judge.classify(crops, ["box"] * len(colors), colors)
    for color, row in zip(colors, scores, strict=True):
        _require(colors[int(row.argmax())] == color, "the colour of a box", color, colors[int(row.argmax())])


def check_vqa(judge: VisualQuestionAnswerer) -> None:
    """What is there is there, and in no other colour."""
    asked = []
    for scene in scenes():
        thing = scene.things[1]
        other = next(color for color in COLORS if color != thing.color)
        asked.append([f"a {thing.color} {thing.noun}?", f"a {other} {thing.noun}?"])
    for own, (yes, no) in zip(asked, judge.p_yes(pictures(), asked), strict=True):
        _require(yes > 0.5, f"'{own[0]}' of a picture that shows it", "yes", f"p(yes) = {yes:.2f}")
        _require(no < 0.5, f"'{own[1]}' of a picture that does not", "no", f"p(yes) = {no:.2f}")


def check_clip(judge: ImageTextScorer, *, covered: bool = True) -> None:
    """A picture is more like its own text than like another's; without `covered` that one is left out where a thing is."""
    asked = scenes() if covered else scenes()[:-1]
    shown = [picture(scene) for scene in asked]
    texts = [" and ".join(f"a {t.color} {t.noun}" for t in scene.things) for scene in asked]
    own = judge.similarity(shown, texts)
    other = judge.similarity(shown, texts[1:] + texts[:1])
    for text, right, wrong in zip(texts, own, other, strict=True):
        _require(right > wrong, f"a picture of {text}", "to be most like its text", f"{right:.2f}, and {wrong:.2f} for another's")


def check_depth(judge: DepthEstimator) -> None:
    """What covers another thing is nearer."""
    scene, shown = scenes()[-1], pictures()[-1]
    (depth,) = judge.depth([shown])
    expected = (shown.height, shown.width)
    _require(depth.shape == expected, "the shape of a depth map", expected, depth.shape)
    middles = [depth[thing.cell[1] * 8 + 10, thing.cell[0] * 8 + 12] for thing in scene.things]
    _require(middles[1] > middles[0], f"{scene.things[1].noun} in front of {scene.things[0].noun}", "larger values", middles)


def check_parser(judge: TextParser) -> None:
    """A prompt is split into its noun phrases."""
    text = "a red ball on the left of a striped box"
    (parse,) = judge.parse([text])
    chunks = ("a red ball", "the left", "a striped box")
    _require(parse.noun_chunks == chunks, f"the noun chunks of '{text}'", chunks, parse.noun_chunks)
    nouns = [token.text for token in parse.tokens if token.pos == "NOUN"]
    _require(nouns == ["ball", "left", "box"], f"the nouns of '{text}'", "ball, left, box", nouns)


def check_llm(judge: LanguageJudge) -> None:
    """Both of LLaVA-Bench's reviews can be read, and a right answer scores above a wrong one; in HallusionBench's request it is
    correct, and the wrong one is not."""
    scores = []
    for answer in ("The ball is red.", "The ball is blue."):
        blocks = [
            "[Context]\nA red ball.",
            "[Question]\nWhat color is the ball?",
            f"[Assistant 1]\nThe ball is red.\n\n[End of Assistant 1]\n\n[Assistant 2]\n{answer}\n\n[End of Assistant 2]",
            "[System]\nWrite the two scores, each from 1 to 10, on the first line.",
        ]
        (review,) = judge.review("You are fair.", ["\n\n".join(blocks) + "\n\n"])
        _, review = thoughts.split(review)
        read = parse_scores(review)
        _require(read != FAILED, "a review's first line", "two scores", repr(review.split("\n")[0]), UNFIT)
        scores.append(read[1])
    _require(scores[0] > scores[1], "a right answer's score and a wrong one's", "right above wrong", scores, UNFIT)
    for answer, expected in (("The ball is red.", RIGHT), ("The ball is blue.", WRONG)):
        request = (
            'Compare an answer with the reference. Reply with one word, "correct" or "incorrect".\n\n'
            f"Question: Is the ball red?\nReference: The ball is red.\nAnswer: {answer}\n\nYour mark:"
        )
        _, reply = thoughts.split(*judge.mark([request]))
        wanted = "correct" if expected == RIGHT else "incorrect"
        _require(judge_mark(reply) == expected, f"the mark of '{answer}'", wanted, repr(reply), UNFIT)


def check_rater(judge: PictureRater) -> None:
    """A plain picture's rating can be read, and is higher for the name of its colour than for another's."""
    shown = Image.new("RGB", (64, 64), "red")
    ratings = [
        parse_score(thoughts.split(reply)[1])
        for reply in judge.rate([shown] * 2, [REQUEST.format(prompt=f"plain {c}") for c in ("red", "blue")])
    ]
    _require(NO_SCORE not in ratings, "the ratings of a red picture", "two scores", ratings, UNFIT)
    _require(ratings[0] > ratings[1], "how red and how blue a red picture is", "red above blue", ratings, UNFIT)


def check_talker(judge: PictureTalker) -> None:
    """What is there is meant, and in another colour it is not."""
    thing, other, shown = _thing_in_two_colors()
    for color, expected in ((thing.color, 1), (other, 0)):
        words = f"a {color} {thing.noun}"
        asked = Talk(shown, (SUDER_VERIFIED.request.format(prompt=words, explanation=words),), SUDER_VERIFIED.system)
        _, reply = thoughts.split(*judge.reply([asked], max_tokens=500))
        found = binary(reply)
        _require(found == {"score": expected}, f"whether {words} is in a picture", f"Score: {expected}", repr(reply), UNFIT)


def check_first_token(judge: FirstToken) -> None:
    """A yes is likelier to begin the answer to whether a red picture is red than to whether it is blue."""
    _first_tokens(judge, Image.new("RGB", (64, 64), "red"), *(f"Is this picture {color}?" for color in ("red", "blue")))


def check_first_token_of_scenes(judge: FirstToken) -> None:
    """The same of a thing's own colour and another's, for a judge that reads nothing but scenes."""
    thing, other, shown = _thing_in_two_colors()
    _first_tokens(judge, shown, *(f"Is the {thing.noun} {color}?" for color in (thing.color, other)))


def _thing_in_two_colors() -> tuple[Thing, str, Image.Image]:
    """A thing, a colour that nothing has in its picture, and that picture."""
    scene = scenes()[0]
    other = next(color for color in COLORS if color not in {one.color for one in scene.things})
    return scene.things[0], other, pictures()[0]


def _first_tokens(judge: FirstToken, shown: Image.Image, right: str, wrong: str) -> None:
    """Also that probabilities are such, and that the same word is the same token."""
    words = accepted(right, "Yes")
    found = judge.first_tokens([shown] * 2, [right + IN_ONE_WORD, wrong + IN_ONE_WORD], [words] * 2)
    given = [p for own in found for p in own]
    _require(all(0 <= p <= 1 + 1e-6 for p in given), "the probabilities of first tokens", "numbers from 0 to 1", given)
    tokens = judge.shared(words)
    yes, no = (soft_score(own, tokens, fixed=True) for own in found)
    _require(yes > no, f"'{right}' and '{wrong}'", "yes to be likelier to the first", (yes, no), UNFIT)
    same = judge.shared(["Yes", "Yes"])
    _require(same[0] == same[1], "the tokens of a word and itself", "the same", same)


def check_model(judge: Any, role: str) -> None:
    """What a language model in one of the roles "llm", "mllm" and "first-token" has to know."""
    match role:
        case "mllm":
            check_rater(judge)
        case "first-token":
            check_first_token(judge)
        case _:
            check_llm(judge)
