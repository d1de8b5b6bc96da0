"""How sure the numbers are: bootstrap intervals, and whether one configuration is better than another. Pure.

Images that belong together (`Outcome.group`) are drawn together: versions of one scene say less than as many scenes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lte_core.evaluation.metrics import Outcome
from lte_core.schema import Verdict

Array = np.ndarray[Any, Any]
RESAMPLES = 1_000
_CHUNK = 100  # resamples at once: bounds the memory


@dataclass(frozen=True, slots=True)
class Interval:
    """The middle 95 % of a figure over resamples of the images, with replacement (percentile bootstrap)."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Compared:
    """A against B on the same images: by how much A is more accurate, with its interval, and McNemar's exact test.

    `only_a` and `only_b` count the images that only one of them gets right (more often right, where there are several
    predictions of an image); `p` is the chance of a split at least so uneven if both were equally good (two-sided
    binomial; McNemar 1947), None with several predictions of an image. With groups of more than one image the
    interval counts, and `p` is too sure of itself.
    """

    n: int
    difference: float
    interval: Interval
    only_a: int
    only_b: int
    p: float | None


# Each figure is a sum over images divided by another: numerator and denominator of one image.
_RATIOS: Mapping[str, Any] = {
    "acc": lambda o: (o.final == o.label, 1),
    "i_acc": lambda o: (o.first == o.label, 1),
    "c_cases": lambda o: (o.final != o.first, 1),
    "c_acc": lambda o: (o.final != o.first and o.final == o.label, o.final != o.first),
    "unreadable": lambda o: (None in (o.first, o.final), 1),
    "acc_real": lambda o: (o.label is Verdict.REAL and o.final == o.label, o.label is Verdict.REAL),
    "acc_generated": lambda o: (o.label is Verdict.GENERATED and o.final == o.label, o.label is Verdict.GENERATED),
    "iou": lambda o: (o.iou or 0.0, o.iou is not None),
    "pixel_iou": lambda o: (o.pixel_iou or 0.0, o.pixel_iou is not None),
    "boxes": lambda o: (o.boxes or 0, o.boxes is not None),
    "bleu1": lambda o: (o.bleu1 or 0.0, o.bleu1 is not None),
    "bleu2": lambda o: (o.bleu2 or 0.0, o.bleu2 is not None),
    "rouge_l": lambda o: (o.rouge_l or 0.0, o.rouge_l is not None),
}


def intervals(outcomes: Sequence[Outcome], seed: int = 0, resamples: int = RESAMPLES) -> dict[str, Interval]:
    """Of every figure that can be had from these images: the names of `Scores`, for sums and for `auroc`."""
    parts = np.array([[_RATIOS[name](o) for name in _RATIOS] for o in outcomes], dtype=np.float64)
    groups, count = _groups(outcomes)
    whole = np.zeros((count, *parts.shape[1:]))
    np.add.at(whole, groups, parts)
    ranked = _Ranked.of(outcomes, groups)
    drawn: dict[str, list[Array]] = {name: [] for name in (*_RATIOS, "auroc")}
    for weights in _weights(count, seed, resamples):
        sums = np.einsum("rg,gkp->rkp", weights, whole)
        with np.errstate(invalid="ignore", divide="ignore"):
            shares = sums[..., 0] / sums[..., 1]
        for place, name in enumerate(_RATIOS):
            drawn[name].append(shares[:, place])
        if ranked is not None:
            drawn["auroc"].append(ranked.areas(weights))
    found = {name: _middle(np.concatenate(values)) for name, values in drawn.items() if values}
    return {name: interval for name, interval in found.items() if interval is not None}


