"""Every kind of picture in, upright sRGB or a helpful refusal out."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import struct
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lte_core.images import ImageError, ImageLimits, crop, measure_image, read_image, to_data_url
from lte_core.schema import Box, ImageInfo
from tests.pictures import (
    DECODED,
    QUARTERS,
    SWAPPED,
    Colour,
    encode,
    far_apart,
    png,
    png_chunk,
    quarters_of,
    scene,
    tiff,
)


@pytest.mark.parametrize(("data", "format", "expected"), DECODED.values(), ids=DECODED)
def test_pictures_are_decoded_right(data: bytes, format: str, expected: Sequence[Colour]) -> None:
    image = read_image(data)
    assert image.format == format
    assert (image.pixels.mode, image.pixels.size) == ("RGB", (64, 48))
    assert far_apart(quarters_of(image.pixels), expected) <= 10
    assert image.data == data
    assert image.sha256 == hashlib.sha256(data).hexdigest()
    measured = measure_image(data)
    assert (measured.sha256, measured.format, measured.size) == (image.sha256, format, (64, 48))


@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_an_embedded_profile_is_applied(format: str) -> None:
    options: dict[str, Any] = {"quality": 95} if format in ("JPEG", "WEBP") else {}
    got = quarters_of(read_image(encode(scene(), format, icc_profile=SWAPPED, **options)).pixels)
    red, green = got[0], got[1]
    assert red[1] > 150 > red[0], f"a red that is to be shown as green came out as {red}"
    assert green[0] > 110 > green[1], f"a green that is to be shown as red came out as {green}"


STORED_AS = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.mark.parametrize("format", ["JPEG", "MPO", "PNG", "WEBP", "AVIF", "TIFF"])
@pytest.mark.parametrize("orientation", STORED_AS)
def test_rotated_pictures_stand_upright(format: str, orientation: int) -> None:
    turn = STORED_AS[orientation]
    stored = scene() if turn is None else scene().transpose(turn)
    exif = Image.Exif()
    exif[0x0112] = orientation
    options: dict[str, Any] = {"JPEG": {"quality": 95}, "MPO": {"quality": 95}, "AVIF": {"speed": 10}}.get(format, {})
    data = encode(stored, format, exif=exif.tobytes(), **options)
    image = read_image(data)
    assert image.pixels.size == measure_image(data).size == (64, 48)
    assert far_apart(quarters_of(image.pixels), QUARTERS) <= 16


@given(exif=st.binary(max_size=300), start=st.sampled_from([b"", b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08"]))
@settings(deadline=None, max_examples=60)
def test_broken_exif_does_not_stop_a_picture(exif: bytes, start: bytes) -> None:
    body = b"Exif\0\0" + start + exif
    jpeg = encode(scene(), "JPEG")
    assert read_image(jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + jpeg[2:]).format == "JPEG"
    whole = encode(scene(), "PNG")
    assert read_image(whole[:33] + png_chunk(b"eXIf", start + exif) + whole[33:]).format == "PNG"


def cut(name: str) -> bytes:
    data = DECODED[name][0]
    return data[: len(data) * 3 // 5]


def brands(*names: bytes) -> bytes:
    return struct.pack(">I", 12 + 4 * len(names)) + b"ftyp" + names[0] + b"\0\0\0\0" + b"".join(names[1:]) + b"\0" * 99


RAW = tiff({254: [1], 256: [64], 257: [48], 258: [8], 259: [1], 262: [1], 279: [3072]}, b"\0" * 3072)
NOT_FINITE = Image.fromarray(np.full((48, 64), np.nan, np.float32))
REFUSED: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "file is empty"),
    "text": (b"hello, is this a picture?", "not a picture that can be read"),
    "one byte": (b"\xff", "not a picture"),
    "html": (b"\n<!DOCTYPE html><html><body><svg></svg>", "web page"),
    "html after a comment": (b"\xef\xbb\xbf<!-- saved --> <!-- from -->\n<HTML><svg></svg>", "web page"),
    "xhtml": (b'<?xml version="1.0"?>\n<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN">', "web page"),
    "html without a head": (b"<meta charset=utf-8><p>hello", "web page"),
    "comments without an end": (b"<!--" + b"--><!--" * 600, "not a picture that can be read"),
    "svg after much": (b"<?xml?><!--" + b"x" * 3000 + b"--><!DOCTYPE svg PUBLIC 'x'>\n<svg>", "SVG drawing"),
    "svg": (b'<?xml version="1.0"?>\n<!-- made by hand -->\n<svg xmlns="http://www.w3.org/2000/svg">', "SVG drawing"),
    "pdf": (b"%PDF-1.7\n%\xe2\xe3", "PDF document"),
    "pdf after other bytes": (b"\xef\xbb\xbf\r\n%PDF-1.7", "PDF document"),
    "targa": (b"\0\0\2\0" + b"\0" * 60, "not a picture that can be read"),
    "zip": (b"PK\3\4\x14\0", "ZIP archive"),
    "gzip": (b"\x1f\x8b\x08\0", "archive"),
    "heic": (brands(b"heic", b"mif1", b"heic"), "HEIC photo"),
    "heif of another brand": (brands(b"mif1", b"heic"), "HEIC photo"),
    "mp4": (brands(b"isom", b"mp41"), "video"),
    "jpeg xl": (b"\xff\x0a\0\0", "JPEG XL"),
    "jpeg 2000": (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
    "photoshop": (b"8BPS\0\1", "Photoshop"),
    "bmp": (encode(scene(), "BMP"), "BMP"),
    "icon": (encode(scene(), "ICO"), "icon"),
    "camera raw": (RAW, "camera's raw file"),
    **{
        f"{name} cut short": (cut(name), "damaged or cut short")
        for name in ("jpeg", "jpeg progressive", "png", "webp", "avif", "gif", "tiff raw", "tiff tiff_lzw")
    },
    "jpeg head alone": (DECODED["jpeg"][0][:30], "damaged or cut short"),
    "png signature alone": (DECODED["png"][0][:8], "damaged or cut short"),
    "tiff signature alone": (b"II*\0", "damaged or cut short"),
    "palette missing": (png(64, 48, 8, 3, b"\0" * 65 * 48), "damaged"),
    "1 x 1": (encode(scene((1, 1)), "PNG"), "1 × 1 pixels: too small"),
    "thin": (encode(scene((15, 400)), "PNG"), "at least 16 pixels on each side"),
    "strip": (encode(scene((1700, 16)), "PNG"), "longer than 100:1"),
    "51 megapixels": (png(7200, 7200, 8, 2, b""), "7200 × 7200 pixels: more than 50 megapixels"),
    "90 megapixels": (png(10_000, 10_000, 8, 2, b""), "more than 50 megapixels"),
    "4 gigapixels": (png(65_000, 65_000, 8, 2, b""), "more than 50 megapixels"),
    "float without numbers": (encode(NOT_FINITE, "TIFF"), "not numbers"),
    "tiff lzma": (encode(scene(), "TIFF", compression="lzma"), "packed in an unusual way"),
}


@pytest.mark.parametrize(("data", "sentence"), REFUSED.values(), ids=REFUSED)
def test_refusals_say_what_to_do(data: bytes, sentence: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Pillow's warnings must not reach the visitor either
        with pytest.raises(ImageError) as refused:
            read_image(data)
    message = str(refused.value)
    assert sentence in message
    assert message.endswith(".")
    assert any(word in message for word in ("Choose", "choose", "Save", "Export", "Cut", "Scale")), message


def test_limits_can_be_set() -> None:
    data = encode(scene(), "PNG")
    with pytest.raises(ImageError, match=r"larger than 0[.]0001"):
        read_image(data, ImageLimits(max_bytes=105))
    with pytest.raises(ImageError, match=r"more than 0[.]003 megapixels"):
        read_image(data, ImageLimits(max_pixels=3000))
    tiny = encode(scene((4, 4)), "PNG")
    assert read_image(tiny, ImageLimits(min_side=4)).pixels.size == (4, 4)


def test_a_path_is_told_by_content_and_not_by_name(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(DECODED["jpeg"][0])
    image = read_image(path)
    assert image.format == "JPEG"
    assert image.info(path) == ImageInfo(str(path), image.sha256, 64, 48)


def fifo(folder: Path) -> Path:
    os.mkfifo(folder / "pipe")
    return folder / "pipe"


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        pytest.param(lambda folder: folder, "is a folder", id="folder"),
        pytest.param(lambda folder: folder / "none.jpg", "does not exist", id="missing"),
        pytest.param(lambda folder: folder / ("x" * 300), "cannot be read", id="name too long"),
        pytest.param(lambda folder: folder / "a\0b", "cannot be the name", id="null character"),
        pytest.param(fifo, "device or a pipe", id="pipe", marks=pytest.mark.skipif(os.name == "nt", reason="no pipes")),
    ],
)
def test_unreadable_paths_are_refused(tmp_path: Path, make: Callable[[Path], Path], sentence: str) -> None:
    with pytest.raises(ImageError, match=sentence):
        read_image(make(tmp_path))


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        pytest.param(Box(0, 0, 64, 48), (64, 48), id="all of it"),
        pytest.param(Box(10.4, 10.6, 20.2, 12.1), (11, 3), id="every pixel it touches"),
        pytest.param(Box(-50, -50, 8, 4), (8, 4), id="clipped"),
        pytest.param(Box(63.99, 0, 900, 0.01), (1, 1), id="never empty"),
    ],
)
def test_crop(box: Box, expected: tuple[int, int]) -> None:
    assert crop(scene(), box).size == expected


def test_a_crop_needs_a_box_inside_the_image() -> None:
    with pytest.raises(ValueError, match="expected a box inside 64x48"):
        crop(scene(), Box(100, 100, 120, 120))


def test_a_data_url_holds_the_image() -> None:
    head, _, body = to_data_url(scene(), "PNG").partition(",")
    assert head == "data:image/png;base64"
    with Image.open(io.BytesIO(base64.b64decode(body))) as image:
        assert image.tobytes() == scene().tobytes()
    assert to_data_url(scene()).startswith("data:image/jpeg;base64,/9j/")
    assert len(to_data_url(scene(), quality=20)) < len(to_data_url(scene(), quality=95))
