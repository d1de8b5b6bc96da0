"""A model's temperatures and uncertain band, fitted on images that training did not see; and how it does on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lte_core.evaluation.calibration import fit_temperature, uncertain_band
from lte_core.evaluation.metrics import Scores, score
from lte_core.evaluation.predict import predict
from lte_core.inference.checkpoint import Checkpoint
from lte_core.inference.checkpoint import calibrate as calibrated
from lte_core.inference.detector import LocateThenExamine
from lte_core.schema import Detection, TraceSample, Verdict

LEAST = 20  # images of which anything can be said


@dataclass(frozen=True, slots=True)
class Fitted:
    """The settings with what was fitted, and the figures of these very images (before it, for ECE and Brier)."""

    checkpoint: Checkpoint
    scores: Scores

    def record(self) -> dict[str, Any]:
        """For `train.json`."""
        settings = self.checkpoint
        return {
            "samples": self.scores.n,
            "temperature_locate": settings.temperature_locate,
            "temperature_examine": settings.temperature_examine,
            "uncertain_band": list(settings.uncertain_band),
            **{name: getattr(self.scores, name) for name in ("acc", "i_acc", "c_cases", "c_acc", "iou", "unreadable")},
        }


def fit(
    detector: LocateThenExamine, samples: Sequence[TraceSample], root: Path, error: float = 0.1,
    progress: Callable[[int], None] = lambda done: None,
) -> Fitted:  # fmt: skip
    """Temperatures of both queries and the band outside of which at most a share `error` of the verdicts on these
    samples is wrong. Raises ValueError for too few images, or a model none of whose replies reached a verdict."""
    plain = replace(detector.checkpoint, temperature_locate=1.0, temperature_examine=1.0)
    first: list[tuple[float, Verdict]] = []
    final: list[tuple[float, Verdict]] = []
    outcomes = []
    for done, made in enumerate(predict(LocateThenExamine(detector.vlm, plain), samples, root), 1):
        progress(done)
        outcomes.append(made.outcome())
        if isinstance(made.result, Detection):
            for found, p in ((first, made.result.locate.p_generated), (final, made.result.p_generated)):
                if p is not None:
                    found.append((p, made.sample.label))
    kinds = {label for _, label in final}
    if len(final) < LEAST or len(kinds) < 2:
        raise ValueError(
            f"Calibration needs at least {LEAST} images of both classes with a verdict and a probability, got "
            f"{len(final)} of {len(kinds)}. Give more, or see why the others failed: eval predict tells."
        )
    temperature = _fit(final)
    sure = [calibrated(p, temperature) or 0.0 for p, _ in final]
    band = uncertain_band(sure, [label for _, label in final], error)
    fitted = replace(plain, temperature_locate=_fit(first), temperature_examine=temperature, uncertain_band=band)
    return Fitted(fitted, score(outcomes))


def _fit(pairs: Sequence[tuple[float, Verdict]]) -> float:
    """The fitted temperature; 1, which changes nothing, for a model none of whose replies reached a verdict."""
    return fit_temperature([p for p, _ in pairs], [label for _, label in pairs]) if pairs else 1.0
