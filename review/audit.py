"""The purifier, judged by what people decided: was right what it kept, and right what it dropped?

Pure functions; asks no database. A sample that the purifier dropped as a whole never reaches review, so the audit says
how precise the rules are, not what they miss.
"""

from __future__ import annotations

import difflib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lte_core.boxes import iou
from lte_core.schema import Box
from review.agreement import Estimate, matched_iou, share
from review.records import Content, State

READDED_IOU = 0.5  # ours: a box drawn by a person over a dropped one at this IoU says that dropping it was wrong
STEPS = tuple(i / 20 for i in range(21))


@dataclass(frozen=True, slots=True)
class Reviewed:
    """A sample that people are done with: the machine's content with its figures, and what became of it."""

    sample_id: str
    annotation: Mapping[str, Any]
    proposed: Content
    final: Content
    state: State

    @property
    def kept(self) -> bool:
        return self.state in (State.ACCEPTED, State.FIXED)


@dataclass(frozen=True, slots=True)
class ThresholdPoint:
    """What a rule would have kept at `threshold`: how many samples, and the share of them that people kept too."""

    threshold: float
    kept: int
    of: int
    precision: Estimate | None


@dataclass(frozen=True, slots=True)
class DropRule:
    """A rule that drops boxes: how often people let it stand that a box was dropped (they did not draw it again)."""

    rule: str
    precision: Estimate


@dataclass(frozen=True, slots=True)
class Changes:
    """How much people changed what the purifier kept, over kept samples; IoU is matched and counts new boxes as 0."""

    samples: int
    unchanged: int
    iou: float
    words_changed: float
    label_changed: int


def threshold_curve(samples: Iterable[Reviewed], figure: str) -> list[ThresholdPoint]:
    """Precision of "keep what has `figure` of at least t", for t in 0, 0.05 … 1; empty where no sample has the figure.

    `figure` is a number of the annotation block, such as "similarity" or "min_iou".
    """
    known = [(float(v), s.kept) for s in samples if isinstance(v := s.annotation.get(figure), int | float)]
    points = []
    for step in STEPS if known else ():
        kept = [good for value, good in known if value >= step]
        points.append(ThresholdPoint(step, len(kept), len(known), share(sum(kept), len(kept))))
    return points


def drop_rules(samples: Iterable[Reviewed]) -> list[DropRule]:
    """The box-dropping rules by name, over the samples that people kept: a rejected one says nothing about boxes."""
    counts: dict[str, list[bool]] = defaultdict(list)
    for sample in samples:
        if not sample.kept:
            continue
        proposed = [region.box for region in sample.proposed.regions]
        added = [r.box for r in sample.final.regions if r.box not in proposed]
        for box, rule in _dropped(sample.annotation):
            counts[rule].append(all(iou(box, drawn) < READDED_IOU for drawn in added))
    rules = ((rule, share(sum(stood), len(stood))) for rule, stood in sorted(counts.items()))
    return [DropRule(rule, precision) for rule, precision in rules if precision is not None]


def changes(samples: Iterable[Reviewed]) -> Changes | None:
    """None when people kept nothing yet."""
    kept = [sample for sample in samples if sample.kept]
    if not kept:
        return None
    overlaps = [matched_iou(_boxes(s.proposed), _boxes(s.final)) for s in kept]
    words = [words_changed(s.proposed.explanation, s.final.explanation) for s in kept]
    return Changes(
        samples=len(kept),
        unchanged=sum(s.proposed == s.final for s in kept),
        iou=sum(overlaps) / len(kept),
        words_changed=sum(words) / len(kept),
        label_changed=sum(s.proposed.label is not s.final.label for s in kept),
    )


def words_changed(before: str, after: str) -> int:
    """How many words were taken out or put in; a replaced word counts once on each side."""
    a, b = before.split(), after.split()
    steps = difflib.SequenceMatcher(None, a, b, autojunk=False).get_opcodes()
    return sum((i2 - i1) + (j2 - j1) for kind, i1, i2, j1, j2 in steps if kind != "equal")


def _boxes(content: Content) -> list[Box]:
    return [region.box for region in content.regions]


def _dropped(annotation: Mapping[str, Any]) -> list[tuple[Box, str]]:
    """The dropped boxes with their rules; entries that are none are passed over, since the block is free text."""
    entries = annotation.get("dropped")
    found = []
    for entry in entries if isinstance(entries, list) else ():
        match entry:
            case {"bbox": [*corners], "reason": str(rule)} if _is_box(corners):
                found.append((Box(*corners), rule))
    return found


def _is_box(corners: Sequence[object]) -> bool:
    numbers = [c for c in corners if isinstance(c, int | float) and not isinstance(c, bool) and abs(c) < 1e9]
    return len(corners) == len(numbers) == 4 and numbers[0] < numbers[2] and numbers[1] < numbers[3]
