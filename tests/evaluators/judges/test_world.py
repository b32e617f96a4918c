"""The world's judges keep the judges' protocols, give clean renders their due, and are refused with wrong class names."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from suder_bench import world
from suder_bench.errors import JudgeError
from suder_bench.evaluators.answers.reviews import parse_scores
from suder_bench.evaluators.judges import known_answers
from suder_bench.evaluators.judges import world as world_judges
from suder_bench.evaluators.judges.protocols import Detection, Parse, Picture
from suder_bench.evaluators.judges.requests import SUDER_TEACHER as TEACHER
from suder_bench.evaluators.judges.world import (
    WorldClip,
    WorldColor,
    WorldDepth,
    WorldDetector,
    WorldLlm,
    WorldParser,
    WorldVqa,
)
from suder_bench.runs import recipe
from suder_bench.world.language import draw_text
from suder_bench.world.render import picture
from suder_bench.world.scenes import Description, Phrase, Relation, Scene, Thing, draw
from suder_bench.world.version import VERSION
from suder_bench.world.vocabulary import COLORS, NOUNS

JUDGES = (WorldDetector, WorldColor, WorldVqa, WorldClip, WorldDepth, WorldParser, WorldLlm)


def scene(*things: Thing) -> Scene:
    return Scene(0, things, tuple(range(len(things))))


def pair() -> Scene:
    return scene(Thing("ball", "red", "striped", "", (0, 2, 3, 3)), Thing("box", "blue", "solid", "tall", (5, 2, 2, 4)))


@pytest.mark.parametrize("judge", JUDGES)
def test_every_judge_passes_its_known_answers(judge: type) -> None:
    loaded = judge.load(device="cpu", dtype="auto", offline=True)
    assert (loaded.backend, loaded.exact) == ("world", False)
    assert loaded.fingerprint
    loaded.check()


class ShuffledNames(WorldDetector):
    """Right boxes and scores under another class's name, as weights read with the wrong list of classes give."""

    def detect(self, pictures: Sequence[Picture]) -> list[list[Detection]]:
        names = dict(zip(NOUNS, NOUNS[1:] + NOUNS[:1], strict=True))
        return [[Detection(names[d.label], d.score, d.box, d.mask) for d in found] for found in super().detect(pictures)]


class ReversedColors(WorldColor):
    def classify(self, crops: Sequence[Picture], nouns: Sequence[str], colors: Sequence[str]) -> np.ndarray:
        return super().classify(crops, nouns, colors)[:, ::-1]


class AlwaysYes(WorldVqa):
    def p_yes(self, pictures: Sequence[Picture], questions: Sequence[Sequence[str]]) -> list[list[float]]:
        return [[1.0] * len(own) for own in questions]


class Indifferent(WorldClip):
    def similarity(self, pictures: Sequence[Picture], texts: Sequence[str]) -> list[float]:
        return [0.3] * len(texts)


class Inverted(WorldDepth):
    def depth(self, pictures: Sequence[Picture]) -> list[np.ndarray]:
        return [-depth for depth in super().depth(pictures)]


class NoChunks(WorldParser):
    def parse(self, texts: Sequence[str]) -> list[Parse]:
        return [Parse(parse.tokens, ()) for parse in super().parse(texts)]


class Generous(WorldLlm):
    def review(self, system: str, prompts: Sequence[str]) -> list[str]:
        return ["10 10\nBoth are fine."] * len(prompts)


class DeafTeacher(WorldLlm):
    def mark(self, prompts: Sequence[str]) -> list[str]:
        return ["What?"] * len(prompts)


@pytest.mark.parametrize(
    "judge", [ShuffledNames, ReversedColors, AlwaysYes, Indifferent, Inverted, NoChunks, Generous, DeafTeacher]
)
def test_a_wrong_judge_is_refused_in_one_line(judge: type) -> None:
    with pytest.raises(JudgeError, match=r"expected .*, got .*; (wrong weights or class names|this model does)") as refusal:
        judge.load().check()
    assert "\n" not in str(refusal.value)


def test_known_pictures_show_every_noun() -> None:
    assert sorted(thing.noun for s in known_answers.scenes() for thing in s.things) == sorted(NOUNS)


