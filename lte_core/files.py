"""Files under their content's hash: linked where the file system can, copied elsewhere."""

from __future__ import annotations

import os
from pathlib import Path

SUFFIXES = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp", "AVIF": ".avif", "TIFF": ".tif", "GIF": ".gif"}
"""The suffix of each image format that `images.py` reads."""


def link_or_copy(source: Path | str, target: Path | str) -> None:
    """The same file under another name, without its bytes twice where the file system can.

    The folder is made when it is missed: to ask for it every time costs as much as the link.
    """
    if not _linked(source, target):
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        if not _linked(source, target):
            Path(target).write_bytes(Path(source).read_bytes())


def _linked(source: Path | str, target: Path | str) -> bool:
    """False without the folder, on another file system, or on one without links."""
    try:
        os.link(source, target)
    except FileExistsError:
        return True
    except OSError:
        return False
    return True
