"""The themes: empty places, composed and lit, with zones where things may hang or stand.

Draws no object and knows no label.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from lte_core.dataset.synth.textures import (
    Array,
    Color,
    Palette,
    Pen,
    Pixels,
    Rng,
    accent,
    boards,
    bricks,
    darker,
    jittered,
    lighter,
    mix,
    noise,
    paper,
    plaster,
    tiles,
    to_image,
    view,
    wood,
)

SIDE = 448


class Zone(NamedTuple):
    """An area in px. On a wall an object lies inside it; on a surface the object's foot does."""

    x1: int
    y1: int
    x2: int
    y2: int


class Room(NamedTuple):
    """An empty place. `lamps` are pools of light: x, y, radius (px) and strength.

    `beam` is the y from which things on the "wall" hang on cords, where there is no solid wall behind them.
    """

    image: Image.Image
    wall: tuple[Zone, ...]
    surface: tuple[Zone, ...]
    lamps: tuple[tuple[float, float, float, float], ...] = ()
    beam: float | None = None


def _wall(rng: Rng, palette: Palette, photos: Sequence[Pixels], height: int) -> Array:
    """A wall covering SIDE wide; a photo mural on a third of the walls where there are photos."""
    if photos and rng.random() < 0.35:
        return view(rng, SIDE, height, photos, 1.0)
    color = jittered(palette.wall, rng, 6)
    style = int(rng.integers(5))
    if style == 0:
        return bricks(rng, height, SIDE, mix(color, palette.trim, 0.3), lighter(color, 0.3))
    if style == 1:
        return boards(rng, height, SIDE, color)
    if style == 2:
        return paper(rng, height, SIDE, color)
    return plaster(rng, height, SIDE, color)


def _plant(pen: Pen, rng: Rng, x: float, foot: float, size: float, palette: Palette) -> None:
    pot = accent(palette, rng)
    green = jittered((84, 122, 74), rng, 14)
    for k in range(9):
        angle = -math.pi / 2 + (k - 4) * 0.27 + rng.uniform(-0.1, 0.1)
        reach = size * rng.uniform(0.7, 1.05)
        mid_y = foot - size * 0.45
        tip = (x + math.cos(angle) * reach * 0.75, mid_y + math.sin(angle) * reach)
        bend = (x + math.cos(angle) * reach * 0.25, mid_y + math.sin(angle) * reach * 0.55)
        side = size * 0.09
        leaf = mix(green, lighter(green, 0.25), float(rng.random()))
        pen.poly([(x, mid_y), (bend[0] - side, bend[1]), tip, (bend[0] + side, bend[1] + side * 0.3)], leaf)
    w = size * 0.3
    pen.poly([(x - w, foot - size * 0.5), (x + w, foot - size * 0.5), (x + w * 0.72, foot), (x - w * 0.72, foot)], pot)
    pen.rect(x - w * 1.1, foot - size * 0.55, x + w * 1.1, foot - size * 0.42, lighter(pot, 0.15), 2)


def _books(pen: Pen, rng: Rng, x: float, foot: float, palette: Palette) -> None:
    for _ in range(int(rng.integers(3, 7))):
        w, h = rng.uniform(7, 13), rng.uniform(34, 56)
        hue = accent(palette, rng)
        pen.rect(x, foot - h, x + w, foot, hue)
        pen.rect(x, foot - h, x + 1.5, foot, lighter(hue, 0.25))
        pen.rect(x + w - 1.5, foot - h, x + w, foot, darker(hue, 0.25))
        for y in (0.16, 0.82):
            pen.rect(x, foot - h * y - 2, x + w, foot - h * y, mix(hue, palette.light, 0.6))
        x += w + 0.5


def _cup(pen: Pen, rng: Rng, x: float, foot: float, palette: Palette) -> None:
    hue = mix(accent(palette, rng), palette.light, 0.35)
    pen.arc((x + 10, foot - 22, x + 27, foot - 6), 0, 360, darker(hue, 0.15), 3.5)
    pen.rect(x - 12, foot - 28, x + 18, foot, hue, 5)
    pen.rect(x - 12, foot - 28, x - 7, foot - 3, lighter(hue, 0.25), 3)
    pen.oval(x - 12, foot - 31, x + 18, foot - 25, darker(hue, 0.4))


