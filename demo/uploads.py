"""Where visitors' pictures lie while they are needed: a folder of this process alone, which goes with it."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lte_core.files import BusyError, locked

_PREFIX, _LOCK = "lte-uploads-", "in-use"


@contextmanager
def upload_folder(every_s: float, older_s: float) -> Iterator[Path]:
    """A new folder, until the block ends; each `every_s` what is older than `older_s` is deleted from it. Deletes the
    folders of processes that were killed before they could."""
    for left in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*/{_LOCK}"):
        # Others may write here, too: what is not this user's own folder is not touched.
        with suppress(BusyError, OSError):
            if _is_own_folder(left.parent):
                with locked(left, shared=False, message="in use"):
                    shutil.rmtree(left.parent)
    with (
        tempfile.TemporaryDirectory(prefix=_PREFIX) as folder,
        locked(Path(folder, _LOCK), shared=False, message=f"{folder} is in use."),
    ):
        ended = threading.Event()
        threading.Thread(target=_sweep, args=(Path(folder), every_s, older_s, ended), daemon=True).start()
        try:
            yield Path(folder)
        finally:
            ended.set()


def _sweep(folder: Path, every_s: float, older_s: float, ended: threading.Event) -> None:
    """Gradio deletes what it knows; of an upload that broke off it knows nothing."""
    while not ended.wait(every_s):
        for path in folder.rglob("*"):
            with suppress(OSError):
                status = path.lstat()
                if stat.S_ISREG(status.st_mode) and path.name != _LOCK and time.time() - status.st_mtime > older_s:
                    path.unlink()


def _is_own_folder(path: Path) -> bool:
    status = path.lstat()
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid()