def test_detections_of_a_clean_render_pass_the_counting_threshold() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        description, _ = draw_text("counting", rng, "val")
        (phrase,) = description.phrases
        (found,) = WorldDetector().detect([picture(draw(description, rng))])
        sure = [d for d in found if d.score > 0.9]
        assert [d.label for d in sure] == [phrase.noun] * phrase.count
        assert min(d.score for d in sure) > 0.95
        assert [d.score for d in found] == sorted((d.score for d in found), reverse=True)


def test_a_doubtful_thing_has_a_doubtful_score_and_an_alternative() -> None:
    shown = picture(scene(Thing("kite", "red", "solid", "big", (2, 2, 4, 4))))
    shown.paste((128, 140, 155), (20, 38, 36, 48))
    (found,) = WorldDetector().detect([shown])
    assert found[0].label == "kite"
    assert 0.1 < found[0].score < 0.95


@pytest.mark.parametrize("shown", [Image.new("RGB", (64, 64), "gray"), Image.new("L", (100, 30))])
def test_nothing_is_found_in_a_blank_picture(shown: Image.Image) -> None:
    assert WorldDetector().detect([shown]) == [[]]
    assert WorldDepth().depth([shown])[0].shape == (shown.height, shown.width)
    assert WorldVqa().p_yes([shown], [["a ball?"]]) == [[0.0]]


def test_boxes_and_masks_are_in_the_pixels_of_the_picture_given() -> None:
    shown = picture(pair()).resize((479, 479), Image.Resampling.BILINEAR)
    (found,) = WorldDetector().detect([shown])
    by_name = {d.label: d for d in found[:2]}
    assert np.allclose(by_name["box"].box, np.multiply((40, 16, 56, 48), 479 / 64), atol=8)
    mask = by_name["ball"].mask
    assert mask is not None
    assert mask.shape == (479, 479)


@pytest.mark.parametrize("texture", ["solid", "striped", "dotted", "checkered"])
def test_colors_are_read_from_crops_on_grey(texture: str) -> None:
    crops = []
    for color in COLORS:
        shown = picture(scene(Thing("heart", color, texture, "", (2, 2, 3, 3))))
        (found,) = WorldDetector().detect([shown])
        mask = Image.fromarray(found[0].mask)
        crops.append(Image.composite(shown, Image.new("RGB", shown.size, "#999"), mask).crop((16, 16, 40, 40)))
    scores = WorldColor().classify(crops, ["heart"] * len(crops), [*COLORS, "mauve"])
    assert scores.shape == (len(COLORS), len(COLORS) + 1)
    assert [[*COLORS][i] for i in scores.argmax(axis=1)] == [*COLORS]
    assert not scores[:, -1].any()


def test_an_empty_crop_has_no_color() -> None:
    assert not WorldColor().classify([Image.new("RGB", (5, 5), "#999")], ["ball"], ["red"]).any()
    assert WorldColor().classify([], [], ["red"]).shape == (0, 1)


def test_questions_get_probabilities() -> None:
    asked = ["a red striped ball?", "a blue ball?", "the ball on the left of the box?", "two balls?", "the top?", "it?", "a dog?"]
    (answers,) = WorldVqa().p_yes([picture(pair())], [asked])
    assert [p > 0.5 for p in answers] == [True, False, True, False, True, True, False]
    assert all(0 <= p <= 1 for p in answers)


def test_similarity_falls_with_every_wrong_word() -> None:
    texts = ["a red ball and a blue box", "a red ball and a green box", "a pink ball and a green box"]
    scores = WorldClip().similarity([picture(pair())] * 3, texts)
    assert scores[0] > 0.9 > scores[1] > scores[2]


def test_depth_rises_towards_the_viewer() -> None:
    description = Description((Phrase("ball", color="red"), Phrase("box", color="blue")), Relation("behind"))
    drawn = draw(description, np.random.default_rng(1))
    (depth,) = WorldDepth().depth([picture(drawn)])
    x, y = drawn.things[1].box[:2]
    assert depth[y + 12, x + 12] == depth.max() == 1
    assert set(np.unique(depth)) == {np.float32(0), np.float32(0.3), np.float32(1)}


