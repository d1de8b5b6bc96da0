"""Which samples a person may be given, and which one first, as conditions on the tables. Changes nothing.

Every order has an index that begins with the state, so that the next sample is one look into it.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ColumnElement, Select, and_, exists, func, or_, select
from sqlalchemy.orm import aliased

from review.records import Action, Filter, Order, Person, State
from review.standing import VOTES
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
