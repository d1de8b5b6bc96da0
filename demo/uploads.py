"""Where visitors' pictures lie while they are needed: a folder of this process alone, which goes with it."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lte_core.files import BusyError, locked

_PREFIX, _LOCK = "lte-uploads-", "in-use"


@contextmanager
def upload_folder() -> Iterator[Path]:
    """A new folder, until the block ends. Deletes those of processes that were killed before they could."""
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
        yield Path(folder)


def _is_own_folder(path: Path) -> bool:
    status = path.lstat()
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid()
