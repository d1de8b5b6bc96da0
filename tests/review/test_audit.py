"""The purifier's audit, against hand-made cases."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lte_core.schema import Box, Region, Verdict
from review.audit import Reviewed, changes, drop_rules, threshold_curve, words_changed
from review.records import Content, State

HAND, SIGN = Region(Box(0, 0, 10, 10), "hand"), Region(Box(20, 0, 30, 10), "sign")
CONTENT = Content(Verdict.GENERATED, "the hand has six fingers", (HAND,))


def reviewed(state: State = State.ACCEPTED, final: Content = CONTENT, **annotation: Any) -> Reviewed:
    return Reviewed("s", annotation, CONTENT, final, state)


def test_a_threshold_curve_counts_what_people_kept() -> None:
    samples = [
        reviewed(similarity=0.9), reviewed(State.FIXED, similarity=0.5), reviewed(State.REJECTED, similarity=0.4),
        reviewed(similarity="high"), reviewed(),
    ]  # fmt: skip
    curve = {round(point.threshold, 2): point for point in threshold_curve(samples, "similarity")}
    kept = {t: (p.kept, p.of, p.precision and round(p.precision.value, 3)) for t, p in curve.items()}
    assert kept[0.0] == (3, 3, 0.667)
    assert kept[0.5] == (2, 3, 1.0)
    assert kept[0.95] == (0, 3, None)
    assert threshold_curve([reviewed()], "similarity") == []


DROPPED = {"bbox": [20, 0, 30, 10], "reason": "area"}


@pytest.mark.parametrize(
    ("state", "regions", "dropped", "expected"),
    [
        pytest.param(State.ACCEPTED, (HAND,), [DROPPED], {"area": 1.0}, id="people let it stand"),
        pytest.param(State.FIXED, (HAND, SIGN), [DROPPED], {"area": 0.0}, id="people drew it again"),
        pytest.param(State.REJECTED, (HAND, SIGN), [DROPPED], {}, id="rejected: says nothing"),
        pytest.param(State.ACCEPTED, (HAND,), [{"bbox": [1, 2], "reason": "area"}, 7, None], {}, id="damaged entries"),
        pytest.param(State.ACCEPTED, (HAND,), [{"bbox": [9, 9, 1, float("nan")], "reason": "iou"}], {}, id="no box"),
        pytest.param(State.ACCEPTED, (HAND,), "none", {}, id="no list"),
    ],
)
def test_drop_rules(state: State, regions: tuple[Region, ...], dropped: Any, expected: dict[str, float]) -> None:
    sample = reviewed(state, replace(CONTENT, regions=regions), dropped=dropped)
    assert {rule.rule: rule.precision.value for rule in drop_rules([sample])} == expected


def test_a_box_that_was_there_all_along_is_not_drawn_again() -> None:
    overlapping = {"bbox": [0, 0, 10, 9], "reason": "duplicate"}
    assert drop_rules([reviewed(dropped=[overlapping])])[0].precision.value == 1.0


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [("a b c", "a b c", 0), ("a b c", "a x c", 2), ("", "two words", 2), ("a b c", "b", 2)],
)
def test_words_changed(before: str, after: str, expected: int) -> None:
    assert words_changed(before, after) == expected


def test_changes_are_over_kept_samples() -> None:
    moved = replace(CONTENT, label=Verdict.REAL, explanation="the hand has five fingers", regions=(HAND, SIGN))
    found = changes([reviewed(), reviewed(State.FIXED, moved), reviewed(State.REJECTED, moved)])
    assert found is not None
    assert (found.samples, found.unchanged, found.iou, found.words_changed, found.label_changed) == (2, 1, 0.75, 1.0, 1)
    assert changes([reviewed(State.REJECTED)]) is None
