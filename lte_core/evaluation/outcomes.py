"""A line of `predictions.jsonl` as the outcome that is scored: how its boxes and words fit the sample's.

A line is a detection's record with the sample's truth in front (`predict.py`). Loads no model.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lte_core.boxes import match, mean_best_iou
from lte_core.evaluation.metrics import Outcome
from lte_core.inference.detector import Failure
from lte_core.inference.report import from_json
from lte_core.schema import Box, Detection, Region, Size, TraceSample, Verdict
from lte_core.text_metrics import bleu, rouge_l

MIN_IOU = 0.5  # of a box that counts as found
_GRID = 256  # cells a side at most, in which the union of boxes is measured


class PredictionsError(ValueError):
    """A file that holds no predictions; the message names the line and what was expected."""


class Truth(NamedTuple):
    """What a line says about its sample."""

    id: str
    label: Verdict
    regions: tuple[Region, ...]
    explanation: str
    source: str
    generator: str | None
    group: str | None
    sha256: str


def read_predictions(path: Path, bad: list[str] | None = None) -> Iterator[tuple[Truth, Detection | Failure]]:
    """The lines of a file in order.

    A line that is no prediction is told in `bad` and passed over; without such a list it raises PredictionsError.
    """
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                record = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
                read = _truth(record["sample"]), _sound(from_json(record))
            except (ValueError, KeyError, TypeError, RecursionError) as problem:
                told = f"{path}, line {number}: expected a prediction as eval predict writes it ({problem})"
                if bad is None:
                    raise PredictionsError(told) from problem
                bad.append(told)
                continue
            yield read


def detections(path: Path) -> dict[str, Detection]:
    """Those of a file by their samples' ids; failures and lines that are none are not among them."""
    read = read_predictions(path, [])
    return {truth.id: result for truth, result in read if isinstance(result, Detection)}


def outcome(truth: Truth, result: Detection | Failure) -> Outcome:
    """How the result fits. An image that failed has no verdicts, which counts as wrong."""
    annotated = [region.box for region in truth.regions]
    about: dict[str, Any] = {
        "id": truth.id,
        "source": truth.source,
        "generator": truth.generator,
        "group": truth.group,
        "sha256": truth.sha256,
        "annotated": len(annotated),
    }
    if isinstance(result, Failure):
        none = 0.0 if annotated else None
        words = 0.0 if truth.explanation else None
        return Outcome(truth.label, None, None, none, pixel_iou=none, bleu1=words, bleu2=words, rouge_l=words, **about)
    located = [region.box for region in result.locate.regions]
    said, told = result.examine.explanation, truth.explanation
    return Outcome(
        truth.label,
        result.locate.verdict,
        result.verdict,
        mean_best_iou(annotated, located) if annotated else None,
        p_generated=result.p_generated,
        pixel_iou=union_iou(annotated, located, result.image.size) if annotated else None,
        hits=len(match(annotated, located, MIN_IOU)),
        boxes=len(located),
        bleu1=bleu(said, told, 1) if told else None,
        bleu2=bleu(said, told, 2) if told else None,
        rouge_l=rouge_l(said, told) if told else None,
        seconds=result.timings_s.get("total"),
        **about,
    )


def without(one: Outcome, *, boxes: bool, words: bool) -> Outcome:
    """The outcome less what its mode never gives: no boxes are asked for is not the same as none were found."""
    if not boxes:
        one = replace(one, iou=None, pixel_iou=None, hits=0, boxes=None, annotated=0)
    return one if words else replace(one, bleu1=None, bleu2=None, rouge_l=None)


def union_iou(a: Sequence[Box], b: Sequence[Box], size: Size) -> float:
    """IoU of two unions of boxes, in [0, 1], on a grid of up to 256 cells a side: LEGION's and FakeShield's pixel IoU,
    with boxes for masks."""
    ours, theirs = (_mask(boxes, size) for boxes in (a, b))
    union = float((ours | theirs).sum())
    return float((ours & theirs).sum()) / union if union else 0.0


def _mask(boxes: Sequence[Box], size: Size) -> np.ndarray[Any, Any]:
    wide, high = (min(_GRID, side) for side in size)
    mask = np.zeros((high, wide), dtype=bool)
    for box in boxes:
        x1, x2 = (round(v * wide / size.width) for v in (box.x1, box.x2))
        y1, y2 = (round(v * high / size.height) for v in (box.y1, box.y2))
        mask[max(0, y1) : max(y2, y1 + 1), max(0, x1) : max(x2, x1 + 1)] = True
    return mask


def truth_of(sample: TraceSample) -> Truth:
    """What a prediction's line keeps of its sample; the group is the one that the sample's annotation names."""
    group = sample.annotation.get("group")
    return Truth(
        sample.id, sample.label, sample.regions, sample.explanation, sample.source, sample.generator,
        group if isinstance(group, str) else None, sample.sha256,
    )  # fmt: skip


def truth_record(truth: Truth) -> dict[str, Any]:
    """As `_truth` reads it."""
    regions = [{"bbox": list(region.box.xyxy), "label": region.label} for region in truth.regions]
    return {**truth._asdict(), "regions": regions}


def _sound(result: Detection | Failure) -> Detection | Failure:
    """The same, if its figures and texts are some. Raises ValueError."""
    if isinstance(result, Failure):
        return result
    for answer in (result.locate, result.examine):
        p = answer.p_generated
        if not isinstance(answer.explanation, str):
            raise ValueError(f"expected a text as the explanation, got {answer.explanation!r}")
        if p is not None and not (isinstance(p, int | float) and 0 <= p <= 1):
            raise ValueError(f"expected p_generated in [0, 1], got {p!r}")
    if not all(isinstance(side, int) and side > 0 for side in result.image.size):
        raise ValueError(f"expected a positive size, got {result.image.size}")
    if not all(isinstance(seconds, int | float) for seconds in result.timings_s.values()):
        raise ValueError("expected seconds in timings_s")
    return result


def _text(record: Mapping[str, Any], name: str, default: str | None = "") -> Any:
    value = record.get(name, default)
    if not (isinstance(value, str) or value is default is None):
        raise ValueError(f"expected a text at {name!r}, got {value!r}")
    return value


def _truth(record: Mapping[str, Any]) -> Truth:
    regions = tuple(Region(Box(*region["bbox"]), region["label"]) for region in record["regions"])
    return Truth(
        _text(record, "id", "?"), Verdict(record["label"]), regions, _text(record, "explanation"),
        _text(record, "source"), _text(record, "generator", None), _text(record, "group", None),
        _text(record, "sha256"),
    )  # fmt: skip
