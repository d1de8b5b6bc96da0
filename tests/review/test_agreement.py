"""Agreement between people, against hand-made cases."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lte_core.schema import Box, Region, Verdict
from review.agreement import Judgement, box_agreement, gold_scores, krippendorff_alpha, matched_iou, share
from review.records import Action

LEFT, RIGHT = Box(0, 0, 10, 10), Box(20, 0, 30, 10)
HALF = Box(0, 0, 10, 5)  # IoU 0.5 with LEFT


def judged(sample: str, person: str, what: str, *boxes: Box) -> Judgement:
    """`what` is "reject", or the label with which the sample is kept."""
    if what == "reject":
        return Judgement(sample, person, Action.REJECT, Verdict.REAL, ())
    return Judgement(sample, person, Action.ACCEPT, Verdict(what), tuple(Region(box, "hand") for box in boxes))


def doubles(*pairs: tuple[str, str]) -> list[Judgement]:
    return [judged(str(i), who, what) for i, pair in enumerate(pairs) for who, what in zip("ab", pair, strict=True)]


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        pytest.param([("real", "real"), ("reject", "reject")], 1.0, id="full agreement"),
        # o = 2 of 6 values disagree; by chance (3*3*2)/(6*5) = 0.6 would: 1 - (2/6)/0.6
        pytest.param([("real", "real"), ("reject", "reject"), ("real", "reject")], 1 - (2 / 6) / 0.6, id="by hand"),
        pytest.param([("real", "generated"), ("generated", "real")], 1 - 1 / (8 / 12), id="never"),
    ],
)
def test_alpha(pairs: list[tuple[str, str]], expected: float) -> None:
    found = krippendorff_alpha(doubles(*pairs))
    assert found is not None
    assert found.value == pytest.approx(expected)
    assert found.low <= found.value <= found.high
    assert found.n == len(pairs)


@pytest.mark.parametrize(
    "judgements",
    [
        pytest.param([], id="nothing"),
        pytest.param([judged("1", "a", "real"), judged("2", "b", "reject")], id="nobody looked twice"),
        pytest.param(doubles(("real", "real"), ("real", "real")), id="everybody always said the same"),
    ],
)
def test_alpha_is_undefined(judgements: list[Judgement]) -> None:
    assert krippendorff_alpha(judgements) is None


def test_a_sample_with_one_judgement_does_not_move_alpha() -> None:
    pairs = doubles(("real", "real"), ("reject", "reject"), ("real", "reject"))
    assert krippendorff_alpha([*pairs, judged("9", "a", "reject")]) == krippendorff_alpha(pairs)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        pytest.param([], [], 1.0, id="both see nothing"),
        pytest.param([LEFT], [], 0.0, id="one sees nothing"),
        pytest.param([LEFT, RIGHT], [RIGHT, LEFT], 1.0, id="order does not count"),
        pytest.param([LEFT], [HALF], 0.5, id="half"),
        pytest.param([LEFT], [LEFT, RIGHT], 0.5, id="an extra box counts 0"),
        pytest.param([LEFT, HALF], [LEFT], 0.5, id="one to one: two boxes cannot share a partner"),
    ],
)
def test_matched_iou(first: list[Box], second: list[Box], expected: float) -> None:
    assert matched_iou(first, second) == pytest.approx(expected)


boxes = st.lists(st.builds(lambda x, y: Box(x, y, x + 7, y + 5), st.integers(0, 20), st.integers(0, 20)), max_size=4)


@given(boxes, boxes)
def test_matched_iou_is_symmetric_and_bounded(first: list[Box], second: list[Box]) -> None:
    forward = matched_iou(first, second)
    assert 0 <= forward <= 1 + 1e-9
    assert forward == pytest.approx(matched_iou(second, first))
    assert matched_iou(first, first) == pytest.approx(1)


def test_box_agreement_is_over_samples_that_both_kept() -> None:
    pairs = [
        judged("1", "a", "real", LEFT), judged("1", "b", "real", LEFT),
        judged("2", "a", "real", LEFT), judged("2", "b", "real", HALF),
        judged("3", "a", "real", LEFT), judged("3", "b", "reject"),
    ]  # fmt: skip
    found = box_agreement(pairs)
    assert found is not None
    assert (found.value, found.n) == (0.75, 2)
    assert found.low <= 0.75 <= found.high
    assert box_agreement(pairs[4:]) is None


def test_gold_scores_are_per_person_and_leave_the_author_out() -> None:
    references = {"1": judged("1", "lead", "real", LEFT), "2": judged("2", "lead", "reject")}
    answers = [
        judged("1", "ana", "real", HALF), judged("2", "ana", "reject"),
        judged("1", "bo", "generated", LEFT), judged("3", "bo", "real"),
        judged("1", "lead", "real", LEFT),
    ]  # fmt: skip
    ana, bo = gold_scores(answers, references)
    assert (ana.person, ana.right.value, ana.right.n, ana.iou) == ("ana", 1.0, 2, 0.5)
    assert (bo.person, bo.right.value, bo.right.n, bo.iou) == ("bo", 0.0, 1, 1.0)


def test_a_share_has_wilsons_interval() -> None:
    found = share(8, 10)
    assert found is not None
    z, p, n = 1.959964, 0.8, 10
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    spread = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    assert (found.low, found.high) == pytest.approx((centre - spread, centre + spread), abs=1e-4)
    assert share(0, 0) is None
