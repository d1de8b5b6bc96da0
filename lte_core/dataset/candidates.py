"""What the expert models said about one labelled image, before it is purified: two explanations, two groundings.

`(I, y)` with two accounts of the evidence, each a list of clues, and two groundings of the first account's clues.
Purification reads these records (`purify.py`); who asked the models is elsewhere (`annotate.py`, `ground.py`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from lte_core.schema import Box, Region, TraceSample

REFERENCE = re.compile(r"\[(\d+)\]\s*([^\[\]]+?)\s*(?:;|$)")
"""A part of an explanation that speaks of a region by its number: "[2] six fingers on the left hand;"."""


@dataclass(frozen=True, slots=True)
class Clue:
    """One piece of visual evidence: what is to be seen, and where in the picture."""

    what: str
    where: str = ""

    def __post_init__(self) -> None:
        if not self.what.strip():
            raise ValueError("expected a clue that says what is to be seen, got an empty one")

    @property
    def text(self) -> str:
        return f"{self.what} ({self.where})" if self.where else self.what


@dataclass(frozen=True, slots=True)
class Account:
    """One explanation of why an image is what its label says (LTE, section 4: explanation generation)."""

    clues: tuple[Clue, ...]
    summary: str = ""

    @property
    def text(self) -> str:
        """All of it as prose: what the similarity of two accounts is measured on."""
        return ". ".join(part.strip(" .") for part in (self.summary, *(clue.text for clue in self.clues)) if part)


@dataclass(frozen=True, slots=True)
class Grounded:
    """A box that a grounder drew, in pixels of the original image, and the number of the clue that it shows.

    `clue` counts from 1; None where the grounder named no clue of the account.
    """

    box: Box
    label: str
    clue: int | None


@dataclass(frozen=True, slots=True)
class Grounding:
    """One pass of spatial grounding: the boxes, and the box of the main subject where the grounder found one."""

    boxes: tuple[Grounded, ...]
    subject: Box | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A labelled image with all that was said about it. `sample` has no regions yet, and no explanation."""

    sample: TraceSample
    accounts: tuple[Account, Account]
    groundings: tuple[Grounding, Grounding]

    @property
    def clues(self) -> tuple[Clue, ...]:
        """Those of the first account, which is the one that was grounded."""
        return self.accounts[0].clues

    def with_boxes(self, first: Sequence[Grounded], second: Sequence[Grounded]) -> Candidate:
        """The same with these boxes only."""
        one, two = self.groundings
        return replace(self, groundings=(replace(one, boxes=tuple(first)), replace(two, boxes=tuple(second))))


def told(summary: str, clues: Sequence[Clue], boxes: Sequence[Grounded]) -> tuple[str, tuple[Region, ...]]:
    """The explanation E and the regions B of a sample: each region is numbered, and its clue follows its number.

    Boxes are listed in the order of their clues. "[2] …" is how Examine's lessons find what to say about a crop
    (`training/conversations.py`), and so no clue may hold a semicolon, which ends it.
    """
    ordered = sorted(boxes, key=lambda grounded: grounded.clue or len(clues) + 1)
    explanation = numbered(summary, [_clause(clues, grounded) for grounded in ordered])
    return explanation, tuple(Region(grounded.box, grounded.label) for grounded in ordered)


def numbered(summary: str, notes: Sequence[str]) -> str:
    """An explanation with a numbered part for each region, in their order."""
    parts = [f"[{i}] {_plain(note).strip(' ;.')}" for i, note in enumerate(notes, 1)]
    return " ".join(part for part in (_plain(summary), "; ".join(parts)) if part)


def unnumbered(explanation: str) -> tuple[str, list[str]]:
    """The inverse of `numbered`: what stands before the first number, and the part of each region.

    An explanation whose numbers do not run from 1 has no parts: all of it is the summary.
    """
    found = list(REFERENCE.finditer(explanation))
    if not found or [int(part[1]) for part in found] != list(range(1, len(found) + 1)):
        return explanation, []
    return explanation[: found[0].start()].strip(), [part[2] for part in found]


def one_line(text: object, limit: int) -> str:
    """What a model wrote on one line of at most so many characters, without controls and half characters."""
    if not isinstance(text, str):
        return ""
    text = text.encode("utf-8", "replace").decode()
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:limit].strip()


def _clause(clues: Sequence[Clue], grounded: Grounded) -> str:
    return grounded.label if grounded.clue is None else clues[grounded.clue - 1].what


def _plain(text: str) -> str:
    """On one line, without square brackets, which number the regions, and semicolons, which part them."""
    return " ".join(text.translate({ord("["): "(", ord("]"): ")", ord(";"): ","}).split())
