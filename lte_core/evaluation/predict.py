"""A detector over labelled samples: one prediction a sample, before anything is scored.

What Examine is shown can be swapped: the located regions, the annotated ones, random ones, or none. Scores nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lte_core.evaluation.metrics import Outcome
from lte_core.evaluation.modes import Mode
from lte_core.evaluation.outcomes import outcome, truth_of, truth_record
from lte_core.images import ImageError, SourceImage, read_image
from lte_core.inference.crop_sources import CropSource, choose
from lte_core.inference.detector import Failure, FirstLook, LocateThenExamine
from lte_core.inference.prompts import PLAIN
from lte_core.inference.report import to_json
from lte_core.schema import Detection, TraceSample
from lte_core.vlm.base import Query

Change = Callable[[TraceSample, SourceImage], tuple[TraceSample, SourceImage]]


@dataclass(frozen=True, slots=True)
class Prediction:
    """One sample and what the detector made of it."""

    sample: TraceSample
    result: Detection | Failure

    def outcome(self) -> Outcome:
        """For scoring."""
        return outcome(truth_of(self.sample), self.result)

    def record(self) -> dict[str, Any]:
        """One line of `predictions.jsonl`: the detection's own record, with the sample's truth."""
        return {"sample": truth_record(truth_of(self.sample)), **to_json(self.result)}


def predict(
    detector: LocateThenExamine,
    samples: Sequence[TraceSample],
    root: Path,
    crops: CropSource = CropSource.OWN,
    seed: int = 0,
    mode: Mode = Mode.LTE,
    change: Change = lambda sample, source: (sample, source),
    first_look: FirstLook | None = None,
) -> Iterator[Prediction]:
    """Run the detector over the samples, whose images lie under `root`; one prediction a sample, in order.

    Without the second look (`mode`) there are no crops, whosever were asked for. `change` may put another image in the
    place of each, with the sample that fits it. `first_look` saves asking Query 1 again (`DetectConfig`).
    """
    only = {Mode.SINGLE: Query.LOCATE, Mode.EXPLAIN: Query.EXAMINE, Mode.BASE: Query.EXAMINE}.get(mode)
    config = replace(
        detector.config,
        examine_instead=choose(crops, {sample.id: sample.regions for sample in samples}, seed),
        first_look=first_look,
        only=only,
    )
    checkpoint = detector.checkpoint
    if mode is Mode.BASE:
        checkpoint = replace(checkpoint, prompts=replace(checkpoint.prompts, examine=PLAIN))
    changed = LocateThenExamine(detector.vlm, checkpoint, config)
    shown: dict[str, TraceSample] = {}
    results = changed.detect_many(_open(samples, root, change, shown))
    for sample, result in zip(samples, results, strict=True):
        yield Prediction(shown.pop(sample.id, sample), result)


def _open(samples: Iterable[TraceSample], root: Path, change: Change, shown: dict[str, TraceSample]) -> Iterator[Any]:
    for sample in samples:
        try:
            shown[sample.id], source = change(sample, read_image(root / sample.image))
            yield sample.id, source
        except ImageError as problem:
            yield Failure(sample.id, str(problem))
