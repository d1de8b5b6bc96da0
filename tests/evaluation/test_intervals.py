"""Intervals hold what they should, shrink with more images, and tell better from worse."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lte_core.evaluation.intervals import compare, intervals
from lte_core.evaluation.metrics import Outcome, score
from lte_core.schema import Verdict

REAL, FAKE = Verdict.REAL, Verdict.GENERATED


def drawn(count: int, accuracy: float, seed: int = 0, groups: int | None = None) -> list[Outcome]:
    """Images of which so many are judged right, and more confidently so."""
    rng, made = random.Random(seed), []
    for number in range(count):
        label, right = rng.choice([REAL, FAKE]), rng.random() < accuracy
        said = label if right else (FAKE if label is REAL else REAL)
        sure = rng.uniform(0.6, 1) if right else rng.uniform(0.5, 0.7)
        p = sure if said is FAKE else 1 - sure
        group = None if groups is None else f"g{number % groups}"
        made.append(Outcome(label, rng.choice([REAL, FAKE]), said, rng.random(), p, id=f"s{number}", group=group))
    return made


def test_an_interval_lies_around_its_figure_and_shrinks() -> None:
    wide, narrow = (intervals(drawn(count, 0.8)) for count in (100, 2_500))
    for name in ("acc", "i_acc", "c_cases", "c_acc", "iou", "auroc"):
        value = getattr(score(drawn(2_500, 0.8)), name)
        assert narrow[name].low < value < narrow[name].high
        ratio = (wide[name].high - wide[name].low) / (narrow[name].high - narrow[name].low)
        assert 3 < ratio < 8, "a fifth as wide with 25 times as many"


def test_it_holds_the_truth_about_95_times_in_100() -> None:
    held = 0
    for seed in range(100):
        found = intervals(drawn(300, 0.8, seed), resamples=300)["acc"]
        held += found.low <= 0.8 <= found.high
    assert 88 <= held <= 100


def test_images_that_belong_together_say_less() -> None:
    alone = drawn(100, 0.8)
    copies = [Outcome(o.label, o.first, o.final, o.iou, o.p_generated, group=o.id) for o in alone for _ in range(9)]
    one, nine = intervals(alone)["acc"], intervals(copies)["acc"]
    assert (nine.high - nine.low) == pytest.approx(one.high - one.low, rel=0.1)


def test_the_area_is_the_librarys_for_any_weights() -> None:
    from sklearn.metrics import roc_auc_score

    from lte_core.evaluation.intervals import _groups, _Ranked

    outcomes = [Outcome(o.label, o.first, o.final, p_generated=round(o.p_generated or 0, 1)) for o in drawn(60, 0.7)]
    ranked = _Ranked.of(outcomes, _groups(outcomes)[0])
    assert ranked is not None
    weights = np.random.default_rng(0).integers(0, 4, (5, len(outcomes))).astype(float)
    for row, area in zip(weights, ranked.areas(weights), strict=True):
        labels, p = [o.label is FAKE for o in outcomes], [o.p_generated for o in outcomes]
        assert area == pytest.approx(roc_auc_score(labels, p, sample_weight=row))


def test_one_model_against_another() -> None:
    good, poor = drawn(400, 0.9, 1), drawn(400, 0.7, 1)
    labels = [o.label for o in good]
    poor = [Outcome(y, o.first, o.final if o.label is y else y, id=o.id) for y, o in zip(labels, poor, strict=True)]
    found = compare(good, poor)
    assert found.difference == pytest.approx(score(good).acc - score(poor).acc)
    assert found.interval.low < found.difference < found.interval.high
    assert found.only_a - found.only_b == round(found.difference * 400)
    turned = compare(poor, good)
    assert (turned.difference, turned.only_a, turned.p) == (-found.difference, found.only_b, found.p)
    same = compare(good, good)
    assert (same.difference, same.p, same.interval.low, same.interval.high) == (0, 1, 0, 0)
    with pytest.raises(ValueError, match="same images"):
        compare(good, [Outcome(REAL, REAL, REAL, id="other")])


def test_seeds_of_a_training_are_compared_by_the_image() -> None:
    good, better, poor = drawn(200, 0.8, 1), drawn(200, 0.9, 2), drawn(200, 0.6, 3)
    pool = [*good, *(replace(o, label=g.label, final=o.final) for o, g in zip(better, good, strict=True))]
    poor = [replace(o, label=g.label) for o, g in zip(poor, good, strict=True)]
    found = compare(pool, poor)
    assert found.difference == pytest.approx(score(pool).acc - score(poor).acc)
    assert (found.n, found.p) == (200, None), "McNemar's test knows one prediction of an image"
    once = compare(good, poor)
    assert compare([*good, *good], poor) == replace(once, p=None)


@given(st.integers(1, 40), st.randoms())
def test_order_does_not_matter_to_a_comparison(count: int, rng: random.Random) -> None:
    a, b = drawn(count, 0.8, 1), drawn(count, 0.6, 2)
    shuffled = list(b)
    rng.shuffle(shuffled)
    first, second = compare(a, b, resamples=50), compare(a, shuffled, resamples=50)
    assert (first.difference, first.only_a, first.p) == (second.difference, second.only_a, second.p)
