"""A new model is calibrated, then measured on scenes that it never saw, with own, annotated, random and no crops."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from lte_core.dataset.manifest import read_manifest
from lte_core.dataset.synth import write_dataset
from lte_core.evaluation.calibration import fit_temperature, uncertain_band
from lte_core.evaluation.metrics import score
from lte_core.evaluation.predict import predict
from lte_core.inference.checkpoint import Checkpoint
from lte_core.inference.checkpoint import calibrate as calibrated
from lte_core.inference.crop_sources import CropSource
from lte_core.inference.detector import LocateThenExamine
from lte_core.inference.load import load_model
from lte_core.schema import Detection, TraceSample, Verdict

LEAST = 20  # images of which anything can be said


def calibrate(model: Path, out: Path, count: int, seed: int, photos: Path | None) -> Checkpoint:
    """Fit both temperatures on `count` validation scenes and save them beside the model."""
    manifest = write_dataset(out / "val", count, seed, photos, plain_share=0.0)
    samples = [line.sample for line in read_manifest(manifest)]
    detector = LocateThenExamine(*load_model(str(model)))
    try:
        fitted = replace(fit(detector, samples, out / "val"), uncertain_band=detector.checkpoint.uncertain_band)
    except ValueError:  # too few scenes, or a model none of whose replies reached a verdict: it stays as it is
        return detector.checkpoint
    fitted.save(model)
    return fitted


def fit(
    detector: LocateThenExamine, samples: Sequence[TraceSample], root: Path, error: float = 0.1,
    progress: Callable[[int], None] = lambda done: None,
) -> Checkpoint:  # fmt: skip
    """The detector's settings with temperatures and the uncertain band that fit these samples.

    Outside the band at most a share `error` of the verdicts on them is wrong.
    """
    plain = replace(detector.checkpoint, temperature_locate=1.0, temperature_examine=1.0)
    first: list[tuple[float, Verdict]] = []
    final: list[tuple[float, Verdict]] = []
    for done, made in enumerate(predict(LocateThenExamine(detector.vlm, plain), samples, root), 1):
        progress(done)
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
    return replace(plain, temperature_locate=_fit(first), temperature_examine=temperature, uncertain_band=band)


def _fit(pairs: Sequence[tuple[float, Verdict]]) -> float:
    """The fitted temperature; 1, which changes nothing, for a model none of whose replies reached a verdict."""
    return fit_temperature([p for p, _ in pairs], [label for _, label in pairs]) if pairs else 1.0


def measure(model: Path, out: Path, count: int, seed: int, photos: Path | None) -> Mapping[str, Any]:
    """The numbers of the card on `count` unseen scenes, with own, annotated and random crops, as a record.

    Predictions are written to `out` before they are scored. Scenes alone: plain pictures would flatter every number.
    """
    manifest = write_dataset(out / "test", count, seed, photos, plain_share=0.0)
    samples = [line.sample for line in read_manifest(manifest)]
    detector = LocateThenExamine(*load_model(str(model)))
    numbers: dict[str, Any] = {"scenes": count, "seed": seed, "model_sha256": detector.vlm.info.sha256}
    for crops in CropSource:
        started = time.perf_counter()
        outcomes = []
        with (out / f"predictions-{crops}.jsonl").open("w", encoding="utf-8") as lines:
            for prediction in predict(detector, samples, out / "test", crops):
                lines.write(json.dumps(prediction.record(), ensure_ascii=False) + "\n")
                outcomes.append(prediction.outcome())
        numbers[crops] = asdict(score(outcomes)) | {"seconds_per_image": (time.perf_counter() - started) / count}
    (out / "numbers.json").write_text(json.dumps(numbers, indent=2) + "\n")
    return numbers
