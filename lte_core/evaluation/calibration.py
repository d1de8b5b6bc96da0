"""The temperature that makes a model's P(generated) mean what it says, fitted on a validation split.

p' = sigmoid(logit(p) / T): one number a query, which never changes a verdict (Guo et al. 2017). Loads no model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from lte_core.schema import Verdict

LOWEST, HIGHEST = 0.05, 20.0
_EDGE = 1e-7  # a probability of exactly 0 or 1 has no logit


def fit_temperature(p_generated: Sequence[float], labels: Sequence[Verdict]) -> float:
    """The temperature in [0.05, 20] with the least mean negative log-likelihood. Raises ValueError without samples."""
    from scipy.optimize import minimize_scalar

    if not p_generated:
        raise ValueError("expected at least one prediction with a probability to calibrate on")
    logits = [math.log(p / (1 - p)) for p in (min(max(p, _EDGE), 1 - _EDGE) for p in p_generated)]
    signs = [1 if label is Verdict.GENERATED else -1 for label in labels]
    pairs = list(zip(logits, signs, strict=True))

    def loss(log_temperature: float) -> float:
        scale = math.exp(-log_temperature)
        return sum(_softplus(-sign * logit * scale) for logit, sign in pairs) / len(pairs)

    found = minimize_scalar(loss, bounds=(math.log(LOWEST), math.log(HIGHEST)), method="bounded")
    return math.exp(float(found.x))


def _softplus(x: float) -> float:
    """log(1 + e^x) without overflow."""
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))
