"""The only door for image bytes: a path or bytes go in, upright 8-bit sRGB pixels and a content hash come out.

What cannot be decoded safely is refused with an ImageError, whose message is for the person who chose the
file; nothing else comes out, and nothing is printed. Judges nothing, and reads no provenance (`provenance.py`).
"""

from __future__ import annotations

import base64
import hashlib
import io
import math
import stat
import struct
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, cast

import numpy as np
from PIL import Image, ImageCms, ImageFile

from lte_core.boxes import clip
from lte_core.containers import DAMAGED, Container, Directory, ImageError, unpack
from lte_core.schema import Box, ImageInfo, Size

__all__ = [
    "ImageError",
    "ImageLimits",
    "Measured",
    "SourceImage",
    "crop",
    "measure_image",
    "read_image",
    "to_data_url",
]


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """What is accepted; all of it is checked before any pixel is decoded.

    `min_side` and `max_aspect` keep clear of pictures in which a vision-language model sees nothing, or which
    it refuses (Qwen's smart_resize: above 200:1).
    """

    max_bytes: int = 25 * 2**20
    max_pixels: int = 50_000_000
    min_side: int = 16
    max_aspect: int = 100


DEFAULT_LIMITS = ImageLimits()


@dataclass(frozen=True, slots=True)
class SourceImage:
    """A picture that was let in.

    `pixels` is RGB in sRGB, upright (EXIF orientation applied), with transparent parts on white. `data` is the
    file as it came, `sha256` is of that, and `format` is what it holds: JPEG, PNG, WEBP, AVIF, TIFF or GIF.
    """

    pixels: Image.Image
    sha256: str
    format: str
    data: bytes = field(repr=False)

    def info(self, path: str | Path) -> ImageInfo:
        """The record of this picture under the name that it was given."""
        return ImageInfo(str(path), self.sha256, self.pixels.width, self.pixels.height)


@dataclass(frozen=True, slots=True)
class Measured:
    """A picture file that has not been decoded. `size` is after EXIF transposition, which `turned` says is needed."""

    sha256: str
    format: str
    size: Size
    turned: bool
    data: bytes = field(repr=False)


def measure_image(source: Path | bytes, limits: ImageLimits = DEFAULT_LIMITS) -> Measured:
    """Hash, format and upright size from the file's head: a hundredth of the work of `read_image`.

    Raises ImageError as that does, but pixels that are damaged further on are not noticed.
    """
    data = _bounded(source, limits)
    container = unpack(data)
    with _opened(container, limits) as image:
        _check_shape(Size(*image.size), limits)
        width, height = image.size
        turn = _turn(_exif(container, image))
    size = Size(height, width) if turn in _SIDEWAYS else Size(width, height)
    return Measured(hashlib.sha256(data).hexdigest(), container.format, size, turn is not None, data)


def read_image(source: Path | bytes, limits: ImageLimits = DEFAULT_LIMITS) -> SourceImage:
    """Read a JPEG, PNG, WebP, AVIF, TIFF or GIF picture, told by its content; of several frames the first.

    Raises ImageError and nothing else, also for a path that cannot be read.
    """
    data = _bounded(source, limits)
    container = unpack(data)
    with _opened(container, limits) as image:
        pixels = _decode(image, container, limits)
    return SourceImage(pixels, hashlib.sha256(data).hexdigest(), container.format, data)


def crop(image: Image.Image, box: Box) -> Image.Image:
    """The part of the image inside the box, in whole pixels: every pixel that the box touches.

    Raises ValueError when they do not overlap.
    """
    size = Size(*image.size)
    inside = clip(box, size)
    if inside is None:
        raise ValueError(f"expected a box inside {size.width}x{size.height}, got {box.xyxy}")
    return image.crop((math.floor(inside.x1), math.floor(inside.y1), math.ceil(inside.x2), math.ceil(inside.y2)))


def to_data_url(image: Image.Image, format: Literal["JPEG", "PNG"] = "JPEG", quality: int = 95) -> str:
    """The image as a `data:` URL. `quality` is for JPEG, 1 to 100; PNG is exact."""
    file = io.BytesIO()
    image.save(file, format, quality=quality)
    return f"data:image/{format.lower()};base64,{base64.b64encode(file.getvalue()).decode('ascii')}"


def _bounded(source: Path | bytes, limits: ImageLimits) -> bytes:
    data = source if isinstance(source, bytes) else _read_file(source, limits.max_bytes)
    if len(data) > limits.max_bytes:
        raise ImageError(
            f"The file is larger than {limits.max_bytes / 2**20:g} MB, the most that is accepted. "
            "Choose a smaller one, or save the picture as JPEG."
        )
    return data


def _read_file(path: Path, max_bytes: int) -> bytes:
    """The file, or its first `max_bytes + 1` bytes. A pipe is refused: it may never end, or never begin."""
    try:
        mode = path.stat().st_mode
        if stat.S_ISREG(mode):
            with path.open("rb") as file:
                return file.read(max_bytes + 1)
        wrong = "is a folder" if stat.S_ISDIR(mode) else "is a device or a pipe"
    except FileNotFoundError:
        wrong = "does not exist"
    except OSError as problem:
        wrong = f"cannot be read ({problem.strerror})"
    except ValueError:  # a null character
        wrong = "cannot be the name of a file"
    raise ImageError(f"{str(path)!r} {wrong}. Name a picture that can be read.")


# One at a time, so that the memory of the whole process stays bounded; and catch_warnings needs it.
_ONE_AT_A_TIME = threading.Lock()

