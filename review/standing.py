"""Where a sample stands, as the votes of its reviewers say. Pure: the database is elsewhere (`store.py`).

A vote is a person's latest accept, fix or reject that was not taken back; skipping is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lte_core.schema import Verdict
from review.records import Action, State

VOTES = (Action.ACCEPT, Action.FIX, Action.REJECT)
STATE_AFTER = {Action.ACCEPT: State.ACCEPTED, Action.FIX: State.FIXED, Action.REJECT: State.REJECTED}
"""Where one vote alone puts a sample."""


@dataclass(frozen=True, slots=True)
class Vote:
    """One person's word: the revision that they accepted or made, and its label."""

    decision: int
    person: int
    by_lead: bool
    action: Action
    revision: int
    label: Verdict

    @property
    def outcome(self) -> Verdict | None:
        """What has to be the same for people to agree: rejected (None), or kept with a label."""
        return None if self.action is Action.REJECT else self.label


@dataclass(frozen=True, slots=True)
class Standing:
    """What follows from the votes: the columns of a sample that can be rebuilt."""

    state: State
    revision: int
    reviews_left: int


def stand(votes: Sequence[Vote], machine_revision: int, reviews_wanted: int) -> Standing:
    """Where a sample stands that wants so many reviews.

    People who disagree leave a dispute, which the next word of a lead settles. Where one review was wanted there is no
    dispute: who decides again does so knowingly, and the latest word counts.
    """
    latest = sorted({vote.person: vote for vote in sorted(votes, key=lambda v: v.decision)}.values(),
                    key=lambda vote: vote.decision)  # fmt: skip
    left = max(0, reviews_wanted - len(latest))
    if left:
        return Standing(State.OPEN, machine_revision, left)
    if len({vote.outcome for vote in latest}) > 1:
        last = latest[-1]
        if not last.by_lead and reviews_wanted > 1:
            return Standing(State.DISPUTED, machine_revision, 0)
        latest = [last]
    if latest[-1].action is Action.REJECT:
        return Standing(State.REJECTED, machine_revision, 0)
    fixes = [vote for vote in latest if vote.action is Action.FIX]
    kept = (fixes or latest)[-1]
    return Standing(State.FIXED if fixes else State.ACCEPTED, kept.revision, 0)
