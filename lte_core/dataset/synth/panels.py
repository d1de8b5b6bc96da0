"""Flat objects: lettering, weaves and pictures, sound or defective.

Each defect keeps what a histogram or a spectrum would see: garbled glyphs spend the ink of the letters that they
replace, the periodic grid has the variance of the grain, and a splice moves brightness up as often as down.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from lte_core.dataset.synth.objects import Easel
from lte_core.dataset.synth.textures import (
    Array,
    Color,
    Pen,
    Rng,
    accent,
    brightness,
    darker,
    jittered,
    lighter,
    masonry,
    mix,
    noise,
    pick,
    shaded,
    solid,
    to_image,
    view,
    wood,
)

FINE = 3  # text is drawn this many times larger and averaged down


def _texts(joined: str) -> tuple[str, ...]:
    return tuple(joined.split(";"))


HEADLINES = _texts(
    "CAFE;OPEN;TEA;BREAD;BOOKS;FRESH;MENU;PIZZA;BAKERY;FLOWERS;MARKET;CHEESE;HONEY;LEMONS;SALE;COFFEE;GARDEN;"
    "RADIO;MUSIC;HOTEL;EXIT;TODAY;SOUP;JAM;OLIVES;Bistro;Vintage;Tailor;Museum;Studio;Gelato;Fabrics;Toys;"
    "Optician;Apples"
)
SMALL = _texts(
    "open;fresh;daily;bread;pears;plums;tea;cakes;soup;books;maps;paint;yarn;cider;eggs;nuts;keys;shoes;no. 7;"
    "no. 12;1.20 each;3.50 a jar;since 1954;home made;open daily;from 9 till 6;soup of the day;half price;"
    "two for one;please ring;first floor;hot drinks;old maps;all day;new season;ask inside;free range;"
    "just baked;est. 1921;cash only;mind the step;closed Sunday;fine teas;our own honey"
)


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise RuntimeError("Pillow was built without FreeType, which the lettering needs: install Pillow from PyPI.")
    return font


@cache
def _ink(letter: str, size: int, bold: float) -> float:
    """The inked area of a letter in px²."""
    sheet = Image.new("L", (size * 2, size * 2))
    ImageDraw.Draw(sheet).text((size // 2, size // 2), letter, 255, _font(size), stroke_width=bold)
    return float(np.asarray(sheet, np.float32).sum()) / 255


def _scribble(
    draw: ImageDraw.ImageDraw, flaw: Rng, cell: tuple[float, float, float, float], ink: float, pen: int
) -> None:
    """A malformed glyph: bent strokes through the cell until the ink (px²) of the letter is spent."""
    left = 1.6 * ink / pen  # about a third of the strokes' length lies under other strokes
    point = _stop(flaw, cell)
    for _ in range(40):
        if left <= pen:
            return
        end = _stop(flaw, cell)
        if flaw.random() < 0.6:  # like letters, mostly of upright and level strokes
            axis = int(flaw.integers(2))
            end[axis] = point[axis]
        chord = float(np.hypot(*(end - point)))
        if chord < 0.5 * (cell[3] - cell[1]):
            continue
        knee = (point + end) / 2 + (_stop(flaw, cell) - (point + end) / 2) * (flaw.random() < 0.5) * 0.8
        length = float(np.hypot(*(knee - point)) + np.hypot(*(end - knee)))
        t = np.linspace(0, min(1.0, left / length), 7)[:, None]
        curve = (1 - t) ** 2 * point + 2 * t * (1 - t) * knee + t**2 * end
        draw.line([(float(x), float(y)) for x, y in curve], 255, pen, joint="curve")
        left -= (length + chord) / 2
        point = end if flaw.random() < 0.6 else _stop(flaw, cell)


def _stop(flaw: Rng, cell: tuple[float, float, float, float]) -> Array:
    """A place where a stroke may begin, bend or end: a point of a loose 3 x 3 lattice over the cell."""
    x1, y1, x2, y2 = cell
    u, v = flaw.integers(3, size=2) / 2 * 0.92 + flaw.uniform(0, 0.08, 2)
    return np.array([x1 + (x2 - x1) * u, y1 + (y2 - y1) * v], np.float32)


def _write(mask: Image.Image, text: str, x: float, y: float, size: int, bold: float, flaw: Rng | None) -> None:
    """One line of text on an L mask at FINE times the final size, its letters garbled when there is a flaw."""
    font, draw = _font(size * FINE), ImageDraw.Draw(mask)
    at, y, bold = x * FINE, y * FINE, bold * FINE
    if flaw is None:
        draw.text((at, y), text, 255, font, stroke_width=bold)
        return
    pen = max(2, round(size * FINE * 0.066 + bold * 1.5))
    for letter in text:
        advance = font.getlength(letter)
        if letter not in " .":
            _, top, _, bottom = font.getbbox(letter)
            right = at + max(advance, pen * 3)
            cell = (at + pen / 2, y + top + pen / 2, right - pen / 2, y + bottom - pen / 2)
            _scribble(draw, flaw, cell, _ink(letter, size * FINE, bold), pen)
        at += advance


@cache
def _length(text: str, size: int) -> float:
    return _font(size * FINE).getlength(text) / FINE


def _line(rng: Rng, texts: tuple[str, ...], size: int, room: float) -> str:
    """A random text that fits the room (px), or the shortest one."""
    fitting = [t for t in texts if _length(t, size) <= room]
    return pick(rng, fitting) if fitting else min(texts, key=lambda t: _length(t, size))


def _text_mask(easel: Easel, margin: float) -> Image.Image:
    """A headline and small lines that fill the easel inside the margin; L, of the easel's size."""
    rng, w, h = easel.rng, easel.width, easel.height
    mask = Image.new("L", (w * FINE, h * FINE))
    y, room = margin, w - 2 * margin
    loud = bool(rng.random() < 0.7)
    centred = bool(rng.random() < 0.7)
    first = True
    while True:
        size = int(rng.integers(22, 29)) if first and loud else int(rng.integers(16, 21))
        bold = float(rng.choice([0.0, 0.3, 0.6])) * (1.3 if first else 0.7)
        if y + size * 1.12 > h - margin + 2 and not first:
            break
        texts = HEADLINES if first else SMALL
        text = _line(rng, texts, size, room - 2 * bold)
        spare = room - _length(text, size) - 2 * bold
        _write(mask, text, margin + (spare / 2 if centred else 0) + bold, y - size * 0.12, size, bold, easel.flaw)
        y += size * rng.uniform(1.12, 1.25)
        first = False
    slant = float(rng.choice([0.0, 0.0, 0.12, -0.08]))
    drop = max(0.0, (h - margin - y) / 2)  # to the middle of the board
    mask = mask.transform(
        mask.size, Image.Transform.AFFINE, (1, slant, -slant * h * FINE / 2, 0, 1, round(-drop * FINE))
    )
    return mask.filter(ImageFilter.BoxBlur(FINE * 0.4)).reduce(FINE)  # ink has soft edges


