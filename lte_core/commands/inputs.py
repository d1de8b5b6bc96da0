"""From what was typed (files, folders, globs, `-`) to the pictures that are meant. Opens none of them."""

from __future__ import annotations

import codecs
import glob
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from lte_core.inference.detector import Failure

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jfif", ".mpo", ".png", ".webp", ".avif", ".tif", ".tiff", ".gif"}
    | {".heic", ".heif", ".bmp", ".jxl"}  # of these a person has to hear that they cannot be read
)
STDIN = "-"


def find_images(arguments: Iterable[str], stdin: Iterable[bytes] = ()) -> Iterator[str | Failure]:
    """Paths in the order in which they were named, and a Failure for each name that stands for nothing.

    A file is taken whatever its suffix; a folder gives the pictures in it and below, by suffix and in order of
    name, without hidden ones and linked folders; a glob what it matches (`**` for any depth); `-` the names in
    `stdin`, one a line.
    """
    for argument in arguments:
        if argument == STDIN:
            for line in stdin:
                if name := os.fsdecode(line.rstrip(b"\r\n").removeprefix(codecs.BOM_UTF8)):
                    yield from _find(name)
        else:
            yield from _find(argument)


def _find(name: str) -> Iterator[str | Failure]:
    if not name or "\0" in name:
        yield Failure(name, "This cannot be the name of a file. Name a picture or a folder.")
    elif os.path.lexists(name):
        yield from _expand(name)
    else:
        # Not pathlib's glob, which takes no absolute pattern and rewrites what it finds.
        matches = sorted(glob.glob(name, recursive=True))  # noqa: PTH207
        for match in matches:
            yield from _expand(match)
        if not matches:
            yield Failure(name, "There is no such file or folder, and as a pattern it matches nothing.")


def _expand(name: str) -> Iterator[str | Failure]:
    try:
        is_folder = stat.S_ISDIR(Path(name).stat().st_mode)
    except OSError as problem:
        yield Failure(name, f"It cannot be read ({problem.strerror}).")
        return
    if is_folder:
        yield from _walk(name)
    else:
        yield name


def _walk(folder: str) -> Iterator[str | Failure]:
    """The pictures in a folder, and a Failure for each folder that cannot be listed."""
    unreadable: list[OSError] = []
    found = False
    for root, folders, files in os.walk(folder, onerror=unreadable.append):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if Path(name).suffix.lower() in IMAGE_SUFFIXES and not name.startswith("."):
                found = True
                yield str(Path(root, name))
    for problem in unreadable:
        yield Failure(str(problem.filename), f"This folder cannot be listed ({problem.strerror}).")
    if not found and not unreadable:
        yield Failure(folder, "There is no picture in this folder (JPEG, PNG, WebP, AVIF, TIFF or GIF).")
