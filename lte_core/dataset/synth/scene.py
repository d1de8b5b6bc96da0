"""Compose a scene: a theme, a light, and two to four objects, some of them defective when the label says so.

The label is drawn first and switches nothing but the defects: every other draw comes from the same places of the
same streams, so one seed with either label gives the same pixels outside the defective objects' boxes. Writes no
words and no files.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from lte_core.dataset.synth.crowds import crate, print_card, shelf_box
from lte_core.dataset.synth.figures import apple, ball, bauble, glove, hand_plaque, kettle, paw_plaque, vase
from lte_core.dataset.synth.objects import Easel, Kind, Light, Look, Mount, SceneObject
from lte_core.dataset.synth.panels import basket, brick_panel, cloth, framed, plank_sign, poster, signboard
from lte_core.dataset.synth.rooms import SIDE, THEMES, Room, landscape_room
from lte_core.dataset.synth.textures import PALETTES, Array, Pen, Pixels, Rng, noise_table, pick
from lte_core.schema import Box, Region, Verdict

SMALLEST, LARGEST, GAP = 68, 132, 6
LOOKS = (
    Look(Kind.LETTERING, signboard, (0.7, 1.2), ("wall", "surface")),
    Look(Kind.LETTERING, plank_sign, (0.65, 1.0), ("wall", "surface")),
    Look(Kind.WEAVE, cloth, (0.9, 1.5), ("wall",)),
    Look(Kind.WEAVE, basket, (0.75, 1.05), ("surface",)),
    Look(Kind.WEAVE, brick_panel, (0.8, 1.25), ("wall", "surface")),
    Look(Kind.PICTURE, framed, (0.75, 1.3), ("wall", "surface")),
    Look(Kind.PICTURE, poster, (0.75, 1.3), ("wall", "surface")),
    Look(Kind.GLOSS, ball, (1.0, 1.0), ("surface",), flat=False),
    Look(Kind.GLOSS, apple, (1.02, 1.08), ("surface",), flat=False),
    Look(Kind.GLOSS, bauble, (1.1, 1.15), ("wall",), flat=False),
    Look(Kind.GLOSS, vase, (1.1, 1.5), ("surface",), flat=False),
    Look(Kind.GLOSS, kettle, (0.85, 1.0), ("surface",), flat=False),
    Look(Kind.HAND, glove, (1.05, 1.3), ("wall", "surface"), flat=False),
    Look(Kind.HAND, hand_plaque, (0.95, 1.25), ("wall", "surface")),
    Look(Kind.HAND, paw_plaque, (0.85, 1.1), ("wall", "surface")),
    Look(Kind.CROWD, shelf_box, (0.6, 1.0), ("wall", "surface")),
    Look(Kind.CROWD, crate, (0.75, 1.05), ("surface",)),
    Look(Kind.CROWD, print_card, (0.65, 1.0), ("wall", "surface")),
)


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """A 448 px image, its label, its objects in reading order, and which of them the explanation is about.

    `evidence` holds indices into `objects`: the defective ones of a generated scene, the largest ones of a real one.
    """

    image: Image.Image
    label: Verdict
    theme: str
    objects: tuple[SceneObject, ...]
    evidence: tuple[int, ...]

    @property
    def regions(self) -> tuple[Region, ...]:
        return tuple(Region(self.objects[i].box, self.objects[i].kind.value) for i in self.evidence)


@dataclass(frozen=True, slots=True)
class _Placed:
    look: Look
    mount: Mount
    x: int
    y: int
    width: int
    height: int

    @property
    def box(self) -> Box:
        return Box(self.x, self.y, self.x + self.width, self.y + self.height)


ALL_KINDS = tuple(Kind)


def compose(rng: Rng, photos: Sequence[Pixels] = (), kinds: Sequence[Kind] = ALL_KINDS) -> Scene:
    """A scene of 2 to 4 objects of these kinds; generated and real ones are equally likely.

    `photos` (H x W x 3 uint8) serve as murals, views and picture contents, alike for both labels.
    """
    label = Verdict.GENERATED if rng.random() < 0.5 else Verdict.REAL
    return _compose(rng, photos, label, kinds)


def _compose(rng: Rng, photos: Sequence[Pixels], label: Verdict, kinds: Sequence[Kind] = ALL_KINDS) -> Scene:
    theme = pick(rng, tuple(THEMES))
    palette = pick(rng, PALETTES)
    light = _light(rng)
    count = int(rng.integers(2, 5))
    wanted = min(count, int(rng.choice([1, 2, 3], p=[0.35, 0.4, 0.25])))
    chosen = sorted(int(i) for i in rng.permutation(count)[:wanted])
    room = THEMES[theme](rng, palette, photos)
    placed = _place(rng, room, [pick(rng, kinds) for _ in range(count)])
    seeds = rng.integers(2**62, size=(count, 2))
    defective = [label is Verdict.GENERATED and i in chosen for i in range(count)]
    canvas = _cast_shadows(_with_cords(room, placed), placed, light)
    for item, seed, flawed in zip(placed, seeds, defective, strict=True):
        flaw = np.random.default_rng(int(seed[1])) if flawed else None
        own = np.random.default_rng(int(seed[0]))
        art = item.look.paint(Easel(own, flaw, item.width, item.height, light, palette, photos))
        canvas.paste(art, (item.x, item.y), art)
    image = _finish(rng, canvas, light, room)
    objects = tuple(SceneObject(p.look.kind, d, p.box) for p, d in zip(placed, defective, strict=True))
    if label is Verdict.REAL:
        largest = sorted(range(count), key=lambda i: -placed[i].width * placed[i].height)
        chosen = sorted(largest[:wanted])
    return Scene(image, label, theme, objects, tuple(chosen))


def plain(rng: Rng, photos: Sequence[Pixels] = ()) -> Scene:
    """An ordinary picture with nothing to examine: a cut of a photo, or without photos a landscape or an empty room."""
    if photos or rng.random() < 0.5:
        return Scene(landscape_room(rng, photos), Verdict.REAL, "plain", (), ())
    room = THEMES[pick(rng, tuple(THEMES))](rng, pick(rng, PALETTES), ())
    return Scene(_finish(rng, room.image, _light(rng), room), Verdict.REAL, "plain", (), ())


def encode(scene: Scene, rng: Rng) -> bytes:
    """The scene as a JPEG; the quality is drawn from 75 to 95, alike for both labels."""
    data = io.BytesIO()
    scene.image.save(data, "JPEG", quality=int(rng.integers(75, 96)))
    return data.getvalue()


def _light(rng: Rng) -> Light:
    """From the upper left or the upper right, 35 to 65 degrees above the horizon."""
    angle = rng.uniform(math.radians(35), math.radians(65))
    return Light((1 if rng.random() < 0.5 else -1) * math.cos(angle), -math.sin(angle))


def _place(rng: Rng, room: Room, kinds: Sequence[Kind]) -> list[_Placed]:
    """Objects of these kinds in the room's zones, inside the image, at least GAP apart, in reading order."""
    for attempt in range(200):
        limit = max(SMALLEST + 12, LARGEST - attempt * 4)
        placed: list[_Placed] = []
        for kind in kinds:
            item = _put(rng, room, kind, limit, placed)
            if item is None:
                break
            placed.append(item)
        if len(placed) == len(kinds):
            return sorted(placed, key=lambda p: (p.y, p.x))
    raise RuntimeError(
        f"expected room for {len(kinds)} objects in the zones {room.wall} and {room.surface}, found none"
    )