def signboard(easel: Easel) -> Image.Image:
    """A painted board, a slate in a wooden frame, or a paper notice, full of text."""
    rng, w, h, palette = easel.rng, easel.width, easel.height, easel.palette
    style = int(rng.integers(3))
    hue = accent(palette, rng)
    board = (hue, jittered((58, 64, 66), rng, 6), jittered(palette.light, rng, 4))[style]
    dark_board = brightness(board) < 140
    ink = lighter(palette.light, 0.3) if dark_board else darker(palette.dark, 0.2)
    trim = (ink, jittered(palette.surface, rng, 8), mix(board, palette.dark, 0.25))[style]
    if style == 0 and dark_board:
        board = darker(board, 0.18)
    pen = Pen(w, h)
    if style == 0:
        pen.rect(0, 0, w, h, darker(board, 0.25), 5)
        pen.rect(1, 1, w - 1, h - 1, board, 4)
        pen.rect(3, 3, w - 3, h - 3, trim, 3)
        pen.rect(4.2, 4.2, w - 4.2, h - 4.2, board, 2)
    elif style == 1:
        pen.rect(0, 0, w, h, darker(trim, 0.2))
        pen.poly([(0, 0), (w, 0), (w - 5, 5), (5, h - 5), (0, h)], trim)
        pen.rect(5, 5, w - 5, h - 5, board)
    else:
        pen.rect(0, 0, w, h, trim)
        pen.rect(1, 1, w - 1, h - 1, board)
    sheet = pen.finish()
    mask = _text_mask(easel, 8.0)
    sheet.paste(Image.new("RGB", (w, h), ink), (0, 0), mask)
    return shaded(sheet, _sheen(easel))


