"""UniDet's arithmetic on boxes: anchors, decoding, suppression, proposals, and what counts as an object."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from suder_bench.evaluators.judges.unidet import anchors, boxes, heads, rpn
from suder_bench.evaluators.t2i_compbench.spatial import iou

SQUARE = [0.0, 0.0, 10.0, 10.0]


def test_anchors_are_neither_rounded_nor_centred_and_sizes_come_before_shapes():
    cell = anchors.cell(anchors.SIZES[0])
    assert cell[0].tolist() == pytest.approx([-22.6274, -11.3137, 22.6274, 11.3137], abs=1e-4)
    sides = cell[:, 2:] - cell[:, :2]
    assert (sides[:, 1] / sides[:, 0]).tolist() == pytest.approx([0.5, 1, 2] * 3)
    assert sides.prod(dim=1).sqrt().tolist() == pytest.approx([32 * 2 ** (third / 3) for third in (0, 0, 0, 1, 1, 1, 2, 2, 2)])
    grid = anchors.grid(anchors.SIZES[4], 128, 2, 3, torch.device("cpu"))
    assert grid.shape == (2 * 3 * 9, 4)
    assert torch.equal(grid[:9], anchors.cell(anchors.SIZES[4]))
    assert torch.equal(grid[4 * 9 :][:9], anchors.cell(anchors.SIZES[4]) + torch.tensor([128.0, 128, 128, 128]))


def test_deltas_move_by_shares_of_the_sides_and_scale_by_logarithms():
    start = torch.tensor([[10.0, 20, 30, 60]])
    moved = boxes.decode(torch.tensor([[5.0, -10, 0, 0]]), start, (10.0, 10.0, 5.0, 5.0))
    assert moved.tolist() == [[20, -20, 40, 20]]
    doubled = boxes.decode(torch.tensor([[0.0, 0, math.log(2), -math.log(2)]]), start)
    assert doubled[0].tolist() == pytest.approx([0, 30, 40, 50])


def test_a_side_grows_at_most_to_its_62_fold_and_shrinks_without_a_limit():
    grown, shrunk = boxes.decode(torch.tensor([[0.0, 0, 50, 0], [0, 0, -50, 0]]), torch.tensor([SQUARE, SQUARE]))
    assert float(grown[2] - grown[0]) == pytest.approx(625, rel=1e-5)
    assert float(shrunk[2] - shrunk[0]) == pytest.approx(0, abs=1e-6)


def test_half_precision_deltas_are_decoded_in_float32():
    found = boxes.decode(torch.tensor([[0.1, 0, 0, 0]], dtype=torch.float16), torch.tensor([[100.0, 100, 433, 433]]))
    assert found.dtype == torch.float32


def keep(rows: list[list[float]], scores: list[float], groups: list[int] | None = None, threshold: float = 0.5) -> list[int]:
    return boxes.apart(torch.tensor(rows), torch.tensor(scores), torch.tensor(groups or [0] * len(rows)), threshold).tolist()


def test_of_equal_scores_the_first_box_stays():
    assert keep([SQUARE, SQUARE, SQUARE], [0.5, 0.5, 0.5]) == [0]
    assert keep([SQUARE, SQUARE], [0.5, 0.6]) == [1]


def test_an_overlap_of_exactly_the_threshold_is_none():
    half = [0.0, 0.0, 10.0, 5.0]
    assert keep([SQUARE, half], [0.9, 0.8]) == [0, 1]
    assert keep([SQUARE, half], [0.9, 0.8], threshold=0.49) == [0]


def test_what_is_suppressed_suppresses_nothing():
    chain = [[float(x), 0.0, float(x) + 10, 10.0] for x in range(0, 40, 3)]
    kept = keep(chain, [1 - 0.01 * place for place in range(len(chain))])
    assert kept == list(range(0, len(chain), 2))


def test_groups_do_not_see_each_other_and_the_surest_comes_first():
    assert keep([SQUARE, SQUARE, SQUARE], [0.3, 0.9, 0.5], [7, 0, 7]) == [1, 2]
    assert keep([], []) == []


def greedy(rows: list[list[float]], scores: list[float], groups: list[int], threshold: float) -> list[int]:
    """The textbook's loop."""
    kept: list[int] = []
    for place in sorted(range(len(rows)), key=lambda place: -scores[place]):
        rivals = (other for other in kept if groups[other] == groups[place])
        if not any(iou(tuple(rows[other]), tuple(rows[place])) > threshold for other in rivals):
            kept.append(place)
    return kept


row = st.tuples(*[st.integers(0, 12)] * 2, *[st.integers(1, 12)] * 2, st.integers(0, 5), st.integers(0, 3))


@settings(max_examples=60, deadline=None)
@given(st.lists(row, max_size=60))
def test_suppression_is_the_greedy_loop(drawn):
    rows = [[float(x), float(y), float(x + w), float(y + h)] for x, y, w, h, *_ in drawn]
    scores, groups = [score / 8 for *_, score, _ in drawn], [group for *_, group in drawn]
    assert keep(rows, scores, groups, 0.45) == greedy(rows, scores, groups, 0.45)


def test_proposals_are_finite_inside_and_apart_by_level():
    logits = torch.tensor([5.0, 4, 3, 2, float("nan"), 1, 0])
    rows = [SQUARE, SQUARE, SQUARE, [-5.0, 2, 30, 8], SQUARE, [25.0, 0, 40, 10], [0.0, 0, float("inf"), 4]]
    found = rpn.select(logits, torch.tensor(rows), torch.tensor([0, 1, 0, 0, 0, 0, 0]), (9, 20))
    assert found.tolist() == [[0, 0, 10, 9], [0, 0, 10, 9], [0, 2, 20, 8]]


def scored(*pairs: tuple[int, int, float], rows: int = 1) -> torch.Tensor:
    scores = torch.zeros(rows, heads.CLASSES + 1)
    for place, number, score in pairs:
        scores[place, number] = score
    return scores


def test_a_score_of_exactly_the_threshold_is_none_and_a_box_may_be_several_things():
    above = float(torch.nextafter(torch.tensor(0.1), torch.tensor(1.0)))
    found = heads.select(torch.tensor([SQUARE]), scored((0, 3, 0.1), (0, 4, above), (0, 9, 0.8), (0, heads.CLASSES, 0.9)))
    assert found.classes.tolist() == [9, 4]
    assert found.scores.tolist() == pytest.approx([0.8, 0.1])


def test_a_row_with_anything_not_finite_is_dropped_whole():
    scores = scored((0, 1, 0.9), (0, heads.CLASSES, math.nan), (1, 2, 0.9), (2, 3, 0.9), rows=3)
    found = heads.select(torch.tensor([SQUARE, SQUARE, [0, 0, math.inf, 1]]), scores)
    assert found.classes.tolist() == [2]


def test_at_most_300_objects_and_boxes_without_an_area_count_among_them():
    rows = torch.arange(0, 400.0)[:, None] * 20 + torch.tensor([0.0, 0, 10, 10])
    rows[:, 1::2] = torch.tensor([0.0, 10])
    scores = scored(*((place, 5, 0.9 - 0.001 * place) for place in range(400)), rows=400)
    assert heads.select(rows, scores).boxes.equal(rows[:300])
    rows[7, 2] = rows[7, 0]
    assert len(heads.select(rows, scores).scores) == 299
