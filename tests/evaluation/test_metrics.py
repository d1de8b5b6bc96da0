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