@pytest.mark.parametrize(
    ("text", "chunks", "nouns"),
    [
        ("a photo of a red ball", ["a photo", "a red ball"], ["photo", "ball"]),
        ("a green bench and a blue bowl", ["a green bench", "a blue bowl"], ["bench", "bowl"]),
        ("one ball and two boxes", ["one ball", "two boxes"], ["ball", "boxes"]),
        ("a ball on the top of a box", ["a ball", "the top", "a box"], ["ball", "top", "box"]),
        ("a ball hidden by a box", ["a ball", "a box"], ["ball", "box"]),
        ("a ball in front of a box", ["a ball", "front", "a box"], ["ball", "front", "box"]),
        ("A tent holds a star.", ["A tent", "a star"], ["tent", "star"]),
        (
            "The red ball on the left of the blue box points at it.",
            ["The red ball", "the left", "the blue box", "it"],
            ["ball", "left", "box"],
        ),
        ("", [], []),
    ],
)
def test_parses(text: str, chunks: list[str], nouns: list[str]) -> None:
    (parse,) = WorldParser().parse([text])
    assert list(parse.noun_chunks) == chunks
    assert [token.text for token in parse.tokens if token.pos == "NOUN"] == nouns


def review(answer: str, reference: str, context: str) -> tuple[float, float]:
    prompt = (
        f"[Context]\n{context}\n\n[Question]\nWhat is there?\n\n[Assistant 1]\n{reference}\n\n[End of Assistant 1]\n\n"
        f"[Assistant 2]\n{answer}\n\n[End of Assistant 2]\n\n[System]\nRate both.\n\n"
    )
    (said,) = WorldLlm().review("", [prompt])
    assert said.count("\n") == 2
    return parse_scores(said)


CONTEXT = "A red striped ball.\nA big blue box.\nThe red ball is left of the blue box."
REFERENCE = "A red striped ball. A big blue box."


@pytest.mark.parametrize(
    ("answer", "score"),
    [
        (REFERENCE, 10),
        ("There is a big blue box and a red striped ball in the image.", 10),
        ("A red striped ball.", 5.5),
        ("A red striped ball. A big green box.", 3.2),
        ("A green ball. A small box.", 1),
        ("I cannot see anything.", 1),
        ("", 1),
    ],
)
def test_answers_are_graded_by_their_facts(answer: str, score: float) -> None:
    assert review(answer, REFERENCE, CONTEXT) == (10, score)


def test_true_facts_beyond_the_question_do_no_harm() -> None:
    assert review(CONTEXT, REFERENCE, CONTEXT) == (10, 10)


def test_a_wrong_reference_is_graded_too() -> None:
    reference, answer = review("A red striped ball.", "A red striped ball. A green box.", CONTEXT)
    assert reference == 5.5
    assert answer == 10


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("The ball is red.", "correct"),
        ("No, the ball is blue.", "incorrect"),
        ("Yes, it is.", "correct"),
        ("no", "incorrect"),
        ("I do not know.", "unclear"),
        ("", "unclear"),
    ],
)
def test_answers_are_marked_against_a_reference(answer: str, expected: str) -> None:
    prompt = TEACHER.format(question="Is the ball red?", reference="The ball is red.", answer=answer)
    assert WorldLlm().review("", [prompt]) == [expected]


def test_a_prompt_in_another_layout_is_refused() -> None:
    with pytest.raises(JudgeError, match="reads the prompts of LLaVA-Bench, HallusionBench and MMBench only"):
        WorldLlm().review("", ["Rate this."])


def test_the_fingerprint_begins_with_the_version_of_the_world() -> None:
    """So that `compare` names the versions where it refuses, and run.json tells which one judged."""
    assert WorldDetector.fingerprint.startswith(f"{VERSION}-")
    assert recipe.versions()["world"] == VERSION


def test_the_fingerprint_changes_with_the_code_that_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert world_judges.source_digest() == WorldDetector.fingerprint
    for name in world_judges.READERS:
        shutil.copy(Path(world.__path__[0]) / f"{name}.py", tmp_path)
    monkeypatch.setattr(world, "__path__", [str(tmp_path)])
    assert world_judges.source_digest() == WorldDetector.fingerprint
    with open(tmp_path / "perception.py", "a") as file:
        file.write("# another rule\n")
    assert world_judges.source_digest() != WorldDetector.fingerprint