def compare(a: Sequence[Outcome], b: Sequence[Outcome], seed: int = 0, resamples: int = RESAMPLES) -> Compared:
    """A against B; only images that both have count, each by the mean over its predictions (one for every seed of a
    training). Raises ValueError when there are none."""
    from scipy.stats import binomtest

    ours, theirs = _by_image(a), _by_image(b)
    both = [image for image in ours if image in theirs]
    if not both:
        raise ValueError("expected predictions about the same images, got two sets without one in common")
    gain = np.array([_right(ours[image]) - _right(theirs[image]) for image in both])
    groups, count = _groups([ours[image][0] for image in both])
    sums, sizes = np.zeros(count), np.zeros(count)
    np.add.at(sums, groups, gain)
    np.add.at(sizes, groups, 1)
    drawn = np.concatenate([w @ sums / (w @ sizes) for w in _weights(count, seed, resamples)])
    interval = _middle(drawn)
    assert interval is not None
    only_a, only_b = int((gain > 0).sum()), int((gain < 0).sum())
    p = float(binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0
    once = all(len(side[image]) == 1 for side in (ours, theirs) for image in both)
    return Compared(len(both), float(gain.mean()), interval, only_a, only_b, p if once else None)


def _by_image(outcomes: Sequence[Outcome]) -> dict[tuple[str, str, Verdict], list[Outcome]]:
    """Outcomes of one image: its id, hash and label have to agree for two predictions to be about it."""
    found: dict[tuple[str, str, Verdict], list[Outcome]] = {}
    for outcome in outcomes:
        found.setdefault((outcome.id, outcome.sha256, outcome.label), []).append(outcome)
    return found


def _right(outcomes: Sequence[Outcome]) -> float:
    return sum(o.final == o.label for o in outcomes) / len(outcomes)


class _Ranked:
    """Images in the order of P(generated), so that an area under the ROC curve is a sum for any weights.

    AUROC = sum over thresholds t of w+(t) * (w-(below t) + w-(at t) / 2), over the product of both classes' weights.
    """

    def __init__(self, groups: Array, place: Array, generated: Array) -> None:
        self._groups, self._place, self._generated = groups, place, generated

    @classmethod
    def of(cls, outcomes: Sequence[Outcome], groups: Array) -> _Ranked | None:
        scored = [i for i, o in enumerate(outcomes) if o.p_generated is not None]
        generated = np.array([outcomes[i].label is Verdict.GENERATED for i in scored], dtype=bool)
        if not scored or generated.all() or not generated.any():
            return None
        _, place = np.unique([outcomes[i].p_generated for i in scored], return_inverse=True)
        return cls(groups[scored], place, generated)

    def areas(self, weights: Array) -> Array:
        drawn = weights[:, self._groups]
        positive, negative = (np.zeros((len(weights), self._place.max() + 1)) for _ in range(2))
        for row, of_row in enumerate(drawn):
            positive[row] = np.bincount(self._place, of_row * self._generated, positive.shape[1])
            negative[row] = np.bincount(self._place, of_row * ~self._generated, positive.shape[1])
        below = np.cumsum(negative, axis=1) - negative
        with np.errstate(invalid="ignore", divide="ignore"):
            areas: Array = (positive * (below + negative / 2)).sum(1) / (positive.sum(1) * negative.sum(1))
        return areas


def _groups(outcomes: Sequence[Outcome]) -> tuple[Array, int]:
    """The number of each image's group, from 0, and how many there are; an image without one is its own."""
    numbers: dict[object, int] = {}
    places = [
        numbers.setdefault(o.group if o.group is not None else (i,), len(numbers)) for i, o in enumerate(outcomes)
    ]
    return np.array(places), len(numbers)


def _weights(count: int, seed: int, resamples: int):  # type: ignore[no-untyped-def]
    """How often each group was drawn, `[up to 100, groups]` at a time."""
    rng = np.random.default_rng(seed)
    for start in range(0, resamples, _CHUNK):
        rows = min(_CHUNK, resamples - start)
        drawn = rng.integers(0, count, (rows, count)) + np.arange(rows)[:, None] * count
        yield np.bincount(drawn.ravel(), minlength=rows * count).reshape(rows, count).astype(np.float64)


def _middle(values: Array) -> Interval | None:
    """None where too few resamples have a figure at all."""
    known = values[np.isfinite(values)]
    if len(known) < 0.9 * len(values):
        return None
    low, high = np.quantile(known, [0.025, 0.975])
    return Interval(float(low), float(high))
