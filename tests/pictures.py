"""Small pictures of every kind that is read, as bytes, with what must come out of them; nothing is on disk."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageCms

Colour = tuple[int, int, int]
WHITE = (255, 255, 255)
BLACK = (0, 0, 0)
QUARTERS: list[Colour] = [(200, 40, 40), (40, 160, 60), (40, 60, 200), (220, 220, 220)]
GREYS = [round(0.299 * r + 0.587 * g + 0.114 * b) for r, g, b in QUARTERS]
GREY_QUARTERS: list[Colour] = [(v, v, v) for v in GREYS]


def scene(size: tuple[int, int] = (64, 48), quarters: Sequence[Colour] = QUARTERS) -> Image.Image:
    """Four quarters of different colours: top left, top right, bottom left, bottom right."""
    image = Image.new("RGB", size)
    for i, colour in enumerate(quarters):
        image.paste(colour, (size[0] // 2 * (i % 2), size[1] // 2 * (i // 2), *size))
        if i == 1:
            image.paste(quarters[2], (0, size[1] // 2, *size))
    return image


def quarters_of(image: Image.Image) -> list[Colour]:
    width, height = image.size
    centres = [(width * x // 4, height * y // 4) for y in (1, 3) for x in (1, 3)]
    pixels = image.convert("RGB").load()
    assert pixels is not None
    return [pixels[centre] for centre in centres]  # type: ignore[misc]


def far_apart(got: Sequence[Colour], expected: Sequence[Colour]) -> int:
    return max(abs(a - b) for g, e in zip(got, expected, strict=True) for a, b in zip(g, e, strict=True))


def encode(image: Image.Image, format: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def png_chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(width: int, height: int, depth: int, kind: int, rows: bytes, *extra: bytes) -> bytes:
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0))
    body = png_chunk(b"IDAT", zlib.compress(rows)) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(extra) + body


def png_16_bit(samples: np.ndarray[Any, np.dtype[np.uint8]], kind: int) -> bytes:
    wide = (samples.astype(">u2") * 257).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in wide)
    return png(samples.shape[1], samples.shape[0], 16, kind, rows)


def tiff(tags: Mapping[int, Sequence[int]], data: bytes, order: str = "<", offset_tag: int = 273) -> bytes:
    """A TIFF of one directory: every tag is a list of 32-bit numbers; `offset_tag` points at the data."""
    tags = {**tags, offset_tag: tags.get(offset_tag, [0])}
    start = 8 + 2 + 12 * len(tags) + 4
    lists = {tag: values for tag, values in tags.items() if len(values) > 1}
    data_at = start + sum(4 * len(values) for values in lists.values())
    entries, tail = b"", b""
    for tag, values in sorted(tags.items()):
        values = [data_at] * len(values) if tag == offset_tag else values
        packed = struct.pack(f"{order}{len(values)}I", *values)
        inline = packed if len(values) == 1 else struct.pack(order + "I", start + len(tail))
        entries += struct.pack(order + "HHI", tag, 4, len(values)) + inline
        tail += packed if len(values) > 1 else b""
    head = b"II*\0" if order == "<" else b"MM\0*"
    return head + struct.pack(order + "IH", 8, len(tags)) + entries + b"\0\0\0\0" + tail + data


def tiff_16_bit(order: str) -> bytes:
    data = (np.asarray(scene()).astype(order + "u2") * 257).astype(order + "u2").tobytes()
    tags = {256: [64], 257: [48], 258: [16, 16, 16], 259: [1], 262: [2], 277: [3], 278: [48], 279: [len(data)]}
    return tiff(tags, data, order)


def lab() -> Image.Image:
    image = ImageCms.profileToProfile(
        scene(), ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    assert image is not None
    return image


def with_alpha(mode: str) -> Image.Image:
    """Top left clear, top right half clear."""
    image = scene().convert(mode)
    alpha = Image.new("L", image.size, 255)
    alpha.paste(0, (0, 0, 32, 24))
    alpha.paste(128, (32, 0, 64, 24))
    image.putalpha(alpha)
    return image


def over_white(quarters: Sequence[Colour]) -> list[Colour]:
    return [WHITE, (*(round(v * 128 / 255 + 127) for v in quarters[1]),), *quarters[2:]]  # type: ignore[list-item]


def palette(format: str, clear: bool) -> bytes:
    """Four colours of a palette, the top left one clear or not."""
    image = scene().quantize(4)
    return encode(image, format, **({"transparency": image.getpixel((2, 2))} if clear else {}))


SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
BROKEN = SRGB[:16] + b"\xff" * 4 + SRGB[20:]


def second() -> Image.Image:
    """A second frame, new for each file: Pillow leaves marks on an image that it saves."""
    return scene(quarters=[BLACK] * 4)


def many() -> dict[str, Any]:
    return {"save_all": True, "append_images": [second()], "duration": 100}


# Red and green change places: a profile whose effect cannot be missed.
SWAPPED = SRGB.replace(b"rXYZ", b"....").replace(b"gXYZ", b"rXYZ").replace(b"....", b"gXYZ")
GREY_RAMP = np.asarray(scene().convert("L"))
STRETCHED = [(v - min(GREYS)) * 255 // (max(GREYS) - min(GREYS)) for v in GREYS]
STRETCHED_QUARTERS: list[Colour] = [(v, v, v) for v in STRETCHED]

DECODED: dict[str, tuple[bytes, str, Sequence[Colour]]] = {
    "jpeg": (encode(scene(), "JPEG", quality=95), "JPEG", QUARTERS),
    "jpeg progressive": (encode(scene(), "JPEG", quality=95, progressive=True), "JPEG", QUARTERS),
    "jpeg grey": (encode(scene().convert("L"), "JPEG"), "JPEG", GREY_QUARTERS),
    "jpeg cmyk": (encode(scene().convert("CMYK"), "JPEG", quality=95), "JPEG", QUARTERS),
    "jpeg sRGB profile": (encode(scene(), "JPEG", quality=95, icc_profile=SRGB), "JPEG", QUARTERS),
    "jpeg broken profile": (encode(scene(), "JPEG", quality=95, icc_profile=SRGB[:200]), "JPEG", QUARTERS),
    "jpeg profile of no channels": (encode(scene(), "JPEG", quality=95, icc_profile=BROKEN), "JPEG", QUARTERS),
    "jpeg cmyk, RGB profile": (encode(scene().convert("CMYK"), "JPEG", icc_profile=SRGB), "JPEG", QUARTERS),
    "jpeg grey, RGB profile": (encode(scene().convert("L"), "JPEG", icc_profile=SRGB), "JPEG", GREY_QUARTERS),
    "mpo": (encode(scene(), "MPO", quality=95, save_all=True, append_images=[second()]), "JPEG", QUARTERS),
    "png": (encode(scene(), "PNG"), "PNG", QUARTERS),
    "png broken profile": (encode(scene(), "PNG", icc_profile=b"no profile"), "PNG", QUARTERS),
    "png palette": (palette("PNG", clear=False), "PNG", QUARTERS),
    "png palette, clear colour": (palette("PNG", clear=True), "PNG", [WHITE, *QUARTERS[1:]]),
    "png grey, clear colour": (
        encode(scene().convert("L"), "PNG", transparency=GREYS[0]),
        "PNG",
        [WHITE, *GREY_QUARTERS[1:]],
    ),
    "png 1 bit": (encode(scene().convert("1", dither=Image.Dither.NONE), "PNG"), "PNG", [BLACK, BLACK, BLACK, WHITE]),
    "png rgba": (encode(with_alpha("RGB"), "PNG"), "PNG", over_white(QUARTERS)),
    "png la": (encode(with_alpha("L"), "PNG"), "PNG", over_white(GREY_QUARTERS)),
    "png grey 16 bit": (png_16_bit(GREY_RAMP, 0), "PNG", GREY_QUARTERS),
    "png rgb 16 bit": (png_16_bit(np.asarray(scene()), 2), "PNG", QUARTERS),
    "png rgba 16 bit": (png_16_bit(np.asarray(with_alpha("RGB")), 6), "PNG", over_white(QUARTERS)),
    "png la 16 bit": (png_16_bit(np.asarray(with_alpha("L")), 4), "PNG", over_white(GREY_QUARTERS)),
    "png animated": (encode(scene(), "PNG", **many()), "PNG", QUARTERS),
    "webp": (encode(scene(), "WEBP", quality=95), "WEBP", QUARTERS),
    "webp lossless rgba": (encode(with_alpha("RGB"), "WEBP", lossless=True), "WEBP", over_white(QUARTERS)),
    "webp animated": (encode(scene(), "WEBP", lossless=True, **many()), "WEBP", QUARTERS),
    "avif": (encode(scene(), "AVIF", quality=95, speed=10), "AVIF", QUARTERS),
    "avif rgba": (encode(with_alpha("RGB"), "AVIF", quality=95, speed=10), "AVIF", over_white(QUARTERS)),
    "avif animated": (encode(scene(), "AVIF", quality=95, speed=10, **many()), "AVIF", QUARTERS),
    "gif": (encode(scene(), "GIF"), "GIF", QUARTERS),
    "gif animated": (encode(scene(), "GIF", comment=b"note", loop=0, **many()), "GIF", QUARTERS),
    "gif clear colour": (palette("GIF", clear=True), "GIF", [WHITE, *QUARTERS[1:]]),
    **{
        f"tiff {packing}": (encode(scene(), "TIFF", compression=packing), "TIFF", QUARTERS)
        for packing in ("raw", "tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits", "zstd")
    },
    "tiff fax": (
        encode(scene().convert("1", dither=Image.Dither.NONE), "TIFF", compression="group4"),
        "TIFF",
        [BLACK, BLACK, BLACK, WHITE],
    ),
    "tiff big": (encode(scene(), "TIFF", big_tiff=True), "TIFF", QUARTERS),
    "tiff many": (encode(scene(), "TIFF", save_all=True, append_images=[second()]), "TIFF", QUARTERS),
    "tiff palette": (encode(scene().quantize(4), "TIFF"), "TIFF", QUARTERS),
    "tiff rgba": (encode(with_alpha("RGB"), "TIFF"), "TIFF", over_white(QUARTERS)),
    "tiff la": (encode(with_alpha("L"), "TIFF"), "TIFF", over_white(GREY_QUARTERS)),
    "tiff cmyk": (encode(scene().convert("CMYK"), "TIFF"), "TIFF", QUARTERS),
    "tiff lab": (encode(lab(), "TIFF"), "TIFF", QUARTERS),
    "tiff grey 16 bit": (encode(Image.fromarray(GREY_RAMP.astype(np.uint16) * 257), "TIFF"), "TIFF", GREY_QUARTERS),
    "tiff rgb 16 bit, little-endian": (tiff_16_bit("<"), "TIFF", QUARTERS),
    "tiff rgb 16 bit, big-endian": (tiff_16_bit(">"), "TIFF", QUARTERS),
    "tiff float, 0 to 1": (encode(Image.fromarray(GREY_RAMP.astype(np.float32) / 255), "TIFF"), "TIFF", GREY_QUARTERS),
    "tiff float, any range": (
        encode(Image.fromarray(GREY_RAMP.astype(np.float32) * 1e6 - 5), "TIFF"),
        "TIFF",
        STRETCHED_QUARTERS,
    ),
    "tiff 32 bit": (encode(Image.fromarray(GREY_RAMP.astype(np.int32) * 100_000), "TIFF"), "TIFF", STRETCHED_QUARTERS),
}
