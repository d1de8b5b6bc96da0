"""Arithmetic on boxes: hand-made cases, and laws that hold for any boxes."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lte_core.boxes import Pair, area_fraction, clip, iou, match, mean_best_iou, pad, rescale
from lte_core.schema import Box, Size

UNIT = Box(0, 0, 10, 10)
SIZE = Size(100, 80)

coordinate = st.floats(-1e6, 1e6, allow_nan=False).map(lambda v: round(v, 3))
side = st.floats(0.01, 1e6).map(lambda v: round(v, 3))
boxes = st.builds(lambda x, y, w, h: Box(x, y, x + w, y + h), coordinate, coordinate, side, side)
small = st.builds(lambda x, y, w, h: Box(x, y, x + w, y + h), *[st.integers(0, 12)] * 2, *[st.integers(1, 8)] * 2)
sizes = st.builds(Size, st.integers(1, 10_000), st.integers(1, 10_000))


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        pytest.param(UNIT, UNIT, 1.0, id="same"),
        pytest.param(UNIT, Box(5, 0, 15, 10), 1 / 3, id="half over"),
        pytest.param(UNIT, Box(0, 0, 5, 5), 0.25, id="inside"),
        pytest.param(UNIT, Box(10, 0, 20, 10), 0.0, id="half-open: touching is not overlapping"),
        pytest.param(UNIT, Box(50, 50, 60, 60), 0.0, id="apart"),
    ],
)
def test_iou(a: Box, b: Box, expected: float) -> None:
    assert iou(a, b) == pytest.approx(expected)


@given(boxes, boxes)
def test_iou_is_symmetric_and_bounded(a: Box, b: Box) -> None:
    assert 0 <= iou(a, b) == iou(b, a) <= 1
    assert iou(a, a) == pytest.approx(1)


@given(small, small, st.integers(-50, 50), st.integers(1, 9))
def test_iou_does_not_change_when_both_move_and_grow(a: Box, b: Box, shift: int, scale: int) -> None:
    moved = (Box(*(v * scale + shift for v in box.xyxy)) for box in (a, b))
    assert iou(*moved) == pytest.approx(iou(a, b))


def test_best_match_mean_is_over_the_reference() -> None:
    assert mean_best_iou([UNIT, Box(50, 50, 60, 60)], [UNIT]) == 0.5
    assert mean_best_iou([UNIT], [UNIT, Box(50, 50, 60, 60)]) == 1.0
    assert mean_best_iou([UNIT], []) == 0.0
    with pytest.raises(ValueError, match="at least one reference box"):
        mean_best_iou([], [UNIT])


def test_matching_is_best_in_all_not_greedy() -> None:
    """The greedy choice (0.8 first) would leave the second box without a partner."""
    first = [Box(0, 0, 10, 10), Box(0, 0, 10, 7)]
    second = [Box(0, 0, 10, 8), Box(0, 4, 10, 12)]
    assert match(first, second) == [Pair(0, 1, 0.5), Pair(1, 0, 0.875)]
    assert match(first, second, min_iou=0.6) == [Pair(1, 0, 0.875)]
    assert match([], second) == match(first, []) == []


@given(st.lists(small, max_size=4), st.lists(small, max_size=4))
def test_matching_is_one_to_one_and_no_other_is_better(first: list[Box], second: list[Box]) -> None:
    pairs = match(first, second)
    assert len({p.first for p in pairs}) == len({p.second for p in pairs}) == len(pairs)
    assert all(p.iou == iou(first[p.first], second[p.second]) > 0 for p in pairs)
    few, many = sorted((first, second), key=len)
    best = max(sum(iou(a, b) for a, b in zip(few, order, strict=False)) for order in permutations(many))
    assert sum(p.iou for p in pairs) == pytest.approx(best)


@given(boxes, sizes)
def test_a_clipped_box_is_inside_both(box: Box, size: Size) -> None:
    inside = clip(box, size)
    share = area_fraction(box, size)
    if inside is None:
        assert share == 0
        assert box.x2 <= 0 or box.y2 <= 0 or box.x1 >= size.width or box.y1 >= size.height
        return
    assert clip(inside, size) == inside
    assert max(0, box.x1) <= inside.x1 < inside.x2 <= min(size.width, box.x2)
    assert max(0, box.y1) <= inside.y1 < inside.y2 <= min(size.height, box.y2)
    assert 0 < share <= 1


@given(small, sizes)
def test_rescaling_there_and_back_is_where_it_was(box: Box, frame: Size) -> None:
    back = rescale(rescale(box, SIZE, frame), frame, SIZE)
    assert back.xyxy == pytest.approx(box.xyxy)


@given(boxes, st.floats(0, 2))
def test_padding_grows_every_side_by_its_share(box: Box, fraction: float) -> None:
    grown = pad(box, fraction)
    assert grown.width == pytest.approx(box.width * (1 + 2 * fraction), rel=1e-4, abs=1e-6)
    assert grown.x1 <= box.x1
    assert grown.y2 >= box.y2
