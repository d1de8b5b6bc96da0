"""How many samples and boxes survive purification across its thresholds, one threshold at a time, without a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from lte_core.dataset.candidates import Candidate
from lte_core.dataset.purify import PurifyConfig, purify
from lte_core.dataset.summary import Curve

THRESHOLDS: Mapping[str, tuple[float, ...]] = {
    "min_similarity": (0.0, 0.3, 0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.9),
    "min_iou": (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9),
    "max_area": (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0),
    "max_subject_iou": (0.5, 0.6, 0.7, 0.8, 0.9, 1.0),
    "max_object_share": (0.0, 0.25, 0.5, 0.75, 1.0),
}


def sweep(
    candidates: Sequence[Candidate],
    cosines: Sequence[float],
    config: PurifyConfig,
    progress: Callable[[int], None] = lambda done: None,
) -> list[Curve]:
    """A curve for each threshold, the others as in `config`."""
    curves, done = [], 0
    for name, listed in THRESHOLDS.items():
        chosen: float = getattr(config, name)
        thresholds, samples, boxes = tuple(sorted({*listed, chosen})), [], []
        for threshold in thresholds:
            changed = replace(config, **{name: threshold})
            found = [purify(c, cosine, changed).sample for c, cosine in zip(candidates, cosines, strict=True)]
            samples.append(sum(sample is not None for sample in found))
            boxes.append(sum(len(sample.regions) for sample in found if sample is not None))
            done += 1
            progress(done)
        curves.append(Curve(name, thresholds, tuple(samples), tuple(boxes), chosen))
    return curves


STEPS = sum(len(listed) for listed in THRESHOLDS.values())
"""How often `sweep` purifies everything, at the default thresholds."""
