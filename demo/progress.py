"""One detection as it happens: every event of the detector adds to what is known so far.

Pure. Knows no HTML (`view.py`), no Gradio (`tab.py`) and no model.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import PurePath

from PIL import Image

from lte_core.images import SourceImage, to_data_url
from lte_core.inference.detector import Cropped, Done, Event, ExamineText, Located, LocateText
from lte_core.provenance import Provenance
from lte_core.schema import Crop, Detection, LocateResult, Size

_STAGE_PX, _CROP_PX = 1280, 448  # sharp on a phone's dense screen, and still a quick transfer


class Phase(StrEnum):
    """Where a detection stands. The last three end it."""

    EMPTY = "empty"
    WAITING = "waiting"
    SCAN = "scan"
    ZOOM = "zoom"
    EXAMINE = "examine"
    DONE = "done"
    STOPPED = "stopped"
    FAILED = "failed"

    @property
    def busy(self) -> bool:
        return self in (Phase.WAITING, Phase.SCAN, Phase.ZOOM, Phase.EXAMINE)


@dataclass(frozen=True, slots=True)
class Progress:
    """What is known so far. `picture` and `crop_urls` are data URLs, so that no result has an address
    that another visitor could open; `json` is the report once there is one."""

    phase: Phase = Phase.EMPTY
    source: SourceImage | None = None
    name: str = ""
    size: Size | None = None
    picture: str = ""
    provenance: Provenance | None = None
    locate_text: str = ""
    locate: LocateResult | None = None
    crops: tuple[Crop, ...] = ()
    crop_urls: tuple[str, ...] = ()
    examine_text: str = ""
    detection: Detection | None = None
    json: str = ""
    problem: str = ""


def opened(source: SourceImage, name: str, provenance: Provenance) -> Progress:
    """The picture could be read and the scan begins. `name` is the visitor's file name, without folders."""
    return Progress(
        phase=Phase.SCAN,
        source=source,
        name=PurePath(name).name,
        size=Size(*source.pixels.size),
        picture=data_url(source.pixels, _STAGE_PX),
        provenance=provenance,
    )


def advance(progress: Progress, event: Event) -> Progress:
    """What is known after the event. Texts are the whole reply so far."""
    match event:
        case LocateText(text):
            return replace(progress, locate_text=text)
        case Located(locate):
            return replace(progress, phase=Phase.ZOOM, locate=locate)
        case Cropped(crops, images):
            urls = tuple(data_url(image, _CROP_PX) for image in images)
            return replace(progress, phase=Phase.EXAMINE, crops=crops, crop_urls=urls)
        case ExamineText(text):
            return replace(progress, phase=Phase.EXAMINE, examine_text=text)
        case Done(detection):
            return replace(progress, phase=Phase.DONE, locate=detection.locate, detection=detection)


def data_url(image: Image.Image, longest_px: int) -> str:
    """The picture as a JPEG inside a URL, scaled down where a side is longer than `longest_px`."""
    scale = min(1.0, longest_px / max(image.size))
    if scale < 1.0:
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        image = image.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)
    return to_data_url(image, quality=87)
