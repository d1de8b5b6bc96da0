"""The paint box of the synthetic scenes: palettes, noise, supersampled drawing and outdoor views.

Knows nothing of objects, defects or labels. Arrays are H x W x 3 float32 in 0..255 unless stated otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Array = NDArray[np.float32]
Pixels = NDArray[np.uint8]
Color = tuple[int, int, int]
Point = tuple[float, float]
Rng = np.random.Generator
T = TypeVar("T")

TABLE = 1024


class Palette(NamedTuple):
    """Colours that go well together."""

    wall: Color
    trim: Color
    surface: Color
    accents: tuple[Color, Color, Color, Color]
    dark: Color
    light: Color


def _palette(line: str) -> Palette:
    wall, trim, surface, a, b, c, d, dark, light = (
        (int(code[:2], 16), int(code[2:4], 16), int(code[4:], 16)) for code in line.split()
    )
    return Palette(wall, trim, surface, (a, b, c, d), dark, light)


PALETTES = tuple(
    map(
        _palette,
        (
            "e9dfd0 8a5a3c b98a5e c8553d 588b8b f2b134 3d5a80 33261f fbf6ec",
            "cfd8c4 5c6b54 a98467 bc4749 6a994e f2cc8f 386641 2b2d26 f7f7ef",
            "a9bccb 3d5a80 9c7b5b ee6c4d 98c1d9 e0a458 293241 1f2430 f1f5f8",
            "9fc0bd 2a6f73 c19a6b e76f51 f4a261 e9c46a 264653 1c2b2e f5faf8",
            "e6cfc9 8d5b60 a87f66 b5525c 7a9e9f f0c987 4f5d75 3a2a2c fdf5f2",
            "cfcdc8 5a5a5a 8c6a4f d4a017 6d8299 a34a28 3f4e4f 262626 fafafa",
            "6f8577 2f3e36 a57c52 d9ae61 c9675b 8fb8a8 e8e1cf 1b241f f3efe2",
            "5b7191 26344a b48a60 e4b363 d8675a 9cc5c9 efe9dc 141c29 f6f3ea",
            "e3c58f 935f2e 7d5538 a63d2f 4d7c7a 2e4a62 f0e3c4 2d2017 fdf8ea",
            "cfc6dd 6d5f8d a08468 b85c8a 6a8fb5 f0b67f 5d576b 2b2637 f9f6fd",
        ),
    )
)


def mix(a: Color, b: Color, t: float) -> Color:
    """The colour a share t of the way from a to b."""
    return (round(a[0] + (b[0] - a[0]) * t), round(a[1] + (b[1] - a[1]) * t), round(a[2] + (b[2] - a[2]) * t))


def darker(c: Color, t: float) -> Color:
    return mix(c, (0, 0, 0), t)


def lighter(c: Color, t: float) -> Color:
    return mix(c, (255, 255, 255), t)


def brightness(c: Color) -> float:
    """Luma, 0..255."""
    return 0.299 * c[0] + 0.587 * c[1] + 0.114 * c[2]


def jittered(c: Color, rng: Rng, amount: float) -> Color:
    r, g, b = (int(v) for v in np.clip(np.asarray(c) + rng.normal(0, amount, 3), 0, 255))
    return (r, g, b)


def accent(palette: Palette, rng: Rng) -> Color:
    return jittered(palette.accents[int(rng.integers(4))], rng, 7)


def pick(rng: Rng, items: Sequence[T]) -> T:
    return items[int(rng.integers(len(items)))]


def solid(c: Color, height: int, width: int) -> Array:
    return np.full((height, width, 3), c, np.float32)


def to_image(a: Array) -> Image.Image:
    return Image.fromarray(np.clip(a, 0, 255).astype(np.uint8))


def _smooth(rng: Rng, step_y: int, step_x: int) -> Array:
    coarse = rng.normal(0, 1, (TABLE // step_y + 3, TABLE // step_x + 3)).astype(np.float32)
    box = (1, 1, 1 + TABLE / step_x, 1 + TABLE / step_y)
    return np.asarray(Image.fromarray(coarse).resize((TABLE, TABLE), Image.Resampling.BICUBIC, box=box))


def _ring(rng: Rng, pitch: int) -> Array:
    """Noise of one wavelength, that of a chessboard with squares of `pitch` px, in all directions."""
    frequency = np.hypot(np.fft.fftfreq(TABLE)[:, None], np.fft.rfftfreq(TABLE)[None])
    keep = np.exp(-(((frequency - 0.5**0.5 / pitch) / 0.008) ** 2) / 2)
    return np.asarray(np.fft.irfft2(np.fft.rfft2(rng.normal(0, 1, (TABLE, TABLE))) * keep), np.float32)


@cache
def noise_table(name: str) -> Array:
    """TABLE x TABLE noise of unit variance, fixed for all time: `grain` is white, `clouds` is 1/f-like,
    `streaks` runs along x like wood, `mottle 2` and `mottle 3` have the wavelength of a chessboard of 2 or 3 px.

    Scenes cut random windows out of it, which is far cheaper than drawing it.
    """
    rng = np.random.default_rng([20251, len(name)])
    match name:
        case "grain":
            table = rng.normal(0, 1, (TABLE, TABLE)).astype(np.float32)
        case "clouds":
            table = np.sum([_smooth(rng, s, s) * s**0.7 for s in (128, 64, 32, 16, 8)], axis=0)
        case "streaks":
            table = _smooth(rng, 3, 220) + 0.7 * _smooth(rng, 14, 300) + 0.5 * _smooth(rng, 2, 60)
        case "mottle 2" | "mottle 3":
            table = _ring(rng, int(name[-1]))
        case _:
            raise ValueError(f"expected grain, clouds, streaks, mottle 2 or mottle 3, got {name!r}")
    return np.asarray((table - table.mean()) / table.std(), np.float32)


def noise(name: str, rng: Rng, height: int, width: int) -> Array:
    """A random height x width window of a noise table (see `noise_table`), at most TABLE on a side."""
    y, x = rng.integers(TABLE - height + 1), rng.integers(TABLE - width + 1)
    return noise_table(name)[y : y + height, x : x + width]


class Pen:
    """Anti-aliased drawing: shapes are drawn `scale` times larger and averaged down by `finish`.

    Coordinates are in final pixels. Without a ground, the sheet is transparent.
    """

    def __init__(self, width: int, height: int, scale: int = 3, ground: Color | Image.Image | None = None):
        self.scale = scale
        size = (width * scale, height * scale)
        if isinstance(ground, Image.Image):
            self.image = ground.resize(size, Image.Resampling.NEAREST)
        elif ground is None:
            self.image = Image.new("RGBA", size, (0, 0, 0, 0))
        else:
            self.image = Image.new("RGB", size, ground)
        self._draw = ImageDraw.Draw(self.image, None if ground is None else "RGBA")

    def _box(self, x1: float, y1: float, x2: float, y2: float) -> tuple[float, float, float, float]:
        s = self.scale
        left, top = round(x1 * s), round(y1 * s)
        return (left, top, max(left, round(x2 * s) - 1), max(top, round(y2 * s) - 1))

    def rect(self, x1: float, y1: float, x2: float, y2: float, fill: tuple[int, ...], radius: float = 0.0) -> None:
        box = self._box(x1, y1, x2, y2)
        if radius:
            self._draw.rounded_rectangle(box, radius * self.scale, fill)
        else:
            self._draw.rectangle(box, fill)

    def oval(self, x1: float, y1: float, x2: float, y2: float, fill: tuple[int, ...]) -> None:
        self._draw.ellipse(self._box(x1, y1, x2, y2), fill)

    def poly(self, points: Iterable[Point], fill: tuple[int, ...]) -> None:
        self._draw.polygon([(x * self.scale, y * self.scale) for x, y in points], fill)

    def line(self, points: Iterable[Point], fill: tuple[int, ...], width: float, caps: bool = False) -> None:
        s = self.scale
        scaled = [(x * s, y * s) for x, y in points]
        self._draw.line(scaled, fill, max(1, round(width * s)), joint="curve")
        if caps:
            r = width * s / 2
            for x, y in (scaled[0], scaled[-1]):
                self._draw.ellipse((x - r, y - r, x + r, y + r), fill)

    def arc(self, box: tuple[float, float, float, float], start: float, end: float, fill: Color, width: float) -> None:
        self._draw.arc(self._box(*box), start, end, fill, max(1, round(width * self.scale)))

    def finish(self) -> Image.Image:
        return self.image.reduce(self.scale)


def wood(rng: Rng, height: int, width: int, color: Color, planks: int = 0) -> Array:
    """Wood with its grain along x; `planks` boards with dark joints, each of its own tone."""
    a = solid(color, height, width)
    a += noise("streaks", rng, height, width)[..., None] * np.float32(6.0)
    if planks:
        edges = np.linspace(0, height, planks + 1).astype(int)
        tones = rng.normal(0, 7, planks)
        for top, bottom, tone in zip(edges[:-1], edges[1:], tones, strict=True):
            a[top:bottom] += tone
            a[top : top + 1] *= 0.62
    return a


def plaster(rng: Rng, height: int, width: int, color: Color) -> Array:
    a = solid(color, height, width)
    a += (noise("clouds", rng, height, width) * np.float32(3.0))[..., None]
    return a


class Masonry(NamedTuple):
    """Where the joints run (bool) and one random tone a stone (unit variance), both height x width."""

    joints: NDArray[np.bool_]
    tones: Array


def masonry(rng: Rng, height: int, width: int, course: int, length: int, joint: int = 2) -> Masonry:
    """A running bond of stones `length` x `course` px with joints of `joint` px."""
    y, x = np.arange(height)[:, None] + int(rng.integers(course)), np.arange(width)[None] + int(rng.integers(length))
    row = y // course
    x = x + (row % 2) * (length // 2)
    column = x // length
    tones = rng.normal(0, 1, (int(row.max()) + 1, int(column.max()) + 1)).astype(np.float32)
    return Masonry(((y % course) < joint) | ((x % length) < joint), tones[row, column])


def bricks(rng: Rng, height: int, width: int, color: Color, mortar: Color) -> Array:
    course = int(rng.integers(12, 18))
    wall = masonry(rng, height, width, course, int(course * rng.uniform(2.0, 2.5)))
    a = solid(color, height, width)
    a += (wall.tones * np.float32(8.0) + noise("clouds", rng, height, width) * np.float32(4.0))[..., None]
    a[wall.joints] = np.asarray(mortar, np.float32)
    return a


def boards(rng: Rng, height: int, width: int, color: Color) -> Array:
    """Painted upright boards."""
    a = wood(rng, width, height, color).transpose(1, 0, 2) * np.float32(0.5)
    a += np.asarray(color, np.float32) * np.float32(0.5)
    pitch = int(rng.integers(26, 44))
    offset = int(rng.integers(pitch))
    a[:, offset::pitch] *= 0.72
    a[:, offset + 1 :: pitch] *= 1.05
    return a


def tiles(rng: Rng, height: int, width: int, color: Color, grout: Color) -> Array:
    course = int(rng.integers(20, 30))
    wall = masonry(rng, height, width, course, int(course * rng.uniform(1.6, 2.2)))
    a = solid(color, height, width)
    a += (wall.tones * np.float32(3.0))[..., None]
    a[wall.joints] = np.asarray(grout, np.float32)
    return a


def paper(rng: Rng, height: int, width: int, color: Color) -> Array:
    """Striped wallpaper."""
    a = plaster(rng, height, width, color)
    pitch = int(rng.integers(24, 56))
    a[:, (np.arange(width) + int(rng.integers(pitch))) % pitch < pitch // 2] *= np.float32(rng.uniform(0.93, 0.97))
    return a


_MOODS: tuple[tuple[Color, Color, Color, Color], ...] = (  # sky above, sky low, far hills, near ground
    ((96, 150, 214), (214, 230, 240), (142, 170, 178), (84, 124, 72)),
    ((120, 144, 190), (250, 214, 176), (170, 150, 160), (110, 96, 80)),
    ((58, 70, 120), (238, 150, 110), (122, 96, 122), (52, 48, 66)),
    ((158, 172, 184), (222, 226, 226), (150, 162, 160), (98, 112, 88)),
    ((70, 132, 190), (190, 222, 230), (206, 190, 150), (196, 164, 108)),
    ((28, 40, 80), (110, 120, 160), (60, 70, 104), (30, 36, 56)),
)


def _ridge(rng: Rng, width: int, town: bool) -> Array:
    x = np.arange(width, dtype=np.float32)
    if town:
        block = max(3, int(width * rng.uniform(0.05, 0.11)))
        heights = rng.uniform(-1, 1, width // block + 2)
        return np.asarray(heights[(x // block).astype(int)], np.float32)
    waves = [(rng.uniform(0.4, 1.4) * k, rng.uniform(0, 6.3), 0.6**k) for k in range(1, 6)]
    return np.asarray(np.sum([a * np.sin(x / width * 6.3 * f + p) for f, p, a in waves], axis=0), np.float32)


def landscape(rng: Rng, width: int, height: int) -> Array:
    """Sky, sun, clouds, two to four receding ridges (hills or a town), and sometimes water in front."""
    above, low, far, near = pick(rng, _MOODS)
    y = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    horizon = rng.uniform(0.45, 0.7)
    t = np.clip(y / horizon, 0, 1)[..., None]
    a = np.asarray(above, np.float32) * (1 - t) + np.asarray(low, np.float32) * t
    cover = (
        np.clip(noise("clouds", rng, height, width) * np.float32(0.55), 0, 1)
        * (1 - y)
        * np.float32(rng.uniform(0.2, 1))
    )
    a = a + cover[..., None] * (np.asarray(lighter(low, 0.5), np.float32) - a)
    x = np.linspace(0, 1, width, dtype=np.float32)[None]
    d = (x - rng.uniform(0.1, 0.9)) ** 2 * (width / height) ** 2 + (y - horizon * rng.uniform(0.3, 0.95)) ** 2
    a += (np.exp(-d / 0.004) * 90 + np.exp(-d / 0.06) * 34)[..., None] * np.asarray((1, 0.9, 0.7), np.float32)
    rows = np.arange(height, dtype=np.float32)[:, None]
    texture = noise("clouds", rng, height, width)
    layers = int(rng.integers(2, 5))
    for i in range(layers):
        share = (i + 1) / layers
        top = (horizon + (0.86 - horizon) * (share - 1 / layers)) * height
        town = bool(rng.random() < 0.3)
        ridge = top + _ridge(rng, width, town) * height * (0.09 if town else 0.06)
        mask = np.clip(rows - ridge[None] + 0.5, 0, 1)[..., None]
        fill = np.asarray(mix(far, near, share), np.float32) + (texture * np.float32(3 + 5 * share))[..., None]
        a += mask * (fill - a)
    if rng.random() < 0.35:
        shore = int(height * rng.uniform(0.72, 0.85))
        ripple = noise("streaks", rng, height - shore, width)[..., None] * np.float32(7)
        a[shore:] = np.asarray(mix(low, near, 0.35), np.float32) + ripple
    return np.asarray(a, np.float32)


def photo_crop(rng: Rng, width: int, height: int, photos: Sequence[Pixels]) -> Array:
    """A random cut of a random photo at the aspect of the size asked for, sometimes mirrored."""
    photo = photos[int(rng.integers(len(photos)))]
    h, w = photo.shape[:2]
    scale = rng.uniform(0.6, 1.0) * min(h / height, w / width)
    ch, cw = max(1, int(height * scale)), max(1, int(width * scale))
    y, x = int(rng.integers(h - ch + 1)), int(rng.integers(w - cw + 1))
    cut = Image.fromarray(np.ascontiguousarray(photo[y : y + ch, x : x + cw]))
    a = np.asarray(cut.resize((width, height), Image.Resampling.BILINEAR), np.float32)
    return a[:, ::-1] if rng.random() < 0.5 else a


def view(rng: Rng, width: int, height: int, photos: Sequence[Pixels], share: float = 0.7) -> Array:
    """What a window or a picture shows: a photo for `share` of the draws where there are any, or a landscape."""
    if photos and rng.random() < share:
        return photo_crop(rng, width, height, photos)
    if width < 200:
        return landscape(rng, width, height)
    far = to_image(landscape(rng, width // 2, height // 2))  # a large view is drawn small: four times faster, and soft
    return np.asarray(far.resize((width, height), Image.Resampling.BICUBIC), np.float32)


def shaded(image: Image.Image, field: NDArray[Any]) -> Image.Image:
    """The image (RGB or RGBA) with its colours multiplied by a field that broadcasts to H x W x 1."""
    a = np.asarray(image).astype(np.float32)
    a[..., :3] *= field
    return Image.fromarray(np.clip(a, 0, 255).astype(np.uint8), image.mode)
