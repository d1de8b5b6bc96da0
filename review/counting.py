"""How far the review is, in numbers: samples by state, votes by person and hour. Changes nothing."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import TypeVarTuple

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from review import queue
from review.records import Action, Activity, Filter, Person, State
from review.standing import STATE_AFTER, VOTES
from review.tables import AccountRow, DecisionRow, SampleRow

Columns = TypeVarTuple("Columns")


def count_states(session: Session, wanted: Filter, person: Person | None) -> dict[State, int]:
    """Samples by state within the filter, as far as the person can see: to an annotator a gold item is open until they
    answer it, and then where their answer would put it, so that their progress does not tell which ones are gold."""
    conditions = queue.matches(wanted)
    if wanted.mine and person is not None:
        conditions.append(queue.touched(person, *VOTES))
    counted = select(SampleRow.state, func.count()).where(*conditions).group_by(SampleRow.state)
    by_state = Counter({State(state): number for state, number in session.execute(counted)})
    if person is not None and not person.leads:
        gold = select(SampleRow.state, queue.own_vote(person)).where(SampleRow.gold.is_(True), *conditions)
        for state, mine in session.execute(gold):
            by_state[State(state)] -= 1
            by_state[State.OPEN if mine is None else STATE_AFTER[Action(mine)]] += 1
    return {state: number for state, number in by_state.items() if number and wanted.state in (None, state)}


def count_decisions(session: Session, person: Person | None, since: datetime) -> int:
    """Votes since a moment, of one person or of all; those taken back do not count."""
    undone = select(DecisionRow.undoes).where(DecisionRow.undoes.is_not(None))
    query = select(func.count()).where(DecisionRow.at >= since, DecisionRow.action.in_(VOTES))
    query = query.where(DecisionRow.id.not_in(undone))
    if person is not None:
        query = query.where(DecisionRow.account_id == person.id)
    return session.scalar(query) or 0


def activity_since(session: Session, person: Person | None, since: datetime) -> list[Activity]:
    """Votes since a moment that stand, oldest first, of one person or of all."""
    query = _standing(select(DecisionRow.at, AccountRow.name, DecisionRow.action), person)
    query = query.where(DecisionRow.at >= since).order_by(DecisionRow.at)
    return [Activity(at, name, Action(action)) for at, name, action in session.execute(query)]


def tally_of(session: Session, person: Person | None) -> dict[tuple[str, Action], int]:
    """How many votes stand, by person and action."""
    query = _standing(select(AccountRow.name, DecisionRow.action, func.count()), person)
    found = session.execute(query.group_by(AccountRow.name, DecisionRow.action))
    return {(name, Action(action)): number for name, action, number in found}


def _standing(query: Select[*Columns], person: Person | None) -> Select[*Columns]:
    undone = select(DecisionRow.undoes).where(DecisionRow.undoes.is_not(None))
    query = query.join(AccountRow, DecisionRow.account_id == AccountRow.id)
    query = query.where(DecisionRow.action.in_(VOTES), DecisionRow.id.not_in(undone))
    return query if person is None else query.where(DecisionRow.account_id == person.id)
