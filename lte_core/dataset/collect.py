"""Labelled images of many sources into one manifest: every image once, and none in two splits.

Copies with the same bytes, and pictures that look the same (perceptual hash), are left out and told. An image that one
source calls real and another generated is left out on both sides. The split follows the image's hash; pictures that
look the same but differ in label (a photo and its edit) stay, and go to one split. Asks no model.

    python -m lte_core trace collect --from folders:DIR --out runs/trace
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from lte_core.boxes import clip
from lte_core.dataset.candidates import numbered
from lte_core.dataset.manifest import split_of, write_manifest
from lte_core.dataset.sources import Labelled, Unusable
from lte_core.files import SUFFIXES, copy_whole, link_or_copy, whole, write_whole
from lte_core.images import ImageError, read_image
from lte_core.runs import commit
from lte_core.schema import Region, Size, TraceSample, Verdict

HASH_BITS = 64
LEAST_SIDE_PX = 4.0  # what a reviewer may keep, too


@dataclass(frozen=True)
class CollectConfig:
    """`near_bits`: pictures whose perceptual hashes (pHash, 64 bits) differ in at most so many are one picture; ours.
    `copy`: copy the images instead of linking them."""

    near_bits: int = 4
    copy: bool = False


class Fingerprint(NamedTuple):
    """What has to be known of a file before it is taken: its hash, how it looks, and its size."""

    sha256: str
    looks: int
    suffix: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An entry that did not become a sample, and why."""

    name: str
    reason: str
    detail: str = ""


@dataclass
class Collected:
    """What came of a collection: `samples` in the order of their sources."""

    samples: list[TraceSample] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)

    def counts(self) -> dict[str, int]:
        """How many samples there are, and how many entries were left out for each reason."""
        reasons = Counter(item.reason for item in self.left_out)
        return {"kept": len(self.samples), **dict(sorted(reasons.items()))}


def collect(
    entries: Iterable[Labelled | Unusable],
    out: Path,
    config: CollectConfig = CollectConfig(),
    progress: Callable[[int], None] = lambda done: None,
) -> Collected:
    """Write `out/manifest.jsonl`, `out/images/…`, `out/left-out.jsonl` and `out/collect.json`.

    Fingerprints are kept in `out/fingerprints.jsonl` as they are made: an interrupted run goes on where it was.
    """
    out.mkdir(parents=True, exist_ok=True)
    known = _Fingerprints(out / "fingerprints.jsonl")
    taken = _Taken(config.near_bits)
    for done, entry in enumerate(entries, 1):
        if isinstance(entry, Unusable):
            taken.leave_out(entry.name, "unusable", entry.problem)
        else:
            try:
                taken.offer(entry, known.of(entry.image))
            except ImageError as problem:
                taken.leave_out(str(entry.image), "unreadable", str(problem))
        progress(done)
    known.close()
    found = taken.result()
    for sample, image in found:
        place = out / sample.image
        if config.copy and not place.exists():
            copy_whole(image, place)
        elif not config.copy:
            link_or_copy(image, place)
    collected = Collected([sample for sample, _ in found], taken.left_out)
    _write(out, collected, config)
    return collected


def _write(out: Path, collected: Collected, config: CollectConfig) -> None:
    write_manifest(out / "manifest.jsonl", collected.samples)
    with whole(out / "left-out.jsonl", "w") as lines:  # ASCII: a file's name may hold bytes that no encoding knows
        lines.writelines(json.dumps(asdict(item)) + "\n" for item in collected.left_out)
    record = {"config": asdict(config), "counts": collected.counts(), "commit": commit()}
    write_whole(out / "collect.json", json.dumps(record, indent=2) + "\n")


class _Taken:
    """The images so far, by hash and by looks."""

    def __init__(self, near_bits: int) -> None:
        self.left_out: list[LeftOut] = []
        self._near = NearHashes(near_bits)
        self._by_hash: dict[str, int] = {}
        self._items: list[tuple[TraceSample, Path] | None] = []

    def leave_out(self, name: str, reason: str, detail: str) -> None:
        self.left_out.append(LeftOut(name, reason, detail))

    def offer(self, entry: Labelled, print_: Fingerprint) -> None:
        """Take the image, or say why not."""
        name = str(entry.image)
        at = self._by_hash.get(print_.sha256)
        if at is not None:
            earlier = self._items[at]
            if earlier is None or earlier[0].label is not entry.label:
                self._contradict(at, name)
            else:
                self.leave_out(name, "same bytes", earlier[0].id)
            return
        sample = sample_of(entry, print_)
        alike = [item for i in self._near.find(print_.looks) if (item := self._items[i]) is not None]
        twin = next((item[0] for item in alike if item[0].label is entry.label), None)
        if twin is not None:
            self.leave_out(name, "looks the same", twin.id)
            return
        if alike:
            sample = replace(sample, split=alike[0][0].split)
        self._by_hash[print_.sha256] = len(self._items)
        self._near.add(print_.looks, len(self._items))
        self._items.append((sample, entry.image))

    def _contradict(self, at: int, name: str) -> None:
        earlier = self._items[at]
        if earlier is not None:
            self.leave_out(str(earlier[1]), "contradicting labels", name)
            self._items[at] = None
        self.leave_out(name, "contradicting labels", "another source has the same bytes under the other label")

    def result(self) -> list[tuple[TraceSample, Path]]:
        return [item for item in self._items if item is not None]


