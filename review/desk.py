"""Rows to records: what a person sees of a sample, its history, and the rows of an export. Changes nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from sqlalchemy import Row, Select, func, select
from sqlalchemy.orm import Session

from lte_core.schema import Box, Region, Size, Split, Verdict
from review.records import Action, Content, Decision, Entry, Origin, Person, Reason, Revision, State, Task
from review.standing import STATE_AFTER, VOTES, Vote
from review.tables import AccountRow, DecisionRow, RevisionRow, SampleRow


@dataclass(frozen=True, slots=True)
class Exported:
    """A sample with all that an export, an audit or a table of progress needs. `decisions` leaves out none, and
    `contents` has every revision's by its number."""

    sample_id: str
    sha256: str
    suffix: str
    size: Size
    source: str
    generator: str | None
    split: Split | None
    annotation: Mapping[str, Any]
    state: State
    gold: bool
    proposed: Content
    current: Revision
    contents: Mapping[int, Content]
    decisions: tuple[Decision, ...]


def to_json(regions: Iterable[Region]) -> list[dict[str, Any]]:
    """As in a manifest."""
    return [{"bbox": list(region.box.xyxy), "label": region.label} for region in regions]


def content_of(row: RevisionRow | Row[Any]) -> Content:
    regions = tuple(Region(Box(*r["bbox"]), r["label"]) for r in row.regions)
    return Content(Verdict(row.label), row.explanation, regions)


def machine_revision(session: Session, sample: int) -> RevisionRow:
    """The newest revision that no person made: what reviewers judge."""
    query = select(RevisionRow).where(RevisionRow.sample_id == sample, RevisionRow.origin != Origin.ANNOTATOR)
    return session.scalars(query.order_by(RevisionRow.number.desc()).limit(1)).one()


def revision_row(session: Session, sample: int, number: int) -> RevisionRow | None:
    query = select(RevisionRow).where(RevisionRow.sample_id == sample, RevisionRow.number == number)
    return session.scalars(query).one_or_none()


def decisions_of(session: Session, sample: int) -> tuple[Decision, ...]:
    """Every decision on the sample in order; those taken back are marked so."""
    return _by_sample(session, [sample]).get(sample, ())


def votes_of(session: Session, sample: int) -> list[Vote]:
    """The votes that count for the sample, oldest first: not taken back, not answers to a gold item."""
    undone = select(DecisionRow.undoes).where(DecisionRow.sample_id == sample, DecisionRow.undoes.is_not(None))
    query = (
        select(DecisionRow, RevisionRow.label)
        .join(
            RevisionRow,
            (RevisionRow.sample_id == DecisionRow.sample_id) & (RevisionRow.number == DecisionRow.revision),
        )
        .where(DecisionRow.sample_id == sample, DecisionRow.action.in_(VOTES), DecisionRow.on_gold.is_(False))
        .where(DecisionRow.id.not_in(undone))
        .order_by(DecisionRow.id)
    )
    return [
        Vote(d.id, d.account_id, d.by_lead, Action(d.action), d.revision, Verdict(label))
        for d, label in session.execute(query)
    ]


def hidden_gold(person: Person, row: SampleRow) -> bool:
    """A gold item, which is to look to this person like any other sample."""
    return row.gold and not person.leads


def latest_of(session: Session, person: Person, sample: int) -> DecisionRow | None:
    """The person's latest vote on the sample that was not taken back."""
    undone = select(DecisionRow.undoes).where(DecisionRow.sample_id == sample, DecisionRow.undoes.is_not(None))
    query = (
        select(DecisionRow)
        .where(DecisionRow.sample_id == sample, DecisionRow.account_id == person.id)
        .where(DecisionRow.action.in_(VOTES), DecisionRow.id.not_in(undone))
    )
    return session.scalars(query.order_by(DecisionRow.id.desc()).limit(1)).one_or_none()


def shown_revision(session: Session, person: Person, row: SampleRow) -> RevisionRow:
    """What the reviews came to; before they are done the person's own last fix, or what the machine proposed.

    An open sample never shows what another reviewer made of it, and a gold item not what it came to.
    """
    number = row.current
    if hidden_gold(person, row) or row.state in (State.OPEN, State.DISPUTED):
        mine = latest_of(session, person, row.id)
        if mine is None:
            return machine_revision(session, row.id)
        number = mine.revision
    return revision_row(session, row.id, number) or machine_revision(session, row.id)


def shown_state(person: Person, row: SampleRow, mine: str | None) -> State:
    """An annotator's answer to a gold item looks like any other's: as if their vote (`mine`) had decided it."""
    if hidden_gold(person, row):
        return State.OPEN if mine is None else STATE_AFTER.get(Action(mine), State.OPEN)
    return State(row.state)


def task_for(session: Session, person: Person, row: SampleRow, now: datetime) -> Task:
    """The sample as this person sees it; to an annotator a gold item looks like any other."""
    machine = machine_revision(session, row.id)
    mine = latest_of(session, person, row.id)
    holds = row.lease_account_id == person.id and row.lease_until is not None and row.lease_until > now
    return Task(
        id=row.id,
        sample_id=row.sample_id,
        sha256=row.sha256,
        size=Size(row.width, row.height),
        source=row.source,
        generator=row.generator,
        split=cast("Split | None", row.split),
        state=shown_state(person, row, None if mine is None else mine.action),
        version=_shown_version(session, person, row),
        before=content_of(machine),
        content=content_of(shown_revision(session, person, row)),
        annotation=row.annotation,
        lease_until=row.lease_until if holds else None,
        mine=None if mine is None else Action(mine.action),
        gold=row.gold and person.leads,
    )


