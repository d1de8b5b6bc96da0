"""Purify what two experts said: keep what they agree on, and what is evidence (LTE, section 4: purification).

Layer 1, consistency: the two explanations say the same, both groundings have the box, and every clue that is
mentioned is shown. Layer 2, extent: no box that takes half the picture or frames the whole subject, and no reply that
fell back into plain object detection. Every drop has its rule and its figures. Where the paper gives no number, the
default is ours and marked so.

Calls no model: the similarity of the explanations comes from outside (`similarity.py`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from lte_core.boxes import area_fraction, iou, match
from lte_core.dataset.candidates import Candidate, Grounded, Grounding, told
from lte_core.schema import Size, TraceSample


class Rule(StrEnum):
    """Why a box or a sample goes."""

    SIMILARITY = "similarity"  # sample: the two explanations do not say the same
    ONE_SIDED = "one-sided"  # box: the other grounding has no such box
    AREA = "area"  # box: takes more than half the picture
    SUBJECT = "subject"  # box: frames the whole subject
    OBJECT = "object"  # box: names a thing, shows no clue
    DETECTION = "detection"  # sample: most boxes of a grounding only name things
    UNCOVERED = "uncovered"  # sample: a clue is mentioned that no box shows


@dataclass(frozen=True)
class PurifyConfig:
    """Thresholds. Raising a `min_`, or lowering a `max_`, never keeps more."""

    min_similarity: float = 0.6  # ours: two true accounts lie above 0.7, of other evidence below 0.57 (`trace audit`)
    min_iou: float = 0.5  # ours
    max_area: float = 0.5  # paper: boxes above half the image go
    max_subject_iou: float = 0.8  # ours
    max_object_share: float = 0.5  # ours: of the boxes of one grounding


@dataclass(frozen=True, slots=True)
class Drop:
    """Something that was left out: a box of one grounding (`pass_` 1 or 2), or the whole sample (`box` is None).

    `figure` is what was measured, `limit` the threshold that it missed; a box that went with its sample has neither.
    `index` is the box's place in its grounding.
    """

    rule: Rule
    figure: float | None = None
    limit: float | None = None
    pass_: int | None = None
    index: int | None = None
    box: Grounded | None = None
    clue: int | None = None

    def record(self) -> dict[str, Any]:
        """As it stands in a manifest's `annotation.dropped` or in the list of dropped samples."""
        about: dict[str, Any] = {"reason": self.rule.value}
        if self.figure is not None and self.limit is not None:
            about |= {"figure": round(self.figure, 4), "limit": self.limit}
        if self.clue is not None:
            about["clue"] = self.clue
        if self.box is not None:
            about |= {"bbox": list(self.box.box.xyxy), "label": self.box.label, "pass": self.pass_}
        return about


@dataclass(frozen=True, slots=True)
class Purified:
    """What became of one candidate. `sample` and `kept` are None when it went; `kept` is the candidate with nothing
    but what was kept, which purifies to the same sample."""

    sample: TraceSample | None
    kept: Candidate | None
    drops: tuple[Drop, ...]

    @property
    def sample_drop(self) -> Drop | None:
        """Why the sample went; None when it stayed."""
        return next((drop for drop in self.drops if drop.box is None), None)


@dataclass(frozen=True, slots=True)
class _Pair:
    """A box of each grounding that show the same thing."""

    first: int
    second: int
    iou: float


def purify(candidate: Candidate, similarity: float, config: PurifyConfig = PurifyConfig()) -> Purified:
    """Apply both layers. `similarity` is the cosine of the two explanations, in [-1, 1].

    Each box of both groundings is either kept or has exactly one drop.
    """
    if similarity < config.min_similarity:
        return _gone(candidate, Drop(Rule.SIMILARITY, similarity, config.min_similarity), [])
    for number, grounding in enumerate(candidate.groundings, 1):
        share = object_share(candidate, grounding)
        if share > config.max_object_share:
            return _gone(candidate, Drop(Rule.DETECTION, share, config.max_object_share, number), [])
    pairs, drops = _agreed(candidate, config)
    pairs, more = _evident(candidate, pairs, config)
    drops += more
    first, second = (grounding.boxes for grounding in candidate.groundings)
    shown = {first[pair.first].clue for pair in pairs}
    for number in range(1, len(candidate.clues) + 1):
        if number not in shown:
            return _gone(candidate, Drop(Rule.UNCOVERED, clue=number), drops)
    kept = candidate.with_boxes([first[p.first] for p in pairs], [second[p.second] for p in pairs])
    return Purified(_sample(kept, similarity, pairs, drops), kept, tuple(drops))


def object_share(candidate: Candidate, grounding: Grounding) -> float:
    """The share of a grounding's boxes that only name a thing, in [0, 1]; 0 for one without boxes."""
    if not grounding.boxes:
        return 0.0
    return sum(only_names_an_object(candidate, box) for box in grounding.boxes) / len(grounding.boxes)


def only_names_an_object(candidate: Candidate, grounded: Grounded) -> bool:
    """The box shows no clue: it is linked to none, or its label is the bare name of a thing of which the clue that it
    is linked to does not speak ("cup" for a clue about a hand)."""
    if grounded.clue is None or not 1 <= grounded.clue <= len(candidate.clues):
        return True
    words = _words(grounded.label) - _PLACES
    bare = bool(words) and words <= OBJECTS
    return bare and not words & _words(candidate.clues[grounded.clue - 1].text)


