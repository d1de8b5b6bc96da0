"""Files that are whole or not there: written aside and renamed, linked where the file system can."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, Literal

SUFFIXES = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp", "AVIF": ".avif", "TIFF": ".tif", "GIF": ".gif"}
"""The suffix of each image format that `images.py` reads."""


def link_or_copy(source: Path | str, target: Path | str) -> None:
    """The same file under another name, without its bytes twice where the file system can.

    The folder is made when it is missed: to ask for it every time costs as much as the link.
    """
    if not _linked(source, target):
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        if not _linked(source, target):
            copy_whole(Path(source), Path(target))


def copy_whole(source: Path, target: Path) -> None:
    """A copy that is whole or not there, also on a disk that is full."""
    with whole(target, "wb") as file, source.open("rb") as data:
        shutil.copyfileobj(data, file)


def write_whole(path: Path, text: str) -> None:
    """A text file that is replaced by its new self or stays as it was. Makes its folder."""
    with whole(path, "w") as file:
        file.write(text)


@contextmanager
def whole(path: Path, mode: Literal["w", "wb"], permissions: int = 0o666) -> Iterator[IO[Any]]:
    """A file to write to, which takes its place when all went well, and leaves nothing behind otherwise. `permissions`
    are what it may be used for at most, as far as the process's umask lets it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}-", suffix=".part")
    part = Path(name)
    options: dict[str, Any] = {} if mode == "wb" else {"encoding": "utf-8", "newline": "\n"}
    try:
        with os.fdopen(handle, mode, **options) as file:
            yield file
        part.chmod(permissions & ~_umask())  # `mkstemp` makes files that only their owner may read
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)  # what went wrong leaves nothing behind; what went well was renamed


@lru_cache
def _umask() -> int:
    now = os.umask(0o022)
    os.umask(now)
    return now


class BusyError(Exception):
    """Another run is at work in a folder; the message says what to do."""


@contextmanager
def locked(path: Path, *, shared: bool, message: str) -> Iterator[None]:
    """Hold a lock on a file while the block runs. Raises BusyError when somebody holds one that does not go with it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except OSError as problem:
            raise BusyError(message) from problem
        yield


def _linked(source: Path | str, target: Path | str) -> bool:
    """False without the folder, on another file system, or on one without links."""
    try:
        os.link(source, target)
    except FileExistsError:
        return True
    except OSError:
        return False
    return True
