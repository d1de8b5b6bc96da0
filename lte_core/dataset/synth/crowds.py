"""Crowds: a few of a kind on a tray, in a crate or on a print, each its own, or (the defect) one of them cloned."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from lte_core.dataset.synth.objects import Easel
from lte_core.dataset.synth.textures import (
    Color,
    Palette,
    Pen,
    Point,
    Rng,
    darker,
    jittered,
    lighter,
    mix,
    pick,
    shaded,
    to_image,
    wood,
)


@dataclass(frozen=True, slots=True)
class Member:
    """One of a crowd: its colours, `size` (1 fills its cell), `lean` (radians), `flip` (-1 or 1) and two free
    numbers in [0, 1] that set its pose and its marking."""

    hue: Color
    other: Color
    size: float
    lean: float
    flip: int
    pose: float
    mark: float


class _Stamp:
    """Draws a member's shapes, given in units of its cell (x from -0.5 to 0.5, y from -1 up to 0, its foot)."""

    def __init__(self, pen: Pen, member: Member, x: float, y: float, width: float, height: float):
        self.pen, self.x, self.y = pen, x, y
        self.cos, self.sin = math.cos(member.lean), math.sin(member.lean)
        self.sx, self.sy = width * member.size * member.flip, height * member.size

    def at(self, x: float, y: float) -> Point:
        px, py = x * self.sx, y * self.sy
        return (self.x + px * self.cos - py * self.sin, self.y + px * self.sin + py * self.cos)

    def blob(self, x: float, y: float, rx: float, ry: float, fill: Color, tilt: float = 0.0) -> None:
        c, s = math.cos(tilt), math.sin(tilt)
        turns = [(math.cos(t / 20 * math.tau) * rx, math.sin(t / 20 * math.tau) * ry) for t in range(20)]
        self.pen.poly([self.at(x + u * c - v * s, y + u * s + v * c) for u, v in turns], fill)

    def poly(self, points: list[Point], fill: Color) -> None:
        self.pen.poly([self.at(*p) for p in points], fill)

    def stroke(self, points: list[Point], fill: Color, width: float) -> None:
        self.pen.line([self.at(*p) for p in points], fill, width * abs(self.sx), caps=True)


def _bottle(s: _Stamp, m: Member) -> None:
    shoulder = -0.45 - 0.2 * m.pose
    neck = 0.09 + 0.05 * m.mark
    s.poly(
        [
            (-0.3, 0),
            (-0.3, shoulder),
            (-neck, shoulder - 0.14),
            (-neck, -0.94),
            (neck, -0.94),
            (neck, shoulder - 0.14),
            (0.3, shoulder),
            (0.3, 0),
        ],
        m.hue,
    )
    s.poly([(-neck - 0.03, -1), (neck + 0.03, -1), (neck + 0.03, -0.9), (-neck - 0.03, -0.9)], m.other)
    label = -0.12 - 0.16 * m.mark
    s.poly([(-0.3, label), (0.3, label), (0.3, label - 0.2), (-0.3, label - 0.2)], lighter(m.other, 0.45))
    s.poly([(-0.23, -0.04), (-0.15, -0.04), (-0.15, shoulder), (-0.23, shoulder)], lighter(m.hue, 0.35))


def _pear(s: _Stamp, m: Member) -> None:
    s.stroke([(0.0, -0.8), (0.12 * (m.pose - 0.3), -1.0)], (92, 66, 40), 0.07)
    s.blob(0, -0.34, 0.4, 0.34, m.hue)
    s.blob(0.08 * (m.pose - 0.5), -0.6, 0.2 + 0.14 * m.mark, 0.26, m.hue)
    s.blob(-0.16, -0.42, 0.09, 0.14, lighter(m.hue, 0.3), 0.3)
    if m.mark > 0.35:
        s.blob(0.24, -0.9, 0.2, 0.09, (96, 144, 70), -0.5 * m.pose)


