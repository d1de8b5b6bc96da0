"""Double review, disputes, gold items, and looking back over what was decided, one rule at a time."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import Engine

from lte_core.schema import Verdict
from review.incoming import Incoming
from review.records import (
    Action,
    Filter,
    Order,
    Origin,
    Saved,
    State,
    Task,
)
from review.store import NotAllowed, StoreConfig
from tests.review.conftest import Desk, incoming, make_desk, sample
from tests.review.deciding import decided, moved, submission, taken

# -- double review and disputes


@pytest.fixture
def twice(engine: Engine) -> Desk:
    work = make_desk(engine, StoreConfig(double_share=1, gold_share=0))
    work.store.add(incoming(1))
    return work


@pytest.mark.parametrize(
    ("first", "second", "state"),
    [
        (Action.ACCEPT, Action.ACCEPT, State.ACCEPTED),
        (Action.FIX, Action.ACCEPT, State.FIXED),
        (Action.REJECT, Action.REJECT, State.REJECTED),
        (Action.ACCEPT, Action.REJECT, State.DISPUTED),
    ],
)
def test_two_reviews(twice: Desk, first: Action, second: Action, state: State) -> None:
    assert decided(twice, twice.ana, first).state is State.OPEN
    assert twice.store.next(twice.ana) is None
    task = taken(twice, twice.bo)
    assert task.content == task.before  # of ana's word bo sees nothing
    assert [entry.person for entry in twice.store.history(twice.bo, task.id)] == [None]
    assert decided(twice, twice.bo, second, task).state is state


def test_the_second_review_is_no_conflict_when_the_first_came_between(twice: Desk) -> None:
    task = taken(twice, twice.ana)
    twice.clock.forward(700)
    decided(twice, twice.bo)
    assert isinstance(twice.store.decide(twice.ana, submission(task)), Saved)


def test_a_different_label_is_a_dispute_that_a_lead_settles(twice: Desk) -> None:
    decided(twice, twice.ana)
    task = taken(twice, twice.bo)
    disputed = replace(task.content, label=Verdict.REAL)
    saved = twice.store.decide(twice.bo, submission(task, Action.FIX, disputed))
    assert isinstance(saved, Saved)
    assert saved.state is State.DISPUTED
    assert twice.store.next(twice.lead) is None
    task = taken(twice, twice.lead, Filter(state=State.DISPUTED))
    saved = twice.store.decide(twice.lead, submission(task, Action.FIX, disputed))
    assert isinstance(saved, Saved)
    assert (saved.state, next(twice.store.rows()).current.content.label) == (State.FIXED, Verdict.REAL)


# -- gold


def made_gold(work: Desk, action: Action) -> Task:
    """The next sample, decided by the lead and made a gold item."""
    gold = taken(work, work.lead)
    decided(work, work.lead, action, gold)
    work.store.mark_gold(work.lead, gold.id, True)
    return gold


def test_gold_items_are_hidden_answered_once_and_change_nothing(engine: Engine) -> None:
    work = make_desk(engine, StoreConfig(double_share=0, gold_share=0.5))
    work.store.add(incoming(6))
    gold = taken(work, work.lead)
    decided(work, work.lead, Action.FIX, gold)
    with pytest.raises(NotAllowed, match="Only a lead"):
        work.store.mark_gold(work.ana, gold.id, True)
    work.store.mark_gold(work.lead, gold.id, True)
    seen = []
    while task := work.store.next(work.ana):
        seen.append(task)
        assert (task.gold, task.state, task.content) == (False, State.OPEN, task.before)
        decided(work, work.ana, Action.REJECT, task)
    assert sorted(task.id for task in seen) == [1, 2, 3, 4, 5, 6]
    row = next(row for row in work.store.rows() if row.gold)
    assert (row.state, row.current.content) == (State.FIXED, moved(gold))
    assert [(d.person, d.action) for d in row.decisions] == [("lea", Action.FIX), ("ana", Action.REJECT)]
    assert work.store.rebuild() == 0


def test_a_gold_item_looks_like_any_other_before_and_after_the_answer(engine: Engine) -> None:
    work = make_desk(engine, StoreConfig(double_share=0, gold_share=1))
    work.store.add(incoming(3))
    gold = made_gold(work, Action.FIX)
    assert work.store.counts(person=work.ana).by_state == {State.OPEN: 3}
    task = taken(work, work.ana)
    assert (task.id, task.version, task.state) == (gold.id, 1, State.OPEN)
    assert decided(work, work.ana, Action.REJECT, replace(task, version=999)).state is State.REJECTED
    assert work.store.counts(person=work.ana).by_state == {State.OPEN: 2, State.REJECTED: 1}
    again = work.store.previous(work.ana)
    assert again is not None
    assert (again.id, again.version, again.state, again.content) == (gold.id, 2, State.REJECTED, task.before)
    for state, found in ((State.REJECTED, gold.id), (State.FIXED, None)):
        mine = work.store.next(work.ana, Filter(mine=True, state=state))
        assert (None if mine is None else mine.id) == found
    assert work.store.counts().by_state == {State.OPEN: 2, State.FIXED: 1}, "what a lead sees"


def test_the_picture_that_is_fetched_ahead_may_be_a_gold_items(engine: Engine) -> None:
    work = make_desk(engine, StoreConfig(double_share=0, gold_share=0.5))
    work.store.add(incoming(4))
    made_gold(work, Action.ACCEPT)
    for _ in range(2):
        task = taken(work, work.ana)
        ahead = work.store.upcoming(work.ana, Filter(), Order.HARDEST, task.id)
        decided(work, work.ana, Action.ACCEPT, task)
        assert ahead is not None
        assert ahead.id == taken(work, work.ana).id


def test_a_gold_item_whose_decision_is_taken_back_is_an_ordinary_sample_again(work: Desk) -> None:
    work.store.add(incoming(1))
    task = taken(work, work.ana)
    decided(work, work.ana, Action.FIX, task)
    work.store.mark_gold(work.lead, task.id, True)
    work.store.undo(work.ana)
    (row,) = work.store.rows()
    assert (row.gold, row.state) == (False, State.OPEN)
    work.store.mark_gold(work.lead, task.id, False)  # no harm
    decided(work, work.ana, Action.ACCEPT, work.store.open(work.ana, task.id))
    assert work.store.counts().by_state == {State.ACCEPTED: 1}


def test_only_a_decided_sample_can_be_gold(work: Desk) -> None:
    work.store.add(incoming(1))
    with pytest.raises(NotAllowed, match="Decide this one first"):
        work.store.mark_gold(work.lead, 1, True)


# -- looking back


def test_walking_over_the_own_decisions(work: Desk) -> None:
    work.store.add(incoming(3))
    ids = []
    for _ in range(3):
        ids.append(taken(work, work.ana).id)
        decided(work, work.ana)
    walk = []
    at = work.store.previous(work.ana)
    while at is not None:
        walk.append(at.id)
        at = work.store.previous(work.ana, at.id)
    assert walk == ids[::-1]
    after = work.store.following(work.ana, ids[0])
    assert after is not None
    assert after.id == ids[1]
    assert work.store.following(work.ana, ids[2]) is None
    assert work.store.previous(work.bo) is None


def test_history_tells_who_changed_what(work: Desk) -> None:
    work.store.add(incoming(1))
    task = taken(work, work.ana)
    work.clock.forward(5)
    decided(work, work.ana, Action.FIX, task)
    work.clock.forward(5)
    work.store.undo(work.ana)
    said = [(e.person, e.what, e.revision, e.undone) for e in work.store.history(work.ana, task.id)]
    assert said == [
        ("ana", "undo", 2, False),
        ("ana", "fix: 1 box changed or drawn", 2, True),
        (None, "purified: 1 box", 1, False),
    ]  # fmt: skip


def test_counts_are_of_today_and_the_last_hour(work: Desk) -> None:
    work.store.add(incoming(4))
    decided(work, work.ana)
    work.clock.forward(3700)
    decided(work, work.ana, Action.FIX)
    decided(work, work.bo, Action.SKIP)
    work.store.undo(work.bo)
    counts = work.store.counts()
    assert (counts.total, counts.done, counts.today, counts.last_hour) == (4, 2, 2, 1)
    assert work.store.counts(person=work.bo).today == 0
    assert work.store.counts(Filter(mine=True), work.ana).total == 2
    work.clock.forward(24 * 3600)
    assert work.store.counts().today == 0


def test_next_does_not_bring_back_what_was_decided_and_looked_at_again(work: Desk) -> None:
    work.store.add(incoming(2))
    first = taken(work, work.ana)
    decided(work, work.ana, Action.ACCEPT, first)
    second = taken(work, work.ana)
    work.clock.forward(1)
    assert work.store.previous(work.ana, second.id) is not None
    assert taken(work, work.ana).id == second.id


def test_of_ones_own_samples_next_leads_back_through_the_decisions(work: Desk) -> None:
    work.store.add(incoming(4))
    made = [taken(work, work.ana)]
    for action in (Action.ACCEPT, Action.REJECT, Action.ACCEPT):
        decided(work, work.ana, action, made[-1])
        made.append(taken(work, work.ana))
    first, second, third, _ = (task.id for task in made)

    def walked(wanted: Filter) -> list[int]:
        ids: list[int] = []
        task = work.store.next(work.ana, wanted)
        while task is not None:
            ids.append(task.id)
            task = work.store.previous(work.ana, task.id, wanted)
        return ids

    assert walked(Filter(mine=True)) == [third, second, first]
    assert walked(Filter(mine=True, state=State.ACCEPTED)) == [third, first]
    assert work.store.following(work.ana, first, Filter(mine=True, state=State.ACCEPTED)).id == third  # type: ignore[union-attr]
    assert work.store.upcoming(work.ana, Filter(mine=True), Order.HARDEST, third) is None
    assert work.store.next(work.bo, Filter(mine=True)) is None


def test_rows_come_page_by_page_in_the_order_of_their_ids(work: Desk) -> None:
    work.store.add(incoming(7)[::-1])
    assert [row.sample_id for row in work.store.rows(batch=3)] == [f"sample-{i:05d}" for i in range(7)]
    assert [row.proposed.regions for row in work.store.rows(Filter(label=Verdict.REAL))] == []


def test_a_detection_is_a_sample_too(work: Desk) -> None:
    work.store.add([Incoming(sample(1), ".png", {}, Origin.DETECTION)])
    assert work.store.image_of(f"{1:064x}") == ".png"
    assert work.store.image_of("0" * 64) is None
    assert work.store.revisions(1)[0].origin is Origin.DETECTION
    assert work.store.choices().generators == ("gpt-image-1",)
