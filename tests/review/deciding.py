"""Taking samples and deciding them, for the tests of the store."""

from __future__ import annotations

from dataclasses import replace

from lte_core.schema import Box, Region
from review.records import (
    Action,
    Content,
    Filter,
    Order,
    Person,
    Reason,
    Saved,
    Submission,
    Task,
)
from tests.review.conftest import Desk

HAND = Region(Box(10, 20, 60, 80), "hand")
_tokens = iter(range(10**9))


def submission(task: Task, action: Action = Action.ACCEPT, content: Content | None = None) -> Submission:
    reason = Reason.OTHER if action is Action.REJECT else None
    return Submission(task.id, task.version, action, f"token-{next(_tokens)}", content, reason, seconds=3.5)


def moved(task: Task, by: float = 5) -> Content:
    box = Box(*(v + by for v in task.content.regions[0].box.xyxy))
    return replace(task.content, regions=(Region(box, "hand"),))


def taken(work: Desk, person: Person, wanted: Filter = Filter(), order: Order = Order.HARDEST) -> Task:  # noqa: B008
    task = work.store.next(person, wanted, order)
    assert task is not None
    return task


def decided(work: Desk, person: Person, action: Action = Action.ACCEPT, task: Task | None = None) -> Saved:
    task = task or taken(work, person)
    content = moved(task) if action is Action.FIX else None
    saved = work.store.decide(person, submission(task, action, content))
    assert isinstance(saved, Saved)
    return saved