def _sheen(easel: Easel) -> Array:
    """A soft fall of light over a flat thing, H x W x 1 around 1."""
    y, x = np.linspace(-1, 1, easel.height)[:, None], np.linspace(-1, 1, easel.width)[None]
    return np.asarray(1 + 0.06 * (x * easel.light.x + y * easel.light.y), np.float32)[..., None]


def _fine(easel: Easel) -> Array:
    """The finest texture of a weave, H x W x 1: irregular mottle, or (the defect) an exact chessboard of 2 or 3 px.

    Both have the same variance and the same wavelength, so that a power spectrum by radius sees no difference.
    """
    h, w = easel.height, easel.width
    amplitude = np.float32(easel.rng.uniform(12, 18))
    pitch = int(easel.rng.integers(2, 4))
    mottle = noise(f"mottle {pitch}", easel.rng, h, w)
    if easel.flaw is None:
        return (mottle * amplitude)[..., None]
    y, x = (
        np.cos((np.arange(n) + int(easel.flaw.integers(pitch))) * (math.pi / pitch) + math.pi / 4) * math.sqrt(2)
        for n in (h, w)
    )
    return (np.outer(y, x).astype(np.float32) * amplitude)[..., None]


def _threads(easel: Easel, pitch: int, colors: tuple[Color, Color], stripe: int) -> Array:
    """Over-and-under weave of `pitch` px threads; warp and weft threads each vary in tone."""
    rng, h, w = easel.rng, easel.height, easel.width
    row, column = np.arange(h) // pitch, np.arange(w) // pitch
    warp_tone, weft_tone = rng.normal(0, 7, int(column.max()) + 1), rng.normal(0, 7, int(row.max()) + 1)
    bands = (
        (row[:, None] // stripe + column[None] // stripe) % 2 if rng.random() < 0.5 else (row // stripe % 2)[:, None]
    )
    a = np.where(np.broadcast_to(bands[..., None], (h, w, 1)) > 0, *(np.asarray(c, np.float32) for c in colors))
    over = (row[:, None] + column[None]) % 2 == 0
    across = np.abs((np.arange(h) % pitch) / (pitch - 1) - 0.5)[:, None]
    along = np.abs((np.arange(w) % pitch) / (pitch - 1) - 0.5)[None]
    relief = np.where(over, weft_tone[row][:, None] - 30 * across, warp_tone[column][None] - 30 * along)
    return np.asarray(a + (relief + 4)[..., None], np.float32)


def cloth(easel: Easel) -> Image.Image:
    """A woven hanging or mat with a hem and a fringe."""
    rng, w, h, palette = easel.rng, easel.width, easel.height, easel.palette
    hue = accent(palette, rng)
    other = mix(hue, pick(rng, (palette.light, palette.dark, accent(palette, rng))), 0.45)
    a = _threads(easel, int(rng.integers(6, 9)), (hue, other), int(rng.integers(2, 5))) + _fine(easel)
    folds = 1 + 0.07 * np.sin(np.arange(w) / w * rng.uniform(6, 16) + rng.uniform(0, 6))
    sheet = to_image(a * folds[None, :, None].astype(np.float32)).convert("RGBA")
    pen = Pen(w, h, 2)
    hem = darker(hue, 0.35)
    pen.rect(0, 0, w, 5, hem)
    for x in range(0, w, 4):
        pen.rect(x, h - 7, x + 2.6, h, lighter(hue, 0.3) if (x // 4) % 2 else hem)
    sheet.alpha_composite(pen.finish())
    return shaded(sheet, _sheen(easel))


def basket(easel: Easel) -> Image.Image:
    """A wicker basket: a tapering woven body under a thick rim."""
    rng, w, h, palette = easel.rng, easel.width, easel.height, easel.palette
    straw = jittered(mix(palette.surface, (214, 170, 110), 0.6), rng, 8)
    a = _threads(easel, int(rng.integers(7, 11)), (straw, mix(straw, accent(palette, rng), 0.3)), 3) + _fine(easel)
    x = np.linspace(-1, 1, w)[None, :, None]
    a = a * (1 - 0.22 * np.clip((x - easel.light.x * 0.35) ** 2, 0, 1)).astype(np.float32)
    rim = max(8, h // 10)
    taper = w * 0.09
    cut = Pen(w, h)
    cut.poly(
        [(0, rim - 2), (w, rim - 2), (w - taper, h - 3), (w - taper - 4, h), (taper + 4, h), (taper, h - 3)], (0, 0, 0)
    )
    sheet = to_image(a).convert("RGBA")
    sheet.putalpha(cut.finish().getchannel("A"))
    edge = Pen(w, h)
    edge.rect(0, 0, w, rim, darker(straw, 0.3), rim / 2)
    edge.rect(1, 1, w - 1, rim - 3, lighter(straw, 0.18), rim / 2)
    for x0 in range(4, w - 6, 9):
        edge.line([(x0, rim - 2), (x0 + 5, 1.5)], darker(straw, 0.22), 1.3)
    sheet.alpha_composite(edge.finish())
    return sheet


def brick_panel(easel: Easel) -> Image.Image:
    """Bare bricks in a stone surround, like a walled-up niche."""
    rng, w, h, palette = easel.rng, easel.width, easel.height, easel.palette
    course = int(rng.integers(10, 15))
    wall = masonry(rng, h, w, course, int(course * rng.uniform(1.8, 2.3)))
    hue = jittered(mix((170, 96, 74), accent(palette, rng), 0.3), rng, 8)
    a = solid(hue, h, w) + (wall.tones * np.float32(11))[..., None]
    a[wall.joints] = np.asarray(mix(hue, palette.light, 0.55), np.float32)
    a += _fine(easel)
    stone = jittered(mix(palette.wall, palette.light, 0.4), rng, 4)
    frame = Pen(w, h, 2)
    frame.rect(0, 0, w, h, stone)
    frame.rect(1, h - 1.5, w, h, darker(stone, 0.3))
    frame.rect(5, 5, w - 5, h - 5, darker(stone, 0.45))
    sheet = frame.finish().convert("RGB")
    sheet.paste(to_image(a).crop((6, 7, w - 5, h - 5)), (6, 7))
    return shaded(sheet.convert("RGBA"), _sheen(easel))


def _splice(flaw: Rng, wide: Array, margin: int, content: Array) -> Array:
    """The content with a part of it replaced by the same scene shifted and brightened, along a hard straight seam."""
    h, w = content.shape[:2]
    dx, dy = (int(flaw.integers(5, margin)) * int(flaw.choice([-1, 1])) for _ in range(2))
    other = wide[margin + dy : margin + dy + h, margin + dx : margin + dx + w]
    step = flaw.choice([-1, 1]) * flaw.uniform(14, 28)
    angle = flaw.uniform(0, math.pi)
    y, x = np.mgrid[0:h, 0:w].astype(np.float32)
    side = (x - w * flaw.uniform(0.36, 0.64)) * math.cos(angle) + (y - h * flaw.uniform(0.36, 0.64)) * math.sin(angle)
    share = np.clip(side / 2 + 0.5, 0, 1)[..., None]
    spliced = share * (other + step / 2) + (1 - share) * (content - step / 2)
    seam = np.exp(-(side**2) / 1.8)[..., None] * np.float32(flaw.uniform(0.6, 0.9))
    return np.asarray(spliced + seam * ((255 if flaw.random() < 0.5 else 0) - spliced), np.float32)


def _content(easel: Easel, width: int, height: int) -> Image.Image:
    margin = 12
    wide = view(easel.rng, width + 2 * margin, height + 2 * margin, easel.photos)
    middle = float(wide.mean())
    wide = (wide - middle) * np.float32(easel.rng.uniform(0.75, 1.1)) + np.float32(np.clip(middle, 85, 170))
    content = wide[margin:-margin, margin:-margin]
    return to_image(content if easel.flaw is None else _splice(easel.flaw, wide, margin, content))


def framed(easel: Easel) -> Image.Image:
    """A picture in a wooden or painted frame, with or without a mat."""
    rng, w, h, palette = easel.rng, easel.width, easel.height, easel.palette
    rail = int(rng.integers(4, 8))
    mat = int(rng.integers(3, 8)) if rng.random() < 0.5 else 0
    timber = jittered(pick(rng, (palette.trim, palette.dark, palette.surface, (196, 160, 92))), rng, 8)
    pen = Pen(w, h)
    pen.rect(0, 0, w, h, timber)
    corners = [(0.0, 0.0), (w, 0.0), (w - rail, rail), (w - rail, h - rail), (rail, h - rail), (rail, rail)]
    lit = lighter(timber, 0.22)
    pen.poly([corners[0], corners[1], corners[2], corners[5]], lit)
    side = (
        [(0, 0), (rail, rail), (rail, h - rail), (0, h)]
        if easel.light.x < 0
        else [(w, 0), (w - rail, rail), (w - rail, h - rail), (w, h)]
    )
    pen.poly(side, lighter(timber, 0.1))
    pen.poly([(0, h), (w, h), (w - rail, h - rail), (rail, h - rail)], darker(timber, 0.3))
    inset = rail + mat
    pen.rect(rail, rail, w - rail, h - rail, lighter(palette.light, 0.4) if mat else darker(timber, 0.5))
    if not mat:
        inset += 1
    sheet = pen.finish()
    sheet.paste(_content(easel, w - 2 * inset, h - 2 * inset), (inset, inset))
    return sheet


def poster(easel: Easel) -> Image.Image:
    """A printed card or poster with a pale border, held by a pin or a strip of tape."""
    rng, w, h, palette = easel.rng, easel.width, easel.height, easel.palette
    edge = int(rng.integers(4, 7))
    pen = Pen(w, h)
    pen.rect(0, 0, w, h, mix(palette.light, palette.dark, 0.18))
    pen.rect(0.7, 0.7, w - 0.7, h - 0.7, lighter(palette.light, 0.5))
    sheet = pen.finish()
    foot = int(edge * rng.choice([1, 1, 3]))
    sheet.paste(_content(easel, w - 2 * edge, h - edge - foot), (edge, edge))
    top = Pen(w, h)
    if rng.random() < 0.5:
        hue = accent(palette, rng)
        top.oval(w / 2 - 3, 1, w / 2 + 3, 7, darker(hue, 0.2))
        top.oval(w / 2 - 2, 1.4, w / 2 + 1.5, 4.8, lighter(hue, 0.3))
    else:
        top.rect(w / 2 - 11, 0, w / 2 + 11, 7, (*mix(palette.light, palette.accents[2], 0.3), 190))
    sheet.alpha_composite(top.finish())
    return shaded(sheet, _sheen(easel))


def plank_sign(easel: Easel) -> Image.Image:
    """Letters painted on bare boards."""
    rng, w, h, palette = easel.rng, easel.width, easel.height, easel.palette
    timber = jittered(palette.surface, rng, 10)
    pale = rng.random() < 0.5
    board = lighter(timber, 0.45) if pale else darker(timber, 0.4)
    ink = darker(palette.dark, 0.2) if pale else lighter(palette.light, 0.2)
    sheet = to_image(wood(rng, h, w, board, int(rng.integers(2, 4)))).convert("RGBA")
    rim = Pen(w, h, 2)
    for y1, y2, tone in ((0, 1.5, lighter(board, 0.25)), (h - 2, h, darker(board, 0.4))):
        rim.rect(0, y1, w, y2, tone)
    for x, y in ((5, 5), (w - 5, 5), (5, h - 6), (w - 5, h - 6)):
        rim.oval(x - 1.5, y - 1.5, x + 1.5, y + 1.5, darker(board, 0.55))
    sheet.alpha_composite(rim.finish())
    sheet.paste(Image.new("RGB", (w, h), ink), (0, 0), _text_mask(easel, 8.0))
    return shaded(sheet, _sheen(easel))
