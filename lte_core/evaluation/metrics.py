"""The numbers of a table from outcomes, one an image. Pure; loads no model and reads no file.

An unreadable reply has no verdict and counts as wrong; its rate is a number of its own. Intervals are
`intervals.py`'s work.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lte_core.schema import Verdict

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """One image: its label y, the verdicts v1 and v2 (None when unreadable), and how its boxes and words fit.

    `iou` is the mean over annotated boxes of the best IoU with any predicted one; `pixel_iou` that of both unions of
    boxes; both in [0, 1] and None when the sample has no annotated box, as then they take no part in a mean. `hits` of
    the `boxes` predicted ones (None: nobody asked for any) match one of the `annotated` one to one with IoU >= 0.5.
    The text scores are those of E2 and None without a reference.
    `group`: images that belong together (versions of one scene), for intervals.
    """

    label: Verdict
    first: Verdict | None
    final: Verdict | None
    iou: float | None = None
    p_generated: float | None = None
    pixel_iou: float | None = None
    hits: int = 0
    boxes: int | None = 0
    annotated: int = 0
    bleu1: float | None = None
    bleu2: float | None = None
    rouge_l: float | None = None
    seconds: float | None = None
    id: str = ""
    source: str = ""
    generator: str | None = None
    group: str | None = None
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Scores:
    """All shares are in [0, 1]; None where there is nothing to divide by.

    `acc` P(v2 = y); `i_acc` P(v1 = y); `c_cases` P(v2 != v1); `c_acc` P(v2 = y | v2 != v1). With both replies
    readable, acc = i_acc + c_cases * (2 * c_acc - 1), since a changed verdict of two is right exactly when the first
    was wrong. `balanced` is the mean of the two classes' accuracies; `f1` is of the class "generated": 2PR / (P + R).
    `ap`, `auroc` and the recalls at a share of false alarms rank by P(generated), over images that have one
    (`scored` of them). `iou` is the paper's; `box_*` are precision, recall and F1 of boxes at IoU 0.5; `ece` is
    sum_b |acc_b - conf_b| n_b / n over 15 equal bins of the winning class's probability, `brier` the mean of
    (P(generated) - [y = generated])^2. `unreadable`: at least one reply could not be read.
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
    balanced: float | None = None
    f1: float | None = None
    ap: float | None = None
    auroc: float | None = None
    recall_at_1: float | None = None
    recall_at_5: float | None = None
    scored: int = 0
    box_precision: float | None = None
    box_recall: float | None = None
    box_f1: float | None = None
    pixel_iou: float | None = None
    boxes: float | None = None
    bleu1: float | None = None
    bleu2: float | None = None
    rouge_l: float | None = None
    ece: float | None = None
    brier: float | None = None
    seconds: float | None = None
    bins: tuple[Bin, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Bin:
    """One bar of the reliability plot: images whose winning class's probability lies in [low, high)."""

    low: float
    high: float
    n: int
    confidence: float
    accuracy: float


def score(outcomes: Sequence[Outcome]) -> Scores:
    """The table's row for these images. Raises ValueError when there are none."""
    if not outcomes:
        raise ValueError("expected at least one prediction to score")
    changed = [o for o in outcomes if o.final != o.first]
    real, generated = (_share([o.final == o.label for o in outcomes if o.label is v]) for v in Verdict)
    hits, boxes, annotated = (sum(values) for values in zip(*_box_counts(outcomes), strict=True))
    precision, recall = _ratio(hits, boxes), _ratio(hits, annotated)
    return Scores(
        n=len(outcomes),
        acc=_share([o.final == o.label for o in outcomes]) or 0.0,
        i_acc=_share([o.first == o.label for o in outcomes]) or 0.0,
        c_cases=len(changed) / len(outcomes),
        c_acc=_share([o.final == o.label for o in changed]),
        iou=_mean(outcomes, lambda o: o.iou),
        unreadable=_share([None in (o.first, o.final) for o in outcomes]) or 0.0,
        acc_real=real,
        acc_generated=generated,
        balanced=None if real is None or generated is None else (real + generated) / 2,
        f1=_f1_of_generated(outcomes),
        box_precision=precision,
        box_recall=recall,
        box_f1=_harmonic(precision, recall),
        pixel_iou=_mean(outcomes, lambda o: o.pixel_iou),
        boxes=_mean(outcomes, lambda o: o.boxes),
        bleu1=_mean(outcomes, lambda o: o.bleu1),
        bleu2=_mean(outcomes, lambda o: o.bleu2),
        rouge_l=_mean(outcomes, lambda o: o.rouge_l),
        seconds=_mean(outcomes, lambda o: o.seconds),
        **_by_probability(outcomes),
    )


def _box_counts(outcomes: Sequence[Outcome]) -> list[tuple[int, int, int]]:
    """Hits, predicted and annotated boxes of every image that has annotated ones."""
    return [(o.hits, o.boxes or 0, o.annotated) for o in outcomes if o.annotated] or [(0, 0, 0)]


def _by_probability(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """What needs P(generated): ranking and calibration; nothing without one."""
    scored = [(o.p_generated, o.label is Verdict.GENERATED) for o in outcomes if o.p_generated is not None]
    if not scored:
        return {}
    p, y = np.array([p for p, _ in scored]), np.array([label for _, label in scored])
    bins = reliability(p, y)
    found: dict[str, Any] = {
        "scored": len(scored),
        "ece": sum(b.n * abs(b.accuracy - b.confidence) for b in bins) / len(scored),
        "brier": float(np.mean((p - y) ** 2)),
        "bins": bins,
    }
    if y.all() or not y.any():
        return found
    from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

    false_alarms, recall, _ = roc_curve(y, p, drop_intermediate=False)
    return found | {
        "ap": float(average_precision_score(y, p)),
        "auroc": float(roc_auc_score(y, p)),
        "recall_at_1": float(recall[false_alarms <= 0.01].max()),
        "recall_at_5": float(recall[false_alarms <= 0.05].max()),
    }


def reliability(p_generated: Array, generated: Array, bins: int = 15) -> tuple[Bin, ...]:
    """Bins of equal width over the winning class's probability, in [0.5, 1]; empty ones are left out."""
    confidence = np.maximum(p_generated, 1 - p_generated)
    right = (p_generated >= 0.5) == generated
    edges = np.linspace(0.5, 1.0, bins + 1)
    place = np.clip(np.digitize(confidence, edges) - 1, 0, bins - 1)
    return tuple(
        Bin(
            float(edges[b]),
            float(edges[b + 1]),
            int(inside.sum()),
            float(confidence[inside].mean()),
            float(right[inside].mean()),
        )
        for b in range(bins)
        if (inside := place == b).any()
    )


def _f1_of_generated(outcomes: Sequence[Outcome]) -> float | None:
    said = sum(o.final is Verdict.GENERATED for o in outcomes)
    true = sum(o.label is Verdict.GENERATED for o in outcomes)
    both = sum(o.final is o.label is Verdict.GENERATED for o in outcomes)
    return _ratio(2 * both, said + true)


def _harmonic(a: float | None, b: float | None) -> float | None:
    if a is None or b is None:
        return None
    return 2 * a * b / (a + b) if a + b else 0.0


def _mean(outcomes: Sequence[Outcome], of: Callable[[Outcome], float | None]) -> float | None:
    values = [value for outcome in outcomes if (value := of(outcome)) is not None]
    return sum(values) / len(values) if values else None


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _share(hits: Sequence[bool]) -> float | None:
    return sum(hits) / len(hits) if hits else None
