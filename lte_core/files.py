"""Files under their content's hash: linked where the file system can, copied elsewhere."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

SUFFIXES = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp", "AVIF": ".avif", "TIFF": ".tif", "GIF": ".gif"}
"""The suffix of each image format that `images.py` reads."""


def link_or_copy(source: Path, target: Path) -> None:
    """The same file under another name, without its bytes twice where the file system can."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        try:
            os.link(source, target)
        except FileExistsError:
            raise
        except OSError:  # another file system, or one without links
            target.write_bytes(source.read_bytes())
