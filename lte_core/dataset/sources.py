"""Readers for other releases and for plain folders: labelled images on disk, one record an image.

Every release has its own idea of what 1 means and where images lie; here labels become real or generated, and the
references that a release carries (explanations, polygons, masks) become explanation and regions. Opens no image but
masks, copies nothing (`collect.py`). The layouts are those of the releases' own loaders.

    python -m lte_core trace collect --from genimage:DIR --from synthscars:DIR --out runs/trace
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lte_core.dataset.candidates import unnumbered
from lte_core.dataset.manifest import BadLine, read_lines
from lte_core.images import ImageError, read_image
from lte_core.schema import Box, Region, Verdict

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".avif", ".tif", ".tiff", ".gif", ".bmp"}
REAL_NAMES = {"real", "0_real", "nature", "photo", "photos"}
GENERATED_NAMES = {"fake", "1_fake", "ai", "generated", "synthetic"}
MOST_REGIONS = 8  # of one mask: the largest
LEAST_SHARE = 1e-4  # of a mask's area that a region has at least: less is noise at an edge


class SourceError(ValueError):
    """The folder is not laid out as this release; the message says what was expected."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """One image on disk with its label, and what the release says about it. Boxes are in pixels of the image; `notes`
    are what it says about each region, if it does."""

    image: Path
    label: Verdict
    source: str
    generator: str | None = None
    explanation: str = ""
    regions: tuple[Region, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Unusable:
    """An entry of a release that names no usable image, and why."""

    name: str
    problem: str


Entries = Iterator[Labelled | Unusable]


def read_source(kind: str, root: Path) -> Entries:
    """The images of a folder laid out as `kind`, a name of READERS. Raises SourceError."""
    if kind not in READERS:
        raise SourceError(f"expected one of {', '.join(READERS)}, got {kind!r}")
    if not root.is_dir():
        raise SourceError(f"expected a folder, got {root}: it does not exist or is a file")
    return READERS[kind](root)


def all_real(root: Path) -> Entries:
    """Photos and nothing else, in any folders: ImageNet's classes, COCO's train2017 and val2017."""
    yield from (Labelled(path, Verdict.REAL, root.name) for path in _some(_pictures(root), root))


def all_generated(root: Path) -> Entries:
    """Generated pictures in any folders; the first folder's name is the generator's."""
    for path in _some(_pictures(root), root):
        parts = path.relative_to(root).parts
        yield Labelled(path, Verdict.GENERATED, root.name, parts[0] if len(parts) > 1 else None)


def labelled_folders(root: Path, source: str | None = None) -> Entries:
    """Pictures below a folder whose name tells the label (`real`, `0_real`, `nature`; `fake`, `1_fake`, `ai`, …).

    The first folder above that is not a split or a class is the generator's: CNNSpot and ForenSynths
    (`<generator>/[class/]{0_real,1_fake}`), GenImage (`<generator>/{train,val}/{ai,nature}`), and plain `real/ fake/`.
    """
    found = False
    for path in _pictures(root):
        parts = path.relative_to(root).parts[:-1]
        label = next((label for part in reversed(parts) if (label := _label_of(part)) is not None), None)
        if label is None:
            yield Unusable(str(path.relative_to(root)), "no folder above it tells its label")
            continue
        found = True
        above = [part for part in parts if _label_of(part) is None and part not in ("train", "val", "test")]
        generator = above[0] if above and label is Verdict.GENERATED else None
        yield Labelled(path, label, source or root.name, generator)
    if not found:
        raise SourceError(
            f"expected folders named {', '.join(sorted(REAL_NAMES))} or {', '.join(sorted(GENERATED_NAMES))} with "
            f"pictures below {root}, found none"
        )


def trace_manifest(root: Path) -> Entries:
    """A folder with a `trace/1` manifest: TRACE-synth, an export of the review, another collection."""
    path = root / "manifest.jsonl"
    if not path.is_file():
        raise SourceError(f"expected {path}, as trace synth and trace collect write it; there is none")
    for line in read_lines(path):
        if isinstance(line, BadLine):
            yield Unusable(f"{path}, line {line.number}", line.problem)
            continue
        sample = line.sample
        summary, notes = unnumbered(sample.explanation)
        notes = notes if len(notes) == len(sample.regions) else []
        yield Labelled(
            root / sample.image, sample.label, sample.source, sample.generator,
            summary if notes else sample.explanation, sample.regions, tuple(notes),
        )  # fmt: skip


def synthscars(root: Path) -> Entries:
    """SynthScars: every image is generated; one image may stand under several ids, whose references are joined.

    `{train,test}/images` and `{train,test}/annotations/{split}.json`; its README spells "annoations".
    """
    for split, path in _documents(root, [f"{s}/{a}/{s}.json" for s in ("train", "test") for a in _ANNOTATIONS]):
        refs: dict[str, list[Any]] = defaultdict(list)
        captions: dict[str, str] = {}
        for entry in _list(path):
            for record in entry.values() if isinstance(entry, dict) else ():
                name = record.get("img_file_name")
                if not isinstance(name, str):
                    yield Unusable(str(path), "an entry has no img_file_name")
                    continue
                refs[name] += record.get("refs") or []
                captions.setdefault(name, str(record.get("caption") or ""))
        for name, told in refs.items():
            noted = _polygon_regions(told)
            regions, notes = tuple(region for _, region in noted), tuple(note for note, _ in noted)
            image = root / split / "images" / name
            yield Labelled(image, Verdict.GENERATED, "synthscars", None, captions[name].strip(), regions, notes)


_ANNOTATIONS = ("annotations", "annoations")


def fakeclue(root: Path) -> Entries:
    """FakeClue: `data_json/{train,test}.json` with label 1 for **real**; images below `test/` or `test/test/`."""
    for split, path in _documents(root, ["data_json/train.json", "data_json/test.json"]):
        for entry in _list(path):
            match entry:
                case {"image": str(name), "label": 0 | 1 as label, **rest}:
                    image = _first_file(root / name, root / split / name, root / split / split / name)
                    verdict = Verdict.REAL if label == 1 else Verdict.GENERATED
                    source = f"fakeclue/{rest.get('cate') or 'other'}"
                    yield Labelled(image, verdict, source, None, _answer(rest.get("conversations")))
                case _:
                    yield Unusable(str(path), f"expected an image with label 0 or 1, got {str(entry)[:80]}")


def mmfr(root: Path) -> Entries:
    """MMFR: `evaluation_sets/<generator>/{0_real,1_fake}/` with `<generator>_reasoning.json`, and the training set's
    `forgery_reasoning_cot.json`. An explanation is the attributes' texts in the order of their names."""
    sets = root / "evaluation_sets"
    told: dict[str, str] = {}
    for path in sorted(sets.rglob("*_reasoning.json")):
        for name, attributes in _object(path).items():
            told[Path(name).with_suffix("").as_posix()] = _sentences(attributes)
    for entry in labelled_folders(sets, "mmfr") if sets.is_dir() else ():
        if isinstance(entry, Labelled):
            key = entry.image.relative_to(sets).with_suffix("").as_posix()
            yield Labelled(entry.image, entry.label, "mmfr", entry.generator, told.get(key, ""))
        else:
            yield entry
    training = root / "forgery_reasoning_cot.json"
    for entry in _list(training) if training.exists() else ():
        match entry:
            case {"image": str(name), **rest} if (label := _label_in(name)) is not None:
                yield Labelled(_first_file(root / name), label, "mmfr", None, _answer(rest.get("conversations")))
            case _:
                yield Unusable(str(training), f"expected an image below 0_real or 1_fake, got {str(entry)[:80]}")
    if not sets.is_dir() and not training.exists():
        raise SourceError(f"expected evaluation_sets/ or forgery_reasoning_cot.json in {root}, found neither")


