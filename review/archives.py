"""Zip files in and out: an upload's manifest with its images, and an export to download.

An archive is hostile until it is unpacked: sizes and counts are limited before a byte is written, and no name leaves
the folder.
"""

from __future__ import annotations

import lzma
import zipfile
import zlib
from pathlib import Path

MOST_FILES = 200_000
MOST_UNPACKED = 8 * 2**30
_BROKEN = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, NotImplementedError, RuntimeError, EOFError, ValueError)
_TEXT = (".json", ".jsonl", ".md", ".txt")


class ArchiveError(Exception):
    """The archive cannot be used; the message says what was expected."""


def unpack(archive: Path, folder: Path) -> Path:
    """Unpack into `folder`; gives the manifest in it. Raises ArchiveError.

    The manifest is the one file `manifest.jsonl`, else the only .jsonl, else the only .json of the archive.
    """
    try:
        with zipfile.ZipFile(archive) as packed:
            entries = [entry for entry in packed.infolist() if not entry.is_dir()]
            if len(entries) > MOST_FILES or sum(entry.file_size for entry in entries) > MOST_UNPACKED:
                raise ArchiveError(
                    f"The archive holds more than {MOST_FILES} files or {MOST_UNPACKED // 2**30} GB. "
                    "Run `python -m review import` on the server instead."
                )
            manifest = _manifest([entry.filename for entry in entries])
            # Takes "..", drives and leading slashes out of names, writes links as plain files, and no more bytes of
            # an entry than it was said to have.
            packed.extractall(folder, [entry.filename for entry in entries])
            return Path(packed.extract(manifest, folder))
    except _BROKEN as problem:
        raise ArchiveError(f"This is no zip file that can be read ({problem}).") from problem
    except OSError as problem:
        raise ArchiveError(f"The archive cannot be unpacked ({problem.strerror or problem}).") from problem


def _manifest(names: list[str]) -> str:
    names = [name for name in names if not name.startswith("__MACOSX/")]
    for found in (
        [name for name in names if name.rpartition("/")[2] == "manifest.jsonl"],
        [name for name in names if name.endswith(".jsonl")],
        [name for name in names if name.endswith(".json")],
    ):
        if len(found) == 1:
            return found[0]
        if found:
            raise ArchiveError(f"The archive has {len(found)} manifests ({', '.join(sorted(found)[:3])}). Send one.")
    raise ArchiveError("The archive has no manifest.jsonl. Put the manifest and its images into one zip file.")


def pack(folder: Path, archive: Path) -> None:
    """All files of a folder in one zip file; the same files give the same bytes. Images are stored as they are."""
    with zipfile.ZipFile(archive, "w") as packed:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            entry = zipfile.ZipInfo(path.relative_to(folder).as_posix())  # dated 1980: a date would change the bytes
            entry.compress_type = zipfile.ZIP_DEFLATED if path.suffix in _TEXT else zipfile.ZIP_STORED
            entry.external_attr = 0o644 << 16
            with path.open("rb") as source, packed.open(entry, "w", force_zip64=True) as target:
                while block := source.read(2**20):
                    target.write(block)