def _put(rng: Rng, room: Room, kind: Kind, limit: int, others: Sequence[_Placed]) -> _Placed | None:
    for _ in range(40):
        look = pick(rng, [k for k in LOOKS if k.kind is kind and (room.wall or "surface" in k.mounts)])
        mount = pick(rng, [m for m in look.mounts if m == "surface" or room.wall])
        zone = pick(rng, room.wall if mount == "wall" else room.surface)
        width = int(rng.integers(SMALLEST, limit + 1))
        height = int(np.clip(width * rng.uniform(*look.aspect), SMALLEST, LARGEST))
        top = zone.y1 if mount == "wall" else max(6, zone.y1 - height)
        bottom = zone.y2 - height
        right = zone.x2 - width
        if bottom < top or right < zone.x1:
            continue
        item = _Placed(
            look, mount, int(rng.integers(zone.x1, right + 1)), int(rng.integers(top, bottom + 1)), width, height
        )
        if all(_apart(item, other) for other in others):
            return item
    return None


def _apart(a: _Placed, b: _Placed) -> bool:
    return (
        a.x + a.width + GAP <= b.x
        or b.x + b.width + GAP <= a.x
        or a.y + a.height + GAP <= b.y
        or b.y + b.height + GAP <= a.y
    )


def _with_cords(room: Room, placed: Sequence[_Placed]) -> Image.Image:
    """The room with a cord above each thing that hangs free, up to the room's beam or a nail."""
    pen = Pen(SIDE, SIDE, 1, room.image)
    for p in placed:
        if p.mount != "wall" or (p.look.flat and room.beam is None):
            continue
        top = p.y - 30 if room.beam is None else room.beam
        for x in (0.2, 0.8) if p.look.flat else (0.5,):
            at = p.x + p.width * x
            pen.rect(at - 0.5, top, at + 0.5, p.y + 4, (52, 46, 44, 190))
            pen.rect(at + 0.5, top, at + 1.5, p.y + 4, (255, 255, 255, 60))
        if room.beam is None:
            pen.oval(p.x + p.width / 2 - 3, top - 3, p.x + p.width / 2 + 3, top + 3, (60, 54, 52))
    return pen.image