def _agreed(candidate: Candidate, config: PurifyConfig) -> tuple[list[_Pair], list[Drop]]:
    """The boxes that both groundings have, one to one and for the same clue, and drops for the others."""
    first, second = (grounding.boxes for grounding in candidate.groundings)
    pairs, best = [], [{}, {}]  # type: ignore[var-annotated]
    for clue in sorted({box.clue for box in (*first, *second)}, key=lambda c: (c is None, c)):
        ours = [i for i, box in enumerate(first) if box.clue == clue]
        theirs = [i for i, box in enumerate(second) if box.clue == clue]
        for pair in match([first[i].box for i in ours], [second[i].box for i in theirs]):
            i, j = ours[pair.first], theirs[pair.second]
            best[0][i] = best[1][j] = pair.iou
            if pair.iou >= config.min_iou:
                pairs.append(_Pair(i, j, pair.iou))
    together = ({pair.first for pair in pairs}, {pair.second for pair in pairs})
    drops = [
        Drop(Rule.ONE_SIDED, best[side].get(i, 0.0), config.min_iou, side + 1, i, box)
        for side, boxes in enumerate((first, second))
        for i, box in enumerate(boxes)
        if i not in together[side]
    ]
    return sorted(pairs, key=lambda pair: pair.first), drops


def _evident(candidate: Candidate, pairs: Sequence[_Pair], config: PurifyConfig) -> tuple[list[_Pair], list[Drop]]:
    """The pairs that are evidence; both boxes of a pair go when one of them must."""
    kept, drops = [], []
    for pair in pairs:
        places = (pair.first, pair.second)
        boxes = tuple(grounding.boxes[i] for grounding, i in zip(candidate.groundings, places, strict=True))
        reason = _not_evident(candidate, boxes, config)
        if reason is None:
            kept.append(pair)
        else:
            sides = enumerate(zip(places, boxes, strict=True), 1)
            drops += [replace(reason, pass_=side, index=i, box=box) for side, (i, box) in sides]
    return kept, drops


def _not_evident(candidate: Candidate, boxes: Sequence[Grounded], config: PurifyConfig) -> Drop | None:
    size = Size(candidate.sample.width, candidate.sample.height)
    area = max(area_fraction(box.box, size) for box in boxes)
    if area > config.max_area:
        return Drop(Rule.AREA, area, config.max_area)
    subjects = [grounding.subject for grounding in candidate.groundings]
    framed = max((iou(b.box, s) for b, s in zip(boxes, subjects, strict=True) if s is not None), default=0.0)
    if framed >= config.max_subject_iou:
        return Drop(Rule.SUBJECT, framed, config.max_subject_iou)
    if any(only_names_an_object(candidate, box) for box in boxes):
        return Drop(Rule.OBJECT)
    return None


def _gone(candidate: Candidate, why: Drop, drops: Sequence[Drop]) -> Purified:
    """Without the sample; its boxes that had no drop yet go with it."""
    dropped = {(drop.pass_, drop.index) for drop in drops}
    rest = [
        Drop(why.rule, pass_=side, index=i, box=box)
        for side, grounding in enumerate(candidate.groundings, 1)
        for i, box in enumerate(grounding.boxes)
        if (side, i) not in dropped
    ]
    return Purified(None, None, (why, *drops, *rest))


def _sample(kept: Candidate, similarity: float, pairs: Sequence[_Pair], drops: Sequence[Drop]) -> TraceSample:
    explanation, regions = told(kept.accounts[0].summary, kept.clues, kept.groundings[0].boxes)
    annotation = {
        **kept.sample.annotation,
        "similarity": round(similarity, 4),
        "min_iou": round(min((pair.iou for pair in pairs), default=1.0), 4),
        "dropped": [drop.record() for drop in drops],
    }
    return replace(kept.sample, explanation=explanation, regions=regions, annotation=annotation)


def _words(text: str) -> set[str]:
    """Lower-case words without a plural's ending."""
    words = re.findall(r"[a-z]+", text.lower())
    return {word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word for word in words}


_PLACES = _words(
    "a an the of in on at and left right upper lower top bottom front back middle center centre first second third "
    "one two three large small big little"
)

# What object detectors name: COCO's 80 classes, and the commonest things beside them. Not parts of bodies, which are
# where generators fail and so may be a clue's whole name.
OBJECTS = _words(
    "person people man woman child boy girl bicycle bike car motorcycle airplane plane bus train truck boat traffic "
    "light fire hydrant stop sign parking meter bench bird cat dog horse sheep cow elephant bear zebra giraffe "
    "backpack umbrella handbag bag tie suitcase frisbee skis snowboard sports ball kite baseball bat glove skateboard "
    "surfboard tennis racket bottle wine glass cup fork knife spoon bowl banana apple sandwich orange broccoli carrot "
    "hot dog pizza donut cake chair couch sofa potted plant bed dining table toilet tv monitor laptop mouse remote "
    "keyboard cell phone microwave oven toaster sink refrigerator book clock vase scissors teddy hair drier "
    "toothbrush tree flower building house window door wall floor ceiling sky cloud sea water mountain road street "
    "grass field lamp shelf picture frame poster curtain carpet pillow box animal vehicle furniture food background "
    "object thing subject scene image photo"
)
