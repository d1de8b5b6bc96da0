"""A detector over labelled samples: one prediction a sample, before anything is scored.

What Examine is shown can be swapped: the located regions, the annotated ones, random ones, or none. Scores nothing.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from lte_core.boxes import mean_best_iou
from lte_core.evaluation.metrics import Outcome
from lte_core.images import ImageError, read_image
from lte_core.inference.detector import Failure, LocateThenExamine, RegionChoice
from lte_core.inference.report import to_json
from lte_core.schema import Box, Detection, LocateResult, Region, Size, TraceSample


class CropSource(StrEnum):
    """Whose regions Examine is shown."""

    OWN = "own"
    ANNOTATED = "annotated"
    RANDOM = "random"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Prediction:
    """One sample and what the detector made of it."""

    sample: TraceSample
    result: Detection | Failure

    def outcome(self) -> Outcome:
        """For scoring. An image that failed has no verdicts, which counts as wrong."""
        if isinstance(self.result, Failure):
            return Outcome(self.sample.label, None, None, 0.0 if self.sample.regions else None)
        located = [region.box for region in self.result.locate.regions]
        annotated = [region.box for region in self.sample.regions]
        iou = mean_best_iou(annotated, located) if annotated else None
        return Outcome(self.sample.label, self.result.locate.verdict, self.result.verdict, iou)

    def record(self) -> dict[str, Any]:
        """One line of `predictions.jsonl`: the detection's own record, with the sample's id, label and regions."""
        regions = [{"bbox": list(region.box.xyxy), "label": region.label} for region in self.sample.regions]
        truth = {"id": self.sample.id, "label": self.sample.label, "regions": regions}
        return {"sample": truth, **to_json(self.result)}


def predict(
    detector: LocateThenExamine,
    samples: Sequence[TraceSample],
    root: Path,
    crops: CropSource = CropSource.OWN,
    seed: int = 0,
) -> Iterator[Prediction]:
    """Run the detector over the samples, whose images lie under `root`; one prediction a sample, in order."""
    swapped = LocateThenExamine(
        detector.vlm, detector.checkpoint, replace(detector.config, examine_instead=_choice(crops, samples, seed))
    )
    yield from map(Prediction, samples, swapped.detect_many(_open(samples, root)))


def _open(samples: Iterable[TraceSample], root: Path) -> Iterator[Any]:
    for sample in samples:
        try:
            yield sample.id, read_image(root / sample.image)
        except ImageError as problem:
            yield Failure(sample.id, str(problem))


def _choice(crops: CropSource, samples: Sequence[TraceSample], seed: int) -> RegionChoice | None:
    annotated: Mapping[str, tuple[Region, ...]] = {sample.id: sample.regions for sample in samples}
    choices: dict[CropSource, RegionChoice | None] = {
        CropSource.OWN: None,
        CropSource.ANNOTATED: lambda path, located, size: annotated[path],
        CropSource.RANDOM: _random_regions(seed),
        CropSource.NONE: lambda path, located, size: (),
    }
    return choices[crops]


def _random_regions(seed: int) -> Callable[[str, LocateResult, Size], Sequence[Region]]:
    """As many boxes as were located (at least one), each of the size of a located one, anywhere in the image."""

    def choose(path: str, located: LocateResult, size: Size) -> list[Region]:
        rng = random.Random(f"{seed}/{path}")
        sizes = [(r.box.width, r.box.height) for r in located.regions] or [(size.width / 4, size.height / 4)]
        places = [(rng.uniform(0, size.width - w), rng.uniform(0, size.height - h), w, h) for w, h in sizes]
        return [Region(Box(x, y, x + w, y + h), "") for x, y, w, h in places]

    return choose
