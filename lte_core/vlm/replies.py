"""Verdict, explanation and boxes out of the text that a model wrote.

Total: any text gives a reply or a `ReplyError`, in time that grows with its length. Boxes stay in the model's
own frame, out of bounds or not; scaling, clipping and capping are `inference/locate.py`'s work.

A damaged reply is read as far as it can be trusted. Of each block the last one counts, since a model that
quotes the form or changes its mind does so before it answers; a verdict that was cut off is not guessed.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import NamedTuple

from lte_core.schema import Box, Region, Verdict

# ASCII: without it, ignoring case lets letters such as the long s stand for the tag's own.
_TAG = re.compile(r"<(/?)\s*(explanation|boxes|verdict)\s*>", re.IGNORECASE | re.ASCII)
_VERDICT = re.compile(r"\W*(real|(?:ai[- ]?)?generated)\W*", re.IGNORECASE | re.ASCII)
_EMPTY_LIST = {"", "[]", "```[]```", "```json[]```"}
_BBOX = re.compile(r"""bbox(?:_2d)?["']?\s*:\s*\[([^\[\]]*)\]""")
_LABEL = re.compile(r"""label["']?\s*:\s*(["'])((?:[^\\]|\\.)*?)(?:\1\s*[,}\]]|\Z)""", re.DOTALL)

# Bounds on hostile text. The form allows 8 boxes, and an entry is a box and a short label.
_MAX_ENTRIES, _MAX_ENTRY_CHARS = 256, 600


class ReplyError(ValueError):
    """A reply that cannot be read. `reason` is its short kind, for counting; str() is a sentence."""

    def __init__(self, reason: str, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class LocateReply:
    """The reply to Query 1: E1, B in the model's own frame, v1."""

    explanation: str
    regions: tuple[Region, ...]
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class ExamineReply:
    """The reply to Query 2: E2, v2."""

    explanation: str
    verdict: Verdict


def parse_locate(text: str) -> LocateReply:
    """Read `<explanation>…</explanation><boxes>[…]</boxes><verdict>…</verdict>`.

    Raises ReplyError without a readable verdict, without a boxes block, or when the block names something
    but no box of it is usable: only an empty list says that the model saw nothing to look at.
    """
    text = answer(text)
    verdict = _verdict(text)
    block = _last_block(text, "boxes")
    if block is None:
        raise ReplyError("no boxes block", "The reply has no <boxes> block, not even an empty list.")
    regions = tuple(entry.region for entry in entries(block))
    if not regions and not is_empty_list(block):
        raise ReplyError("unreadable boxes", f"The reply's boxes cannot be read: {_excerpt(block)}")
    return LocateReply(_explanation(text), regions, verdict)


def parse_examine(text: str) -> ExamineReply:
    """Read `<explanation>…</explanation><verdict>…</verdict>`. Raises ReplyError without a readable verdict."""
    text = answer(text)
    return ExamineReply(explanation=_explanation(text), verdict=_verdict(text))


def answer(text: str) -> str:
    """The text after a reasoning model's thoughts, and without the lone surrogates that no file can store."""
    return text.rpartition("</think>")[2].encode("utf-8", "replace").decode()


def has_open_verdict(text: str) -> bool:
    """Whether the last `<verdict>` is never closed. Such a reply can be read, but is not in form."""
    tags = [tag for tag in _TAG.finditer(answer(text)) if tag[2].lower() == "verdict"]
    return bool(tags) and not tags[-1][1]


def _last_block(text: str, name: str) -> str | None:
    """What stands between the last `<name>` and the next tag, or the text's end where it was cut off."""
    tags = list(_TAG.finditer(text))
    for index in range(len(tags) - 1, -1, -1):
        if not tags[index][1] and tags[index][2].lower() == name:
            end = tags[index + 1].start() if index + 1 < len(tags) else len(text)
            return text[tags[index].end() : end]
    return None


def _verdict(text: str) -> Verdict:
    block = _last_block(text, "verdict")
    if block is None:
        raise ReplyError("no verdict", f"The reply has no <verdict>; it ends: {_excerpt(text.rstrip()[-60:])}")
    word = _VERDICT.fullmatch(block.strip())
    if word is None:
        raise ReplyError("unreadable verdict", f'Expected "real" or "generated" as the verdict, got {_excerpt(block)}')
    return Verdict.REAL if word[1].lower() == "real" else Verdict.GENERATED


def _explanation(text: str) -> str:
    """From the first opening tag to the last closing one, so that tags quoted inside do not cut it.

    Without a closing tag it ends where the next block begins; without an opening one it is the prose before.
    """
    tags = list(_TAG.finditer(text))
    own = [tag for tag in tags if tag[2].lower() == "explanation"]
    start = next((tag.end() for tag in own if not tag[1]), 0)
    end = next((tag.start() for tag in reversed(own) if tag[1] and tag.start() >= start), None)
    if end is None:
        end = next((tag.start() for tag in tags if tag.start() >= start), len(text))
    return _TAG.sub("", text[start:end]).strip()


class Entry(NamedTuple):
    """One box of a reply in the model's own frame, and the text that it was read from."""

    region: Region
    text: str


def entries(block: str) -> list[Entry]:
    """The usable entries of a list of boxes. Scanned rather than parsed as JSON, so that fences, single quotes,
    trailing commas or a cut end cost no box that is whole."""
    found = []
    for text in block.split("{", _MAX_ENTRIES + 1)[1 : _MAX_ENTRIES + 1]:
        text = text[:_MAX_ENTRY_CHARS]
        place = _BBOX.search(text)
        if place and (box := _box(place[1])):
            found.append(Entry(Region(box, _label(text)), text))
    return found


def is_empty_list(block: str) -> bool:
    """The model said that there is nothing to show, rather than something that cannot be read."""
    return "".join(block.split()).lower() in _EMPTY_LIST


def _box(numbers: str) -> Box | None:
    """A box from `x1, y1, x2, y2`, corners in any order; None when it has no area or a number is not finite."""
    try:
        x1, y1, x2, y2 = (float(number.strip(" \t\r\n\"'")) for number in numbers.rstrip(", \n").split(","))
        return Box(min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2))
    except ValueError:
        return None


def _label(entry: str) -> str:
    found = _LABEL.search(entry)
    if not found:
        return ""
    try:
        text: str = json.loads(f'"{found[2]}"', strict=False)
    except json.JSONDecodeError:
        text = found[2]
    return " ".join(text.encode("utf-8", "replace").decode().split())


def _excerpt(text: str) -> str:
    text = " ".join(text.split())
    return repr(text if len(text) <= 60 else f"{text[:60]}…")
