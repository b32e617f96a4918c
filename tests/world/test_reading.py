"""Texts become facts, and facts are weighed against what is seen, drawn or told."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from suder_bench.world import facts, questions
from suder_bench.world.claims import YES_NO
from suder_bench.world.language import DEPTH, FAMILIES, SPATIAL, draw_text
from suder_bench.world.perception import perceive
from suder_bench.world.reading import agreement, conjunction, faithful, probability
from suder_bench.world.render import render
from suder_bench.world.scenes import Description, Phrase, Relation, draw
from suder_bench.world.sentences import ANYTHING, Alike, Placed, Related, Shown, Unclear, read
from suder_bench.world.views import ToldView

BALL, BOX = Phrase("ball"), Phrase("box")
WORDS = ("a", "the", "no", "red", "ball", "boxes", "is", "are", "left", "of", "on", "it", "they", "3", ".")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a photo of an hourglass", (Shown(Phrase("hourglass")),)),
        ("three boxes", (Shown(Phrase("box", 3), exact=True),)),
        ("one ball and two boxes", (Shown(BALL, exact=True), Shown(Phrase("box", 2), exact=True))),
        ("a red striped ball?", (Shown(Phrase("ball", color="red", texture="striped")),)),
        ("A tall kite, 2 big stars.", (Shown(Phrase("kite", form="tall")), Shown(Phrase("star", 2, form="big"), exact=True))),
        ("Is there a blue ball in the image?", (Shown(Phrase("ball", color="blue")),)),
        ("Are there four balls in the image?", (Shown(Phrase("ball", 4), exact=True),)),
        ("Is there exactly one ball in the image?", (Shown(BALL, exact=True),)),
        ("Is the ball red?", (Shown(Phrase("ball", color="red"), definite=True),)),
        ("The ball is a red box.", (Shown(BALL, definite=True), Unclear("the ball is a red box"))),
        ("The red ball is a big red ball.", (Shown(Phrase("ball", color="red", form="big"), definite=True),)),
        ("a ball hidden by a box", (Shown(BALL), Shown(BOX), Related(BALL, "behind", BOX))),
        ("Does the ball point at the box?", (*(Shown(p, definite=True) for p in (BALL, BOX)), Related(BALL, "points at", BOX))),
        ("The ball is at the top left.", (Shown(BALL, definite=True), Placed(BALL, "top left"))),
        ("there are no balls", (Shown(Phrase("ball", 0), exact=True),)),
        ("nothing", (Shown(Phrase(ANYTHING, 0), exact=True),)),
        ("a dog", (Shown(Phrase("dog")),)),
        ("the top?", (Shown(Phrase("top"), definite=True),)),
        ("A ball. A box. They have the same color.", (Shown(BALL), Shown(BOX), Alike(BALL, BOX, same=True))),
        ("a ball on the left of", (Shown(BALL), Unclear("a ball on the left of"))),
        ("qwerty", (Unclear("qwerty"),)),
        ("", ()),
        ("?!", ()),
    ],
)
def test_read(text: str, expected: tuple[object, ...]) -> None:
    assert read(text) == expected


@pytest.mark.parametrize(("words", "kind"), [*SPATIAL.items(), *DEPTH.items()])
def test_every_relation_word_is_read(words: str, kind: str) -> None:
    assert read(f"a ball {words} a box")[-1] == Related(BALL, kind, BOX)


def test_an_action_at_a_side_is_two_relations() -> None:
    read_facts = read("The red ball on the left of the blue box holds it.")
    red, blue = Phrase("ball", color="red"), Phrase("box", color="blue")
    assert read_facts[-2:] == (Related(red, "left of", blue), Related(red, "holds", blue))


@pytest.mark.parametrize("family", FAMILIES)
def test_prompts_are_true_of_their_scenes_and_renders_only(family: str) -> None:
    rng = np.random.default_rng(5)
    before = None
    for _ in range(15):
        description, text = draw_text(family, rng, "val")
        scene = draw(description, rng)
        seen = perceive(render(scene))
        assert not any(isinstance(fact, Unclear) for fact in read(text))
        assert faithful(text, scene)
        assert faithful(text, seen)
        assert agreement(text, seen) > 0.85
        if before is not None:
            assert faithful(before, scene) == faithful(before, seen)
        before = text


@pytest.mark.parametrize("kind", YES_NO)
def test_yes_no_questions_are_answered_right(kind: str) -> None:
    rng = np.random.default_rng(6)
    asked = 0
    while asked < 25:
        scene = draw(draw_text(str(rng.choice(list(FAMILIES))), rng, "val")[0], rng)
        try:
            question, answer = questions.yes_no(scene, rng, kind)
        except ValueError:
            continue
        asked += 1
        for picture in (scene, perceive(render(scene))):
            assert (conjunction(question, picture) > 0.5) == (answer == "Yes"), question


def test_the_facts_of_a_scene_are_true_of_it_and_tell_it() -> None:
    rng = np.random.default_rng(7)
    for family in FAMILIES:
        scene = draw(draw_text(family, rng, "val")[0], rng)
        said = " ".join(facts.facts(scene))
        assert faithful(said, scene)
        assert faithful(said, ToldView(read(said)))


def test_a_wrong_word_is_unfaithful() -> None:
    scene = draw(
        Description((Phrase("ball", color="red"), Phrase("box", color="blue")), Relation("left of")), np.random.default_rng(0)
    )
    assert faithful("a red ball on the left of a blue box", scene)
    for wrong in (
        "a green ball",
        "a red box",
        "two balls",
        "a red ball on the right of a blue box",
        "a red ball holds a blue box",
        "no ball",
        "a ball and qwerty",
        "",
    ):
        assert not faithful(wrong, scene), wrong
    assert 0 < agreement("a red ball on the right of a blue box", scene) < 0.5
    assert agreement("a star and a tent", scene) < 0.05


def test_a_thing_without_a_texture_is_told_as_solid() -> None:
    told = ToldView(read("A big red ball. There are two boxes."))
    assert faithful("a solid red ball", told)
    assert not faithful("a striped ball", told)
    assert faithful("two boxes", told)
    assert not faithful("a red box", told)


def test_told_relations_hold_in_both_directions() -> None:
    told = ToldView(read("A red ball. A blue box. The red ball is left of the blue box."))
    assert faithful("the box is right of the ball", told)
    assert not faithful("the box is left of the ball", told)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=80) | st.lists(st.sampled_from(WORDS)).map(" ".join))
def test_any_text_is_read_and_weighed(text: str) -> None:
    told = ToldView(read("A red ball. A blue box. The red ball is left of the blue box."))
    for fact in read(text):
        assert 0 <= probability(fact, told) <= 1
    assert 0 <= agreement(text, told) <= 1
    ToldView(read(text)).relates("left of")
