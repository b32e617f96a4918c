"""Boxes on a grid of codes: what they cover, whom they own, and what the two maps make of their scores."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st

from suder_bench.rewards.regions import OWNED, Box, Grid, Region, cells, coverage, credit, inside, owned, spread

SIZE, GRID = (8, 4), (2, 4)  # codes of 2 x 2 pixels, two rows of four


def test_what_boxes_cover_of_each_code() -> None:
    cover = coverage([(0, 0, 8, 4), (1, 1, 3, 3), (2, 0, 4, 2), (7, 3, 8, 4)], SIZE, GRID)
    assert cover.tolist() == [[1.0] * 8, [0.25, 0.25, 0, 0, 0.25, 0.25, 0, 0], [0, 1, 0, 0, 0, 0, 0, 0], [0] * 7 + [0.25]]


def test_the_scale_of_the_picture_says_nothing() -> None:
    boxes: list[Box] = [(1, 0, 5, 3), (0, 2, 8, 4)]
    large: list[Box] = [(left * 48, top * 48, right * 48, bottom * 48) for left, top, right, bottom in boxes]
    assert coverage(large, (384, 192), GRID) == pytest.approx(coverage(boxes, SIZE, GRID))
    assert coverage([(0, 0, 384, 384)], (384, 384), (24, 24)) == pytest.approx(1.0)


def test_a_box_smaller_than_a_code_owns_the_one_that_it_covers_most_of() -> None:
    small, between = (4, 0, 5, 1), (3, 1, 6, 2)
    assert owned(coverage([small], SIZE, GRID)).tolist() == [[False, False, True, False, *[False] * 4]]
    cover = coverage([between], SIZE, GRID)
    assert cover[0].tolist() == [0, 0.25, 0.5, 0, 0, 0, 0, 0]
    assert owned(cover)[0].tolist() == [False, False, True, *[False] * 5]
    only = credit([Region(small, -0.8)], SIZE, GRID, "signed")
    assert only.tolist() == [0, 0, -0.8, 0, 0, 0, 0, 0]  # whatever little it covers, no other box says otherwise
    assert credit([Region(small, 0.8)], SIZE, GRID, "released").tolist() == [0, 0, 0.8, 0, 0, 0, 0, 0]


def test_a_half_is_a_half_however_it_is_rounded() -> None:
    """Five sixths of the width of a code and three fifths of its height, whose product of floats is below the half that it is."""
    box, size, grid = (10, 12, 20, 22), (60, 60), (7, 7)
    cover = coverage([box], size, grid)
    assert cover[0, 8] < OWNED
    assert owned(cover)[0, 8]


@limits(max_examples=80, deadline=None, derandomize=True)
@given(
    st.tuples(st.integers(1, 60), st.integers(1, 60)),
    st.tuples(st.integers(1, 7), st.integers(1, 7)),
    st.randoms(use_true_random=False),
)
def test_a_box_owns_what_fractions_say(size: tuple[int, int], grid: Grid, chosen: Random) -> None:
    (left, right), (top, bottom) = (sorted(chosen.sample(range(side + 1), 2)) for side in size)

    def along(start: int, end: int, side: int, count: int) -> list[Fraction]:
        edges = [Fraction(side * k, count) for k in range(count + 1)]
        return [max(Fraction(0), min(end, b) - max(start, a)) / (b - a) for a, b in pairwise(edges)]

    rows, columns = along(top, bottom, size[1], grid[0]), along(left, right, size[0], grid[1])
    exact = [row * column for row in rows for column in columns]
    own = [one >= Fraction(1, 2) for one in exact]
    expected = own if any(own) else [i == exact.index(max(exact)) for i in range(len(exact))]
    assert owned(coverage([(left, top, right, bottom)], size, grid))[0].tolist() == expected


def test_signed_is_the_mean_weighted_by_what_is_covered() -> None:
    whole, left, corner = Region((0, 0, 8, 4), 0.5), Region((0, 0, 4, 4), -1.0), Region((0, 0, 1, 1), 1.0)
    found = credit([whole, left, corner], SIZE, GRID, "signed")
    assert found[0] == pytest.approx((0.5 - 1.0 + 0.25) / 2.25)
    assert found[1] == found[4] == found[5] == pytest.approx(-0.25)
    assert found[2] == 0.5
    assert credit([left], SIZE, GRID, "signed").tolist() == [-1, -1, 0, 0] * 2


def test_the_released_map_takes_the_best_box_and_a_bad_one_changes_nothing() -> None:
    """m = max(1/2, max w) of section 4, as 2 m - 1."""
    good, better, bad = Region((0, 0, 4, 4), 0.4), Region((2, 0, 4, 2), 0.6), Region((0, 0, 8, 4), -0.9)
    found = credit([good, better], SIZE, GRID, "released")
    assert found.tolist() == [0.4, 0.6, 0, 0, 0.4, 0.4, 0, 0]
    assert credit([good, better, bad], SIZE, GRID, "released").tolist() == found.tolist()
    assert credit([bad], SIZE, GRID, "released").tolist() == [0.0] * 8
    assert credit([bad], SIZE, GRID, "signed").tolist() == [-0.9] * 8


def test_without_boxes_nothing_is_credited() -> None:
    for kind in ("signed", "released"):
        assert credit([], SIZE, GRID, kind).tolist() == [0.0] * 8  # type: ignore[arg-type]


def test_boxes_that_are_none_are_left_out_and_others_cut() -> None:
    assert inside([(5, 0, 5, 4), (6, 0, 2, 4), (-3, -3, 2, 99), (9, 0, 12, 4)], SIZE) == [(0, 0, 2, 4)]


corners = st.tuples(*[st.integers(0, 7)] * 4)
boxes = corners.map(lambda b: (min(b[0], b[2]), min(b[1], b[3]), max(b[0], b[2]) + 1, max(b[1], b[3]) + 1))
regions = st.lists(st.builds(Region, boxes, st.floats(-1, 1)), max_size=5)
grids = st.tuples(st.integers(1, 5), st.integers(1, 5))


@limits(max_examples=60, deadline=None, derandomize=True)
@given(regions, grids)
def test_no_map_leaves_its_range(found: list[Region], grid: Grid) -> None:
    released, signed = (credit(found, (8, 8), grid, kind) for kind in ("released", "signed"))  # type: ignore[arg-type]
    assert released.shape == signed.shape == (grid[0] * grid[1],)
    assert released.min(initial=0) >= 0
    assert released.max(initial=0) <= 1
    assert np.abs(signed).max(initial=0) <= 1 + 1e-12
    good = [one for one in found if one.score > 0]
    assert credit(good, (8, 8), grid, "released").tolist() == released.tolist()


@limits(max_examples=30, deadline=None, derandomize=True)
@given(st.tuples(st.integers(1, 40), st.integers(1, 40)), st.integers(1, 6), grids)
def test_the_cells_of_a_partition_cover_every_code_once(size: tuple[int, int], count: int, grid: Grid) -> None:
    assert coverage(inside(cells(size, count), size), size, grid).sum(axis=0) == pytest.approx(1.0)


def test_credit_goes_back_to_the_codes_that_were_drawn_before() -> None:
    q = np.array([0.0, 1.0, 0.5, -1.0, 0.25, 0.0])  # three rows of two
    found = spread(q, (3, 2), "columns", 0.2)
    assert found.tolist() == pytest.approx([0.2 * (0.5 + 0.25) / 2, 1 + 0.2 * -0.5, 0.5 + 0.2 * 0.25, -1.0, 0.25, 0.0])
    assert spread(q, (3, 2), "to-go", 0.2).tolist() == pytest.approx([0.125, 0.15, -0.0625, -0.25, 0.125, 0.0])
    assert spread(q, (3, 2), "off", 0.2).tolist() == q.tolist()
    assert spread(q, (3, 2), "columns", 0.0).tolist() == q.tolist()
    assert spread(q, (1, 6), "columns", 0.2).tolist() == q.tolist()
