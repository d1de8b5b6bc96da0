"""The tables behind the plots, by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from review.agreement import Estimate, GoldScore
from review.audit import ThresholdPoint
from review.figures import HOURS, gold_frame, hours_frame, people_frame, states_frame, thresholds_frame
from review.records import Action, Activity, State, Submission
from review.stats import Stats
from tests.review.conftest import Desk, incoming

NOW = datetime(2026, 11, 24, 12, 30, tzinfo=UTC)


def ago(minutes: float, person: str = "ana") -> Activity:
    return Activity(NOW - timedelta(minutes=minutes), person, Action.ACCEPT)


def test_every_state_has_its_bar() -> None:
    frame = states_frame({State.FIXED: 3})
    assert dict(zip(frame["state"], frame["samples"], strict=True)) == {s.value: 3 * (s is State.FIXED) for s in State}


@pytest.mark.parametrize(
    ("activity", "expected"),
    [
        ([], {}),
        ([ago(0), ago(29), ago(31), ago(91)], {12: 2, 11: 1, 10: 1}),
        ([ago(60 * HOURS)], {}),
    ],
)
def test_hours_are_counted_those_of_rest_too(activity: list[Activity], expected: dict[int, int]) -> None:
    frame = hours_frame(activity, NOW)
    assert len(frame) == HOURS
    assert frame["hour"].iloc[-1] == NOW.replace(minute=0)
    assert frame["decisions"].sum() == sum(expected.values())
    recent = frame.tail(3)
    assert {h.hour: n for h, n in zip(recent["hour"], recent["decisions"], strict=True) if n} == expected


def test_people_are_listed_the_most_busy_first() -> None:
    tally = {("bo", Action.FIX): 1, ("ana", Action.ACCEPT): 2, ("ana", Action.REJECT): 1}
    frame = people_frame(tally, [ago(30), ago(59), ago(61), ago(1, "bo")], NOW)
    assert frame.to_dict("records") == [
        {"person": "ana", "decisions": 3, "accept": 2, "fix": 0, "reject": 1, "last hour": 2},
        {"person": "bo", "decisions": 1, "accept": 0, "fix": 1, "reject": 0, "last hour": 1},
    ]


def test_nobody_is_an_empty_table_with_its_columns() -> None:
    frame = people_frame({}, [], NOW)
    assert frame.empty
    assert "last hour" in frame.columns


def test_gold_and_thresholds_are_tables() -> None:
    half = Estimate(0.5, 0.1, 0.9, 4)
    points = [ThresholdPoint(0.0, 4, 4, half), ThresholdPoint(0.05, 0, 4, None)]
    found = Stats({}, (), None, None, (GoldScore("ana", half, None),), {"min_iou": points}, (), None)
    assert gold_frame(found).to_dict("records") == [
        {"person": "ana", "answers": 4, "right": 0.5, "from": 0.1, "to": 0.9}
    ]
    assert thresholds_frame(found).to_dict("records") == [
        {"figure": "min_iou", "threshold": 0.0, "precision": 0.5, "kept": 4}
    ]


def test_what_was_taken_back_is_no_activity(work: Desk) -> None:
    work.store.add(incoming(3))
    for number in range(2):
        task = work.store.next(work.ana)
        assert task
        work.store.decide(work.ana, Submission(task.id, task.version, Action.ACCEPT, f"token-{number}-abc"))
    work.store.undo(work.ana)
    since = work.clock.now - timedelta(hours=1)
    assert [a.person for a in work.store.activity(since)] == ["ana"]
    assert work.store.activity(since, work.bo) == []
    assert work.store.tally() == {("ana", Action.ACCEPT): 1}
