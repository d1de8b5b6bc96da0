"""What may happen to an image on its way: re-encoding, scaling, blur, noise, cropping, a screenshot. Pure.

Each level changes both classes alike, so that no format tells the label ("matched compression"): detectors have been
seen to fall from all to none by one re-encoding. Boxes go along.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageFilter

from lte_core.boxes import clip
from lte_core.images import ImageError, SourceImage, read_image
from lte_core.schema import Box, Region, Size, TraceSample


def _stay(box: Box, size: Size, value: float) -> Box:
    return box


@dataclass(frozen=True)
class Kind:
    """A kind of change with its levels, the mildest first. `change` gives the new file; `move` takes a box along, given
    the image's size before."""

    change: Callable[[Image.Image, float], bytes]
    values: tuple[float, ...]
    move: Callable[[Box, Size, float], Box] = _stay


@dataclass(frozen=True)
class Level:
    """One step of one kind of change."""

    kind: str
    value: float

    @property
    def name(self) -> str:
        return f"{self.kind} {self.value:g}" if self.value else self.kind


def _encode(image: Image.Image, format: str, **options: int) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def _png(image: Image.Image, value: float = 0) -> bytes:
    return _encode(image, "PNG", compress_level=1)


def _jpeg(image: Image.Image, quality: float) -> bytes:
    return _encode(image, "JPEG", quality=int(quality))


def _webp(image: Image.Image, quality: float) -> bytes:
    return _encode(image, "WEBP", quality=int(quality))


def _sides(image: Image.Image, factor: float) -> tuple[int, int]:
    return max(16, round(image.width * factor)), max(16, round(image.height * factor))


def _resized(image: Image.Image, factor: float) -> bytes:
    return _png(image.resize(_sides(image, factor), Image.Resampling.BICUBIC))


def _blurred(image: Image.Image, sigma: float) -> bytes:
    return _png(image.filter(ImageFilter.GaussianBlur(sigma)))


def _noisy(image: Image.Image, sigma: float) -> bytes:
    pixels = np.asarray(image, dtype=np.float32)
    noise = np.random.default_rng(0).normal(0, sigma, pixels.shape)
    return _png(Image.fromarray(np.clip(pixels + noise, 0, 255).astype(np.uint8)))


def _cut(size: Size, share: float) -> tuple[int, int]:
    return round(size.width * (1 - share) / 2), round(size.height * (1 - share) / 2)


def _middle(image: Image.Image, share: float) -> bytes:
    x, y = _cut(Size(*image.size), share)
    return _png(image.crop((x, y, image.width - x, image.height - y)))


def _screenshot(image: Image.Image, factor: float) -> bytes:
    """Shown smaller on a screen, captured, and sent by a messenger."""
    return _encode(image.resize(_sides(image, factor), Image.Resampling.BILINEAR), "JPEG", quality=80)


def _scale(box: Box, size: Size, factor: float) -> Box:
    return Box(*(v * factor for v in box.xyxy))


def _shift(box: Box, size: Size, share: float) -> Box:
    x, y = _cut(size, share)
    return Box(box.x1 - x, box.y1 - y, box.x2 - x, box.y2 - y)


KINDS: Mapping[str, Kind] = {
    "metadata stripped": Kind(_png, (0,)),
    "JPEG": Kind(_jpeg, (100, 90, 70, 50, 30)),
    "WebP": Kind(_webp, (90, 50)),
    "resize": Kind(_resized, (1.5, 0.75, 0.5), _scale),
    "blur": Kind(_blurred, (0.5, 1, 2, 4)),
    "noise": Kind(_noisy, (5, 15, 30)),
    "crop": Kind(_middle, (0.9, 0.7), _shift),
    "screenshot": Kind(_screenshot, (0.6,), _scale),
}
LEVELS = tuple(Level(name, value) for name, kind in KINDS.items() for value in kind.values)


def changed(source: SourceImage, level: Level) -> SourceImage:
    """The image after the change, read as any other: its hash is that of the new bytes. Raises ImageError."""
    try:
        return read_image(KINDS[level.kind].change(source.pixels, level.value))
    except (ValueError, OSError) as problem:  # too wide for the format, or too small after it
        raise ImageError(f"{level.name} cannot be made of this picture: {problem}") from problem


def moved(sample: TraceSample, level: Level, size: Size) -> TraceSample:
    """The sample for the changed image of this size: boxes go along, and those that are cut away go."""
    before, move = Size(sample.width, sample.height), KINDS[level.kind].move
    boxes = ((clip(move(region.box, before, level.value), size), region.label) for region in sample.regions)
    regions = tuple(Region(box, label) for box, label in boxes if box is not None)
    return replace(sample, width=size.width, height=size.height, regions=regions)
