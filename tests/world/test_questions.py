"""Questions about scenes: right answers, near denials, no ambiguity."""

from __future__ import annotations

from collections import Counter

import numpy as np
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


def judge(scene: Scene, question: str) -> str:
    """An independent reader of yes/no questions: parses the words and looks at the things."""
    words = question.removesuffix("?").removesuffix(" in the image").split()
    things = scene.things
    match words:
        case ["Is", "there", "exactly", "one", noun]:
            return yes(sum(t.noun == noun for t in things) == 1)
        case ["Is", "there", "a" | "an", *said]:
            return yes(any(set(said) <= {t.noun, t.color} for t in things))
        case ["Are", "there", number, nouns]:
            stem = {n: t.noun for t in things for n in (t.noun + "s", t.noun + "es")}.get(nouns)
            return yes(sum(t.noun == stem for t in things) == ["zero", "one", "two", "three", "four", "five"].index(number))
        case ["Is", "the", *name, "inside", "the", other]:
            return yes(covers(find(scene, [other]), find(scene, name)) and find(scene, name).form == "small")
        case ["Is", "the", *_] if side := next((w for w in words if w in ("left", "right", "above", "below")), None):
            i = words.index(side)
            a, b = centre(find(scene, words[2:i])), centre(find(scene, words[words.index("the", i) + 1 :]))
            along, across = (0, 1) if side in ("left", "right") else (1, 0)
            difference = b[along] - a[along] if side in ("left", "above") else a[along] - b[along]
            return yes(difference > abs(b[across] - a[across]))
        case ["Is", "the", name, "in", "front", "of", "the", other]:
            return yes(things.index(find(scene, [name])) > things.index(find(scene, [other])))
        case ["Is", "the", name, "behind", "the", other]:
            return yes(things.index(find(scene, [name])) < things.index(find(scene, [other])))
        case ["Is", "the", *name, value]:
            found = find(scene, name)
            return yes(value in (found.color, found.texture, found.form))
        case ["Does", "the", a, verb, *between, b]:
            assert between in (["the"], ["at", "the"])
            assert scene.relation is not None
            actor, done = scene.described()[scene.relation.first].noun, scene.relation.kind
            same = done.startswith(verb) and {a, b} == {t.noun for t in things}
            return yes(same and (actor == a or verb == "touch"))
    raise AssertionError(question)


def yes(truth: bool) -> str:
    return "Yes" if truth else "No"


def find(scene: Scene, name: list[str]) -> Thing:
    (found,) = [t for t in scene.things if set(name) <= {t.noun, t.color}]
    return found


def centre(t: Thing) -> tuple[float, float]:
    x, y, w, h = t.cell
    return x + w / 2, y + h / 2


def covers(outer: Thing, inner: Thing) -> bool:
    (x, y, w, h), (u, v, m, n) = outer.cell, inner.cell
    return x <= u and y <= v and u + m <= x + w and v + n <= y + h


@given(SEEDS, SEEDS)
def test_yes_no_answers_are_true_of_the_scene(seed: int, draws: int) -> None:
    scene = scene_of(seed)
    question, answer = questions.yes_no(scene, np.random.default_rng(draws))
    assert judge(scene, question) == answer


@given(SEEDS, SEEDS, st.sampled_from(sorted(CHOICE)))
def test_choices_hold_the_answer_once(seed: int, draws: int, kind: str) -> None:
    scene = scene_of(seed)
    asked = CHOICE[kind](scene, np.random.default_rng(draws))
    if asked is not None:
        assert asked.answer not in asked.others
        assert len(set(asked.others)) == len(asked.others) >= 2
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
    scenes = [scene_of(i) for i in range(1500)]
    yes_no = Counter(questions.yes_no(s, rng)[1] for s in scenes)
    assert 0.45 < yes_no["Yes"] / len(scenes) < 0.55
    letters = Counter(questions.choice(s, rng, options=4)[2] for s in scenes if len(s.things) < 4)
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
