"""A manifest, a Label Studio export or a COCO file into the review: what is good goes in, what is bad is told by line.

A sample that is there already is left alone, so the same import again, or the rest of an interrupted one, does no
harm. Prints nothing (`__main__.py`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from lte_core.dataset.manifest import BadLine, ManifestLine, read_lines
from lte_core.images import ImageError
from lte_core.schema import Size, TraceSample
from review.formats import Draft, from_coco, from_label_studio
from review.incoming import Incoming
from review.media import Kept, Media
from review.records import Content, ContentError, check_text, checked
from review.store import ReviewStore

BATCH = 200
MAX_TEXT = 200  # of ids, sources and generators


class ImportProblem(Exception):  # noqa: N818
    """Nothing can be imported; the message says what to do. A bad line is no such problem: it is reported."""


@dataclass(frozen=True, slots=True)
class Imported:
    """How an import went: samples that are new, that were known, and lines that were bad."""

    new: int = 0
    known: int = 0
    bad: int = 0


def import_samples(
    path: Path,
    store: ReviewStore,
    media: Media,
    images: Path | None = None,
    report: Callable[[BadLine], None] = lambda line: None,
    progress: Callable[[int], None] = lambda lines: None,
) -> Imported:
    """Import a file; image paths are relative to `images`, or to the file's folder, and may not leave it.

    A manifest is read line by line; other formats are one document and have to fit into memory. `progress` is told
    the lines done so far. Raises ImportProblem when the file cannot be read at all.
    """
    root = (images or path.parent).resolve()
    done, total = 0, Imported()
    for lines in _batched(_entries(path), BATCH):
        good: list[Incoming] = []
        for number, entry in lines:
            try:
                found = entry if isinstance(entry, BadLine) else _prepare(number, entry, root, media)
            except OSError as problem:
                raise ImportProblem(
                    f"Line {number} cannot be taken in: {problem.strerror or problem} ({media.folder}). Make room or "
                    "mend the folder, then import again: what is there already is left alone."
                ) from problem
            if isinstance(found, BadLine):
                report(found)
                total = replace(total, bad=total.bad + 1)
            else:
                good.append(found)
        added = store.add(good)
        total = replace(total, new=total.new + added.new, known=total.known + added.known)
        done += len(lines)
        progress(done)
    return total


Entry = tuple[int, TraceSample | Draft | BadLine]


def _batched(entries: Iterator[Entry], size: int) -> Iterator[tuple[Entry, ...]]:
    while batch := tuple(islice(entries, size)):
        yield batch


def _entries(path: Path) -> Iterator[Entry]:
    try:
        if path.suffix.lower() != ".json":
            for line in read_lines(path):
                yield line.number, line.sample if isinstance(line, ManifestLine) else line
            return
        document = json.loads(path.read_bytes())
        if isinstance(document, list):
            drafts = from_label_studio(document)
        elif isinstance(document, dict):
            drafts = from_coco(document)
        else:
            raise ImportProblem(f"{path} is neither a Label Studio export (a list) nor a COCO file (an object).")
        yield from enumerate(drafts, 1)
    except OSError as problem:
        raise ImportProblem(f"{path} cannot be read ({problem.strerror}). Name a manifest.jsonl.") from problem
    except (ValueError, RecursionError) as problem:
        raise ImportProblem(f"{path} cannot be read: {problem}.") from problem


def _prepare(number: int, entry: TraceSample | Draft, root: Path, media: Media) -> Incoming | BadLine:
    """Take the image in, and hold the sample against it."""
    try:
        for name, value in (("id", entry.id), ("source", entry.source), ("generator", entry.generator or "")):
            check_text(value, name)
            if len(value) > MAX_TEXT:
                raise ContentError(f"the {name} has {len(value)} characters; at most {MAX_TEXT} are kept")
        if not entry.id:
            raise ContentError("the id is empty")
        kept = media.keep(_inside(root, entry.image))
        return Incoming(_against_image(entry, kept), kept.suffix, getattr(entry, "annotation", {}))
    except (ContentError, ImageError) as problem:
        return BadLine(number, str(problem))


def _inside(root: Path, image: str) -> Path:
    try:
        path = (root / image).resolve()
        inside = path.is_relative_to(root)
    except (OSError, ValueError) as problem:
        raise ContentError(f"the image path {image!r} cannot be used ({problem})") from problem
    if not inside:
        raise ContentError(f"the image path {image!r} leaves the folder {root}")
    return path


def _against_image(entry: TraceSample | Draft, kept: Kept) -> TraceSample:
    """The sample with its image's own hash and size. Raises ContentError when it states others."""
    measured = kept.measured
    stated = Size(entry.width, entry.height) if isinstance(entry, TraceSample) else entry.size
    if stated is not None and stated != measured.size:
        raise ContentError(
            f"the sample says {stated.width} x {stated.height} px, the image has "
            f"{measured.size.width} x {measured.size.height}"
        )
    if isinstance(entry, TraceSample):
        if entry.sha256 != measured.sha256:
            raise ContentError(f"the image is another one: its sha256 is {measured.sha256}, not {entry.sha256}")
        content = checked(Content(entry.label, entry.explanation, entry.regions), measured.size)
        return replace(entry, explanation=content.explanation, regions=content.regions)
    content = checked(entry.content, measured.size)
    return TraceSample(
        entry.id, entry.image, measured.sha256, *measured.size, content.label, content.explanation, content.regions,
        entry.source, entry.generator, entry.split,
    )  # fmt: skip