def _decor(pen: Pen, rng: Rng, foot: float, palette: Palette) -> None:
    """One or two quiet things on a surface; objects may stand in front of them."""
    for _ in range(int(rng.integers(1, 3))):
        x = rng.uniform(20, SIDE - 60)
        choice = int(rng.integers(3))
        if choice == 0:
            _plant(pen, rng, x + 20, foot, rng.uniform(52, 84), palette)
        elif choice == 1:
            _books(pen, rng, x, foot, palette)
        else:
            _cup(pen, rng, x + 12, foot, palette)


def _table_top(pen: Pen, top: float, color: Color, rng: Rng) -> None:
    """Joints of a plank top running to a vanishing point, with a lit edge behind."""
    vanish = rng.uniform(150, 300), top - 260
    pitch = rng.uniform(70, 120)
    for k in range(-6, 12):
        x = k * pitch
        slope = (x - vanish[0]) / (SIDE - vanish[1])
        pen.line([(vanish[0] + slope * (top - vanish[1]), top), (x, SIDE)], (*darker(color, 0.45), 130), 1.2)
    pen.rect(0, top, SIDE, top + 1.5, (*lighter(color, 0.5), 150))


def _window(pen: Pen, rng: Rng, box: tuple[int, int, int, int], scene: Array, frame: Color) -> None:
    x1, y1, x2, y2 = box
    pen.rect(x1 - 8, y1 - 8, x2 + 8, y2 + 8, darker(frame, 0.3))
    pen.rect(x1 - 7, y1 - 7, x2 + 7, y2 + 6, frame)
    s = pen.scale
    pane = to_image(scene).resize(((x2 - x1) * s, (y2 - y1) * s), Image.Resampling.BILINEAR)
    pen.image.paste(pane, (x1 * s, y1 * s))
    for t in (0.14, 0.5):
        x = x1 + (x2 - x1) * t
        pen.poly(
            [(x, y1), (x + 26, y1), (x - 24, y2), (x - 50, y2)]
            if x - 50 > x1
            else [(x, y1), (x + 26, y1), (x1, y1 + 60)],
            (255, 255, 255, 22),
        )
    bars = int(rng.integers(1, 4))
    for k in range(1, bars + 1):
        x = x1 + (x2 - x1) * k / (bars + 1)
        pen.rect(x - 2.5, y1, x + 2.5, y2, frame)
    pen.rect(x1 - 12, y2 + 5, x2 + 12, y2 + 12, lighter(frame, 0.15))
    pen.rect(x1 - 12, y2 + 11, x2 + 12, y2 + 13, (0, 0, 0, 90))


def shop(rng: Rng, palette: Palette, photos: Sequence[Pixels]) -> Room:
    """A shop front: striped awning, wall and window, a door now and then, pavement."""
    floor = int(rng.integers(352, 384))
    a = np.empty((SIDE, SIDE, 3), np.float32)
    a[:floor] = _wall(rng, palette, (), floor)
    stone = jittered(mix(palette.wall, (150, 146, 140), 0.7), rng, 5)
    a[floor:] = tiles(rng, SIDE - floor, SIDE, stone, darker(stone, 0.3))
    pen = Pen(SIDE, SIDE, 2, to_image(a))
    frame = jittered(palette.trim, rng, 8)
    x1, width = int(rng.integers(24, 130)), int(rng.integers(170, 270))
    inside = view(rng, width, 150, photos, 0.6) * np.float32(0.62) + np.float32(18)
    _window(
        pen, rng, (x1, int(rng.integers(112, 130)), min(x1 + width, 420), int(rng.integers(250, 290))), inside, frame
    )
    base = darker(frame, 0.12)
    pen.rect(0, floor - 26, SIDE, floor, base)
    pen.rect(0, floor - 27, SIDE, floor - 25, lighter(base, 0.3))
    pen.rect(0, floor, SIDE, floor + 5, (0, 0, 0, 70))
    depth = int(rng.integers(56, 76))
    stripe, pitch = accent(palette, rng), rng.uniform(26, 44)
    pale = lighter(palette.light, 0.3)
    pen.rect(0, depth, SIDE, depth + 26, (0, 0, 0, 46))
    for k in range(-1, int(SIDE / pitch) + 2):
        hue = stripe if k % 2 else pale
        x = k * pitch
        lean = (x + pitch / 2 - SIDE / 2) * 0.10
        pen.poly([(x - lean, 0), (x + pitch - lean, 0), (x + pitch, depth), (x, depth)], hue)
        pen.rect(x, depth - 1, x + pitch, depth + 7, darker(hue, 0.12))
        pen.oval(x, depth - 1, x + pitch, depth + 15, darker(hue, 0.12))
    pen.rect(0, depth - 1, SIDE, depth + 0.5, (0, 0, 0, 40))
    if rng.random() < 0.6:
        _plant(pen, rng, rng.uniform(20, 428), floor + 16, rng.uniform(70, 100), palette)
    return Room(pen.finish(), (Zone(6, depth + 30, 442, floor - 8),), (Zone(6, floor + 12, 442, 440),), beam=depth + 10)


