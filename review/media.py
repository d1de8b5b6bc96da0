"""Images under their content's hash, and what a browser is shown of them.

A file is kept once however many samples have it, and never changed. Decides nothing about who may see it (`web.py`).
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

from lte_core.files import SUFFIXES, whole
from lte_core.images import ImageError, Measured, measure_image, read_image

READ_ONLY = 0o444  # an export's files are links to these: who edits one there is stopped, not believed
_SHOWN = {".jpg": "image/jpeg", ".png": "image/png", ".webp": "image/webp"}


class MediaError(Exception):
    """An image is not there, or not what it was; the message says which."""


@dataclass(frozen=True, slots=True)
class Kept:
    """An image in the store."""

    measured: Measured
    suffix: str


class Media:
    """The images below `folder`: `ab/<sha256>.jpg`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, sha256: str, suffix: str) -> Path:
        return self.folder / sha256[:2] / f"{sha256}{suffix}"

    def keep(self, source: Path | bytes) -> Kept:
        """Take an image in, if it is not there already. Raises ImageError for what is none."""
        measured = measure_image(source)
        suffix = SUFFIXES[measured.format]
        target = self.path(measured.sha256, suffix)
        if not target.exists():
            with whole(target, "wb", READ_ONLY) as file:
                file.write(measured.data)
        return Kept(measured, suffix)

    def check(self, sha256: str, suffix: str) -> None:
        """Raises MediaError when the image is missing, or was changed on disk."""
        self._read(sha256, suffix)

    def shown(self, sha256: str, suffix: str) -> tuple[bytes, str]:
        """The image as any browser shows it, with its media type: upright, so that boxes fit. Raises MediaError.

        A file that browsers show as it is goes out unchanged; others, and such as have to be turned, as PNG.
        """
        data = self._read(sha256, suffix)
        try:
            measured = measure_image(data)
            plain = read_image(data).pixels if suffix not in _SHOWN or measured.turned else None
        except ImageError as problem:
            raise MediaError(str(problem)) from problem
        if plain is None:
            return data, _SHOWN[suffix]
        file = io.BytesIO()
        plain.save(file, "PNG", compress_level=1)
        return file.getvalue(), "image/png"

    def _read(self, sha256: str, suffix: str) -> bytes:
        path = self.path(sha256, suffix)
        try:
            data = path.read_bytes()
        except OSError as problem:
            raise MediaError(f"The image {path.name} is missing from the data directory.") from problem
        if hashlib.sha256(data).hexdigest() != sha256:
            raise MediaError(f"The image {path.name} was changed on disk after it was imported.")
        return data
