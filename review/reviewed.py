"""What became of a sample under review: why it may not go out, or the sample as people left it. Pure."""

from __future__ import annotations

from lte_core.schema import Review, TraceSample
from review.desk import Exported
from review.records import Action, Decision, State


def reason_to_exclude(row: Exported) -> str | None:
    """Why a sample may not go out; None when it may."""
    match row.state:
        case State.ACCEPTED | State.FIXED:
            return None
        case State.REJECTED:
            return f"rejected: {_last(row, Action.REJECT).reason}"
        case State.DISPUTED:
            return "reviewers disagree"
    reviewed = any(d.action is not Action.SKIP for d in _standing(row))
    return "one more review is wanted" if reviewed else "not reviewed"


def reviewed_sample(row: Exported) -> TraceSample:
    """The sample as people left it, with the decision that counts."""
    decision = _last(row, Action.FIX if row.state is State.FIXED else Action.ACCEPT)
    content = row.current.content
    at = decision.at.isoformat(timespec="seconds").replace("+00:00", "Z")
    return TraceSample(
        row.sample_id, f"images/{row.sha256[:2]}/{row.sha256}{row.suffix}", row.sha256, *row.size, content.label,
        content.explanation, content.regions, row.source, row.generator, row.split, row.annotation,
        Review("fix" if decision.action is Action.FIX else "accept", decision.person, at, row.current.number),
    )  # fmt: skip


def _standing(row: Exported) -> list[Decision]:
    """The decisions that count for the sample: not taken back, no answers to a gold item."""
    return [d for d in row.decisions if not d.undone and not d.on_gold and d.action is not Action.UNDO]


def _last(row: Exported, action: Action) -> Decision:
    about = [d for d in _standing(row) if d.action is action]
    return next((d for d in reversed(about) if d.revision == row.current.number), about[-1])