# What Pillow's decoders raise for hostile bytes, by fuzzing: most the first three, AVIF the next two. The
# second line is by reading: what parsers of headers raise at an early end.
_DECODER_ERRORS = (
    *(OSError, SyntaxError, ValueError, RuntimeError, ArithmeticError),
    *(EOFError, IndexError, KeyError, TypeError, struct.error),
)


@contextmanager
def _opened(container: Container, limits: ImageLimits) -> Iterator[ImageFile.ImageFile]:
    """The picture in Pillow's hands, not decoded yet. Whatever goes wrong in the block becomes an ImageError."""
    try:
        with _ONE_AT_A_TIME, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(container.pixels), formats=[container.format]) as image:
                yield image
    except ImageError:
        raise
    except (Image.DecompressionBombError, MemoryError) as problem:
        raise ImageError(_TOO_LARGE.format("The picture has", limits.max_pixels / 1e6)) from problem
    except _DECODER_ERRORS as problem:
        raise ImageError(DAMAGED.format(container.format)) from problem


def _decode(image: ImageFile.ImageFile, container: Container, limits: ImageLimits) -> Image.Image:
    _check_shape(Size(*image.size), limits)
    _check_work(image, container.format)
    image.load()
    icc = container.icc or image.info.get("icc_profile")
    return _upright(_to_srgb(_flatten(image), icc), _exif(container, image))


def _exif(container: Container, image: Image.Image) -> bytes:
    found: bytes = container.exif or image.info.get("exif", b"").removeprefix(b"Exif\0\0")
    return found


_TOO_LARGE = "{} more than {:g} megapixels, the most that is accepted. Scale it down and choose it again."


def _check_shape(size: Size, limits: ImageLimits) -> None:
    width, height = size
    shape = f"The picture has {width} × {height} pixels:"
    if width * height > limits.max_pixels:
        raise ImageError(_TOO_LARGE.format(shape, limits.max_pixels / 1e6))
    if min(size) < limits.min_side:
        raise ImageError(
            f"{shape} too small to examine. Choose one with at least {limits.min_side} pixels on each side."
        )
    if max(size) > limits.max_aspect * min(size):
        raise ImageError(
            f"{shape} a strip longer than {limits.max_aspect}:1 cannot be examined. Cut out the part that matters."
        )


def _check_work(image: ImageFile.ImageFile, format: str) -> None:
    """Refuse a TIFF whose strips cover the picture over and over: hours of decoding in a small file.

    Each of at most six samples may have strips of its own.
    """
    covered = sum((t.extents[2] - t.extents[0]) * (t.extents[3] - t.extents[1]) for t in image.tile if t.extents)
    if covered > 6 * image.width * image.height:
        raise ImageError(DAMAGED.format(format))


def _flatten(image: Image.Image) -> Image.Image:
    """The picture as 8-bit L, RGB, CMYK or LAB, without transparency."""
    if image.mode == "P" and image.palette is None:
        raise ValueError("expected a palette")
    if image.mode.startswith("I;16"):  # Pillow's own conversion clips at 255
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        return _stretch(image)
    if image.has_transparency_data:
        # White is what pages and viewers show behind a picture, so it is what the visitor saw.
        opaque = image.convert("RGBA")
        flat = Image.new("RGB", image.size, "white")
        flat.paste(opaque, mask=opaque.getchannel("A"))
        return flat
    if image.mode == "1":
        return image.convert("L")
    return image if image.mode in ("L", "RGB", "CMYK", "LAB") else image.convert("RGB")


def _stretch(image: Image.Image) -> Image.Image:
    """32-bit grey, which declares no range: floats inside [0, 1] keep that one, others go from least to most."""
    low, high = cast(tuple[float, float], image.getextrema())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ImageError("The picture holds values that are not numbers. Save it as an 8-bit PNG or JPEG.")
    if image.mode == "F" and low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    scale = 255 / ((high - low) or 1)
    return image.point(lambda value: value * scale - low * scale).convert("L")


_SRGB = ImageCms.createProfile("sRGB")
_MODE_OF_SPACE = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK", "Lab": "LAB"}
_MAX_ICC = 4 * 2**20


def _to_srgb(image: Image.Image, icc: object) -> Image.Image:
    """RGB in sRGB. A profile that is broken, or of other channels than the picture's, is ignored."""
    try:
        if image.mode == "LAB":
            profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
        elif isinstance(icc, bytes) and 0 < len(icc) <= _MAX_ICC:
            profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        else:
            return image.convert("RGB")
        mode = _MODE_OF_SPACE.get(profile.profile.xcolor_space.strip())
        if image.mode == "L" and mode == "RGB":
            image = image.convert("RGB")
        if image.mode != mode:
            return image.convert("RGB")
        converted = ImageCms.profileToProfile(image, profile, _SRGB, outputMode="RGB")
        assert converted is not None
        return converted
    except (ImageCms.PyCMSError, OSError, UnicodeDecodeError):  # the last for a damaged name of the channels
        return image.convert("RGB")


_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = {_UPRIGHT[number] for number in (5, 6, 7, 8)}
_ORIENTATION = 0x0112


def _turn(exif: bytes) -> Image.Transpose | None:
    return _UPRIGHT.get(Directory(exif).number(_ORIENTATION) or 1)


def _upright(image: Image.Image, exif: bytes) -> Image.Image:
    turn = _turn(exif)
    return image if turn is None else image.transpose(turn)