def sample_of(entry: Labelled, print_: Fingerprint) -> TraceSample:
    """The record of an image; what its release says outside the picture, or too small to see, is cut off."""
    size = Size(print_.width, print_.height)
    clipped = [clip(region.box, size) for region in entry.regions]
    seen = [i for i, box in enumerate(clipped) if box is not None and min(box.width, box.height) >= LEAST_SIDE_PX]
    regions = tuple(Region(box, entry.regions[i].label) for i in seen if (box := clipped[i]) is not None)
    notes = [entry.notes[i] for i in seen] if entry.notes else []
    return TraceSample(
        id=f"{_text(entry.source).replace('/', '-')}-{print_.sha256[:16]}",
        image=f"images/{print_.sha256[:2]}/{print_.sha256}{print_.suffix}",
        sha256=print_.sha256,
        width=size.width,
        height=size.height,
        label=entry.label,
        explanation=numbered(entry.explanation, notes),
        regions=regions,
        source=_text(entry.source),
        generator=_text(entry.generator) if entry.generator and entry.label is Verdict.GENERATED else None,
        split=split_of(print_.sha256),
    )


def _text(name: str) -> str:
    """A folder's name as text, whatever bytes it is made of."""
    return name.encode("utf-8", "replace").decode()


class NearHashes:
    """Hashes of 64 bits, found again by any that differ in at most `bits` of them.

    Cut into bits + 1 bands: two hashes that differ in so few have at least one band in common.
    """

    def __init__(self, bits: int) -> None:
        self._bits = bits
        cuts = [round(i * HASH_BITS / (bits + 1)) for i in range(bits + 2)]
        self._bands = [(low, (1 << (high - low)) - 1) for low, high in pairwise(cuts)]
        self._buckets: list[dict[int, list[tuple[int, int]]]] = [{} for _ in self._bands]

    def add(self, looks: int, item: int) -> None:
        for bucket, key in self._keys(looks):
            bucket.setdefault(key, []).append((looks, item))

    def find(self, looks: int) -> list[int]:
        """The items near it in the order in which they came; none for a picture with next to nothing in it."""
        if not 8 <= looks.bit_count() <= HASH_BITS - 8:
            return []
        near = {
            item
            for bucket, key in self._keys(looks)
            for other, item in bucket.get(key, ())
            if (other ^ looks).bit_count() <= self._bits
        }
        return sorted(near)

    def _keys(self, looks: int) -> Iterator[tuple[dict[int, list[tuple[int, int]]], int]]:
        for bucket, (low, mask) in zip(self._buckets, self._bands, strict=True):
            yield bucket, looks >> low & mask


def fingerprint(path: Path) -> Fingerprint:
    """Raises ImageError."""
    import imagehash

    image = read_image(path)
    looks = int(str(imagehash.phash(image.pixels.convert("RGB"))), 16)
    return Fingerprint(image.sha256, looks, SUFFIXES[image.format], *image.pixels.size)


class _Fingerprints:
    """Fingerprints by file, kept on disk line by line: decoding is what takes long."""

    def __init__(self, path: Path) -> None:
        self._known: dict[tuple[Any, ...], Fingerprint] = {}
        path.touch()
        lines = path.read_bytes().rpartition(b"\n")[0]  # without a last one that was cut short
        for line in lines.splitlines():
            try:
                *file, print_ = json.loads(line)
                self._known[tuple(file)] = Fingerprint(*print_)
            except (ValueError, TypeError):
                continue  # damaged: that file is looked at again
        os.truncate(path, len(lines) + 1 if lines else 0)
        self._file = path.open("a", encoding="utf-8", newline="\n")

    def of(self, path: Path) -> Fingerprint:
        try:
            status = path.stat()
        except OSError as problem:
            raise ImageError(f"{path} cannot be read ({problem.strerror}).") from problem
        key = (str(path.resolve()), status.st_size, status.st_mtime_ns)
        if key not in self._known:
            self._known[key] = fingerprint(path)
            self._file.write(json.dumps([*key, self._known[key]]) + "\n")
            self._file.flush()
        return self._known[key]

    def close(self) -> None:
        self._file.close()
