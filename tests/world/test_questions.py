"""Questions about scenes: right answers, near denials, no ambiguity."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onlooker
import pytest
from hypothesis import given
from hypothesis import strategies as st

from suder_bench.data.prompts import choice_prompt, yes_no_prompt
from suder_bench.world import facts, questions
from suder_bench.world.asked import CHOICE
from suder_bench.world.claims import YES_NO
from suder_bench.world.language import FAMILIES, draw_text
from suder_bench.world.scenes import Scene, Thing, draw

SEEDS = st.integers(0, 2**31)
KINDS = [("yes_no", k) for k in YES_NO] + [("choice", k) for k in CHOICE]


def scene_of(seed: int) -> Scene:
    rng = np.random.default_rng(seed)
    description, _ = draw_text(list(FAMILIES)[seed % len(FAMILIES)], rng, "train")
    return draw(description, rng)


def thing(noun: str, color: str, x: int, y: int, **more: str) -> Thing:
    return Thing(noun, color, more.get("texture", "solid"), more.get("form", ""), (x, y, 3, 3))


@given(SEEDS, SEEDS)
def test_yes_no_answers_are_true_of_the_scene(seed: int, draws: int) -> None:
    scene = scene_of(seed)
    question, answer = questions.yes_no(scene, np.random.default_rng(draws))
    assert onlooker.yes_no(scene, question) == (answer == "Yes")


@given(SEEDS, SEEDS, st.sampled_from(sorted(CHOICE)))
def test_choices_hold_the_answer_once(seed: int, draws: int, kind: str) -> None:
    scene = scene_of(seed)
    asked = CHOICE[kind](scene, np.random.default_rng(draws))
    if asked is not None:
        assert asked.answer not in asked.others
        assert len(set(asked.others)) == len(asked.others) >= 2
        read = onlooker.answer(scene, asked.question)
        if read is not None and "touches" not in read:
            assert asked.answer == read
        if kind == "caption":
            assert [onlooker.fits(scene, d) for d in (asked.answer, *asked.others)] == [True] + [False] * len(asked.others)
        question, options, letter = questions.choice(scene, np.random.default_rng(draws), kind)
        assert question == asked.question
        assert options["ABCD".index(letter)] == asked.answer
        assert 2 <= len(options) <= 4


@given(SEEDS, SEEDS)
def test_short_answers_and_sentences_exist_for_every_scene(seed: int, draws: int) -> None:
    scene, rng = scene_of(seed), np.random.default_rng(draws)
    question, answer = questions.short(scene, rng)
    request, sentences = questions.detail(scene, rng)
    assert question.endswith("?")
    assert answer
    assert request
    assert sentences
    assert all(s[0].isupper() and s.endswith(".") for s in sentences)


@given(SEEDS)
def test_questions_are_pure(seed: int) -> None:
    scene = scene_of(seed)
    for ask in (questions.yes_no, questions.choice, questions.short, questions.detail):
        assert ask(scene, np.random.default_rng(seed)) == ask(scene, np.random.default_rng(seed))


def test_answers_are_balanced() -> None:
    rng = np.random.default_rng(1)
    scenes = [scene_of(i) for i in range(800)]
    yes_no = Counter(questions.yes_no(scene, rng)[1] for scene in scenes)
    assert 0.45 < yes_no["Yes"] / len(scenes) < 0.55
    asked = [questions.choice(scene, rng) for scene in scenes]
    letters = Counter(letter for _, options, letter in asked if len(options) == 4)
    assert min(letters.values()) > 0.8 * max(letters.values())


@pytest.mark.parametrize(("way", "kind"), KINDS)
def test_every_kind_comes_up(way: str, kind: str) -> None:
    rng = np.random.default_rng(2)
    for i in range(400):
        try:
            getattr(questions, way)(scene_of(i), rng, kind)
            return
        except ValueError:
            continue
    raise AssertionError(f"no {kind} question in 400 scenes")


def test_no_question_names_one_of_two_alike() -> None:
    scene = Scene(0, (thing("ball", "red", 0, 0), thing("ball", "red", 4, 4), thing("box", "blue", 5, 0)), (0, 1, 2))
    rng = np.random.default_rng(3)
    for _ in range(300):
        question = questions.yes_no(scene, rng)[0]
        assert "the ball" not in question
        assert "the red ball" not in question


def test_a_thing_is_named_by_its_colour_where_its_noun_is_not_enough() -> None:
    scene = Scene(0, (thing("ball", "red", 0, 0), thing("ball", "blue", 5, 0)), (0, 1))
    assert [facts.name(scene, t) for t in scene.things] == ["red ball", "blue ball"]
    assert "The red ball is left of the blue ball." in facts.facts(scene)
    assert "There are two balls." in facts.facts(scene)


def test_a_slanting_pair_has_no_direction() -> None:
    assert facts.direction(thing("ball", "red", 0, 0), thing("box", "red", 5, 4)) is None
    assert facts.direction(thing("ball", "red", 0, 0), thing("box", "red", 5, 1)) == "left of"


def test_what_nothing_says_cannot_be_asked() -> None:
    with pytest.raises(ValueError, match="depth"):
        questions.choice(Scene(0, (thing("ball", "red", 0, 0),), (0,)), np.random.default_rng(0), "depth")


def test_prompts_are_worded_as_the_adapter_words_them() -> None:
    assert yes_no_prompt("Is there a ball in the image? Please answer yes or no.") == (
        "\nIs there a ball in the image?\nAnswer the question using a single word or phrase."
    )
    assert choice_prompt("What color is the ball?", ["red", "blue"], "Look at the top.") == (
        "\nHint: Look at the top.\nWhat color is the ball?\nA. red\nB. blue\n\n"
        "Answer with the option's letter from the given choices directly."
    )
    assert "Hint" not in choice_prompt("What?", ["red", "blue"])
