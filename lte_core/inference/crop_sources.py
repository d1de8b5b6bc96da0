"""Whose regions Examine is shown: the ones that were located, or, to learn what locating is worth, others."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING

from lte_core.schema import Box, LocateResult, Region, Size

if TYPE_CHECKING:  # the names of the sources are options of commands, whose help must not wait for images
    from lte_core.inference.detector import RegionChoice


class CropSource(StrEnum):
    """Whose regions Examine is shown."""

    OWN = "own"
    ANNOTATED = "annotated"
    RANDOM = "random"
    LARGEST3 = "largest3"
    NONE = "none"


def choose(crops: CropSource, annotated: Mapping[str, tuple[Region, ...]], seed: int) -> RegionChoice | None:
    """What `DetectConfig.examine_instead` takes; `annotated` has every image's regions by its path."""
    choices: dict[CropSource, RegionChoice | None] = {
        CropSource.OWN: None,
        CropSource.ANNOTATED: lambda path, located, size: annotated[path],
        CropSource.RANDOM: _random_regions(seed),
        CropSource.LARGEST3: lambda path, located, size: _largest(located.regions, 3),
        CropSource.NONE: lambda path, located, size: (),
    }
    return choices[crops]


def _largest(regions: Sequence[Region], count: int) -> list[Region]:
    """The largest ones, in their own order."""
    chosen = sorted(range(len(regions)), key=lambda i: -regions[i].box.area)[:count]
    return [regions[i] for i in sorted(chosen)]


def _random_regions(seed: int) -> Callable[[str, LocateResult, Size], Sequence[Region]]:
    """As many boxes as were located (at least one), each of the size and name of a located one, anywhere in the
    image."""

    def choose(path: str, located: LocateResult, size: Size) -> list[Region]:
        rng = random.Random(f"{seed}/{path}")
        like = [(r.box.width, r.box.height, r.label) for r in located.regions] or [
            (size.width / 4, size.height / 4, "")
        ]
        places = [(rng.uniform(0, size.width - w), rng.uniform(0, size.height - h), w, h, name) for w, h, name in like]
        return [Region(Box(x, y, x + w, y + h), name) for x, y, w, h, name in places]

    return choose
