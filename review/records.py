"""The records that pass between the parts of the review, each one valid once built.

The database is elsewhere (`tables.py`, `store.py`); nothing here imports SQLAlchemy or Gradio.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from lte_core.schema import Region, Size, Split, Verdict

MAX_EXPLANATION = 4_000
MAX_LABEL = 80
MAX_COMMENT = 1_000
MAX_REGIONS = 32
MIN_SIDE_PX = 4.0


class Role(StrEnum):
    """What an account may do. A lead may do all that an annotator may."""

    ANNOTATOR = "annotator"
    LEAD = "lead"


class Action(StrEnum):
    """What a person did with a sample. Appended, never changed: undo is an action of its own."""

    ACCEPT = "accept"
    FIX = "fix"
    REJECT = "reject"
    SKIP = "skip"
    UNDO = "undo"


class State(StrEnum):
    """Where a sample stands, as its decisions say. `DISPUTED`: two reviewers disagree and a lead has to settle it."""

    OPEN = "open"
    ACCEPTED = "accepted"
    FIXED = "fixed"
    REJECTED = "rejected"
    DISPUTED = "disputed"


class Reason(StrEnum):
    """Why a sample was rejected."""

    WRONG_LABEL = "wrong label"
    WRONG_EXPLANATION = "wrong explanation"
    NO_EVIDENCE = "no visible evidence"
    BAD_IMAGE = "bad image"
    OFFENSIVE = "offensive or private"
    OTHER = "other"


class Origin(StrEnum):
    """Where a revision comes from."""

    PURIFIED = "purified"  # imported: what the purifier kept
    DETECTION = "detection"  # sent from the Detection tab
    ANNOTATOR = "annotator"  # a person's fix


class Order(StrEnum):
    """Which sample comes first."""

    HARDEST = "hardest"
    OLDEST = "oldest"
    RANDOM = "random"


class ContentError(ValueError):
    """An edit that cannot be kept; the message is for the person who made it."""


@dataclass(frozen=True, slots=True)
class Content:
    """What a reviewer judges and may change: the label y, the explanation E and the regions B of a sample."""

    label: Verdict
    explanation: str
    regions: tuple[Region, ...]


def check_text(text: str, what: str) -> None:
    """Raises ContentError for a text that no database and no file can hold."""
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise ContentError(f"The {what} holds a broken character. Type it anew.")


def checked(content: Content, size: Size) -> Content:
    """The content with its texts stripped, if people may keep it: inside the image and the limits.

    Raises ContentError that says what was found and what is expected. Nothing is clipped silently.
    """
    explanation = content.explanation.strip().replace("\r\n", "\n").replace("\r", "\n")  # as a text field has it
    check_text(explanation, "explanation")
    if not explanation:
        raise ContentError("The explanation is empty. Write what is to be seen in the picture.")
    if len(explanation) > MAX_EXPLANATION:
        raise ContentError(f"The explanation has {len(explanation)} characters; at most {MAX_EXPLANATION} are kept.")
    if len(content.regions) > MAX_REGIONS:
        raise ContentError(f"There are {len(content.regions)} boxes; at most {MAX_REGIONS} are kept.")
    regions = tuple(_checked_region(number, region, size) for number, region in enumerate(content.regions, 1))
    return Content(content.label, explanation, regions)


def _checked_region(number: int, region: Region, size: Size) -> Region:
    box, label = region.box, " ".join(region.label.split())
    check_text(label, f"label of box {number}")
    if not label:
        raise ContentError(f"Box {number} has no label. Say in a few words what it shows.")
    if len(label) > MAX_LABEL:
        raise ContentError(f"The label of box {number} has {len(label)} characters; at most {MAX_LABEL} are kept.")
    if box.x1 < 0 or box.y1 < 0 or box.x2 > size.width or box.y2 > size.height:
        raise ContentError(f"Box {number} reaches outside the picture ({size.width} x {size.height} px). Move it in.")
    if box.width < MIN_SIDE_PX or box.height < MIN_SIDE_PX:
        raise ContentError(f"Box {number} is under {MIN_SIDE_PX:g} px wide or high. Draw it larger, or delete it.")
    return Region(box, label)


@dataclass(frozen=True, slots=True)
class Person:
    """A signed-in account."""

    id: int
    name: str
    role: Role

    @property
    def leads(self) -> bool:
        return self.role is Role.LEAD


@dataclass(frozen=True, slots=True)
class Filter:
    """Which samples are meant; None does not restrict. `mine`: those that this person has decided."""

    label: Verdict | None = None
    generator: str | None = None
    source: str | None = None
    split: Split | None = None
    state: State | None = None
    mine: bool = False


@dataclass(frozen=True, slots=True)
class Revision:
    """One version of a sample's content. `number` counts from 1 within the sample; `person` is None for a machine's."""

    number: int
    origin: Origin
    content: Content
    person: str | None
    at: datetime


@dataclass(frozen=True, slots=True)
class Decision:
    """One action of a person. `revision` is the number of the revision that it accepts or made; `undoes` the id of the
    decision that an UNDO takes back; `undone` is True for one that was taken back. An answer to a gold item (`on_gold`)
    says nothing about the sample."""

    id: int
    action: Action
    person: str
    at: datetime
    revision: int
    reason: Reason | None = None
    comment: str = ""
    seconds: float = 0.0
    undoes: int | None = None
    undone: bool = False
    on_gold: bool = False


@dataclass(frozen=True, slots=True)
class Task:
    """A sample on a person's desk.

    `version` counts the sample's changes: a decision states the version that it was made on. `before` is what the
    machine proposed, `content` what this person sees: their own last fix when they come back to it, else `before`.
    `lease_until` is None when the sample is only looked at (somebody else holds it).
    """

    id: int
    sample_id: str
    sha256: str
    size: Size
    source: str
    generator: str | None
    split: Split | None
    state: State
    version: int
    before: Content
    content: Content
    annotation: Mapping[str, Any]
    lease_until: datetime | None
    mine: Action | None
    gold: bool = False


@dataclass(frozen=True, slots=True)
class Submission:
    """What a person submits about a task: see `ReviewStore.decide`. `token` names the submission, so that one that is
    sent twice (a retry, a double click) counts once. `seconds` is the time on the desk. `overrule` answers a conflict:
    the person saw the other version and wants this one."""

    task_id: int
    version: int
    action: Action
    token: str
    content: Content | None = None
    reason: Reason | None = None
    comment: str = ""
    seconds: float = 0.0
    overrule: bool = False


@dataclass(frozen=True, slots=True)
class Saved:
    """The decision is on disk."""

    decision_id: int
    state: State
    at: datetime


@dataclass(frozen=True, slots=True)
class Conflict:
    """The decision was not taken: the sample changed, or somebody else holds it. Nothing is lost: `theirs` is the
    sample as it is now, `by` whose it is, and the submission can be sent again with `theirs.version` and `overrule`."""

    theirs: Task
    by: str | None
    why: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a sample's history: a revision that came from a machine, or a decision with what it changed."""

    at: datetime
    person: str | None
    what: str
    revision: int
    seconds: float | None = None
    undone: bool = False


@dataclass(frozen=True, slots=True)
class Activity:
    """A vote that was not taken back."""

    at: datetime
    person: str
    action: Action


@dataclass(frozen=True, slots=True)
class Counts:
    """How far the review is: samples by state within a filter, and decisions of today and per hour (last 60 min)."""

    by_state: Mapping[State, int]
    today: int
    last_hour: int

    @property
    def total(self) -> int:
        return sum(self.by_state.values())

    @property
    def done(self) -> int:
        return sum(self.by_state.get(s, 0) for s in (State.ACCEPTED, State.FIXED, State.REJECTED))
