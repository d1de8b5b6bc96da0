"""The shortcut floor: a classifier that never looks at the content, only at size, bytes, format and power spectrum.

What it reaches can be had without understanding anything, and in this field that is often much: generated images come
in other sizes, formats and qualities than photos. Every table should show it beside the models.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from lte_core.evaluation.baselines import BaselineError
from lte_core.evaluation.outcomes import truth_of
from lte_core.evaluation.run import Samples
from lte_core.images import ImageError, SourceImage, read_image
from lte_core.schema import TraceSample, Verdict

Features = Literal["size", "spectrum", "both"]
Array = np.ndarray[Any, Any]
FOLDS = 5
_SIDE, _RINGS = 256, 32
_FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "TIFF", "GIF")


def floor(data: Samples, features: Features, train: Samples | None = None, seed: int = 0) -> dict[str, float | str]:
    """P(generated) of each sample by its id, or why there is none.

    The classifier learns from `train`, which may share no image with `data`; without it, from the other four fifths of
    `data` in turn, where images of one group stay together. Raises BaselineError when a class is missing.
    """
    if train is None:
        return _in_turn(data, features, seed)
    _labels(train.samples)
    shared = {sample.sha256 for sample in train.samples} & {sample.sha256 for sample in data.samples}
    if shared:
        raise BaselineError(
            f"{len(shared):,} images are in both sets, and the floor would know them. Give other images of the same "
            "sources, or none: then it learns from the other parts of these in turn."
        )
    seen, _ = _described(train, features)
    model = _classifier(len(seen), seed)
    model.fit(np.stack([x for _, x in seen]), _labels([sample for sample, _ in seen]))
    described, found = _described(data, features)
    return found | {sample.id: float(model.predict_proba(x[None])[0, 1]) for sample, x in described}


def _in_turn(data: Samples, features: Features, seed: int) -> dict[str, float | str]:
    """Cross-validated over the data itself."""
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict

    described, found = _described(data, features)
    labels = _labels([sample for sample, _ in described])
    groups = [truth_of(sample).group or sample.sha256 for sample, _ in described]
    smallest = min(len({g for g, y in zip(groups, labels, strict=True) if y is kind}) for kind in (False, True))
    if smallest < 2:
        raise BaselineError(
            "The floor needs at least two images of each class to learn from one and be tried on the other."
        )
    folds = StratifiedGroupKFold(min(FOLDS, smallest), shuffle=True, random_state=seed)
    scores = cross_val_predict(
        _classifier(len(described), seed), np.stack([x for _, x in described]), np.array(labels), groups=groups,
        cv=folds, method="predict_proba",
    )  # fmt: skip
    return found | {sample.id: float(p) for (sample, _), p in zip(described, scores[:, 1], strict=True)}


def _classifier(count: int, seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(random_state=seed, max_iter=150, min_samples_leaf=min(20, count // 4 or 1))


def _described(data: Samples, features: Features) -> tuple[list[tuple[TraceSample, Array]], dict[str, float | str]]:
    """The images that can be read, as numbers; and why the others cannot."""
    seen: list[tuple[TraceSample, Array]] = []
    failed: dict[str, float | str] = {}
    for sample in data.samples:
        described = describe(data.root, sample, features)
        if isinstance(described, str):
            failed[sample.id] = described
        else:
            seen.append((sample, described))
    return seen, failed


def _labels(samples: Sequence[TraceSample]) -> list[bool]:
    """True for generated. Raises BaselineError when there is only one class."""
    labels = [sample.label is Verdict.GENERATED for sample in samples]
    if len(set(labels)) < 2:
        raise BaselineError(
            "The floor needs readable real and generated images to learn from; the training data lacks one."
        )
    return labels


def describe(root: Path, sample: TraceSample, features: Features) -> Array | str:
    """An image as numbers that say nothing about its content, or why it cannot be read."""
    try:
        source = read_image(root / sample.image)
    except ImageError as problem:
        return str(problem)
    parts = [_size(source)] if features != "spectrum" else []
    if features != "size":
        parts.append(_spectrum(source))
    return np.concatenate(parts)


def _size(source: SourceImage) -> Array:
    """Sides, aspect, bytes, bytes a pixel, format."""
    width, height = source.pixels.size
    count = len(source.data)
    numbers = [width, height, width / height, math.log(count), count / (width * height)]
    return np.array([*numbers, *(float(source.format == name) for name in _FORMATS)])


def _spectrum(source: SourceImage) -> Array:
    """Mean log power in 32 rings of the middle 256 x 256 pixels' spectrum; smaller images are mirrored to that size."""
    grey = np.asarray(source.pixels.convert("L"), dtype=np.float64)
    grow = [(0, max(0, _SIDE - side)) for side in grey.shape]
    grey = np.pad(grey, grow, mode="symmetric") if any(after for _, after in grow) else grey
    top, left = ((side - _SIDE) // 2 for side in grey.shape)
    part = grey[top : top + _SIDE, left : left + _SIDE]
    power = np.log1p(np.abs(np.fft.fftshift(np.fft.fft2(part - part.mean()))) ** 2)
    y, x = np.indices(power.shape) - _SIDE // 2
    ring = np.minimum(np.hypot(y, x) / (_SIDE / 2) * _RINGS, _RINGS - 1).astype(int)
    return np.bincount(ring.ravel(), power.ravel()) / np.bincount(ring.ravel())
