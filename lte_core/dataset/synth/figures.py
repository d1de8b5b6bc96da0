"""Shaped objects: shiny bodies, hands and paws, sound or defective.

The defects keep the area and the mean colour: the contradictory highlight replaces a soft bounce light of the same
energy and wrong digits share
the width of the right ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from PIL import Image

from lte_core.dataset.synth.objects import Easel
from lte_core.dataset.synth.textures import (
    Array,
    Color,
    Pen,
    accent,
    brightness,
    darker,
    jittered,
    lighter,
    mix,
    pick,
    shaded,
)

Profile = Callable[[Array], Array]


def _glow(u: Array, v: Array, at: tuple[float, float], sigma: tuple[float, float], power: float = 1.0) -> Array:
    d = ((u - at[0]) / sigma[0]) ** 2 + ((v - at[1]) / sigma[1]) ** 2
    return np.asarray(np.exp(-((d / 2) ** power)), np.float32)


def _highlights(easel: Easel, a: Array, u: Array, v: Array, tall: float) -> Array:
    """One crisp highlight towards the light; opposite to it a soft bounce light, or (the defect) a second highlight.

    `u`, `v` run over the body from -1 to 1. The second highlight has the energy of the bounce light.
    """
    rng, light = easel.rng, easel.light
    size = rng.uniform(0.085, 0.12)
    off = rng.uniform(0.42, 0.54)
    glint = np.asarray((255, 253, 246), np.float32)
    spot = _glow(u, v, (light.x * off, light.y * off), (size, size * tall), 1.6)[..., None]
    a = a + spot * np.float32(0.95) * (glint - a)
    turn = rng.uniform(-0.6, 0.6)
    away = (-light.x * math.cos(turn) + light.y * math.sin(turn), -light.x * math.sin(turn) - light.y * math.cos(turn))
    power = rng.uniform(0.7, 0.95)
    if easel.flaw is None:
        soft = _glow(u, v, (away[0] * 0.62, away[1] * 0.62), (size * 2.6, size * 2.6 * tall))[..., None]
        return np.asarray(a + soft * np.float32(power / 6.8) * (glint - a), np.float32)
    second = size * easel.flaw.uniform(0.8, 1.0)
    spot = _glow(u, v, (away[0] * off, away[1] * off), (second, second * tall), 1.6)[..., None]
    return np.asarray(a + spot * np.float32(power) * (glint - a), np.float32)


def _body(
    easel: Easel, hue: Color, outline: Profile, top: float, bottom: float, center: float, tall: float
) -> Image.Image:
    """A turned body between `top` and `bottom` (px): `outline` gives its half-width (px) along v in [-1, 1]."""
    w, h = easel.width, easel.height
    y = np.arange(h, dtype=np.float32)[:, None] + 0.5
    x = np.arange(w, dtype=np.float32)[None] + 0.5
    v = (y - top) / (bottom - top) * 2 - 1
    radius = np.maximum(outline(np.clip(v, -1, 1)), 0.01)
    u = np.asarray((x - center) / radius, np.float32)
    nz = np.sqrt(np.clip(1 - np.clip(u * u + 0.8 * v * v, 0, 1), 0, 1))
    lit = np.clip(u * easel.light.x * 0.62 + v * easel.light.y * 0.5 + nz * 0.62, 0, 1)
    body = np.asarray(np.asarray(hue) * (0.42 + 0.68 * lit)[..., None], np.float32)
    a = _highlights(easel, body, u, v, tall)
    slope = np.abs(np.gradient(radius, axis=0)) if h > 1 else np.zeros_like(radius)
    edge = (radius - np.abs(x - center)) / np.sqrt(1 + np.minimum(slope, 6) ** 2)
    alpha = np.clip(edge + 0.5, 0, 1) * np.clip(y - top + 0.5, 0, 1) * np.clip(bottom - y + 0.5, 0, 1)
    return Image.fromarray(np.dstack([np.clip(a, 0, 255), alpha * 255]).astype(np.uint8), "RGBA")


def _ellipse(half: float) -> Profile:
    return lambda v: np.asarray(half * np.sqrt(np.clip(1 - v * v, 0, 1)), np.float32)


def ball(easel: Easel) -> Image.Image:
    """A glossy ball, plain or with a painted band."""
    return _body(
        easel, accent(easel.palette, easel.rng), _ellipse(easel.width / 2), 0, easel.height, easel.width / 2, 1.0
    )


def apple(easel: Easel) -> Image.Image:
    """A polished apple or orange with a stem and a leaf."""
    rng, w, h = easel.rng, easel.width, easel.height
    hue = jittered(pick(rng, ((190, 44, 40), (118, 158, 56), (226, 134, 40), (206, 170, 60), (150, 40, 70))), rng, 9)
    crown = h * 0.14
    sheet = _body(easel, hue, _ellipse(w / 2), crown, h, w / 2, 1.0)
    pen = Pen(w, h)
    pen.oval(w * 0.40, crown + h * 0.015, w * 0.60, crown + h * 0.07, darker(hue, 0.45))
    lean = rng.uniform(-0.06, 0.06) * w
    pen.line([(w / 2, crown + h * 0.05), (w / 2 + lean, 0)], (92, 62, 38), w * 0.045)
    side = 1 if rng.random() < 0.5 else -1
    leaf = [
        (w / 2 + side * w * (0.02 + 0.3 * t), crown * 0.8 + s * h * 0.055 * math.sin(t * math.pi) - t * crown * 0.4)
        for s, steps in ((-1, range(9)), (1, range(8, -1, -1)))
        for t in (i / 8 for i in steps)
    ]
    pen.poly(leaf, (88, 138, 66))
    sheet.alpha_composite(pen.finish())
    return sheet


def bauble(easel: Easel) -> Image.Image:
    """A hanging glass bauble with its cap."""
    rng, w, h = easel.rng, easel.width, easel.height
    cap = h * 0.13
    sheet = _body(easel, accent(easel.palette, rng), _ellipse(w / 2), cap, h, w / 2, 1.0)
    pen = Pen(w, h)
    metal = (202, 170, 96)
    pen.oval(w / 2 - 4, 0, w / 2 + 4, 8, darker(metal, 0.2))
    pen.oval(w / 2 - 2.5, 1.5, w / 2 + 2.5, 6.5, (0, 0, 0, 0))
    pen.rect(w * 0.41, cap * 0.5, w * 0.59, cap * 1.25, metal, 2)
    pen.rect(w * 0.41, cap * 0.5, w * 0.47, cap * 1.25, lighter(metal, 0.4), 2)
    sheet.alpha_composite(pen.finish())
    return sheet


def vase(easel: Easel) -> Image.Image:
    """A glazed vase."""
    rng, w, h = easel.rng, easel.width, easel.height
    neck, foot, belly = rng.uniform(0.34, 0.5), rng.uniform(0.4, 0.55), rng.uniform(-0.1, 0.3)
    knots = np.array([-1, -0.92, -0.72, belly, 0.9, 1.0])
    widths = np.array([neck + 0.16, neck + 0.06, neck, 1.0, foot, foot + 0.04])
    grid = np.linspace(-1, 1, 81)
    smooth = np.interp(grid, knots, widths)
    kernel = np.hanning(29) / np.hanning(29).sum()
    smooth = np.convolve(np.pad(smooth, 14, mode="edge"), kernel, "valid")
    smooth /= smooth.max()
    hue = accent(easel.palette, rng)
    sheet = _body(easel, hue, lambda v: np.interp(v, grid, smooth * w / 2).astype(np.float32), 0, h, w / 2, 1.7)
    pen = Pen(w, h)
    lip = smooth[0] * w / 2
    pen.oval(w / 2 - lip, 0, w / 2 + lip, h * 0.07, lighter(hue, 0.25))
    pen.oval(w / 2 - lip + 2, 1.5, w / 2 + lip - 2, h * 0.06, darker(hue, 0.6))
    sheet.alpha_composite(pen.finish())
    return sheet


def kettle(easel: Easel) -> Image.Image:
    """An enamel kettle or teapot with spout, handle and lid."""
    rng, w, h = easel.rng, easel.width, easel.height
    hue = accent(easel.palette, rng)
    side = 1 if rng.random() < 0.5 else -1
    back = Pen(w, h)
    mid, half, top = w * (0.5 - side * 0.03), w * 0.335, h * 0.30
    tip, root = w / 2 + side * w / 2, mid + side * half * 0.8
    knee = root + side * w * 0.1
    low = [(root, h * 0.84), (knee, h * 0.74), (tip - side * w * 0.07, h * 0.46), (tip, h * 0.39)]
    high = [
        (tip - side * w * 0.06, h * 0.34),
        (tip - side * w * 0.13, h * 0.42),
        (knee - side * w * 0.03, h * 0.58),
        (root, h * 0.62),
    ]
    back.poly(low + high, darker(hue, 0.24))
    back.line(high[:3], lighter(hue, 0.12), w * 0.025)
    arm = w / 2 - side * w / 2
    x1, x2 = sorted((arm, mid - side * half * 0.5))
    back.arc(
        (x1, h * 0.38, x2 + w * 0.1, h * 0.86) if side > 0 else (x1 - w * 0.1, h * 0.38, x2, h * 0.86),
        0,
        360,
        darker(easel.palette.dark, 0.1),
        w * 0.055,
    )
    sheet = back.finish()
    body = _body(
        easel,
        hue,
        lambda v: np.asarray(half * np.clip(1 - np.abs(v * 0.93) ** 2.8, 0, 1) ** 0.5, np.float32),
        top,
        h,
        mid,
        1.1,
    )
    sheet.alpha_composite(body)
    lid = Pen(w, h)
    lid.oval(mid - half * 0.5, top - h * 0.035, mid + half * 0.5, top + h * 0.09, darker(hue, 0.25))
    lid.oval(mid - half * 0.48, top - h * 0.05, mid + half * 0.48, top + h * 0.06, lighter(hue, 0.1))
    lid.oval(mid - w * 0.06, top - h * 0.13, mid + w * 0.06, top - h * 0.01, darker(easel.palette.dark, 0.1))
    sheet.alpha_composite(lid.finish())
    return _filled(sheet, w, h)


def _filled(sheet: Image.Image, width: int, height: int) -> Image.Image:
    """The painted part stretched to the whole size, so that the box is exact."""
    box = sheet.getchannel("A").point([0] * 24 + [255] * 232).getbbox()
    return sheet.resize((width, height), Image.Resampling.BICUBIC, box=box)


def _digits(easel: Easel, right: int, wrong: tuple[int, ...]) -> tuple[int, int]:
    """How many digits to draw, and after which one two are fused (-1: none)."""
    if easel.flaw is None:
        return right, -1
    if easel.flaw.random() < 0.25:
        return right, int(easel.flaw.integers(right - 2))
    return pick(easel.flaw, wrong), -1


def _hand(easel: Easel, pen: Pen, skin: Color, line: Color, box: tuple[float, float, float, float]) -> None:
    """An open hand in the box (px): a thumb and fingers that fan out from the palm."""
    digits, fused = _digits(easel, 5, (4, 4, 6, 7))
    x1, y1, x2, y2 = box
    w, h = x2 - x1, y2 - y1
    side = 1 if easel.rng.random() < 0.5 else -1
    cx, cy = x1 + w * (0.5 + side * 0.04), y1 + h * 0.70
    fingers = digits - 1
    thick = w * 0.135 * (4 / fingers) ** 0.8
    spread = np.linspace(-1, 1, fingers)
    roots = [(cx + s * (w * 0.25 - thick * 0.18), cy - h * (0.14 - 0.03 * s * s)) for s in spread]
    tips = [
        (cx + s * w * 0.39 - side * w * 0.02, y1 + thick * 0.6 + h * 0.15 * abs(s + side * 0.15) ** 1.6) for s in spread
    ]
    thumb = [
        (cx - side * w * 0.16, cy + h * 0.10),
        (cx - side * w * 0.36, cy - h * 0.06),
        (cx - side * w * 0.44, cy - h * 0.2),
    ]
    rim = max(1.2, w * 0.018)
    for color, grow in ((line, rim), (skin, 0.0)):
        for root, tip in zip(roots, tips, strict=True):
            pen.line([root, tip], color, thick + 2 * grow, caps=True)
        if fused >= 0:
            a, b = fused, fused + 1
            pen.poly([roots[a], tips[a], tips[b], roots[b]], color)
            pen.line([tips[a], tips[b]], color, thick + 2 * grow, caps=True)
        pen.line(thumb, color, w * 0.145 + 2 * grow, caps=True)
        g = grow
        pen.rect(cx - w * 0.27 - g, cy - h * 0.17 - g, cx + w * 0.27 + g, cy + h * 0.22 + g, color, w * 0.13)
        pen.rect(cx - w * 0.2 - g, cy + h * 0.05, cx + w * 0.2 + g, y2, color)
    pen.arc((cx - w * 0.2, cy - h * 0.09, cx + w * 0.2, cy + h * 0.26), 200, 300, mix(skin, line, 0.45), rim * 0.8)


def glove(easel: Easel) -> Image.Image:
    """A knitted or rubber glove with a cuff."""
    rng, w, h, palette = easel.rng, easel.width, easel.height, easel.palette
    hue = accent(palette, rng)
    line = darker(hue, 0.5)
    pen = Pen(w, h)
    _hand(easel, pen, hue, line, (1, 1, w - 1, h * 0.9))
    cuff = mix(hue, pick(rng, (palette.light, palette.dark)), 0.5)
    pen.rect(w * 0.28, h * 0.83, w * 0.80, h, line, 4)
    pen.rect(w * 0.28 + 1.4, h * 0.83 + 1.4, w * 0.80 - 1.4, h - 1.4, cuff, 3)
    for x in np.linspace(w * 0.34, w * 0.74, 6):
        pen.line([(float(x), h * 0.86), (float(x), h * 0.97)], darker(cuff, 0.18), 1.2)
    y, x = np.linspace(-1, 1, h)[:, None], np.linspace(-1, 1, w)[None]
    knit = 0.03 * np.sin(np.arange(h)[:, None] * 1.6) * (1 if rng.random() < 0.5 else 0)
    return shaded(_filled(pen.finish(), w, h), (1 + 0.12 * (x * easel.light.x + y * easel.light.y) + knit)[..., None])


def _plaque(easel: Easel, ground: Color, trim: Color) -> Pen:
    w, h = easel.width, easel.height
    pen = Pen(w, h)
    radius = float(easel.rng.choice([4, 14]))
    pen.rect(0, 0, w, h, darker(trim, 0.25), radius)
    pen.rect(0, 0, w, h - 1.5, trim, radius)
    pen.rect(4, 4, w - 4, h - 5, ground, max(2.0, radius - 4))
    return pen


def _plaque_colors(easel: Easel) -> tuple[Color, Color, Color]:
    """Ground, trim and figure colours with enough contrast to read the figure."""
    hue = accent(easel.palette, easel.rng)
    pale = lighter(easel.palette.light, 0.3)
    if easel.rng.random() < 0.5:
        return pale, hue, darker(hue, 0.15 if brightness(hue) < 150 else 0.45)
    deep = darker(hue, 0.15 if brightness(hue) < 130 else 0.4)
    return deep, pale, lighter(pale, 0.2)


def hand_plaque(easel: Easel) -> Image.Image:
    """A sign that shows an open hand."""
    ground, trim, figure = _plaque_colors(easel)
    pen = _plaque(easel, ground, trim)
    w, h = easel.width, easel.height
    _hand(easel, pen, figure, mix(figure, ground, 0.75), (w * 0.12, h * 0.1, w * 0.88, h - 5))
    sheet = pen.finish()
    y, x = np.linspace(-1, 1, h)[:, None], np.linspace(-1, 1, w)[None]
    return shaded(sheet, (1 + 0.06 * (x * easel.light.x + y * easel.light.y))[..., None])


def paw_plaque(easel: Easel) -> Image.Image:
    """A sign or cushion that shows a paw: a pad and its toes."""
    ground, trim, figure = _plaque_colors(easel)
    pen = _plaque(easel, ground, trim)
    w, h = easel.width, easel.height
    toes, fused = _digits(easel, 4, (3, 5, 6))
    cx, cy = w / 2, h * 0.66
    pen.oval(cx - w * 0.2, cy - h * 0.14, cx + w * 0.2, cy + h * 0.2, figure)
    for side in (-1, 1):
        pen.oval(cx + side * w * 0.13 - w * 0.12, cy + h * 0.01, cx + side * w * 0.13 + w * 0.12, cy + h * 0.22, figure)
    size = 0.096 * (4 / toes) ** 0.5
    centers = []
    for s in np.linspace(-1, 1, toes):
        angle = s * 1.05
        x, y = cx + math.sin(angle) * w * 0.355, cy + h * 0.05 - math.cos(angle) * h * 0.43
        centers.append((float(x), float(y)))
        pen.oval(x - w * size, y - h * size * 1.3, x + w * size, y + h * size * 1.3, figure)
    if fused >= 0:
        pen.line([centers[fused], centers[fused + 1]], figure, w * size * 2.1, caps=True)
    sheet = pen.finish()
    v, u = np.linspace(-1, 1, h)[:, None], np.linspace(-1, 1, w)[None]
    return shaded(sheet, (1 + 0.06 * (u * easel.light.x + v * easel.light.y))[..., None])
