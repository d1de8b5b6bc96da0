"""The paper's numbers from pairs of truth and prediction. Pure; loads no model and reads no file.

An unreadable reply has no verdict and counts as wrong; its rate is a number of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lte_core.schema import Verdict


@dataclass(frozen=True, slots=True)
class Outcome:
    """One image: its label y, the verdicts v1 and v2 (None when unreadable), and the IoU of its boxes.

    `iou` is the mean over annotated boxes of the best IoU with any predicted one, in [0, 1]; None when the sample has
    no annotated box, and then it takes no part in the mean.
    """

    label: Verdict
    first: Verdict | None
    final: Verdict | None
    iou: float | None = None


@dataclass(frozen=True, slots=True)
class Scores:
    """All shares are in [0, 1]; None where there is nothing to divide by.

    `acc` P(v2 = y); `i_acc` P(v1 = y); `c_cases` P(v2 != v1); `c_acc` P(v2 = y | v2 != v1); `iou` the mean over images
    of the best-match mean; `unreadable` the share of images with at least one unreadable reply. With both replies
    readable, acc = i_acc + c_cases * (2 * c_acc - 1), since a changed verdict of two is right exactly when the first
    was wrong.
    """

    n: int
    acc: float
    i_acc: float
    c_cases: float
    c_acc: float | None
    iou: float | None
    unreadable: float
    acc_real: float | None
    acc_generated: float | None


def score(outcomes: Sequence[Outcome]) -> Scores:
    """The table's row for these images. Raises ValueError when there are none."""
    if not outcomes:
        raise ValueError("expected at least one prediction to score")
    changed = [o for o in outcomes if o.final != o.first]
    boxes = [o.iou for o in outcomes if o.iou is not None]
    return Scores(
        n=len(outcomes),
        acc=_share([o.final == o.label for o in outcomes]) or 0.0,
        i_acc=_share([o.first == o.label for o in outcomes]) or 0.0,
        c_cases=len(changed) / len(outcomes),
        c_acc=_share([o.final == o.label for o in changed]),
        iou=sum(boxes) / len(boxes) if boxes else None,
        unreadable=_share([None in (o.first, o.final) for o in outcomes]) or 0.0,
        acc_real=_share([o.final == o.label for o in outcomes if o.label is Verdict.REAL]),
        acc_generated=_share([o.final == o.label for o in outcomes if o.label is Verdict.GENERATED]),
    )


def _share(hits: Sequence[bool]) -> float | None:
    return sum(hits) / len(hits) if hits else None
