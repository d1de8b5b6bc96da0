"""The size at which a model is shown the image and each crop, and the resizing itself.

Training, the local model and the client of a server all go through here, so that what was taught is what is shown.
"""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image

from lte_core.schema import Size
from lte_core.vlm.frames import QWEN2_5, smart_resize


@dataclass(frozen=True)
class Views:
    """Pixel budgets of the image and of a crop, or fixed sizes.

    A fixed size stretches the picture to it; without one, Qwen's own rule picks a size within the budget. A crop's
    lower limit is what makes it a magnifying glass: a small cut-out is enlarged until it has that many pixels.
    """

    max_pixels: int = 1280 * 28 * 28
    min_pixels: int = 56 * 56
    crop_max_pixels: int = 256 * 28 * 28
    crop_min_pixels: int = 128 * 28 * 28
    image_wh: Size | None = None
    crop_wh: Size | None = None

    def size(self, original_wh: Size, *, crop: bool = False, factor: int = QWEN2_5.factor) -> Size:
        """The shown size; both sides are multiples of `factor`."""
        fixed = self.crop_wh if crop else self.image_wh
        low, high = (self.crop_min_pixels, self.crop_max_pixels) if crop else (self.min_pixels, self.max_pixels)
        return fixed or smart_resize(original_wh, factor, low, high)

    def show(self, image: Image.Image, *, crop: bool = False, factor: int = QWEN2_5.factor) -> Image.Image:
        """The picture as the model is shown it."""
        size = self.size(Size(*image.size), crop=crop, factor=factor)
        return image if image.size == size else image.resize(size, Image.Resampling.BICUBIC)
