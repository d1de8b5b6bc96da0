"""The crops of reviewed samples as files: cut once, kept with the images, and linked into every export.

They are cut when a decision is saved, so that even the first export of many samples has little to do. Decides nothing
about what is cropped (`lte_core/inference/examine.py`).
"""

from __future__ import annotations

import os
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from PIL import Image

from lte_core.files import whole
from lte_core.images import ImageError, crop, read_image
from lte_core.inference.checkpoint import DEFAULT_CHECKPOINT
from lte_core.schema import Crop
from review.desk import Exported
from review.media import READ_ONLY, Media, MediaError
from review.reviewed import reason_to_exclude, reviewed_sample
from review.sft_formats import both_queries
from review.store import ReviewStore


class SampleCrops:
    """The crops of one sample, below the folder of its image."""

    def __init__(self, media: Media, row: Exported) -> None:
        self._media, self._row = media, row
        self._pixels: Image.Image | None = None

    def keep(self, cut: Crop) -> str:
        """Where the crop lies below the media's folder; PNG, since it is to be the very pixels. Raises ImageError."""
        row = self._row
        corners = "-".join(f"{v:g}" for v in cut.box.xyxy)
        name = f"crops/{row.sha256[:2]}/{row.sha256}-{corners}.png"
        if not os.path.exists(f"{self._media.folder}/{name}"):  # noqa: PTH110  (asked for every crop of an export)
            if self._pixels is None:
                self._pixels = read_image(self._media.path(row.sha256, row.suffix)).pixels
            self._write(crop(self._pixels, cut.box), self._media.folder / name)
        return name

    @staticmethod
    def _write(pixels: Image.Image, kept: Path) -> None:
        with whole(kept, "wb", READ_ONLY) as file:  # an export may cut the same crop at this moment
            pixels.save(file, "PNG", compress_level=1)


class CutAhead:
    """Cuts the crops of samples that people just accepted or fixed, one after the other, beside all other work."""

    def __init__(self, store: ReviewStore, media: Media) -> None:
        self._store, self._media = store, media
        self._worker = ThreadPoolExecutor(1, "crops")

    def __call__(self, task_id: int) -> Future[int]:
        """Gives how many crops the sample has, when they are there."""
        return self._worker.submit(self._cut, task_id)

    def _cut(self, task_id: int) -> int:
        row = self._store.exported(task_id)
        if reason_to_exclude(row) is not None:
            return 0
        try:
            asked = both_queries(reviewed_sample(row), DEFAULT_CHECKPOINT, SampleCrops(self._media, row).keep)
        except (MediaError, ImageError, OSError):
            return 0  # an export tries again, and tells
        return sum(len(words.crops) for words, _ in asked)