def desk(rng: Rng, palette: Palette, photos: Sequence[Pixels]) -> Room:
    """A desk under a lamp, a wall behind it."""
    top = int(rng.integers(268, 312))
    color = jittered(palette.surface, rng, 8)
    a = np.empty((SIDE, SIDE, 3), np.float32)
    a[:top] = _wall(rng, palette, photos, top)
    a[top:] = wood(rng, SIDE - top, SIDE, color)
    a[top:] *= np.linspace(0.86, 1.08, SIDE - top, dtype=np.float32)[:, None, None]
    pen = Pen(SIDE, SIDE, 2, to_image(a))
    _table_top(pen, top, color, rng)
    pen.rect(0, top - 5, SIDE, top, (0, 0, 0, 38))
    side = 1 if rng.random() < 0.5 else -1
    x = SIDE / 2 + side * rng.uniform(130, 190)
    hue, foot = accent(palette, rng), top + 16
    elbow, head = (x + side * 18, foot - 120), (x - side * 40, foot - 182)
    pen.oval(x - 30, foot - 8, x + 30, foot + 8, darker(hue, 0.3))
    pen.oval(x - 29, foot - 11, x + 29, foot + 4, hue)
    pen.line([(x, foot - 5), elbow, head], darker(hue, 0.3), 5, caps=True)
    hood = [
        (head[0] - side * 44, head[1] + 34),
        (head[0] - side * 4, head[1] - 12),
        (head[0] + side * 12, head[1] - 6),
        (head[0] + side * 10, head[1] + 44),
    ]
    pen.poly(hood, hue)
    pen.oval(*_sorted_box(head[0] - side * 45, head[1] + 30, head[0] + side * 11, head[1] + 48), (255, 240, 200))
    _decor(pen, rng, top + 8, palette)
    lamps = ((head[0] - side * 20, head[1] + 60, 150.0, 0.15), (head[0] - side * 30, top + 60.0, 130.0, 0.09))
    return Room(pen.finish(), (Zone(6, 8, 442, top - 10),), (Zone(6, top + 22, 442, 440),), lamps)


def _sorted_box(x1: float, y1: float, x2: float, y2: float) -> tuple[float, float, float, float]:
    return (min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2))


