"""Image files as blocks of bytes: in goes a file, out come the blocks that make its pixels.

Decoders read metadata long before anyone asks for it, and there a small file can be made to cost gigabytes
(thousands of EXIF tags that all point at the same bytes) or hours (comments that are joined one by one). So a
decoder gets only what pixels need, and the little metadata that is wanted is read here, within bounds.
Decodes nothing.
"""

from __future__ import annotations

import itertools
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple


class ImageError(ValueError):
    """A file that is refused, in a sentence for the person who chose it: what is wrong, what would do."""


DAMAGED = "The {} picture is damaged or cut short. Save or download it again, or choose another file."
_EXPECTED = "Choose a JPEG, PNG, WebP, AVIF, TIFF or GIF picture."
_EXPORT = "Export it as JPEG or PNG and choose that file."

_PROLOGUE = rb"(?:\xef\xbb\xbf)?(?>\s+|<\?[^>]*>|<!--.*?-->)*+"  # what may come before a document's first tag
_HEAD = 4096  # bytes of it in which a disguise is looked for
_REFUSED: list[tuple[bytes, str]] = [
    (rb"\Z", "The file is empty. Choose another one, or download it again."),
    (rb"\0\0\0\x0cJXL |\xff\x0a", "This is a JPEG XL picture, which cannot be read here. " + _EXPORT),
    (rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51", "This is a JPEG 2000 picture, which cannot be read here. " + _EXPORT),
    (rb"8BPS", "This is a Photoshop document, not a picture that is ready to view. " + _EXPORT),
    (rb"BM.{4}\0\0\0\0", "This is a BMP picture, which cannot be read here. " + _EXPORT),
    (rb"\0\0[\1\2]\0(?!\0\0)", "This is an icon file, not a picture. " + _EXPECTED),
    (
        rb".{0,1000}?%PDF-",
        "This is a PDF document, not a picture. Save the picture in it as JPEG or PNG and choose that.",
    ),
    (rb"PK[\3\5\7]", "This is a ZIP archive or an office document. Unpack the picture first. " + _EXPECTED),
    (rb"\x1f\x8b|Rar!|7z\xbc\xaf|BZh|\xfd7zXZ", "This is an archive. Unpack the picture first. " + _EXPECTED),
    (rb".{4}ftyp(?:hei|hev|mif1|msf1)", "This is an HEIC photo, which cannot be read here. " + _EXPORT),
    (rb".{4}ftyp|\x1aE\xdf\xa3|RIFF.{4}AVI ", "This is a video. Choose a still picture taken from it."),
    (
        _PROLOGUE + rb"<(?i:!doctype html|html|head|body|meta|title|script)\b",
        "This is a web page, not the picture on it. " + _EXPECTED,
    ),
    (
        _PROLOGUE + rb"(?:<!DOCTYPE svg[^>]*>\s*)?<svg\b",
        "This is an SVG drawing, which has no pixels to examine. " + _EXPORT,
    ),
]
_RAW = "This is a camera's raw file: only its small preview could be read. " + _EXPORT


@dataclass(frozen=True, slots=True)
class Container:
    """A picture without what a decoder does not need. `format` is Pillow's name for it.

    `exif` (a TIFF block) and `icc` are empty where the decoder hands them over untouched, or there are none.
    """

    format: str
    pixels: bytes
    exif: bytes = b""
    icc: bytes = b""


_SIGNATURES = [
    ("JPEG", rb"\xff\xd8\xff"),
    ("PNG", rb"\x89PNG\r\n\x1a\n"),
    ("TIFF", rb"II\*\0|MM\0\*|II\+\0|MM\0\+"),
    ("GIF", rb"GIF8[79]a"),
    ("WEBP", rb"RIFF.{4}WEBP"),
    ("AVIF", rb".{4}ftyp(?:.{4}){0,40}?avi[fs]"),
]


def sniff(data: bytes) -> str | None:
    """The format by content, never by a file's name; None for what is not supported."""
    return next((name for name, pattern in _SIGNATURES if re.match(pattern, data, re.DOTALL)), None)


def unpack(data: bytes) -> Container:
    """Take a picture apart.

    Raises ImageError for what is not a supported picture, and for blocks that do not fit together.
    """
    match sniff(data):
        case "JPEG":
            return _unpack_jpeg(data)
        case "PNG":
            return _unpack_png(data)
        case "TIFF":
            return _unpack_tiff(data)
        case "GIF":
            return _unpack_gif(data)
        case "AVIF":
            return Container("AVIF", _AVIF_EXIF.sub(rb"\1none", data))
        case "WEBP":
            return Container("WEBP", data)
    raise _refusal(data)


def _refusal(data: bytes) -> ImageError:
    for pattern, sentence in _REFUSED:
        if re.match(pattern, data[:_HEAD], re.DOTALL):
            return ImageError(sentence)
    return ImageError(f"This file is not a picture that can be read here. {_EXPECTED}")


# JPEG: of the segments before the first scan, these make pixels: frames, tables, and the colour conventions.
_JPEG_KEPT = {*range(0xC0, 0xD0), 0xDB, 0xDC, 0xDD, 0xDE, 0xDF} - {0xC8}
_JPEG_KEPT_APP = {0xE0: b"JFIF\0", 0xE2: b"ICC_PROFILE\0", 0xEE: b"Adobe"}
_JPEG_SCAN = re.compile(rb"\xff\xda(?:\0\x08\x01|\0\x0a\x02|\0\x0c\x03|\0\x0e\x04)")
_MAX_SCANS = 50  # each is a pass over the whole picture; encoders write about 10


def _unpack_jpeg(data: bytes) -> Container:
    kept, exif, at = [b"\xff\xd8"], b"", 2
    while data[at : at + 2] != b"\xff\xda":
        if not data.startswith(b"\xff", at) or data[at + 1 : at + 2] in (b"\xff", b"\0"):
            at = data.find(b"\xff", at + 1)
            if at < 0:
                raise ImageError(DAMAGED.format("JPEG"))
            continue
        marker, length = data[at + 1 : at + 2], int.from_bytes(data[at + 2 : at + 4])
        if b"\xd0" <= marker <= b"\xd8":
            at += 2
            continue
        end = at + 2 + length
        if length < 2 or end > len(data) or marker == b"\xd9":
            raise ImageError(DAMAGED.format("JPEG"))
        body = data[at + 4 : end]
        if marker[0] in _JPEG_KEPT or body.startswith(_JPEG_KEPT_APP.get(marker[0], b"\0none")):
            kept.append(data[at:end])
        elif marker == b"\xe1" and body.startswith(b"Exif\0\0") and not exif:
            exif = body[6:]
        at = end
    if sum(1 for _ in itertools.islice(_JPEG_SCAN.finditer(data, at), _MAX_SCANS + 1)) > _MAX_SCANS:
        raise ImageError(f"The JPEG picture is built of more than {_MAX_SCANS} layers. Save it again as JPEG.")
    return Container("JPEG", b"".join([*kept, data[at:]]), exif)


_PNG_KEPT = (b"IHDR", b"PLTE", b"tRNS", b"IEND")
_MAX_CHUNKS = 2**16  # a decoder spends microseconds on each; encoders write some 8 KB at a time
_MAX_ICC = 4 * 2**20  # the profiles of printing presses, the largest in use, have about 2 MB


class Chunk(NamedTuple):
    """One block of a PNG file: `data[start:end]` is all of it, with its length and checksum."""

    name: bytes
    start: int
    end: int


def png_chunks(data: bytes) -> Iterator[Chunk]:
    """The chunks of a PNG file in order, up to its end or to the first that is cut short (which is given)."""
    at, name = 8, b""
    while at + 8 <= len(data) and name != b"IEND":
        name, end = data[at + 4 : at + 8], at + 12 + int.from_bytes(data[at : at + 4])
        yield Chunk(name, at, min(end, len(data)))
        at = end


def inflate(packed: bytes, limit: int) -> bytes:
    """Decompress at most `limit` bytes; what is damaged comes back empty."""
    try:
        return zlib.decompressobj().decompress(packed, limit)
    except zlib.error:
        return b""


def _unpack_png(data: bytes) -> Container:
    kept, found = [data[:8]], {b"eXIf": b"", b"iCCP": b""}
    seen: set[bytes] = set()
    for name, start, end in itertools.islice(png_chunks(data), _MAX_CHUNKS):
        if name == b"IDAT" or (name in _PNG_KEPT and name not in seen):
            kept.append(data[start:end])
        elif name in found and name not in seen:
            found[name] = data[start + 8 : end - 4]
        seen.add(name)
    _, _, packed = found[b"iCCP"].partition(b"\0")
    return Container("PNG", b"".join(kept), found[b"eXIf"], inflate(packed[1:], _MAX_ICC))


def _unpack_gif(data: bytes) -> Container:
    """The first frame, with the block that holds its transparency; comments and the like stay behind."""
    at = 13 + (3 << (data[10] % 8 + 1) if data[10:11] >= b"\x80" else 0)
    kept, control = data[:at], b""
    while data[at : at + 1] == b"!":
        start, label = at, data[at + 1 : at + 2]
        at += 2
        while data[at : at + 1] > b"\0":
            at += 1 + data[at]
        at += 1
        if label == b"\xf9":
            control = data[start:at]
    if data[at : at + 1] != b",":
        raise ImageError(DAMAGED.format("GIF"))
    return Container("GIF", kept + control + data[at:])


# An AVIF picture states its own orientation, and that of its EXIF does not count: it is renamed.
_AVIF_EXIF = re.compile(rb"(infe[\2\3].{3}.{4}(?:.{2})?)Exif", re.DOTALL)


class Entry(NamedTuple):
    """One tag of a TIFF or EXIF directory: `size` bytes at `start` of its block."""

    tag: int
    kind: int
    length: int
    start: int
    size: int
    raw: bytes


_UNIT_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_INTEGERS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
_MAX_ENTRIES = 1000


class Directory:
    """The tags of one directory of a TIFF or EXIF block: those of a known type whose value is inside it.

    Damage leaves fewer tags, and no error.
    """

    def __init__(self, block: bytes, at: int | None = None) -> None:
        self.block = block
        self.order = ">" if block.startswith(b"MM") else "<"
        self.big = block[2:4] in (b"+\0", b"\0+")
        self.offset, self.counter, self.entry = ("Q", "Q", "HHQ8s") if self.big else ("I", "H", "HHI4s")
        entry, counter = struct.Struct(self.order + self.entry), struct.Struct(self.order + self.counter)
        self.entries: list[Entry] = []
        if at is None:
            at = self._unpack(self.offset, 8 if self.big else 4)
        count = self._unpack(self.counter, at) if at >= 8 else 0
        for start in range(at + counter.size, at + counter.size + min(count, _MAX_ENTRIES) * entry.size, entry.size):
            raw = block[start : start + entry.size]
            if len(raw) < entry.size:
                break
            tag, kind, units, inline = entry.unpack(raw)
            size = units * _UNIT_SIZES.get(kind, 0)
            where = start + entry.size - len(inline)
            if size > len(inline):
                where = self._unpack(self.offset, where)
            if size > 0 and where + size <= len(block):
                self.entries.append(Entry(tag, kind, units, where, size, raw))

    def _unpack(self, code: str, at: int) -> int:
        layout = struct.Struct(self.order + code)
        return int(layout.unpack_from(self.block, at)[0]) if at + layout.size <= len(self.block) else 0

    def number(self, tag: int) -> int | None:
        """The first number of an integer tag."""
        entry = next((e for e in self.entries if e.tag == tag and e.kind in _INTEGERS), None)
        return None if entry is None else self._unpack(_INTEGERS[entry.kind], entry.start)

    def value(self, tag: int, limit: int) -> bytes:
        """The first `limit` bytes of a tag, empty where it is missing."""
        entry = next((e for e in self.entries if e.tag == tag), None)
        return b"" if entry is None else self.block[entry.start : entry.start + min(entry.size, limit)]


# Size, depth, compression, photometry, layout of strips and tiles, fax options, predictor, colour map, extra
# samples, YCbCr. Orientation is read apart, as for every other format.
_TIFF_NUMBERS = {256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 292, 293, 317, 320, 322, 323, 324, 325}
_TIFF_NUMBERS |= {332, 338, 339, 530, 531}
_TIFF_BLOBS = {347, 529, 532, 34675}  # JPEG tables, YCbCr coefficients and levels, ICC profile
# None, fax, LZW, JPEG, deflate, PackBits, zstd. LZMA is left out: its header can ask for gigabytes.
_TIFF_PACKINGS = {1, 2, 3, 4, 5, 7, 8, 32773, 32946, 50000}
_MAX_COUNT = 2**18  # Pillow makes objects of every strip's offset; a picture of 50 megapixels has far fewer
_MAX_SAMPLES = 6
_MAX_TILE = 2**24  # pixels; a decoder allocates a whole tile, however little of it lies inside the picture


def _unpack_tiff(data: bytes) -> Container:
    """The file with a directory of its own at the end, in which only the tags that pixels need are left."""
    found = Directory(data)
    if found.number(254) == 1 or data[8:10] == b"CR":
        raise ImageError(_RAW)
    if (found.number(259) or 1) not in _TIFF_PACKINGS:
        raise ImageError("The TIFF picture is packed in an unusual way, which cannot be read here. " + _EXPORT)
    kept = {
        entry.tag: entry
        for entry in reversed(found.entries)
        if (entry.tag in _TIFF_NUMBERS and entry.kind in _INTEGERS) or entry.tag in _TIFF_BLOBS
    }
    too_long = any(entry.length > _MAX_COUNT for tag, entry in kept.items() if tag in _TIFF_NUMBERS)
    # One tile tag alone makes a tiled picture too, with the number of rows in a strip for the missing one.
    tiled = 322 in kept or 323 in kept
    too_large = tiled and not 0 < (found.number(322) or 0) * (found.number(323) or 0) <= _MAX_TILE
    crossed = sum(entry.size for entry in kept.values()) > len(data)
    if not kept or too_long or too_large or crossed or (found.number(277) or 1) > _MAX_SAMPLES:
        raise ImageError(DAMAGED.format("TIFF"))
    body = bytearray(data + b"\0" * (len(data) % 2))
    struct.pack_into(found.order + found.offset, body, 8 if found.big else 4, len(body))
    body += struct.pack(found.order + found.counter, len(kept))
    body += b"".join(kept[tag].raw for tag in sorted(kept))
    body += struct.pack(found.order + found.offset, 0)
    return Container("TIFF", bytes(body), exif=data)
