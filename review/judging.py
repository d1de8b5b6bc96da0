"""What a submission comes to: a conflict, or an action on a revision; and what that makes of the sample.

Each function works in the caller's transaction (`store.py`).
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from lte_core.schema import Size
from review import desk
from review.records import Action, Conflict, ContentError, Origin, Person, State, Submission, checked
from review.standing import STATE_AFTER, stand
from review.tables import AccountRow, RevisionRow, SampleRow


def find_conflict(
    session: Session, person: Person, row: SampleRow, submission: Submission, now: datetime
) -> Conflict | None:
    """Why the submission cannot be taken: the sample changed since it was shown, or somebody else holds it."""
    if desk.hidden_gold(person, row):
        return None  # an answer that changes nothing of the sample, and tells nothing about it
    live = row.lease_until is not None and row.lease_until > now
    holder = row.lease_account_id if live and row.lease_account_id != person.id else None
    stale = submission.version != row.version
    votes = desk.votes_of(session, row.id)
    # The other review of a sample that wants two is no conflict.
    if stale and row.state == State.OPEN and all(vote.person != person.id for vote in votes):
        stale = False
    if not stale and (holder is None or submission.overrule):
        return None
    theirs = desk.task_for(session, person, row, now)
    author = holder if holder is not None else votes[-1].person if votes else None
    by = None if author is None else session.scalar(select(AccountRow.name).where(AccountRow.id == author))
    why = "has this sample now" if holder is not None else "decided this sample meanwhile"
    return Conflict(theirs, by, f"{by or 'Somebody'} {why}.")


def settle(
    session: Session, person: Person, row: SampleRow, submission: Submission, now: datetime
) -> tuple[Action, int]:
    """The action that is kept, and the revision that it is about: a new one for a fix that changes something."""
    machine = desk.machine_revision(session, row.id)
    shown = desk.shown_revision(session, person, row)
    if submission.action is Action.UNDO:
        raise ContentError("Undo is not a decision on a sample.")
    if submission.action is Action.REJECT and submission.reason is None:
        raise ContentError("Choose a reason for the rejection.")
    if submission.action in (Action.REJECT, Action.SKIP):
        return submission.action, machine.number
    content = desk.content_of(shown)
    if submission.action is Action.FIX:
        if submission.content is None:
            raise ContentError("A fix needs the corrected sample. Reload the page.")
        content = checked(submission.content, Size(row.width, row.height))
    if content == desk.content_of(machine):
        return Action.ACCEPT, machine.number
    if content == desk.content_of(shown):
        return Action.FIX if shown.account_id == person.id else Action.ACCEPT, shown.number
    last = session.scalar(select(func.max(RevisionRow.number)).where(RevisionRow.sample_id == row.id)) or 0
    session.add(
        RevisionRow(
            sample_id=row.id, number=last + 1, origin=Origin.ANNOTATOR, account_id=person.id, at=now,
            label=content.label, explanation=content.explanation, regions=desk.to_json(content.regions),
        )
    )  # fmt: skip
    return Action.FIX, last + 1


def update_standing(session: Session, row: SampleRow, changed: bool) -> bool:
    """Bring the columns that follow from the votes up to date; True when they were not."""
    machine = desk.machine_revision(session, row.id)
    standing = stand(desk.votes_of(session, row.id), machine.number, row.reviews_wanted)
    current = desk.revision_row(session, row.id, standing.revision) or machine
    before = (row.state, row.current, row.reviews_left, row.label)
    row.state, row.current, row.reviews_left = standing.state, standing.revision, standing.reviews_left
    row.label = current.label
    row.version += changed
    # A gold item whose own decision was taken back measures nobody: it is a sample to be decided again.
    row.gold = row.gold and row.state in STATE_AFTER.values()
    return before != (row.state, row.current, row.reviews_left, row.label)
