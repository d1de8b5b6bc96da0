"""Arithmetic on boxes: the one implementation that rewards, metrics, purification and the page share.

All functions are pure. Boxes are `xyxy`, half-open.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from lte_core.schema import Box, Size


def iou(a: Box, b: Box) -> float:
    """Intersection over union, in [0, 1]."""
    width = min(a.x2, b.x2) - max(a.x1, b.x1)
    height = min(a.y2, b.y2) - max(a.y1, b.y1)
    if width <= 0 or height <= 0:
        return 0.0
    intersection = width * height
    union = a.area + b.area - intersection
    return min(1.0, intersection / union) if union > 0 else 0.0  # areas below the smallest float are none


def mean_best_iou(reference: Sequence[Box], predicted: Sequence[Box]) -> float:
    """Mean over reference boxes of the best IoU with any predicted box, in [0, 1] (LTE, R_IoU).

    0 when there are reference boxes and no prediction. Raises ValueError without reference boxes: the
    mean is then undefined, and a silent 0 or 1 would move an average.
    """
    if not reference:
        raise ValueError("expected at least one reference box")
    return sum(max((iou(r, p) for p in predicted), default=0.0) for r in reference) / len(reference)


class Pair(NamedTuple):
    """Two boxes that belong together: their places in their lists, and their IoU."""

    first: int
    second: int
    iou: float


def match(first: Sequence[Box], second: Sequence[Box], min_iou: float = 0.0) -> list[Pair]:
    """Pair boxes one to one so that the sum of their IoUs is largest; no overlap, or less than `min_iou`, is no pair.

    By the Hungarian algorithm: greedy matching would let one box take another's only partner.
    """
    overlaps = [[iou(a, b) for b in second] for a in first]
    if min(len(first), len(second)) <= 1:  # the common case needs no algorithm: the best partner of the only box
        pairs = [Pair(i, j, value) for i, row in enumerate(overlaps) for j, value in enumerate(row)]
        found = [max(pairs, key=lambda pair: pair.iou)] if pairs else []
    else:
        from scipy.optimize import linear_sum_assignment

        places = zip(*linear_sum_assignment(overlaps, maximize=True), strict=True)
        found = [Pair(int(i), int(j), overlaps[i][j]) for i, j in places]
    return [pair for pair in found if pair.iou > 0 and pair.iou >= min_iou]


def area_fraction(box: Box, size: Size) -> float:
    """The share of the image that the box covers, in [0, 1]; the part outside the image does not count."""
    inside = clip(box, size)
    return 0.0 if inside is None else inside.area / (size.width * size.height)


def clip(box: Box, size: Size) -> Box | None:
    """The part of the box inside `[0, width) x [0, height)`, or None when nothing is left."""
    x1, y1 = max(box.x1, 0.0), max(box.y1, 0.0)
    x2, y2 = min(box.x2, float(size.width)), min(box.y2, float(size.height))
    return Box(x1, y1, x2, y2) if x1 < x2 and y1 < y2 else None


def rescale(box: Box, from_wh: Size, to_wh: Size) -> Box:
    """The same area in a frame of another size, such as a model's resized view."""
    sx, sy = to_wh.width / from_wh.width, to_wh.height / from_wh.height
    return Box(box.x1 * sx, box.y1 * sy, box.x2 * sx, box.y2 * sy)


def pad(box: Box, fraction: float) -> Box:
    """The box grown on every side by a fraction of its own width and height."""
    dx, dy = box.width * fraction, box.height * fraction
    return Box(box.x1 - dx, box.y1 - dy, box.x2 + dx, box.y2 + dy)
