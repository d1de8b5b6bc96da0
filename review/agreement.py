"""How far people agree: with each other under double review, and with the gold items of a lead.

Pure functions over what was decided; asks no database and draws no page.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TypeVar

from lte_core.boxes import match
from lte_core.schema import Box, Region, Verdict
from review.records import Action

ROUNDS = 1_000  # of the bootstrap
CONFIDENCE = 0.95

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Judgement:
    """What one person made of one sample: their latest decision that was not undone."""

    sample_id: str
    person: str
    action: Action
    label: Verdict
    regions: tuple[Region, ...]

    @property
    def outcome(self) -> str:
        """The nominal value that agreement is about: rejected, or kept with a label."""
        return "reject" if self.action is Action.REJECT else f"keep as {self.label}"

    @property
    def boxes(self) -> list[Box]:
        return [region.box for region in self.regions]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its 95 % interval, and the number of samples behind it."""

    value: float
    low: float
    high: float
    n: int


def share(right: int, n: int) -> Estimate | None:
    """A proportion in [0, 1] with its Wilson interval; None of nothing."""
    from scipy.stats import binomtest

    if n == 0:
        return None
    interval = binomtest(right, n).proportion_ci(CONFIDENCE, method="wilson")
    return Estimate(right / n, float(interval.low), float(interval.high), n)


def krippendorff_alpha(judgements: Iterable[Judgement], seed: int = 0) -> Estimate | None:
    """Krippendorff's alpha (nominal) on outcomes: 1 is full agreement, 0 what chance gives; with a bootstrap interval
    over samples. None when no sample has two judgements, or everybody always said the same: alpha is then undefined.
    """
    units = [Counter(j.outcome for j in group) for group in _doubles(judgements)]
    value = _alpha(units)
    return None if value is None else _bootstrapped(units, value, _alpha, seed)


def box_agreement(judgements: Iterable[Judgement], seed: int = 0) -> Estimate | None:
    """Mean matched IoU in [0, 1] between two people who both kept a sample, with a bootstrap interval over samples.

    Boxes are matched one to one; one without a partner counts 0. Two people without any box agree fully.
    """
    values = [
        sum(matched_iou(a.boxes, b.boxes) for a, b in pairs) / len(pairs)
        for group in _doubles(judgements)
        if (pairs := list(combinations([j for j in group if j.action is not Action.REJECT], 2)))
    ]
    mean = _mean(values)
    return None if mean is None else _bootstrapped(values, mean, _mean, seed)


def matched_iou(first: Sequence[Box], second: Sequence[Box]) -> float:
    """The IoUs of boxes matched one to one, over the longer list's length; 1 for two empty lists."""
    if not first and not second:
        return 1.0
    return sum(pair.iou for pair in match(first, second)) / max(len(first), len(second))


@dataclass(frozen=True, slots=True)
class GoldScore:
    """One person on the gold items: outcomes like the reference, and mean matched IoU where both kept the sample."""

    person: str
    right: Estimate
    iou: float | None


def gold_scores(judgements: Iterable[Judgement], references: Mapping[str, Judgement]) -> list[GoldScore]:
    """Each person against the references (by sample id), by name. A reference's own author is not scored on it."""
    by_person: dict[str, list[tuple[Judgement, Judgement]]] = defaultdict(list)
    for judgement in judgements:
        reference = references.get(judgement.sample_id)
        if reference is not None and reference.person != judgement.person:
            by_person[judgement.person].append((judgement, reference))
    scores = []
    for person, pairs in sorted(by_person.items()):
        right = share(sum(a.outcome == b.outcome for a, b in pairs), len(pairs))
        kept = [matched_iou(a.boxes, b.boxes) for a, b in pairs if Action.REJECT not in (a.action, b.action)]
        if right is not None:
            scores.append(GoldScore(person, right, _mean(kept)))
    return scores


def _doubles(judgements: Iterable[Judgement]) -> list[list[Judgement]]:
    """The judgements of each sample that has at least two, in the order of the samples' ids."""
    groups: dict[str, list[Judgement]] = defaultdict(list)
    for judgement in judgements:
        groups[judgement.sample_id].append(judgement)
    return [groups[key] for key in sorted(groups) if len(groups[key]) > 1]


def _alpha(units: Sequence[Counter[str]]) -> float | None:
    import krippendorff

    outcomes = sorted(set().union(*units))
    if len(outcomes) < 2:
        return None
    counts = [[unit[outcome] for outcome in outcomes] for unit in units]
    # The library's own default, "interval", would take outcomes for numbers.
    return float(krippendorff.alpha(value_counts=counts, level_of_measurement="nominal"))


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _bootstrapped(
    units: Sequence[T], value: float, measure: Callable[[Sequence[T]], float | None], seed: int
) -> Estimate:
    """Percentiles over resampled units; a resample in which the measure is undefined is left out."""
    rng = random.Random(seed)
    drawn = (measure(rng.choices(units, k=len(units))) for _ in range(ROUNDS))
    values = sorted(v for v in drawn if v is not None) or [value]
    tail = (1 - CONFIDENCE) / 2
    low, high = (values[round(q * (len(values) - 1))] for q in (tail, 1 - tail))
    return Estimate(value, min(low, value), max(high, value), len(units))