def mmtd(root: Path) -> Entries:
    """MMTD-Set (FakeShield): `{photoshop,deepfake,aigc}/<set>/{image,mask}`; what a mask marks is what was made."""
    folders = sorted(path for kind in ("photoshop", "deepfake", "aigc") for path in root.glob(f"{kind}/*/image"))
    if not folders:
        raise SourceError(f"expected photoshop/, deepfake/ or aigc/<set>/image in {root}, found none")
    for folder in folders:
        masks = {path.stem: path for path in _pictures(folder.parent / "mask")}
        source = f"mmtd/{folder.parent.parent.name}/{folder.parent.name}"
        for path in _pictures(folder):
            mask = masks.get(path.stem)
            if mask is None:
                yield Unusable(str(path.relative_to(root)), "has no mask of the same name")
                continue
            try:
                yield Labelled(path, Verdict.GENERATED, source, None, "", _mask_regions(mask))
            except ImageError as problem:
                yield Unusable(str(mask.relative_to(root)), str(problem))


READERS: Mapping[str, Callable[[Path], Entries]] = {
    "real": all_real,
    "generated": all_generated,
    "folders": labelled_folders,
    "manifest": trace_manifest,
    "genimage": lambda root: labelled_folders(root, "genimage"),
    "cnnspot": lambda root: labelled_folders(root, "cnnspot"),
    "synthscars": synthscars,
    "fakeclue": fakeclue,
    "mmfr": mmfr,
    "mmtd": mmtd,
}


