"""Hostile files give a picture or an ImageError, and cost neither memory nor a crash."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from lte_core.images import ImageError, read_image
from tests.pictures import DECODED, encode, png, png_chunk, tiff

Edit = tuple[str, float, bytes]
EDITS = st.lists(
    st.tuples(
        st.sampled_from(["write", "insert", "delete", "cut"]), st.floats(0, 1), st.binary(min_size=1, max_size=8)
    ),
    min_size=1,
    max_size=6,
)


def edited(data: bytes, edits: list[Edit], head: bool) -> bytes:
    """Bytes changed at fractions of the file, or of its first 300 bytes, where the headers are."""
    for kind, fraction, some in edits:
        at = int(fraction * (min(len(data), 300) if head else len(data)))
        match kind:
            case "write":
                data = data[:at] + some + data[at + len(some) :]
            case "insert":
                data = data[:at] + some + data[at:]
            case "delete":
                data = data[:at] + data[at + len(some) :]
            case _:
                data = data[: max(1, len(data) - at)]
    return data


def memory_kb(name: str) -> int:
    """What the system says about this process: VmRSS now, or VmHWM at most since it was last asked to forget."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


@contextmanager
def within(most_mb: int) -> Iterator[None]:
    """The block's peak memory, where the system can tell it."""
    try:
        Path("/proc/self/clear_refs").write_text("5")  # forget the peak
    except OSError:
        yield
        return
    before = memory_kb("VmRSS")
    yield
    assert (memory_kb("VmHWM") - before) / 1024 < most_mb


@given(name=st.sampled_from(sorted(DECODED)), edits=EDITS, head=st.booleans())
@example(name="avif animated", edits=[("write", 0.0, b"\0\0\0\0")], head=True)
@settings(deadline=None, max_examples=500, suppress_health_check=[HealthCheck.too_slow])
def test_hostile_bytes_give_a_picture_or_an_image_error(name: str, edits: list[Edit], head: bool) -> None:
    data = edited(DECODED[name][0], edits, head)
    # 50 megapixels, the most that a header may promise, are 150 MB, and as much again while they are converted.
    with within(most_mb=400):
        try:
            image = read_image(data)
        except ImageError:
            return
    assert image.pixels.mode == "RGB"
    assert len(image.pixels.tobytes()) == 3 * image.pixels.width * image.pixels.height


def crossed_tags(size: int, count: int, kind: int = 7) -> bytes:
    """A TIFF block in which every tag claims all of the block for itself."""
    units = (size - 8) // {3: 2, 7: 1}[kind]
    tags = b"".join(struct.pack("<HHII", 1000 + i, kind, units, 8) for i in range(count))
    return (b"II*\0" + struct.pack("<IH", 8, count) + tags + b"\0\0\0\0").ljust(size, b"\xab")


def bombs() -> dict[str, bytes]:
    """Small files that cost a plain decoder gigabytes or minutes, most of them inside a good picture."""
    jpeg, whole, gif = DECODED["jpeg"][0], DECODED["png"][0], DECODED["gif"][0]
    exif = b"Exif\0\0" + crossed_tags(65_000, 5_000)
    frames = b"MPF\0" + crossed_tags(65_000, 5_000, kind=3)
    layered = encode(Image.new("L", (4000, 4000)), "JPEG", progressive=True)
    layer = layered[layered.rfind(b"\xff\xda") : -2]
    screen = 13 + (3 << (gif[10] % 8 + 1))
    animated = bytearray(DECODED["webp animated"][0])
    animated[24:30] = (16_000).to_bytes(3, "little") * 2
    avif = DECODED["avif"][0]
    extents = avif.index(b"ispe") + 8
    zeros = zlib.compress(b"\0" * 2**24)
    tile = {256: [64], 257: [64], 258: [8], 259: [8], 262: [1], 277: [1], 322: [2**15], 325: [len(zeros)]}
    strips = {256: [4000], 257: [4000], 258: [1], 259: [1], 262: [1], 277: [1], 278: [3999]}
    strips |= {273: [0] * 100_000, 279: [2_000_000] * 100_000}
    return {
        "png of 12000 x 12000": png(12_000, 12_000, 1, 0, b"\0" * 1501 * 12_000),
        "png with crossed exif": whole[:33] + png_chunk(b"eXIf", crossed_tags(3_000_000, 60_000)) + whole[33:],
        "png with inflated text": whole[:33] + png_chunk(b"zTXt", b"a\0\0" + zeros) * 100 + whole[33:],
        "png with inflated profile": whole[:33] + png_chunk(b"iCCP", b"a\0\0" + zeros) * 100 + whole[33:],
        "png in tiny pieces": whole[:33] + png_chunk(b"IDAT", b"") * 500_000 + whole[33:],
        "jpeg with crossed exif": jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[20:],
        "jpeg with crossed frames": jpeg[:2] + b"\xff\xe2" + struct.pack(">H", len(frames) + 2) + frames + jpeg[2:],
        "jpeg of 5000 layers": layered[:-2] + layer * 5000 + b"\xff\xd9",
        "gif with a comment a byte": gif[:screen] + b"!\xfe\1x\0" * 300_000 + gif[screen:],
        "gif of 65535 x 65535": gif[:6] + b"\xff" * 4 + gif[10:],
        "webp of 16000 x 16000": bytes(animated),
        "avif of 12000 x 12000": avif[:extents] + struct.pack(">II", 12_000, 12_000) + avif[extents + 8 :],
        "tiff with one tile tag": tiff({**tile, 278: [65_535]}, zeros, offset_tag=324),
        "tiff with a giant tile": tiff({**tile, 323: [2**15]}, zeros, offset_tag=324),
        "tiff with repeated strips": tiff(strips, b"\0" * 2_000_000),
        "tiff with crossed tags": crossed_tags(3_000_000, 60_000),
    }


MEASURE = """
import contextlib, json, resource, sys, time
from pathlib import Path
from lte_core.images import ImageError, measure_image, read_image
unit = 2**20 if sys.platform == "darwin" else 2**10
measured = {}
for path in sorted(Path(sys.argv[1]).iterdir()):
    data = path.read_bytes()
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    with contextlib.suppress(ImageError):
        measure_image(data)
    try:
        read_image(data)
        outcome = "read"
    except ImageError:
        outcome = "refused"
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / unit
    measured[path.name] = (outcome, grown - 3 * len(data) / 2**20, time.perf_counter() - start)
print(json.dumps(measured))
"""


@pytest.mark.skipif(os.name == "nt", reason="needs the resource module")
def test_bombs_cost_little_memory_and_time(tmp_path: Path) -> None:
    """Each in turn: peak memory grows by less than 60 MB (beyond copies of the file), in less than 5 s."""
    for name, data in bombs().items():
        (tmp_path / name).write_bytes(data)
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(tmp_path)], capture_output=True, text=True, timeout=120, check=True
    )
    measured = json.loads(done.stdout)
    assert len(measured) == len(bombs())
    assert {name: cost for name, cost in measured.items() if cost[1] > 60 or cost[2] > 5} == {}
    harmless = {name for name, (outcome, *_) in measured.items() if outcome == "read"}
    assert harmless == {
        "png with crossed exif",
        "png with inflated text",
        "png with inflated profile",
        "jpeg with crossed exif",
        "jpeg with crossed frames",
        "gif with a comment a byte",
    }
