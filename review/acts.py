"""What the page sends, as records: an act is valid once built, whatever a browser (or somebody else) made of it.

Nothing that the page says is believed but what its person wants; sizes, states and rights come from the database.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast, get_args

from lte_core.schema import Box, Region, Split, Verdict
from review.records import (
    MAX_COMMENT,
    MAX_EXPLANATION,
    MAX_REGIONS,
    Action,
    Content,
    ContentError,
    Filter,
    Order,
    Reason,
    State,
    Submission,
    check_text,
)

Do = Literal["next", "open", "decide", "undo", "previous", "following", "renew", "release", "history", "gold"]
_TOKEN = re.compile(r"[A-Za-z0-9-]{8,64}")
_MAX_ID = 2**31 - 1
_MAX_SECONDS = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Act:
    """One wish of the page. `task` is the sample's number where the act is about one."""

    do: Do
    wanted: Filter = field(default_factory=Filter)
    order: Order = Order.HARDEST
    task: int | None = None
    gold: bool = False
    submission: Submission | None = None


def read_act(payload: Any) -> Act:
    """Raises ContentError, whose message is for the person at the page."""
    record = _mapping(payload, "the page's message")
    do = record.get("do")
    if do not in get_args(Do):
        raise ContentError("The page sent something unknown. Reload it.")
    task = None if record.get("task") is None else _id(record["task"])
    if task is None and do in ("open", "decide", "renew", "history", "gold", "following"):
        raise ContentError("The page named no sample. Reload it.")
    return Act(
        cast(Do, do),
        _filter(record.get("filter")),
        _one_of(Order, record.get("order") or Order.HARDEST, "order"),
        task,
        record.get("gold") is True,
        _submission(record, task) if do == "decide" and task is not None else None,
    )


def _submission(record: Mapping[str, Any], task: int) -> Submission:
    token = record.get("token")
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        raise ContentError("The page sent no valid token. Reload it.")
    action = _one_of(Action, record.get("action"), "action")
    reason = record.get("reason")
    comment = _text(record.get("comment") or "", MAX_COMMENT, "comment")
    seconds = record.get("seconds")
    spent = float(cast("float", seconds)) if _is_number(seconds) else 0.0
    return Submission(
        task,
        _id(record.get("version")),
        action,
        token,
        _content(record.get("content")) if action is Action.FIX else None,
        None if reason is None else _one_of(Reason, reason, "reason"),
        comment,
        min(max(spent, 0.0), _MAX_SECONDS),
        record.get("overrule") is True,
    )


def _content(value: Any) -> Content:
    record = _mapping(value, "the corrected sample")
    regions = record.get("regions")
    if not isinstance(regions, Sequence) or isinstance(regions, str):
        raise ContentError("The boxes are missing. Reload the page.")
    if len(regions) > MAX_REGIONS:
        raise ContentError(f"There are {len(regions)} boxes; at most {MAX_REGIONS} are kept.")
    # Length is checked again, in the words that people read, by `records.checked`.
    explanation = _text(record.get("explanation"), 10 * MAX_EXPLANATION, "explanation")
    return Content(_one_of(Verdict, record.get("label"), "label"), explanation, tuple(map(_region, regions)))


def _region(value: Any) -> Region:
    record = _mapping(value, "a box")
    corners = record.get("bbox")
    match corners:
        case [*numbers] if len(numbers) == 4 and all(_is_number(n) for n in numbers):
            try:
                return Region(Box(*(float(n) for n in numbers)), _text(record.get("label"), 1_000, "label"))
            except ValueError as problem:
                raise ContentError("A box has no area. Draw it again, or delete it.") from problem
    raise ContentError("A box is not four numbers. Draw it again.")


def _filter(value: Any) -> Filter:
    if value is None:
        return Filter()
    record = _mapping(value, "the filter")
    split = record.get("split") or None
    if split is not None and split not in get_args(Split):
        raise ContentError("The filter names an unknown split.")
    return Filter(
        _one_of(Verdict, record["label"], "label") if record.get("label") else None,
        _text(record.get("generator") or "", 200, "filter") or None,
        _text(record.get("source") or "", 200, "filter") or None,
        cast("Split | None", split),
        _one_of(State, record["state"], "state") if record.get("state") else None,
        record.get("mine") is True,
    )


def _one_of(kind: Any, value: Any, name: str) -> Any:
    try:
        return kind(value)
    except ValueError as problem:
        raise ContentError(f"The page sent an unknown {name}. Reload it.") from problem


def _mapping(value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ContentError(f"The page did not send {what} as it should. Reload it.")
    return value


def _text(value: Any, most: int, name: str) -> str:
    if not isinstance(value, str):
        raise ContentError(f"The {name} is missing. Reload the page.")
    if len(value) > most:
        raise ContentError(f"The {name} has {len(value)} characters; at most {most} are taken.")
    check_text(value, name)
    return value


def _id(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _MAX_ID:
        return value
    raise ContentError("The page named no sample. Reload it.")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9
