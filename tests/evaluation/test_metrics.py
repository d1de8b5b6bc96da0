"""The paper's numbers against hand-made cases and the identity that ties them together."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lte_core.evaluation.metrics import Outcome, score
from lte_core.schema import Verdict

REAL, FAKE = Verdict.REAL, Verdict.GENERATED


def test_a_hand_made_table() -> None:
    scores = score(
        [
            Outcome(FAKE, REAL, FAKE, 0.5),  # corrected
            Outcome(FAKE, FAKE, FAKE, 0.7),
            Outcome(REAL, REAL, FAKE, None),  # made worse
            Outcome(REAL, None, REAL, 0.0),  # unreadable first reply: wrong, then right
            Outcome(REAL, REAL, None, 0.4),  # unreadable second reply: wrong
        ]
    )
    assert scores.acc == pytest.approx(3 / 5)
    assert scores.i_acc == pytest.approx(3 / 5)
    assert scores.c_cases == pytest.approx(4 / 5)
    assert scores.c_acc == pytest.approx(2 / 4)
    assert scores.iou == pytest.approx(0.4)
    assert scores.unreadable == pytest.approx(2 / 5)
    assert scores.acc_real == pytest.approx(1 / 3)
    assert scores.acc_generated == 1.0


VERDICTS = st.sampled_from([REAL, FAKE])
OUTCOMES = st.lists(st.builds(Outcome, VERDICTS, VERDICTS, VERDICTS, st.none() | st.floats(0, 1)), min_size=1)


@given(OUTCOMES)
def test_accuracy_is_the_first_verdicts_plus_what_the_second_look_gains(outcomes: list[Outcome]) -> None:
    scores = score(outcomes)
    gain = scores.c_cases * (2 * scores.c_acc - 1) if scores.c_acc is not None else 0.0
    assert scores.acc == pytest.approx(scores.i_acc + gain)


@given(OUTCOMES, st.randoms())
def test_order_does_not_matter(outcomes: list[Outcome], rng: random.Random) -> None:
    shuffled = list(outcomes)
    rng.shuffle(shuffled)
    assert score(shuffled).acc == score(outcomes).acc
    assert score(shuffled).iou == pytest.approx(score(outcomes).iou)


def test_nothing_to_score_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one"):
        score([])


def test_a_perfect_and_an_inverted_predictor() -> None:
    perfect = [Outcome(y, y, y, 1.0, float(y is FAKE), 1.0, 2, 2, 2, bleu2=1.0) for y in (REAL, FAKE) * 20]
    best = score(perfect)
    assert (best.acc, best.i_acc, best.balanced, best.f1, best.ap, best.auroc, best.recall_at_1) == (1,) * 7
    assert (best.iou, best.box_f1, best.pixel_iou, best.bleu2) == (1,) * 4
    assert (best.ece, best.brier, best.c_cases, best.c_acc) == (0, 0, 0, None)
    inverted = [Outcome(o.label, o.first, FAKE if o.final is REAL else REAL, p_generated=1 - (o.p_generated or 0))
                for o in perfect]  # fmt: skip
    worst = score(inverted)
    assert (worst.acc, worst.balanced, worst.f1, worst.auroc, worst.recall_at_5) == (0,) * 5
    assert (worst.ece, worst.brier, worst.c_cases, worst.c_acc) == (1, 1, 1, 0)


def test_ranking_and_calibration_by_hand() -> None:
    """Two of three generated images rank above both real ones; the third between them."""
    scored = [(REAL, 0.1), (FAKE, 0.3), (REAL, 0.4), (FAKE, 0.8), (FAKE, 0.9)]
    found = score([Outcome(y, y, FAKE if p >= 0.5 else REAL, p_generated=p) for y, p in scored])
    assert found.auroc == pytest.approx(5 / 6)
    assert found.recall_at_1 == pytest.approx(2 / 3)
    assert found.ap == pytest.approx((1 / 3) * 1 + (1 / 3) * 1 + (1 / 3) * (3 / 4))
    assert found.brier == pytest.approx((0.01 + 0.49 + 0.16 + 0.04 + 0.01) / 5)
    # Confidences .9 (right), .7 (wrong), .6 (right), .8 (right), .9 (right): five or four bins, each off by its gap.
    assert found.ece == pytest.approx((2 * 0.1 + 0.7 + 0.4 + 0.2) / 5)
    assert sum(b.n for b in found.bins) == found.scored == 5
    assert score([Outcome(REAL, REAL, REAL)]).auroc is None
    assert score([Outcome(REAL, REAL, REAL, p_generated=0.2)]).auroc is None


def test_boxes_are_counted_over_images_that_have_some() -> None:
    found = score([Outcome(FAKE, FAKE, FAKE, 0.6, hits=1, boxes=3, annotated=2), Outcome(REAL, REAL, REAL, boxes=4)])
    assert found.box_precision == pytest.approx(1 / 3)
    assert found.box_recall == pytest.approx(1 / 2)
    assert found.box_f1 == pytest.approx(2 / 5)
    assert found.boxes == 3.5