def market(rng: Rng, palette: Palette, photos: Sequence[Pixels]) -> Room:
    """A market stall: canopy above, two poles, a laid counter, the street out of focus behind."""
    top = int(rng.integers(262, 300))
    a = np.empty((SIDE, SIDE, 3), np.float32)
    street = view(rng, SIDE // 8, top // 8, photos, 0.6)
    soft = to_image(street).resize((SIDE, top), Image.Resampling.BICUBIC)
    a[:top] = np.asarray(soft, np.float32) * np.float32(0.85) + np.float32(14)
    lip = int(rng.integers(60, 84))
    color = jittered(palette.surface, rng, 8)
    a[top : SIDE - lip] = wood(rng, SIDE - lip - top, SIDE, color)
    a[SIDE - lip :] = boards(rng, lip, SIDE, darker(color, 0.25))
    pen = Pen(SIDE, SIDE, 2, to_image(a))
    for _ in range(int(rng.integers(6, 14))):
        x, y, r = rng.uniform(0, SIDE), rng.uniform(70, top - 30), rng.uniform(8, 22)
        pen.oval(x - r, y - r, x + r, y + r, (*lighter(accent(palette, rng), 0.4), 46))
    cloth = accent(palette, rng) if rng.random() < 0.6 else None
    if cloth:
        cloth = mix(cloth, palette.light, 0.35)
        pen.rect(0, top, SIDE, SIDE - lip + 8, cloth)
        check = rng.uniform(22, 36)
        for k in range(int(SIDE / check) + 1):
            pen.rect(k * check, top, k * check + check / 2, SIDE - lip + 8, (255, 255, 255, 34))
        for k in range(int((SIDE - lip - top) / check * 2) + 1):
            pen.rect(
                0,
                top + k * check * 0.6,
                SIDE,
                min(top + k * check * 0.6 + check * 0.3, SIDE - lip + 8),
                (255, 255, 255, 34),
            )
        pen.rect(0, SIDE - lip + 6, SIDE, SIDE - lip + 11, (0, 0, 0, 60))
    else:
        _table_top(pen, top, color, rng)
        pen.rect(0, SIDE - lip, SIDE, SIDE - lip + 4, (*lighter(color, 0.4), 160))
    for x in (rng.uniform(8, 26), rng.uniform(420, 438)):
        pole = darker(palette.trim, 0.1)
        pen.rect(x - 5, 40, x + 5, top + 4, pole)
        pen.rect(x - 5, 40, x - 2, top + 4, lighter(pole, 0.2))
    _awning_front(pen, rng, palette)
    foot = SIDE - lip - 6
    return Room(pen.finish(), (Zone(32, 76, 414, top - 4),), (Zone(6, top + 34, 442, foot),), beam=38)


def _awning_front(pen: Pen, rng: Rng, palette: Palette) -> None:
    stripe, pitch, depth = accent(palette, rng), rng.uniform(28, 50), rng.uniform(34, 46)
    pale = lighter(palette.light, 0.3)
    for k in range(int(SIDE / pitch) + 1):
        hue = pale if k % 2 else stripe
        x = k * pitch
        pen.rect(x, 0, x + pitch, depth, hue)
        pen.poly([(x, depth - 0.5), (x + pitch, depth - 0.5), (x + pitch / 2, depth + 16)], hue)
        pen.rect(x, depth - 9, x + pitch, depth - 7, darker(hue, 0.14))
    pen.rect(0, 0, SIDE, 9, (0, 0, 0, 40))


def kitchen(rng: Rng, palette: Palette, photos: Sequence[Pixels]) -> Room:
    """A kitchen corner: tiled or painted wall, a shelf on brackets, a counter."""
    top = int(rng.integers(352, 384))
    shelf = int(rng.integers(158, 186))
    a = np.empty((SIDE, SIDE, 3), np.float32)
    pale = mix(jittered(palette.wall, rng, 6), palette.light, 0.4)
    a[:top] = (
        tiles(rng, top, SIDE, pale, darker(pale, 0.14)) if rng.random() < 0.6 else _wall(rng, palette, photos, top)
    )
    color = jittered(palette.surface, rng, 8)
    a[top:] = wood(rng, SIDE - top, SIDE, color)
    pen = Pen(SIDE, SIDE, 2, to_image(a))
    pen.rect(0, top, SIDE, top + 3, (*lighter(color, 0.5), 170))
    pen.rect(0, top - 7, SIDE, top, (0, 0, 0, 34))
    timber = jittered(mix(palette.surface, palette.trim, 0.3), rng, 8)
    pen.rect(0, shelf + 10, SIDE, shelf + 30, (0, 0, 0, 30))
    for x in (rng.uniform(40, 110), rng.uniform(330, 410)):
        iron = darker(palette.dark, 0.1)
        pen.poly([(x - 3, shelf + 8), (x + 3, shelf + 8), (x + 3, shelf + 36), (x - 3, shelf + 36)], iron)
    pen.rect(0, shelf, SIDE, shelf + 11, timber)
    pen.rect(0, shelf, SIDE, shelf + 3, lighter(timber, 0.3))
    pen.rect(0, shelf + 9.5, SIDE, shelf + 11, darker(timber, 0.4))
    _decor(pen, rng, shelf, palette)
    _decor(pen, rng, top + 6, palette)
    wall = Zone(6, shelf + 18, 442, top - 8)
    return Room(pen.finish(), (wall,), (Zone(6, shelf + 1, 442, shelf + 2), Zone(6, top + 8, 442, 440)))


def gallery(rng: Rng, palette: Palette, photos: Sequence[Pixels]) -> Room:
    """A room: picture rail, wainscot, parquet, spots on the wall."""
    floor = int(rng.integers(348, 384))
    a = np.empty((SIDE, SIDE, 3), np.float32)
    a[:floor] = _wall(rng, palette, photos, floor)
    color = jittered(palette.surface, rng, 8)
    a[floor:] = wood(rng, SIDE - floor, SIDE, color, int(rng.integers(3, 5)))
    pen = Pen(SIDE, SIDE, 2, to_image(a))
    skirting = lighter(palette.light, 0.2) if rng.random() < 0.6 else jittered(palette.trim, rng, 6)
    if rng.random() < 0.5:
        rail = floor - int(rng.integers(70, 110))
        pen.rect(0, rail, SIDE, floor, mix(skirting, palette.wall, 0.25))
        for k in range(5):
            x = 8 + k * 88
            pen.rect(x, rail + 16, x + 76, floor - 26, (0, 0, 0, 26))
            pen.rect(x + 2, rail + 18, x + 76, floor - 26, mix(skirting, palette.wall, 0.2))
        pen.rect(0, rail, SIDE, rail + 6, skirting)
        pen.rect(0, rail + 6, SIDE, rail + 8, (0, 0, 0, 60))
    pen.rect(0, floor - 16, SIDE, floor, skirting)
    pen.rect(0, floor - 16, SIDE, floor - 14, lighter(skirting, 0.4))
    pen.rect(0, floor - 2, SIDE, floor + 4, (0, 0, 0, 70))
    if rng.random() < 0.5:
        pen.rect(0, 14, SIDE, 20, skirting)
        pen.rect(0, 20, SIDE, 22, (0, 0, 0, 60))
    if rng.random() < 0.5:
        _plant(pen, rng, rng.uniform(30, 420), floor + 20, rng.uniform(84, 120), palette)
    spots = int(rng.integers(1, 4))
    lamps = tuple((SIDE * (k + 1) / (spots + 1) + rng.uniform(-20, 20), 120.0, 110.0, 0.13) for k in range(spots))
    return Room(pen.finish(), (Zone(6, 28, 442, floor - 24),), (Zone(6, floor + 14, 442, 440),), lamps)


def sill(rng: Rng, palette: Palette, photos: Sequence[Pixels]) -> Room:
    """A wide window sill, curtains at the sides, the view behind it."""
    top = int(rng.integers(316, 356))
    color = jittered(mix(palette.light, palette.surface, float(rng.choice([0.15, 0.8]))), rng, 5)
    a = np.empty((SIDE, SIDE, 3), np.float32)
    a[:top] = view(rng, SIDE, top, photos, 0.75)
    a[top:] = wood(rng, SIDE - top, SIDE, color)
    a[top:] *= np.linspace(1.06, 0.9, SIDE - top, dtype=np.float32)[:, None, None]
    frame = lighter(palette.light, 0.3) if rng.random() < 0.6 else jittered(palette.trim, rng, 6)
    pen = Pen(SIDE, SIDE, 2, to_image(a))
    x = rng.uniform(180, 268)
    for x1, y1, x2, y2 in ((0, 0, SIDE, 12), (0, top - 14, SIDE, top), (x - 7, 0, x + 7, top)):
        pen.rect(x1, y1, x2, y2, frame)
    pen.rect(x + 5, 12, x + 7, top - 14, darker(frame, 0.2))
    pen.rect(0, top - 14, SIDE, top - 12, lighter(frame, 0.4))
    pen.rect(0, top, SIDE, top + 4, (0, 0, 0, 50))
    fabric = mix(accent(palette, rng), palette.light, 0.4)
    width = rng.uniform(30, 64)
    for side in (0, 1):
        for k in range(6):
            x1 = side * SIDE + (1 - 2 * side) * width * k / 6
            x2 = side * SIDE + (1 - 2 * side) * width * (k + 1) / 6
            hue = mix(fabric, darker(fabric, 0.28), 0.5 + 0.5 * math.sin(k * 2.2))
            pen.poly([(x1, 0), (x2, 0), (x2 * 0.98 + side * 9, top + 2), (x1, top + 2)], hue)
    if rng.random() < 0.7:
        _decor(pen, rng, top + 12, palette)
    return Room(pen.finish(), (Zone(40, 40, 408, top - 16),), (Zone(6, top + 16, 442, 440),), beam=8)


def landscape_room(rng: Rng, photos: Sequence[Pixels]) -> Image.Image:
    """A photo, or a landscape, filling the frame."""
    a = view(rng, SIDE, SIDE, photos, 1.0)
    if not photos:
        a = a + (noise("clouds", rng, SIDE, SIDE) * np.float32(2))[..., None]
    return to_image(a)


THEMES: dict[str, Callable[[Rng, Palette, Sequence[Pixels]], Room]] = {
    "shop front": shop,
    "desk": desk,
    "market stall": market,
    "kitchen": kitchen,
    "gallery": gallery,
    "window sill": sill,
}
