"""The temperature that makes a model's P(generated) mean what it says, and the band in which it is not to be relied on.

Both are fitted on a validation split.

p' = sigmoid(logit(p) / T): one number a query, which never changes a verdict (Guo et al. 2017). Loads no model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from lte_core.schema import Verdict

LOWEST, HIGHEST = 0.05, 20.0
LEAST_DOUBT = 1e-6  # below it no P(generated) is told from 0 or 1
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


def uncertain_band(
    p_generated: Sequence[float], labels: Sequence[Verdict], error: float, least: int = 20
) -> tuple[float, float]:
    """The narrowest band around 0.5 outside of which at most a share `error` of the verdicts is wrong.

    Selective classification (Geifman & El-Yaniv 2017): of the most confident images as many as keep the rate are
    judged. (0, 1), everything uncertain, when no `least` of them do. The rate is that on these images.
    """
    # By the chance of the other verdict, which keeps its digits where the chance of this one rounds to 1.
    sure = sorted(
        (
            (max(min(p, 1 - p), LEAST_DOUBT), (p >= 0.5) == (y is Verdict.GENERATED))
            for p, y in zip(p_generated, labels, strict=True)
        ),
        key=lambda pair: pair[0],
    )
    edge, wrong = None, 0
    for count, (doubt, right) in enumerate(sure, 1):
        wrong += not right
        tied = count < len(sure) and sure[count][0] == doubt
        if count >= least and not tied and wrong <= error * count:
            edge = doubt
    if edge is None:
        return 0.0, 1.0
    # Just above the last doubt that counts as none: the band is open.
    low = min(0.5, math.nextafter(edge, 1))
    return low, 1 - low


def _softplus(x: float) -> float:
    """log(1 + e^x) without overflow."""
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))