def _some(pictures: Iterator[Path], root: Path) -> Iterator[Path]:
    """The pictures. Raises SourceError when there is none."""
    first = next(pictures, None)
    if first is None:
        raise SourceError(f"expected pictures below {root} ({', '.join(sorted(SUFFIXES))}), found none")
    yield first
    yield from pictures


def _pictures(folder: Path) -> Iterator[Path]:
    """By name, so that every machine sees the same order."""
    yield from sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())


def _label_of(part: str) -> Verdict | None:
    name = part.lower()
    return Verdict.REAL if name in REAL_NAMES else Verdict.GENERATED if name in GENERATED_NAMES else None


def _label_in(name: str) -> Verdict | None:
    return next((label for part in Path(name).parts if (label := _label_of(part)) is not None), None)


def _first_file(*paths: Path) -> Path:
    """The path that is there; the first one, for the message, when none is."""
    return next((path for path in paths if path.is_file()), paths[0])


def _documents(root: Path, names: Sequence[str]) -> Iterator[tuple[str, Path]]:
    """The annotation files that are there, each with its split, which is the name of the file."""
    found = [root / name for name in names if (root / name).is_file()]
    if not found:
        raise SourceError(f"expected {' or '.join(names)} in {root}, found none")
    yield from ((path.stem, path) for path in found)


def _json(path: Path) -> Any:
    data = path.read_bytes()
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return json.loads(data.decode(encoding))
    except (ValueError, RecursionError) as problem:
        raise SourceError(f"{path} is no JSON file that can be read ({problem})") from problem


def _list(path: Path) -> list[Any]:
    document = _json(path)
    if not isinstance(document, list):
        raise SourceError(f"expected a list in {path}, got {type(document).__name__}")
    return document


def _object(path: Path) -> dict[str, Any]:
    document = _json(path)
    if not isinstance(document, dict):
        raise SourceError(f"expected an object in {path}, got {type(document).__name__}")
    return document


def _answer(conversations: Any) -> str:
    """What the model's side of a conversation says."""
    turns = conversations if isinstance(conversations, list) else []
    said = [turn.get("value") for turn in turns if isinstance(turn, dict) and turn.get("from") in ("gpt", "assistant")]
    return " ".join(str(text).strip() for text in said if text)


def _sentences(attributes: Any) -> str:
    if not isinstance(attributes, dict):
        return ""
    return " ".join(str(attributes[key]).strip() for key in sorted(attributes) if attributes[key])


def _polygon_regions(refs: Iterable[Any]) -> list[tuple[str, Region]]:
    """A box around each polygon with at least three corners, and what its reference says about it."""
    found = []
    for ref in refs:
        if not isinstance(ref, dict):
            continue
        text = str(ref.get("explanation") or ref.get("sentence") or "").strip()
        label = str(ref.get("sentence") or text).strip() or "artifact"
        for polygon in ref.get("segmentation") or []:
            if (box := _around(polygon)) is not None:
                found.append((text or label, Region(box, label[:80])))
    return found


def _around(polygon: Any) -> Box | None:
    """The box around x1, y1, x2, y2, …; None for fewer than three corners, or none that enclose an area."""
    if not isinstance(polygon, list) or len(polygon) < 6:
        return None
    try:
        x, y = [float(v) for v in polygon[0::2]], [float(v) for v in polygon[1::2]]
        return Box(min(x), min(y), max(x), max(y))
    except (TypeError, ValueError, OverflowError):
        return None


def _mask_regions(mask: Path) -> tuple[Region, ...]:
    """A box around each connected area of a mask, the largest first."""
    from scipy import ndimage

    marked = np.asarray(read_image(mask).pixels.convert("L")) > 127
    areas, count = ndimage.label(marked)
    sizes = ndimage.sum_labels(marked, areas, range(1, count + 1)) if count else np.zeros(0)
    boxes = ndimage.find_objects(areas)
    order = sorted((i for i in range(count) if sizes[i] >= LEAST_SHARE * marked.size), key=lambda i: -sizes[i])
    return tuple(
        Region(Box(boxes[i][1].start, boxes[i][0].start, boxes[i][1].stop, boxes[i][0].stop), "edited area")
        for i in order[:MOST_REGIONS]
    )
