"""The records that pass between the parts, each one valid once built.

Pixels, files, prompts and models are elsewhere; nothing here imports more than the standard library.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, NamedTuple

Split = Literal["train", "val", "test"]


class Size(NamedTuple):
    """Width and height in pixels. A size that is not the original image's travels in a name ending in `_wh`."""

    width: int
    height: int


class Verdict(StrEnum):
    """The answer about one image (LTE, section 3): a photo, or made by a generator."""

    REAL = "real"
    GENERATED = "generated"


@dataclass(frozen=True, slots=True)
class Box:
    """Half-open pixel box of the EXIF-transposed original image: x1 <= x < x2, y1 <= y < y2."""

    x1: float
    y1: float
    x2: float
    y2: float

    def __post_init__(self) -> None:
        if not all(math.isfinite(v) for v in self.xyxy):
            raise ValueError(f"expected four finite numbers, got {self.xyxy}")
        if not (self.x1 < self.x2 and self.y1 < self.y2):
            raise ValueError(f"expected x1 < x2 and y1 < y2, got {self.xyxy}")

    @property
    def xyxy(self) -> tuple[float, float, float, float]:
        return (self.x1, self.y1, self.x2, self.y2)

    @property
    def width(self) -> float:
        return self.x2 - self.x1

    @property
    def height(self) -> float:
        return self.y2 - self.y1

    @property
    def area(self) -> float:
        return self.width * self.height


@dataclass(frozen=True, slots=True)
class Region:
    """A box and what it shows."""

    box: Box
    label: str


@dataclass(frozen=True, slots=True)
class LocateResult:
    """What Query 1 gave: explanation E1, suspicious regions B and the first verdict v1.

    `problem` says why a reply could not be read; the verdict is then None and there are no regions.
    No regions with no problem is a valid reply: the model saw nothing to look at.
    """

    explanation: str
    regions: tuple[Region, ...]
    verdict: Verdict | None
    p_generated: float | None
    reply: str
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class ExamineResult:
    """What Query 2 gave: the corrected explanation E2 and the final verdict v2 (None when unreadable)."""

    explanation: str
    verdict: Verdict | None
    p_generated: float | None
    reply: str
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Crop:
    """One enlarged crop as Examine saw it: `box` is the area cut out of the original image.

    `regions` are the indices into `LocateResult.regions` that it shows: one, or more where
    near-duplicate boxes were merged.
    """

    box: Box
    label: str
    regions: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """The image that was judged. `sha256` is of the file's original bytes; the size is after EXIF transposition."""

    path: str
    sha256: str
    width: int
    height: int

    @property
    def size(self) -> Size:
        return Size(self.width, self.height)


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """Which model answered. `sha256` is of its weights; None for a model behind a URL."""

    name: str
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Detection:
    """The whole result for one image (LTE, section 3): both queries, and the crops between them.

    The final verdict is Examine's. It is None when that reply could not be read: the first verdict is
    never passed off as the final one.
    """

    image: ImageInfo
    model: ModelInfo
    locate: LocateResult
    crops: tuple[Crop, ...]
    examine: ExamineResult
    timings_s: Mapping[str, float] = field(default_factory=dict)

    @property
    def verdict(self) -> Verdict | None:
        return self.examine.verdict

    @property
    def p_generated(self) -> float | None:
        return self.examine.p_generated

    @property
    def flipped(self) -> bool:
        """True when the second look changed the first verdict (v2 != v1)."""
        return None not in (self.locate.verdict, self.verdict) and self.locate.verdict != self.verdict


@dataclass(frozen=True, slots=True)
class Review:
    """What a person decided about a sample: "accept" or "fix", who, when (ISO 8601, UTC) and on which revision."""

    decision: Literal["accept", "fix"]
    annotator: str
    at: str
    revision: int


@dataclass(frozen=True, slots=True)
class TraceSample:
    """One TRACE record `(I, y, E, B)`: image, label, explanation, regions (schema `trace/1`).

    `image` is a path relative to the manifest that lists the sample. `annotation` is what the pipeline notes about how
    the sample came to be (models, figures, dropped boxes), `review` what a person decided.
    """

    id: str
    image: str
    sha256: str
    width: int
    height: int
    label: Verdict
    explanation: str
    regions: tuple[Region, ...]
    source: str
    generator: str | None = None
    split: Split | None = None
    annotation: Mapping[str, Any] = field(default_factory=dict, hash=False)
    review: Review | None = None

    def __post_init__(self) -> None:
        if not self.id or not self.image:
            raise ValueError(f"expected a non-empty id and image path, got id={self.id!r} image={self.image!r}")
        if self.width < 1 or self.height < 1:
            raise ValueError(f"expected a positive size, got {self.width}x{self.height} for sample {self.id}")
        for region in self.regions:
            x1, y1, x2, y2 = region.box.xyxy
            if x1 < 0 or y1 < 0 or x2 > self.width or y2 > self.height:
                raise ValueError(
                    f"expected boxes inside {self.width}x{self.height}, got {region.box.xyxy} in sample {self.id}"
                )
