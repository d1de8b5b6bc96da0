"""The review's state: samples go in, people take, judge and take back, and everything can be read again.

All writing of samples, revisions and decisions is here; each public method is one transaction. Who may call what is
checked where people come in (`tab.py`), but for what only a lead may do. Keeps no files (`media.py`), knows no accounts
beyond a `Person`.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, Engine, func, insert, select, update
from sqlalchemy.orm import Session, aliased

from review import desk, queue
from review.counting import activity_since, count_decisions, count_states, tally_of
from review.database import reading, writing
from review.incoming import Incoming, first_revision, sample_values
from review.judging import find_conflict, settle, update_standing
from review.records import (
    Action,
    Activity,
    Conflict,
    ContentError,
    Counts,
    Decision,
    Entry,
    Filter,
    Order,
    Person,
    Revision,
    Saved,
    Submission,
    Task,
)
from review.standing import STATE_AFTER
from review.tables import DecisionRow, RevisionRow, SampleRow

ALL = Filter()


class NoSuchSample(LookupError):  # noqa: N818  (it is what it says)
    """There is no such sample."""


class NotAllowed(PermissionError):  # noqa: N818
    """This person may not do this; the message says who may."""


@dataclass(frozen=True)
class StoreConfig:
    """All values are ours. `double_share` of the samples get two independent reviews; `gold_share` of an annotator's
    tasks are gold items."""

    lease_s: float = 600
    double_share: float = 0.05
    gold_share: float = 0.05


@dataclass(frozen=True, slots=True)
class Added:
    new: int
    known: int


@dataclass(frozen=True, slots=True)
class Choices:
    """What there is to filter by."""

    generators: tuple[str, ...]
    sources: tuple[str, ...]
    splits: tuple[str, ...]


def utc_now() -> datetime:
    return datetime.now(UTC)


class ReviewStore:
    """The review over one database. Safe to use from several threads and processes."""

    def __init__(
        self, engine: Engine, config: StoreConfig = StoreConfig(), clock: Callable[[], datetime] = utc_now
    ) -> None:
        self.engine, self.config, self.clock = engine, config, clock
        self._known_choices: tuple[int | None, Choices] = (None, Choices((), (), ()))

    def add(self, samples: Sequence[Incoming]) -> Added:
        """Put samples under review; those whose id is known already are left as they are."""
        by_id: dict[str, Incoming] = {}
        for item in samples:
            by_id.setdefault(item.sample.id, item)  # the first of a name counts, as it does from one call to the next
        with writing(self.engine) as session:
            known = set(session.scalars(select(SampleRow.sample_id).where(SampleRow.sample_id.in_(by_id))))
            new = [item for sample_id, item in by_id.items() if sample_id not in known]
            if new:
                now = self.clock()
                rows = session.scalars(
                    insert(SampleRow).returning(SampleRow.id, sort_by_parameter_order=True),
                    [sample_values(item, now, self.config.double_share) for item in new],
                )
                first = [first_revision(id_, item, now) for id_, item in zip(rows, new, strict=True)]
                session.execute(insert(RevisionRow), first)
        return Added(len(new), len(samples) - len(new))

    def next(self, person: Person, wanted: Filter = ALL, order: Order = Order.HARDEST) -> Task | None:
        """The sample to work on, leased to this person; the one that they hold already, if it fits. None: all done.

        Of their own samples (`wanted.mine`) it is the one that they decided last.
        """
        if wanted.mine:
            return self.previous(person, None, wanted)
        with writing(self.engine) as session:
            now = self.clock()
            held = session.scalars(queue.held(person, wanted, now).limit(1)).one_or_none()
            chosen = held if held is not None else self._choose(session, person, wanted, order, now)
            return None if chosen is None else self._lease(session, person, chosen, now)

    def upcoming(self, person: Person, wanted: Filter, order: Order, besides: int) -> Task | None:
        """What `next` would probably give after `besides`; leases nothing."""
        if wanted.mine:
            return None
        with reading(self.engine) as session:
            now = self.clock()
            queries = [queue.fresh(person, wanted, order, now)]
            if self._gold_is_due(session, person, besides):
                queries.insert(0, queue.gold(person, now))
            for query in queries:
                found = session.scalars(query.where(SampleRow.id != besides).limit(1)).one_or_none()
                if found is not None:
                    return desk.task_for(session, person, session.get_one(SampleRow, found), now)
            return None

    def open(self, person: Person, task_id: int) -> Task:
        """One sample, leased to this person if nobody else holds it. Raises NoSuchSample."""
        with writing(self.engine) as session:
            return self._lease(session, person, task_id, self.clock())

    def renew(self, person: Person, task_id: int) -> datetime | None:
        """Keep the sample for another lease; None when it is not this person's any more."""
        with writing(self.engine) as session:
            now = self.clock()
            until = now + timedelta(seconds=self.config.lease_s)
            mine = (SampleRow.id == task_id, SampleRow.lease_account_id == person.id, SampleRow.lease_until > now)
            renewed = update(SampleRow).where(*mine).values(lease_until=until).returning(SampleRow.id)
            return until if session.scalars(renewed).one_or_none() is not None else None

    def release(self, person: Person, task_id: int | None = None) -> None:
        """Give a sample back, or all that this person holds."""
        with writing(self.engine) as session:
            mine = [SampleRow.lease_account_id == person.id]
            if task_id is not None:
                mine.append(SampleRow.id == task_id)
            session.execute(update(SampleRow).where(*mine).values(lease_account_id=None, lease_until=None))

    def decide(self, person: Person, submission: Submission) -> Saved | Conflict:
        """Keep a decision. The same token again gives the same answer and keeps nothing twice.

        Raises ContentError for an edit that cannot be kept, NoSuchSample. A FIX that changes nothing is an ACCEPT.
        """
        with writing(self.engine) as session:
            now = self.clock()
            earlier = session.scalars(select(DecisionRow).where(DecisionRow.token == submission.token)).one_or_none()
            row = _sample(session, submission.task_id)
            if earlier is not None:
                if (earlier.account_id, earlier.sample_id) != (person.id, row.id):
                    raise ContentError("This submission was used before. Reload the page.")
                return Saved(earlier.id, desk.shown_state(person, row, earlier.action), earlier.at)
            if conflict := find_conflict(session, person, row, submission, now):
                return conflict
            action, revision = settle(session, person, row, submission, now)
            decision = DecisionRow(
                sample_id=row.id, account_id=person.id, action=action, at=now, revision=revision,
                reason=submission.reason if action is Action.REJECT else None, comment=submission.comment.strip(),
                seconds=submission.seconds, undoes=None, token=submission.token, by_lead=person.leads,
                on_gold=row.gold and not person.leads,
            )  # fmt: skip
            session.add(decision)
            session.flush()
            update_standing(session, row, changed=action is not Action.SKIP and not decision.on_gold)
            if row.lease_account_id == person.id or submission.overrule:
                row.lease_account_id = row.lease_until = None
            return Saved(decision.id, desk.shown_state(person, row, action), now)

    def undo(self, person: Person) -> Task | None:
        """Take back this person's latest decision that still stands, and give them that sample again if it is free."""
        with writing(self.engine) as session:
            now, later = self.clock(), aliased(DecisionRow)
            last = session.scalars(
                select(DecisionRow)
                .where(DecisionRow.account_id == person.id, DecisionRow.action != Action.UNDO)
                .where(~select(later.id).where(later.undoes == DecisionRow.id).exists())
                .order_by(DecisionRow.id.desc())
                .limit(1)
            ).one_or_none()
            if last is None:
                return None
            session.add(
                DecisionRow(
                    sample_id=last.sample_id, account_id=person.id, action=Action.UNDO, at=now, revision=last.revision,
                    reason=None, comment="", seconds=0.0, undoes=last.id, token=secrets.token_hex(16),
                    by_lead=person.leads, on_gold=last.on_gold,
                )
            )  # fmt: skip
            session.flush()
            row = _sample(session, last.sample_id)
            update_standing(session, row, changed=last.action != Action.SKIP and not last.on_gold)
            return self._lease(session, person, row.id, now)

    def previous(self, person: Person, before: int | None = None, wanted: Filter = ALL) -> Task | None:
        """The sample that this person decided last before the one with id `before`; without it, their last one."""
        return self._walk(person, before, wanted, backwards=True)

    def following(self, person: Person, after: int, wanted: Filter = ALL) -> Task | None:
        """The sample that this person decided next after the one with id `after`; None: the queue goes on."""
        return self._walk(person, after, wanted, backwards=False)

    def mark_gold(self, person: Person, task_id: int, gold: bool) -> None:
        """Make a decided sample a gold item, or an ordinary one again. Raises NotAllowed, NoSuchSample."""
        if not person.leads:
            raise NotAllowed("Only a lead can mark gold items.")
        with writing(self.engine) as session:
            row = _sample(session, task_id)
            if gold and row.state not in STATE_AFTER.values():
                raise NotAllowed("A gold item is a sample that has been decided. Decide this one first.")
            row.gold = gold

    def history(self, person: Person, task_id: int) -> tuple[Entry, ...]:
        """What happened to a sample, newest first, as far as this person may see it."""
        with reading(self.engine) as session:
            return desk.history_of(session, person, _sample(session, task_id))

    def revisions(self, task_id: int) -> tuple[Revision, ...]:
        with reading(self.engine) as session:
            return desk.revisions_of(session, task_id)

    def decisions(self, task_id: int) -> tuple[Decision, ...]:
        with reading(self.engine) as session:
            return desk.decisions_of(session, task_id)

    def exported(self, task_id: int) -> desk.Exported:
        """One sample as an export has it. Raises NoSuchSample."""
        with reading(self.engine) as session:
            found = list(desk.exported(session, select(SampleRow).where(SampleRow.id == task_id)))
        if not found:
            raise NoSuchSample(f"There is no sample number {task_id}.")
        return found[0]

    def counts(self, wanted: Filter = ALL, person: Person | None = None) -> Counts:
        """Samples by state within the filter; today's and the last hour's votes of the person, or of all."""
        with reading(self.engine) as session:
            by_state = count_states(session, wanted, person)
            now = self.clock()
            today = count_decisions(session, person, now.replace(hour=0, minute=0, second=0, microsecond=0))
            return Counts(by_state, today, count_decisions(session, person, now - timedelta(hours=1)))

    def activity(self, since: datetime, person: Person | None = None) -> list[Activity]:
        """Votes since a moment that stand, of one person or of all, oldest first."""
        with reading(self.engine) as session:
            return activity_since(session, person, since)

    def tally(self, person: Person | None = None) -> dict[tuple[str, Action], int]:
        """How many votes stand, by person and action."""
        with reading(self.engine) as session:
            return tally_of(session, person)

    def choices(self) -> Choices:
        """Looked up again when samples came in: none ever goes, or changes in these columns."""
        with reading(self.engine) as session:
            newest = session.scalar(select(func.max(SampleRow.id)))
            if self._known_choices[0] != newest:
                columns = (SampleRow.generator, SampleRow.source, SampleRow.split)
                found = (session.scalars(select(column).distinct().where(column.is_not(None))) for column in columns)
                choices = Choices(*(tuple(sorted(value for value in values if value)) for values in found))
                self._known_choices = (newest, choices)
            return self._known_choices[1]

    def image_of(self, sha256: str) -> str | None:
        """The suffix of the image with this hash, if a sample has it."""
        with reading(self.engine) as session:
            return session.scalars(select(SampleRow.suffix).where(SampleRow.sha256 == sha256).limit(1)).one_or_none()

    def rows(self, wanted: Filter = ALL, batch: int = 500) -> Iterator[desk.Exported]:
        """Every sample of the filter by id, page by page: nothing is held while a page is used."""
        after = ""
        while True:
            with reading(self.engine) as session:
                query = select(SampleRow).where(SampleRow.sample_id > after, *queue.matches(wanted))
                if wanted.state is not None:
                    query = query.where(SampleRow.state == wanted.state)
                page = list(desk.exported(session, query.order_by(SampleRow.sample_id).limit(batch)))
            yield from page
            if len(page) < batch:
                return
            after = page[-1].sample_id

    def rebuild(self) -> int:
        """Work the columns that follow from the votes out again; gives how many samples they were wrong for."""
        wrong, after = 0, 0
        while True:
            with writing(self.engine) as session:
                rows = session.scalars(select(SampleRow).where(SampleRow.id > after).order_by(SampleRow.id).limit(500))
                page = rows.all()
                for row in page:
                    wrong += update_standing(session, row, changed=False)
            if not page:
                return wrong
            after = page[-1].id

    def _choose(self, session: Session, person: Person, wanted: Filter, order: Order, now: datetime) -> int | None:
        """A gold item when one is due, else a fresh sample, else one that was skipped."""
        queries = [queue.fresh(person, wanted, order, now), queue.skipped(person, wanted, now)]
        if self._gold_is_due(session, person):
            queries.insert(0, queue.gold(person, now))
        for query in queries:
            # PostgreSQL passes over rows that another transaction is taking; SQLite has one writer and needs no such.
            chosen = session.scalars(query.limit(1).with_for_update(skip_locked=True, of=SampleRow)).one_or_none()
            if chosen is not None:
                return chosen
        return None

    def _gold_is_due(self, session: Session, person: Person, after: int | None = None) -> bool:
        """Whether the next task, or the next once the sample `after` is answered, should be a gold item."""
        if person.leads:
            return False

        def votes(*conditions: ColumnElement[bool]) -> int:
            query = select(func.count()).where(DecisionRow.account_id == person.id, *conditions)
            return session.scalar(query) or 0

        pending = None if after is None else session.get(SampleRow, after)
        on_gold = votes(DecisionRow.on_gold.is_(True)) + (pending is not None and pending.gold)
        return on_gold + 1 <= self.config.gold_share * (votes() + 1 + (pending is not None))

    def _lease(self, session: Session, person: Person, task_id: int, now: datetime) -> Task:
        row = _sample(session, task_id)
        held = row.lease_until is not None and row.lease_until > now and row.lease_account_id != person.id
        if not held:
            row.lease_account_id = person.id
            row.lease_until = now + timedelta(seconds=self.config.lease_s)
            session.flush()
        return desk.task_for(session, person, row, now)

    def _walk(self, person: Person, from_id: int | None, wanted: Filter, backwards: bool) -> Task | None:
        with writing(self.engine) as session:
            found = session.scalars(queue.walked(person, from_id, wanted, backwards).limit(1)).one_or_none()
            return None if found is None else self._lease(session, person, found, self.clock())


def _sample(session: Session, task_id: int) -> SampleRow:
    row = session.get(SampleRow, task_id, with_for_update=True)
    if row is None:
        raise NoSuchSample(f"There is no sample number {task_id}.")
    return row
