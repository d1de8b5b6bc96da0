"""Which samples a person may be given, and which one first, as conditions on the tables. Changes nothing.

Every order has an index that begins with the state, so that the next sample is one look into it.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ColumnElement, ScalarSelect, Select, and_, exists, func, or_, select
from sqlalchemy.orm import aliased

from review.records import Action, Filter, Order, Person, State
from review.standing import STATE_AFTER, VOTES
from review.tables import DecisionRow, SampleRow


def matches(wanted: Filter) -> list[ColumnElement[bool]]:
    """The filter's conditions but for the person's own (`touched`) and the state's."""
    pairs = (
        (SampleRow.label, wanted.label),
        (SampleRow.generator, wanted.generator),
        (SampleRow.source, wanted.source),
        (SampleRow.split, wanted.split),
    )
    return [column == value for column, value in pairs if value is not None]


def touched(person: Person, *actions: Action) -> ColumnElement[bool]:
    """The person has a decision on the sample that was not taken back, of one of these actions."""
    later = aliased(DecisionRow)
    return exists().where(
        DecisionRow.sample_id == SampleRow.id,
        DecisionRow.account_id == person.id,
        DecisionRow.action.in_(actions),
        ~exists().where(later.undoes == DecisionRow.id),
    )


def own_vote(person: Person) -> ScalarSelect[str]:
    """The action of the person's latest vote on the sample that was not taken back."""
    later = aliased(DecisionRow)
    return (
        select(DecisionRow.action)
        .where(DecisionRow.sample_id == SampleRow.id, DecisionRow.account_id == person.id)
        .where(DecisionRow.action.in_(VOTES), ~exists().where(later.undoes == DecisionRow.id))
        .order_by(DecisionRow.id.desc())
        .limit(1)
        .scalar_subquery()
    )


def appears(person: Person, state: State) -> ColumnElement[bool]:
    """The sample is in this state as far as the person can see: a gold item is where their own vote would put it."""
    if person.leads:
        return SampleRow.state == state
    actions = [action for action, after in STATE_AFTER.items() if after is state]
    return or_(
        and_(SampleRow.gold.is_(False), SampleRow.state == state),
        and_(SampleRow.gold.is_(True), own_vote(person).in_(actions)),
    )


def walked(person: Person, from_id: int | None, wanted: Filter, backwards: bool) -> Select[int]:
    """Samples that this person decided, by their latest vote: those before the sample `from_id` (or from the last one),
    or those after it."""
    later = aliased(DecisionRow)
    latest = (
        select(func.max(DecisionRow.id).label("decision"), DecisionRow.sample_id)
        .where(DecisionRow.account_id == person.id, DecisionRow.action.in_(VOTES))
        .where(~select(later.id).where(later.undoes == DecisionRow.id).exists())
        .group_by(DecisionRow.sample_id)
        .subquery()
    )
    here = select(latest.c.decision).where(latest.c.sample_id == from_id).scalar_subquery()
    query = select(latest.c.sample_id).join(SampleRow, SampleRow.id == latest.c.sample_id).where(*matches(wanted))
    if wanted.state is not None:
        query = query.where(appears(person, wanted.state))
    if not backwards:
        return query.where(latest.c.decision > here).order_by(latest.c.decision)
    return query.where(latest.c.decision < func.coalesce(here, 2**31)).order_by(latest.c.decision.desc())


def free(now: datetime) -> ColumnElement[bool]:
    """Nobody holds the sample."""
    return or_(SampleRow.lease_until.is_(None), SampleRow.lease_until <= now)


def held(person: Person, wanted: Filter, now: datetime) -> Select[int]:
    """What this person holds and has yet to judge, the newest lease first."""
    query = select(SampleRow.id).where(SampleRow.lease_account_id == person.id, SampleRow.lease_until > now)
    if wanted.state is not None:
        query = query.where(SampleRow.state == wanted.state)
    query = query.where(~touched(person, *VOTES), *matches(wanted))
    return query.order_by(SampleRow.lease_until.desc())


def fresh(person: Person, wanted: Filter, order: Order, now: datetime) -> Select[int]:
    """Samples that this person has not touched, first things first."""
    state = wanted.state or State.OPEN
    first = {Order.HARDEST: (SampleRow.ease, SampleRow.id), Order.OLDEST: (SampleRow.id,)}
    return (
        select(SampleRow.id)
        .where(SampleRow.state == state, free(now), SampleRow.gold.is_(False), *matches(wanted))
        .where(~touched(person, *VOTES, Action.SKIP))
        .order_by(*first.get(order, (SampleRow.shuffle, SampleRow.id)))
    )


def skipped(person: Person, wanted: Filter, now: datetime) -> Select[int]:
    """Samples that this person skipped and did not judge, the one skipped longest ago first."""
    state = wanted.state or State.OPEN
    last = select(func.max(DecisionRow.id)).where(
        DecisionRow.sample_id == SampleRow.id, DecisionRow.account_id == person.id
    )
    return (
        select(SampleRow.id)
        .where(SampleRow.state == state, free(now), SampleRow.gold.is_(False), *matches(wanted))
        .where(touched(person, Action.SKIP), ~touched(person, *VOTES))
        .order_by(last.scalar_subquery())
    )


def gold(person: Person, now: datetime) -> Select[int]:
    """Gold items that this person has never answered."""
    answered = exists().where(DecisionRow.sample_id == SampleRow.id, DecisionRow.account_id == person.id)
    return select(SampleRow.id).where(and_(SampleRow.gold.is_(True), free(now)), ~answered).order_by(SampleRow.shuffle)
