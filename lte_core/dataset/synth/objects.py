"""The six kinds of objects and the looks in which each one comes: how it is shaped, where it may stand.

A painter gets an easel and gives an RGBA image of exactly the easel's size. `rng` makes the draws that sound and
defective objects share; only where `flaw` is given is the defect drawn, from that second generator, so that one
seed gives the same object with and without its defect. How each look is painted is in panels.py and figures.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, NamedTuple

from PIL import Image

from lte_core.dataset.synth.textures import Palette, Pixels, Rng
from lte_core.schema import Box

Mount = Literal["wall", "surface"]


class Kind(StrEnum):
    """What an object is. These are the labels of the regions, too."""

    LETTERING = "lettering"
    WEAVE = "weave"
    PICTURE = "picture"
    GLOSS = "gloss"
    HAND = "hand"
    CROWD = "crowd"


@dataclass(frozen=True, slots=True)
class SceneObject:
    """One object of a scene; `box` is exact, in pixels of the scene's image."""

    kind: Kind
    defective: bool
    box: Box


class Light(NamedTuple):
    """The direction towards the scene's one light, a unit vector of the image plane (y < 0 is up)."""

    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Easel:
    """All that a painter needs; `flaw` is None for a sound object."""

    rng: Rng
    flaw: Rng | None
    width: int
    height: int
    light: Light
    palette: Palette
    photos: Sequence[Pixels]


@dataclass(frozen=True, slots=True)
class Look:
    """One form of a kind: `aspect` bounds height / width; a `flat` thing throws a shadow shaped like its box."""

    kind: Kind
    paint: Callable[[Easel], Image.Image]
    aspect: tuple[float, float]
    mounts: tuple[Mount, ...]
    flat: bool = True
