"""Pictures: pure, anti-aliased, and distinct in every word of the vocabulary."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from suder_bench.world.language import FAMILIES, draw_text
from suder_bench.world.render import GLYPHS, glyph, picture, render
from suder_bench.world.scenes import Relation, Scene, Thing, draw
from suder_bench.world.vocabulary import BACKGROUNDS, CELL, COLORS, INK, NOUNS, SIZE, TEXTURES, secondary

BALL = Thing("ball", "red", "solid", "", (1, 1, 3, 3))


def shown(*things: Thing, relation: Relation | None = None, background: int = 0) -> np.ndarray:
    return render(Scene(background, things, tuple(range(len(things))), relation)).astype(int)


def inked(pixels: np.ndarray) -> np.ndarray:
    return (pixels == INK).all(-1)


@settings(max_examples=30)
@given(st.sampled_from(sorted(FAMILIES)), st.integers(0, 2**31))
def test_pictures_are_pure_and_change_only_boxes_and_gaps(family: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    scene = draw(draw_text(family, rng, "train")[0], rng)
    pixels = render(scene)
    assert pixels.shape == (SIZE, SIZE, 3)
    assert pixels.dtype == np.uint8
    assert np.array_equal(pixels, render(scene))
    assert np.array_equal(pixels, np.asarray(picture(scene)))
    outside = np.ones((SIZE, SIZE), bool)
    for thing in scene.things:
        x0, y0, x1, y1 = thing.box
        outside[y0:y1, x0:x1] = False
    ground = (pixels == BACKGROUNDS[scene.background]).all(-1)
    if scene.relation is None or scene.relation.kind not in ("holds", "points at"):
        assert ground[outside].all()
        assert not inked(pixels).any()
    else:
        assert inked(pixels)[outside].any()


@pytest.mark.parametrize("noun", NOUNS)
def test_a_glyph_fills_its_box_with_soft_edges(noun: str) -> None:
    assert set(GLYPHS) == set(NOUNS)
    for size in ((16, 16), (24, 24), (16, 32), (32, 16), (32, 32), (48, 48)):
        drawn = glyph(noun, *size)
        assert drawn.shape == size[::-1]
        assert drawn.min() >= 0
        assert drawn.max() == 1
        rows, columns = drawn.max(1), drawn.max(0)
        assert min(rows[:2].max(), rows[-2:].max(), columns[:2].max(), columns[-2:].max()) > 0.2
        assert noun == "box" or ((drawn > 0) & (drawn < 1)).any()


def test_no_two_nouns_look_alike() -> None:
    for a, b in combinations(NOUNS, 2):
        one, other = glyph(a, 24, 24), glyph(b, 24, 24)
        assert np.minimum(one, other).sum() / np.maximum(one, other).sum() < 0.82, (a, b)


@pytest.mark.parametrize("color", COLORS)
def test_colours_are_the_vocabulary_s(color: str) -> None:
    assert tuple(shown(replace(BALL, color=color))[20, 20]) == COLORS[color]


def test_textures_mark_the_thing_in_its_second_tone() -> None:
    plain = shown(replace(BALL, noun="box"))[8:32, 8:32]
    marked = [shown(replace(BALL, noun="box", texture=t))[8:32, 8:32] for t in TEXTURES[1:]]
    for pixels in marked:
        share = (pixels == secondary("red")).all(-1).mean()
        assert 0.05 < share < 0.5
        assert (pixels == COLORS["red"]).all(-1).mean() > 0.3
    for a, b in combinations([plain, *marked], 2):
        assert (a != b).any(-1).mean() > 0.1


def test_the_later_thing_covers_the_earlier() -> None:
    back, front = replace(BALL, noun="box"), Thing("box", "blue", "solid", "", (2, 2, 3, 3))
    assert tuple(shown(back, front)[20, 20]) == COLORS["blue"]
    assert tuple(shown(front, back)[20, 20]) == COLORS["red"]


def test_signs_run_from_the_actor_to_the_patient() -> None:
    left, right = BALL, Thing("box", "blue", "solid", "", (6, 1, 2, 3))
    arrow, arms, back = (
        inked(shown(left, right, relation=r)) for r in (Relation("points at"), Relation("holds"), Relation("points at", 1, 0))
    )
    gap = (slice(None), slice(4 * CELL, 6 * CELL))
    assert arrow[gap].sum() == arrow.sum() > 0
    assert np.array_equal(arrow[gap][:, ::-1], back[gap])
    assert (arrow != arms).sum() > 20
    # The arrow's head is wide where it begins, in the half next to the patient.
    assert arrow[gap][:, 8:].sum() > arrow[gap][:, :8].sum()
    assert not inked(shown(left, right, relation=Relation("touches"))).any()