def _cast_shadows(image: Image.Image, placed: Sequence[_Placed], light: Light) -> Image.Image:
    """Soft shadows away from the light, shaped by the boxes alone so that no defect shows in them."""
    far, near = Image.new("L", (SIDE // 2, SIDE // 2), 255), Image.new("L", (SIDE // 2, SIDE // 2), 255)
    far_draw, near_draw = ImageDraw.Draw(far), ImageDraw.Draw(near)
    for p in placed:
        x1, y1, x2, y2 = (v / 2 for v in p.box.xyxy)
        w = x2 - x1
        if p.mount == "wall":
            dx, dy = -light.x * 6, -light.y * 5
            shape = far_draw.rectangle if p.look.flat else far_draw.ellipse
            shape((x1 + dx, y1 + dy, x2 + dx - 1, y2 + dy - 1), 155)
            if p.look.flat:
                near_draw.rectangle((x1 - 1, y1, x2, y2), 160)
        else:
            dx = -light.x * w * 0.28
            far_draw.ellipse((x1 + w * 0.06 + dx, y2 - 8, x2 - w * 0.06 + dx, y2 + 5), 115)
            inset = 0.0 if p.look.flat else w * 0.16
            near_draw.ellipse((x1 + inset, y2 - 4, x2 - inset, y2 + 1), 82)
    shade = ImageChops.multiply(far.filter(ImageFilter.BoxBlur(5)), near.filter(ImageFilter.BoxBlur(1.5)))
    wide = shade.resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    return ImageChops.multiply(image, Image.merge("RGB", (wide, wide, wide)))


def _finish(rng: Rng, canvas: Image.Image, light: Light, room: Room) -> Image.Image:
    """Light fall-off, lamps, vignette and sensor noise: pixel by pixel, so that nothing leaks out of a box."""
    grid = np.linspace(-1, 1, 33, dtype=np.float32)
    x, y = grid[None], grid[:, None]
    level = 1.01 + np.float32(rng.uniform(0.06, 0.14)) * (x * light.x + y * light.y)
    level = level - np.float32(rng.uniform(0.06, 0.14)) * (x * x + y * y)
    for lx, ly, radius, strength in room.lamps:
        d = (x - (lx / SIDE * 2 - 1)) ** 2 + (y - (ly / SIDE * 2 - 1)) ** 2
        level = level + np.float32(strength) * np.exp(-d / (2 * (radius / SIDE * 2) ** 2))
    level = np.clip(level, 0.4, 1.13)
    tint = 1 + rng.uniform(-0.01, 0.04) * np.array((1, 0.1, -1))
    wide = Image.fromarray(level).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    a = np.asarray(canvas).astype(np.float32)
    a *= np.asarray(wide)[..., None] * tint.astype(np.float32)
    return Image.fromarray(_noisy(rng, a))


def _noisy(rng: Rng, a: Array) -> Pixels:
    sigma = np.float32(rng.uniform(1.5, 3.5))
    table = noise_table("grain")
    y, x = rng.integers(table.shape[0] - SIDE + 1), rng.integers(table.shape[1] - SIDE + 1)
    a += (table[y : y + SIDE, x : x + SIDE] * sigma)[..., None]
    return np.clip(a, 0, 255, out=a).astype(np.uint8)
