"""Figures of any manifest: how many samples of what kind, how many boxes, how large. Pure; reads no image."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from lte_core.boxes import area_fraction
from lte_core.schema import Size, TraceSample

MOST = 8  # boxes a sample that are told apart
GROUPS = ("label", "split", "source", "generator", "review")


@dataclass
class Figures:
    """Counts of a manifest. `areas` are the boxes' shares of their images."""

    samples: int = 0
    groups: dict[str, Counter[str]] = field(default_factory=lambda: {name: Counter() for name in GROUPS})
    boxes: Counter[int] = field(default_factory=Counter)
    areas: list[float] = field(default_factory=list)
    words: list[int] = field(default_factory=list)
    similarities: list[float] = field(default_factory=list)

    def record(self) -> dict[str, Any]:
        total = len(self.areas)
        return {
            "samples": self.samples,
            **{f"by_{name}": dict(sorted(counts.items())) for name, counts in self.groups.items()},
            "boxes": total,
            "boxes_per_sample": _mean_of(total, self.samples),
            "share_with_a_box": _mean_of(self.samples - self.boxes[0], self.samples),
            "samples_by_boxes": {_name(n): self.boxes[n] for n in sorted(self.boxes)},
            "box_area": _spread(self.areas),
            "explanation_words": _spread(self.words),
            "similarity": _spread(self.similarities),
        }


def figures(samples: Iterable[TraceSample]) -> Figures:
    """Count the samples."""
    found = Figures()
    for sample in samples:
        size = Size(sample.width, sample.height)
        found.samples += 1
        names = (
            sample.label.value,
            sample.split,
            sample.source,
            sample.generator,
            sample.review.decision if sample.review else None,
        )
        for group, name in zip(GROUPS, names, strict=True):
            found.groups[group][name or "none"] += 1
        found.boxes[min(len(sample.regions), MOST + 1)] += 1
        found.areas += [area_fraction(region.box, size) for region in sample.regions]
        found.words.append(len(sample.explanation.split()))
        similarity = sample.annotation.get("similarity")
        if isinstance(similarity, float) and math.isfinite(similarity):
            found.similarities.append(float(similarity))
    return found


def _name(boxes: int) -> str:
    return f"more than {MOST}" if boxes > MOST else str(boxes)


def _mean_of(total: int, count: int) -> float | None:
    return round(total / count, 4) if count else None


def _spread(values: list[int] | list[float]) -> dict[str, float] | None:
    """The middle and what nine of ten lie below and above; None without values."""
    if not values:
        return None
    cuts = statistics.quantiles(values, n=10, method="inclusive") if len(values) > 1 else [float(values[0])] * 9
    return {"p10": round(cuts[0], 4), "median": round(cuts[4], 4), "p90": round(cuts[8], 4)}