def _bird(s: _Stamp, m: Member) -> None:
    raise_ = 0.5 * m.pose
    for x in (-0.06, 0.1):
        s.stroke([(x, 0.0), (x, -0.3)], darker(m.other, 0.4), 0.05)
    s.poly(
        [(-0.26, -0.42), (-0.58, -0.3 - raise_ * 0.9), (-0.52, -0.48 - raise_ * 0.9), (-0.2, -0.58)], darker(m.hue, 0.3)
    )
    s.blob(0, -0.46, 0.34, 0.25, m.hue, -0.25 - 0.5 * m.pose)
    s.blob(0.24, -0.76 - 0.05 * m.mark, 0.17, 0.155, m.hue)
    s.poly([(0.38, -0.8), (0.58, -0.73 - 0.1 * m.mark), (0.38, -0.69)], (226, 160, 60))
    s.blob(-0.06, -0.48, 0.2, 0.12 + 0.08 * m.mark, m.other, -0.4 - m.pose)
    s.blob(0.28, -0.79, 0.04, 0.04, (24, 22, 26))


def _person(s: _Stamp, m: Member) -> None:
    step, arm = 0.1 + 0.14 * m.pose, m.mark
    trousers = darker(m.other, 0.35)
    s.stroke([(-0.05, -0.4), (-step, -0.03)], trousers, 0.17)
    s.stroke([(0.05, -0.4), (step, -0.03)], trousers, 0.17)
    s.stroke([(-0.2, -0.66), (-0.36, -0.66 + 0.3 * (0.7 - 1.8 * m.pose))], darker(m.hue, 0.15), 0.12)
    s.stroke([(0.2, -0.66), (0.36, -0.66 + 0.3 * (0.8 - 1.9 * arm))], darker(m.hue, 0.15), 0.12)
    s.poly([(-0.22, -0.73), (0.22, -0.73), (0.2, -0.34), (-0.2, -0.34)], m.hue)
    s.blob(0, -0.86, 0.15, 0.13, (226, 182, 148))
    s.poly([(-0.16, -0.88), (-0.12, -1.0), (0.12, -1.0), (0.16, -0.88)], m.other)


def _flower(s: _Stamp, m: Member) -> None:
    sway = 0.3 * (m.pose - 0.5)
    s.stroke([(0, 0), (sway * 0.4, -0.4), (sway, -0.66)], (84, 128, 66), 0.08)
    s.blob(0.16, -0.28 - 0.12 * m.mark, 0.16, 0.07, (96, 146, 74), -0.5)
    for k in range(5 if m.mark < 0.5 else 7):
        t = k / (5 if m.mark < 0.5 else 7) * math.tau + m.pose
        s.blob(sway + 0.2 * math.cos(t), -0.72 + 0.17 * math.sin(t), 0.14, 0.12, m.hue)
    s.blob(sway, -0.72, 0.11, 0.1, m.other)


Figure = Callable[[_Stamp, Member], None]


def _member(rng: Rng, palette: Palette, hues: tuple[Color, ...]) -> Member:
    hue = jittered(pick(rng, hues), rng, 18)
    other = jittered(pick(rng, (palette.light, *palette.accents)), rng, 8)
    size, lean, pose, mark = rng.uniform(0.7, 1.0), rng.uniform(-0.28, 0.28), rng.random(), rng.random()
    return Member(hue, other, size, lean, 1 if rng.random() < 0.5 else -1, pose, mark)


def _fill(
    easel: Easel, pen: Pen, figures: tuple[Figure, ...], box: tuple[float, float, float, float], floor: bool
) -> None:
    """Five to nine members in one or two rows of the box. The defect: all are clones of one, on an exact grid."""
    rng, palette = easel.rng, easel.palette
    x1, y1, x2, y2 = box
    figure = pick(rng, figures)
    rows = 2 if y2 - y1 > 0.62 * (x2 - x1) else 1
    columns = int(rng.integers(3, 5)) if rows == 2 else int(rng.integers(5, 7))
    if (x2 - x1) / columns < 13:
        columns -= 1
    one = pick(rng, palette.accents)
    hues = palette.accents if rng.random() < 0.8 else (one, mix(one, pick(rng, palette.accents), 0.3))
    crowd = [_member(rng, palette, hues) for _ in range(rows * columns)]
    shifts = rng.uniform(-1, 1, (rows * columns, 2))
    if easel.flaw is not None:
        crowd = [pick(easel.flaw, crowd)] * len(crowd)
        shifts[:] = 0
    width, height = (x2 - x1) / columns, (y2 - y1) / rows
    for i, member in enumerate(crowd):
        row, column = divmod(i, columns)
        x = x1 + (column + 0.5) * width + shifts[i, 0] * width * 0.09
        y = y1 + (row + 1) * height - 1 - (0 if floor else (shifts[i, 1] + 1) * height * 0.05)
        pen.oval(x - width * 0.34, y - 1.8, x + width * 0.34, y + 1.4, (0, 0, 0, 46))
        figure(_Stamp(pen, member, x, y, width * 0.86, height * 0.93), member)