def _shown_version(session: Session, person: Person, row: SampleRow) -> int:
    """Of a gold item as many as this person made: that others decided it before is not to be seen."""
    if not hidden_gold(person, row):
        return row.version
    query = select(func.count()).where(DecisionRow.sample_id == row.id, DecisionRow.account_id == person.id)
    return 1 + (session.scalar(query.where(DecisionRow.action != Action.SKIP)) or 0)


def revisions_of(session: Session, sample: int) -> tuple[Revision, ...]:
    query = (
        select(RevisionRow, AccountRow.name)
        .outerjoin(AccountRow, RevisionRow.account_id == AccountRow.id)
        .where(RevisionRow.sample_id == sample)
        .order_by(RevisionRow.number)
    )
    return tuple(_revision(row, name) for row, name in session.execute(query))


def history_of(session: Session, person: Person, row: SampleRow) -> tuple[Entry, ...]:
    """Who did what when, newest first: machine revisions and decisions.

    An annotator sees no other person's decisions while the sample still wants reviews, nor on a gold item: they are
    to judge for themselves.
    """
    revisions = {revision.number: revision for revision in revisions_of(session, row.id)}
    machine = machine_revision(session, row.id)
    alone = not person.leads and (row.gold or row.state == State.OPEN)
    entries = [
        Entry(r.at, None, f"{r.origin}: {_boxes(len(r.content.regions))}", r.number)
        for r in revisions.values()
        if r.origin is not Origin.ANNOTATOR
    ]
    for decision in decisions_of(session, row.id):
        if alone and decision.person != person.name:
            continue
        changed = _difference(content_of(machine), revisions[decision.revision].content)
        what = {Action.FIX: f"fix: {changed}", Action.REJECT: f"reject: {decision.reason}"}
        entries.append(
            Entry(
                decision.at, decision.person, what.get(decision.action, decision.action.value), decision.revision,
                decision.seconds, decision.undone,
            )
        )  # fmt: skip
    entries.sort(key=lambda entry: entry.at)
    return tuple(reversed(entries))  # not reverse=True: of entries of one moment the later one comes first, too


def exported(session: Session, query: Select[SampleRow]) -> Iterator[Exported]:
    """The query's samples with their contents and decisions, in three queries however many there are."""
    rows = session.scalars(query).all()
    ids = [row.id for row in rows]
    decisions = _by_sample(session, ids)
    machine: dict[int, Revision] = {}
    current: dict[int, Revision] = {}
    contents: dict[int, dict[int, Content]] = defaultdict(dict)
    wanted = {row.id: row.current for row in rows}
    revisions = (
        select(*_REVISION, AccountRow.name)
        .outerjoin(AccountRow, RevisionRow.account_id == AccountRow.id)
        .where(RevisionRow.sample_id.in_(ids))
        .order_by(RevisionRow.sample_id, RevisionRow.number)
    )
    for made in session.execute(revisions):
        revision = _revision(made, made.name)
        contents[made.sample_id][made.number] = revision.content
        if revision.origin is not Origin.ANNOTATOR:
            machine[made.sample_id] = revision
        if made.number == wanted[made.sample_id]:
            current[made.sample_id] = revision
    for row in rows:
        yield Exported(
            row.sample_id, row.sha256, row.suffix, Size(row.width, row.height), row.source, row.generator,
            cast("Split | None", row.split), row.annotation, State(row.state), row.gold, machine[row.id].content,
            current[row.id], contents[row.id], decisions.get(row.id, ()),
        )  # fmt: skip


# Columns instead of whole rows: of a large export these are most of what is read, and nobody changes them.
_REVISION = (
    RevisionRow.sample_id, RevisionRow.number, RevisionRow.origin, RevisionRow.label, RevisionRow.explanation,
    RevisionRow.regions, RevisionRow.at,
)  # fmt: skip
_DECISION = (
    DecisionRow.id, DecisionRow.sample_id, DecisionRow.action, DecisionRow.at, DecisionRow.revision,
    DecisionRow.reason, DecisionRow.comment, DecisionRow.seconds, DecisionRow.undoes, DecisionRow.on_gold,
)  # fmt: skip


def _revision(row: RevisionRow | Row[Any], name: str | None) -> Revision:
    return Revision(row.number, Origin(row.origin), content_of(row), name, row.at)


def _by_sample(session: Session, samples: Sequence[int]) -> dict[int, tuple[Decision, ...]]:
    query = (
        select(*_DECISION, AccountRow.name)
        .join(AccountRow, DecisionRow.account_id == AccountRow.id)
        .where(DecisionRow.sample_id.in_(samples))
        .order_by(DecisionRow.id)
    )
    found = session.execute(query).all()
    undone = {row.undoes for row in found}
    groups: dict[int, list[Decision]] = defaultdict(list)
    for row in found:
        groups[row.sample_id].append(
            Decision(
                row.id, Action(row.action), row.name, row.at, row.revision, Reason(row.reason) if row.reason else None,
                row.comment, row.seconds, row.undoes, row.id in undone, row.on_gold,
            )
        )  # fmt: skip
    return {sample: tuple(decisions) for sample, decisions in groups.items()}


def _boxes(count: int) -> str:
    return f"{count} box{'' if count == 1 else 'es'}"


def _difference(before: Content, after: Content) -> str:
    """What a fix changed, in a few words."""
    old, new = set(before.regions), set(after.regions)
    parts = []
    if before.label is not after.label:
        parts.append(f"label {after.label}")
    if added := len(new - old):
        parts.append(f"{_boxes(added)} changed or drawn")
    if gone := len(before.regions) - len(after.regions):
        parts.append(f"{abs(gone)} {'fewer' if gone > 0 else 'more'}")
    if before.explanation != after.explanation:
        parts.append("explanation")
    return ", ".join(parts) or "nothing"
