"""Query 2: which parts of the original image are shown again, the question about them, and its reply.

The only place that decides about crops. They are cut at the original's full resolution; how far each one is
enlarged for the model is `vlm/views.py`'s work, for training as for inference. Calls no model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from lte_core.boxes import iou, pad
from lte_core.images import crop as cut_out
from lte_core.inference.checkpoint import Checkpoint, calibrate
from lte_core.schema import Box, Crop, ExamineResult, Region, Size
from lte_core.vlm.base import Query, Question, Reply
from lte_core.vlm.replies import ReplyError, parse_examine


@dataclass(frozen=True)
class CropConfig:
    """The crop rule. All defaults are ours; the paper crops each box and gives no numbers."""

    pad: float = 0.1  # context on every side, as a fraction of the box
    min_side: int = 28  # pixels of the original: one visual token of Qwen2.5-VL, before enlarging
    merge_iou: float = 0.8
    max_crops: int = 8
    max_aspect: int = 100  # how many times the short side the long one may be; Qwen's resizing ends at 200

    def __post_init__(self) -> None:
        if self.pad < 0 or min(self.min_side, self.max_aspect) < 1 or not 0 < self.merge_iou <= 1 or self.max_crops < 0:
            raise ValueError(
                f"expected pad >= 0, min_side and max_aspect >= 1, 0 < merge_iou <= 1, max_crops >= 0, got {self}"
            )


def plan_crops(regions: Sequence[Region], image_wh: Size, config: CropConfig) -> tuple[Crop, ...]:
    """The crops for these regions, each box in whole pixels inside the image.

    They are ordered by the first region that they show. Crops that show nearly the same are merged into
    their union; no two that remain overlap by `merge_iou` or more.
    """
    crops: list[Crop] = []
    for index, region in enumerate(regions):
        crop = Crop(_with_context(region.box, image_wh, config), region.label, (index,))
        while twin := next((other for other in crops if iou(other.box, crop.box) >= config.merge_iou), None):
            crops.remove(twin)
            crop = _merged(twin, crop)
        crops.append(crop)
    return tuple(sorted(crops, key=lambda crop: crop.regions)[: config.max_crops])


def cut_crops(image: Image.Image, crops: Sequence[Crop]) -> tuple[Image.Image, ...]:
    """The pixels of each crop, at the original's resolution."""
    return tuple(cut_out(image, crop.box) for crop in crops)


def examine_question(crops: Sequence[Crop], images: Sequence[Image.Image], checkpoint: Checkpoint) -> Question:
    prompt = checkpoint.prompts.examine_prompt([crop.label for crop in crops])
    return Question(Query.EXAMINE, prompt, tuple(images))


def examine_result(reply: Reply, temperature: float) -> ExamineResult:
    """Read the reply. One that cannot be read gives `problem`, and then there is no final verdict."""
    try:
        read = parse_examine(reply.text)
    except ReplyError as problem:
        return ExamineResult("", None, None, reply.text, str(problem))
    return ExamineResult(read.explanation, read.verdict, calibrate(reply.p_generated, temperature), reply.text)


def _with_context(box: Box, image_wh: Size, config: CropConfig) -> Box:
    """The box with context, at least `min_side` wide and high and no thinner than `max_aspect`, shifted rather than cut
    at the image's border."""
    wide = pad(box, config.pad)
    least_w, least_h = (
        max(config.min_side, math.ceil(min(other, limit) / config.max_aspect))
        for other, limit in ((wide.height, image_wh.height), (wide.width, image_wh.width))
    )
    x1, x2 = _span(wide.x1, wide.x2, least_w, image_wh.width)
    y1, y2 = _span(wide.y1, wide.y2, least_h, image_wh.height)
    return Box(x1, y1, x2, y2)


def _span(low: float, high: float, least: int, limit: int) -> tuple[int, int]:
    """Whole pixels that cover low..high inside 0..limit, at least `least` of them where there are as many."""
    first, last = max(0, math.floor(low)), min(limit, math.ceil(high))
    missing = min(least, limit) - (last - first)
    if missing <= 0:
        return first, last
    first = max(0, min(first - missing // 2, limit - min(least, limit)))
    return first, first + min(least, limit)


def _merged(a: Crop, b: Crop) -> Crop:
    first, second = sorted((a, b), key=lambda crop: crop.regions)
    box = Box(min(a.box.x1, b.box.x1), min(a.box.y1, b.box.y1), max(a.box.x2, b.box.x2), max(a.box.y2, b.box.y2))
    labels = dict.fromkeys(label for crop in (first, second) for label in crop.label.split(" / ") if label)
    return Crop(box, " / ".join(labels), tuple(sorted(a.regions + b.regions)))
