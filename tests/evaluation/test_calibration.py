"""Temperature scaling finds the temperature that made the probabilities too sure, or not sure enough."""

from __future__ import annotations

import math
import random

import pytest

from lte_core.evaluation.calibration import HIGHEST, fit_temperature
from lte_core.inference.checkpoint import calibrate
from lte_core.schema import Verdict


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_a_known_temperature_is_found_again(temperature: float) -> None:
    rng = random.Random(0)
    true = [rng.uniform(0.02, 0.98) for _ in range(6000)]
    labels = [Verdict.GENERATED if rng.random() < p else Verdict.REAL for p in true]
    stated = [1 / (1 + math.exp(-temperature * math.log(p / (1 - p)))) for p in true]
    found = fit_temperature(stated, labels)
    assert found == pytest.approx(temperature, rel=0.1)
    assert calibrate(stated[0], found) == pytest.approx(true[0], abs=0.05)


def test_a_model_that_is_sure_and_wrong_half_the_time_is_made_unsure() -> None:
    labels = [Verdict.GENERATED, Verdict.REAL] * 50
    assert fit_temperature([1.0] * 100, labels) == pytest.approx(HIGHEST, rel=0.01)


def test_nothing_to_fit_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one"):
        fit_temperature([], [])
