"""How large a picture a model is shown, and in which frame it then states boxes about that picture.

Arithmetic on sizes and model names only; pictures are resized, and replies are read, by the callers.
"""

from __future__ import annotations

import math
import re
from typing import NamedTuple

from lte_core.schema import Size

MIN_PIXELS = 56 * 56  # Qwen2.5-VL's own lower limit
MAX_ASPECT = 200  # Qwen's: one side at most this many times the other
RELATIVE_WH = Size(1000, 1000)


class Convention(NamedTuple):
    """How a model family sees: sides in multiples of `factor` pixels, boxes `relative` (0–1000) or in pixels."""

    factor: int
    relative: bool

    def frame_wh(self, shown_wh: Size) -> Size:
        """The frame of the boxes in a reply about a picture that was shown at this size."""
        return RELATIVE_WH if self.relative else shown_wh


QWEN2_5 = Convention(factor=28, relative=False)
QWEN3 = Convention(factor=32, relative=True)


def convention_of(model: str) -> Convention:
    """Qwen3-VL's by a name such as `Qwen/Qwen3-VL-8B-Instruct`; otherwise Qwen2.5-VL's (also lte-nano's)."""
    # Not "qwen-32b", which is a size and not a generation.
    return QWEN3 if re.search(r"qwen[-_.]?3(?!\d)", model.lower()) else QWEN2_5


def smart_resize(size: Size, factor: int, min_pixels: int, max_pixels: int) -> Size:
    """The size at which Qwen-VL sees a picture (transformers' `smart_resize`, here width first).

    Both sides become multiples of `factor`, the area comes between the two limits, the aspect ratio stays
    about the same. Raises ValueError above `MAX_ASPECT`, where Qwen-VL cannot see the picture.
    """
    width, height = size
    if max(size) > MAX_ASPECT * min(size):
        raise ValueError(f"expected a long side of at most {MAX_ASPECT} times the short one, got {width}x{height}")
    w, h = round(width / factor) * factor, round(height / factor) * factor
    if w * h > max_pixels:
        shrink = math.sqrt(height * width / max_pixels)
        w = max(factor, math.floor(width / shrink / factor) * factor)
        h = max(factor, math.floor(height / shrink / factor) * factor)
    elif w * h < min_pixels:
        grow = math.sqrt(min_pixels / (height * width))
        w = math.ceil(width * grow / factor) * factor
        h = math.ceil(height * grow / factor) * factor
    return Size(w, h)