def _lit(easel: Easel, sheet: Image.Image) -> Image.Image:
    y, x = np.linspace(-1, 1, easel.height)[:, None], np.linspace(-1, 1, easel.width)[None]
    return shaded(sheet.convert("RGBA"), (1 + 0.07 * (x * easel.light.x + y * easel.light.y))[..., None])


def shelf_box(easel: Easel) -> Image.Image:
    """A wooden box with bottles, flowers or birds standing in it."""
    rng, w, h, palette = easel.rng, easel.width, easel.height, easel.palette
    timber = jittered(palette.surface, rng, 10)
    back = jittered(mix(palette.wall, pick(rng, (palette.light, palette.trim)), 0.5), rng, 6)
    ground = to_image(wood(rng, h, w, timber))
    pen = Pen(w, h, 3, ground)
    pen.rect(0, 0, w, 1.2, lighter(timber, 0.35))
    pen.rect(0, h - 1.2, w, h, darker(timber, 0.45))
    pen.rect(5, 5, w - 5, h - 6, darker(back, 0.35))
    pen.rect(5, 8, w - 5, h - 6, back)
    rows_y = h - 6
    _fill(easel, pen, (_bottle, _flower, _pear, _bird), (7, 10, w - 7, rows_y), floor=True)
    return _lit(easel, pen.finish())


def crate(easel: Easel) -> Image.Image:
    """A slatted crate seen from above its front: fruit in rows over the slats."""
    rng, w, h, palette = easel.rng, easel.width, easel.height, easel.palette
    timber = jittered(mix(palette.surface, (222, 184, 130), 0.5), rng, 8)
    front = int(h * rng.uniform(0.2, 0.26))
    ground = to_image(wood(rng, h, w, timber))
    pen = Pen(w, h, 3, ground)
    pen.rect(4, 3, w - 4, h - front, darker(timber, 0.62))
    pen.rect(4, 3, w - 4, 7, darker(timber, 0.72))
    _fill(easel, pen, (_pear, _bottle), (5, 5, w - 5, h - front + 1), floor=False)
    pen.rect(0, h - front, w, h, timber)
    pen.rect(0, h - front, w, h - front + 1.5, lighter(timber, 0.35))
    pen.rect(0, h - front * 0.5 - 1, w, h - front * 0.5 + 1, darker(timber, 0.5))
    pen.rect(0, h - 1.5, w, h, darker(timber, 0.4))
    for x in (4, w - 8):
        for y in (h - front * 0.76, h - front * 0.26):
            pen.oval(x, y - 1.5, x + 3, y + 1.5, darker(timber, 0.55))
    return _lit(easel, pen.finish())


def print_card(easel: Easel) -> Image.Image:
    """A printed card of little people, birds or flowers on coloured ground."""
    rng, w, h, palette = easel.rng, easel.width, easel.height, easel.palette
    ground = mix(palette.light, pick(rng, (*palette.accents, palette.wall)), rng.uniform(0.12, 0.35))
    edge = int(rng.integers(3, 7))
    pen = Pen(w, h, 3, mix(palette.light, palette.dark, 0.2))
    pen.rect(0.7, 0.7, w - 0.7, h - 0.7, lighter(palette.light, 0.5))
    pen.rect(edge, edge, w - edge, h - edge, ground)
    _fill(easel, pen, (_person, _bird, _flower), (edge + 2, edge + 3, w - edge - 2, h - edge - 3), floor=True)
    return _lit(easel, pen.finish())
