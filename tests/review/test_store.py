"""The queue and what people decide, one rule at a time."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lte_core.schema import Box, Region, Size, Verdict
from review.incoming import Incoming
from review.records import (
    Action,
    Conflict,
    Content,
    ContentError,
    Filter,
    Order,
    Saved,
    State,
    Submission,
    checked,
)
from review.store import Added, NoSuchSample
from tests.review.conftest import Desk, incoming, sample
from tests.review.deciding import HAND, decided, moved, submission, taken

# -- samples go in


def test_a_sample_is_added_once(work: Desk) -> None:
    assert (work.store.add(incoming(5)).new, work.store.add(incoming(7)).known) == (5, 5)
    assert work.store.counts().by_state == {State.OPEN: 7}


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        pytest.param(Order.HARDEST, ["sample-00002", "sample-00000", "sample-00001"], id="hardest"),
        pytest.param(Order.OLDEST, ["sample-00000", "sample-00001", "sample-00002"], id="oldest"),
    ],
)
def test_orders(work: Desk, order: Order, expected: list[str]) -> None:
    figures = ({"similarity": 0.5, "min_iou": 0.6}, {"similarity": 0.9}, {"detector": {"p_generated": 0.1}})
    work.store.add([Incoming(sample(i), ".jpg", figures[i]) for i in range(3)])
    got = []
    for _ in range(3):
        got.append(taken(work, work.ana, order=order))
        decided(work, work.ana, task=got[-1])
    assert [task.sample_id for task in got] == expected
    assert work.store.next(work.ana, order=order) is None


def test_a_random_order_is_another_one_and_the_same_every_time(work: Desk) -> None:
    work.store.add(incoming(30))
    first = taken(work, work.ana, order=Order.RANDOM)
    work.store.release(work.ana)
    assert taken(work, work.ana, order=Order.RANDOM).id == first.id
    upcoming = [work.store.upcoming(work.ana, Filter(), Order.RANDOM, first.id)]
    assert upcoming[0] is not None
    assert [first.id, upcoming[0].id] != [1, 2]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        pytest.param(Filter(label=Verdict.REAL), "sample-00001", id="label"),
        pytest.param(Filter(source="studio"), "sample-00002", id="source"),
        pytest.param(Filter(generator="gpt-image-1", source="test"), "sample-00000", id="generator"),
        pytest.param(Filter(split="test"), None, id="split"),
    ],
)
def test_filters(work: Desk, wanted: Filter, expected: str | None) -> None:
    work.store.add([Incoming(item, ".jpg", {}) for item in
                    (sample(0), sample(1, Verdict.REAL), sample(2, source="studio"))])  # fmt: skip
    task = work.store.next(work.ana, wanted)
    assert (task and task.sample_id) == expected
    assert work.store.counts(wanted).total == (0 if expected is None else 1)


# -- leases


def test_no_two_people_get_the_same_sample(work: Desk) -> None:
    work.store.add(incoming(2))
    assert taken(work, work.ana).id != taken(work, work.bo).id
    assert work.store.next(work.lead) is None


def test_a_reload_gives_the_same_sample_again(work: Desk) -> None:
    work.store.add(incoming(3))
    assert taken(work, work.ana).id == taken(work, work.ana).id


def test_a_lease_ends_and_can_be_renewed(work: Desk) -> None:
    work.store.add(incoming(1))
    task = taken(work, work.ana)
    work.clock.forward(400)
    assert work.store.renew(work.ana, task.id) is not None
    work.clock.forward(400)
    assert work.store.next(work.bo) is None
    work.clock.forward(300)
    assert taken(work, work.bo).id == task.id
    assert work.store.renew(work.ana, task.id) is None


def test_signing_out_gives_everything_back(work: Desk) -> None:
    work.store.add(incoming(1))
    task = taken(work, work.ana)
    work.store.release(work.ana)
    assert taken(work, work.bo).id == task.id


def test_a_sample_that_another_person_holds_can_be_looked_at(work: Desk) -> None:
    work.store.add(incoming(1))
    task = taken(work, work.ana)
    assert work.store.open(work.bo, task.id).lease_until is None
    with pytest.raises(NoSuchSample, match="no sample number 99"):
        work.store.open(work.bo, 99)


def test_a_skipped_sample_comes_back_last(work: Desk) -> None:
    work.store.add(incoming(3))
    first, second = taken(work, work.ana), None
    decided(work, work.ana, Action.SKIP, first)
    second = taken(work, work.ana)
    decided(work, work.ana, Action.SKIP, second)
    decided(work, work.ana)
    assert taken(work, work.ana).id == first.id
    assert taken(work, work.bo).id == second.id
    assert work.store.counts().by_state[State.OPEN] == 2


# -- decisions


@pytest.mark.parametrize(
    ("action", "state"),
    [
        (Action.ACCEPT, State.ACCEPTED), (Action.FIX, State.FIXED), (Action.REJECT, State.REJECTED),
        (Action.SKIP, State.OPEN),
    ],
)  # fmt: skip
def test_a_decision_settles_a_sample(work: Desk, action: Action, state: State) -> None:
    work.store.add(incoming(1))
    task = taken(work, work.ana)
    assert decided(work, work.ana, action, task).state is state
    row = next(work.store.rows())
    assert (row.state, row.current.number) == (state, 2 if action is Action.FIX else 1)
    assert row.current.person == ("ana" if action is Action.FIX else None)
    assert [(d.action, d.seconds, d.undone) for d in row.decisions] == [(action, 3.5, False)]


def test_a_fix_that_changes_nothing_is_an_accept(work: Desk) -> None:
    work.store.add(incoming(1))
    task = taken(work, work.ana)
    saved = work.store.decide(work.ana, submission(task, Action.FIX, task.content))
    assert isinstance(saved, Saved)
    assert saved.state is State.ACCEPTED
    assert len(work.store.revisions(task.id)) == 1


def test_the_same_submission_twice_counts_once(work: Desk) -> None:
    work.store.add(incoming(1))
    task = taken(work, work.ana)
    sent = submission(task, Action.FIX, moved(task))
    assert work.store.decide(work.ana, sent) == work.store.decide(work.ana, sent)
    assert len(work.store.decisions(task.id)) == 1
    with pytest.raises(ContentError, match="used before"):
        work.store.decide(work.bo, sent)


def test_a_rejection_needs_a_reason(work: Desk) -> None:
    work.store.add(incoming(1))
    task = taken(work, work.ana)
    with pytest.raises(ContentError, match="Choose a reason"):
        work.store.decide(work.ana, replace(submission(task, Action.REJECT), reason=None))
    assert work.store.decisions(task.id) == ()


SIZE = Size(200, 100)
GOOD = Content(Verdict.REAL, "A hand.", (HAND,))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        pytest.param(replace(GOOD, explanation=" \n"), "explanation is empty", id="no explanation"),
        pytest.param(replace(GOOD, explanation="x" * 4001), "4001 characters; at most 4000", id="endless"),
        pytest.param(replace(GOOD, regions=(Region(HAND.box, " "),)), "Box 1 has no label", id="no label"),
        pytest.param(replace(GOOD, regions=(HAND, Region(HAND.box, "x" * 81))), "label of box 2 has 81", id="label"),
        pytest.param(replace(GOOD, regions=(HAND,) * 33), "33 boxes; at most 32", id="too many"),
        pytest.param(replace(GOOD, regions=(Region(Box(10, 10, 13.9, 50), "a"),)), "under 4 px", id="too small"),
        pytest.param(replace(GOOD, regions=(Region(Box(190, 10, 200.5, 50), "a"),)), "outside the picture", id="out"),
        pytest.param(replace(GOOD, regions=(Region(Box(-1, 10, 20, 50), "a"),)), "outside the picture", id="left"),
    ],
)
def test_what_cannot_be_kept_is_refused_with_the_reason(work: Desk, content: Content, says: str) -> None:
    with pytest.raises(ContentError, match=says):
        checked(content, SIZE)
    work.store.add(incoming(1))
    task = taken(work, work.ana)
    with pytest.raises(ContentError, match=says):
        work.store.decide(work.ana, submission(task, Action.FIX, content))
    assert len(work.store.revisions(task.id)) == 1


def test_coming_back_shows_the_own_fix_and_a_new_decision_replaces_it(work: Desk) -> None:
    work.store.add(incoming(1))
    task = taken(work, work.ana)
    fixed = moved(task)
    decided(work, work.ana, Action.FIX, task)
    again = work.store.open(work.ana, task.id)
    assert (again.content, again.before, again.mine) == (fixed, task.content, Action.FIX)
    assert decided(work, work.ana, Action.ACCEPT, again).state is State.FIXED
    again = work.store.open(work.ana, task.id)
    assert decided(work, work.ana, Action.REJECT, again).state is State.REJECTED
    assert len(work.store.revisions(task.id)) == 2


# -- undo


def test_undo_goes_back_over_samples_and_gives_them_again(work: Desk) -> None:
    work.store.add(incoming(3))
    ids = [taken(work, work.ana).id]
    decided(work, work.ana, Action.FIX)
    ids.append(taken(work, work.ana).id)
    decided(work, work.ana, Action.REJECT)
    for expected in reversed(ids):
        task = work.store.undo(work.ana)
        assert task is not None
        assert (task.id, task.state, task.mine) == (expected, State.OPEN, None)
        assert task.content == task.before
    assert work.store.undo(work.ana) is None
    assert work.store.undo(work.bo) is None
    assert work.store.counts().by_state == {State.OPEN: 3}
    assert len(work.store.decisions(ids[0])) == 2


def test_undo_of_a_second_thought_brings_the_first_back(work: Desk) -> None:
    work.store.add(incoming(1))
    task = taken(work, work.ana)
    decided(work, work.ana, Action.FIX, task)
    decided(work, work.ana, Action.REJECT, work.store.open(work.ana, task.id))
    again = work.store.undo(work.ana)
    assert again is not None
    assert (again.state, again.mine, again.content) == (State.FIXED, Action.FIX, moved(task))


def test_skipping_ones_own_fix_keeps_it(work: Desk) -> None:
    work.store.add(incoming(1))
    task = taken(work, work.ana)
    decided(work, work.ana, Action.FIX, task)
    decided(work, work.ana, Action.SKIP, work.store.open(work.ana, task.id))
    again = work.store.open(work.ana, task.id)
    assert (again.state, again.mine, again.content) == (State.FIXED, Action.FIX, moved(task))


def test_a_leads_correction_is_what_the_annotator_sees_next(work: Desk) -> None:
    work.store.add(incoming(1))
    task = taken(work, work.ana)
    decided(work, work.ana, Action.FIX, task)
    corrected = replace(task.content, explanation="What the lead says.")
    seen = work.store.open(work.lead, task.id)
    work.store.decide(work.lead, Submission(task.id, seen.version, Action.FIX, "lead-fixes", corrected))
    again = work.store.previous(work.ana)
    assert again is not None
    assert again.content == corrected
    decided(work, work.ana, Action.ACCEPT, again)
    (row,) = work.store.rows()
    assert row.current.content == corrected


def test_of_two_samples_with_one_id_the_first_counts(work: Desk) -> None:
    first, second = incoming(2)
    twin = replace(second, sample=replace(second.sample, id=first.sample.id))
    assert work.store.add([first, twin]) == Added(1, 1)
    assert [row.sha256 for row in work.store.rows()] == [first.sample.sha256]


# -- conflicts


def test_a_lapsed_lease_alone_loses_nothing(work: Desk) -> None:
    work.store.add(incoming(1))
    task = taken(work, work.ana)
    work.clock.forward(10_000)
    assert isinstance(work.store.decide(work.ana, submission(task)), Saved)


def test_a_stale_submission_shows_both_and_can_overrule(work: Desk) -> None:
    work.store.add(incoming(1))
    task = taken(work, work.ana)
    work.clock.forward(700)
    decided(work, work.bo, Action.REJECT, taken(work, work.bo))
    mine = submission(task, Action.FIX, moved(task))
    conflict = work.store.decide(work.ana, mine)
    assert isinstance(conflict, Conflict)
    assert (conflict.by, conflict.theirs.state, conflict.why) == (
        "bo", State.REJECTED, "bo decided this sample meanwhile.")  # fmt: skip
    assert len(work.store.decisions(task.id)) == 1
    again = replace(mine, version=conflict.theirs.version, overrule=True)
    saved = work.store.decide(work.ana, again)
    assert isinstance(saved, Saved)
    assert saved.state is State.FIXED


def test_a_sample_that_somebody_else_holds_is_a_conflict(work: Desk) -> None:
    work.store.add(incoming(1))
    task = taken(work, work.ana)
    work.clock.forward(700)
    taken(work, work.bo)
    mine = submission(task)
    conflict = work.store.decide(work.ana, mine)
    assert isinstance(conflict, Conflict)
    assert conflict.why == "bo has this sample now."
    assert isinstance(work.store.decide(work.ana, replace(mine, overrule=True)), Saved)
