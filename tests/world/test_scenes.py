"""Scenes show exactly what their descriptions say, on the grid, and are pure functions of the generator."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from suder_bench.world import facts
from suder_bench.world.language import FAMILIES, draw_text
from suder_bench.world.scenes import GRID, Description, Phrase, Relation, Scene, Thing, draw
from suder_bench.world.vocabulary import BACKGROUNDS, CELL, COLORS, FORMS, HOLDERS, NOUNS, SIZE, TEXTURES

SEEDS = st.integers(0, 2**31)


def drawn(family: str, seed: int) -> tuple[Description, Scene]:
    rng = np.random.default_rng(seed)
    description, _ = draw_text(family, rng, "train")
    return description, draw(description, rng)


def gap(a: Thing, b: Thing) -> int:
    """Free cells between two boxes along the axis on which they are farther apart; negative where they overlap."""
    ax, ay, aw, ah = a.cell
    bx, by, bw, bh = b.cell
    return max(bx - ax - aw, ax - bx - bw, by - ay - ah, ay - by - bh)


@given(st.sampled_from(sorted(FAMILIES)), SEEDS)
def test_a_scene_shows_what_its_description_says(family: str, seed: int) -> None:
    description, scene = drawn(family, seed)
    wanted = [phrase for phrase in description.phrases for _ in range(phrase.count)]
    shown = scene.described()
    assert sorted(scene.order) == list(range(len(scene.things)))
    assert [t.noun for t in shown] == [p.noun for p in wanted]
    for phrase, thing in zip(wanted, shown, strict=True):
        for attribute in ("color", "texture", "form"):
            assert getattr(phrase, attribute) in (None, getattr(thing, attribute))


@given(st.sampled_from(sorted(FAMILIES)), SEEDS)
def test_things_lie_on_the_grid_in_known_words(family: str, seed: int) -> None:
    _, scene = drawn(family, seed)
    assert 0 <= scene.background < len(BACKGROUNDS)
    for thing in scene.things:
        x, y, w, h = thing.cell
        assert 0 <= x < x + w <= GRID
        assert 0 <= y < y + h <= GRID
        assert thing.box == (x * CELL, y * CELL, (x + w) * CELL, (y + h) * CELL)
        assert max(thing.box) <= SIZE
        assert thing.noun in NOUNS
        assert thing.color in COLORS
        assert thing.texture in TEXTURES
        assert thing.form in FORMS
        assert thing.form != "small" or thing.texture == "solid" or family in ("shape", "texture")


@given(st.sampled_from(["two_object", "counting", "color_attr", "color", "shape", "texture", "numeracy"]), SEEDS)
def test_scattered_things_keep_apart(family: str, seed: int) -> None:
    _, scene = drawn(family, seed)
    # Two big things, or four of any size, have no room for a free cell between them.
    least = 0 if len(scene.things) > 2 or all(t.form == "big" for t in scene.things) else 1
    assert all(gap(a, b) >= least for a, b in combinations(scene.things, 2))


@given(SEEDS, st.sampled_from(["left of", "right of", "above", "below"]))
def test_directions_are_clear(seed: int, kind: str) -> None:
    scene = draw(Description((Phrase("ball"), Phrase("box")), Relation(kind)), np.random.default_rng(seed))  # type: ignore[arg-type]
    ball, box = scene.described()
    assert facts.direction(ball, box) == kind
    # Two big things fill the side and touch.
    axis = 2 if kind in ("left of", "right of") else 3
    assert gap(ball, box) >= min(1, GRID - ball.cell[axis] - box.cell[axis])


@given(SEEDS)
def test_the_front_thing_is_drawn_last_and_covers_a_part(seed: int) -> None:
    description, scene = drawn("3d_spatial", seed)
    assert description.relation is not None
    first, second = scene.described()
    front, back = (first, second) if description.relation.kind == "in front of" else (second, first)
    assert scene.things == (back, front)
    assert facts.depth(scene) == (front, back)
    assert gap(front, back) < 0
    assert front.color != back.color


@given(SEEDS)
def test_actions_have_their_gaps(seed: int) -> None:
    _, scene = drawn("non_spatial", seed)
    done = facts.action(scene)
    assert done is not None
    actor, kind, patient = done
    assert (actor, patient) == scene.described()
    assert actor.color != patient.color
    if kind == "is inside":
        assert patient.noun in HOLDERS
        assert scene.things == (patient, actor)
        assert actor.cell[:2] == (patient.cell[0] + 2, patient.cell[1] + 2)
    else:
        assert gap(actor, patient) == {"touches": 0, "holds": 2, "points at": 2}[kind]


@given(SEEDS, st.sampled_from(["touches", "holds", "points at"]), st.sampled_from(["left of", "right of"]))
def test_an_action_can_be_put_at_a_side(seed: int, kind: str, side: str) -> None:
    relation = Relation(kind, side=side)  # type: ignore[arg-type]
    scene = draw(Description((Phrase("ball"), Phrase("box")), relation), np.random.default_rng(seed))
    assert facts.direction(*scene.described()) == side


@given(st.sampled_from(sorted(FAMILIES)), SEEDS)
def test_a_seed_is_a_scene(family: str, seed: int) -> None:
    assert drawn(family, seed) == drawn(family, seed)


def test_seeds_vary_place_and_background() -> None:
    scenes = [drawn("single_object", seed)[1] for seed in range(200)]
    assert {s.background for s in scenes} == set(range(len(BACKGROUNDS)))
    assert len({s.things[0].cell for s in scenes}) > 30
    assert all(a != b for a, b in pairwise(scenes))


@pytest.mark.parametrize(
    ("description", "complaint"),
    [
        (Description((Phrase("ball", count=5),)), "one to four things"),
        (Description(()), "one to four things"),
        (Description((Phrase("ball", count=2), Phrase("box")), Relation("left of")), "two single things"),
        (Description((Phrase("ball"), Phrase("star")), Relation("is inside")), "nothing fits inside a star"),
        (Description((Phrase("ball", color="red"), Phrase("box", color="red")), Relation("touches")), "may not overlap"),
    ],
)
def test_what_cannot_be_drawn_is_refused(description: Description, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        draw(description, np.random.default_rng(0))
