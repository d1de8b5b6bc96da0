"""TRACE-synth on disk: images, a manifest, and the settings that made them.

Sample i of a seed depends on (seed, i) and the photos alone, so a run can be cut into shards, stopped and resumed:
the same settings give the same bytes.

    python -m lte_core trace synth --out DIR --count N --seed S [--photos DIR]
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from lte_core.dataset.manifest import ManifestError, from_line, split_of, to_line
from lte_core.dataset.synth.objects import Kind, SceneObject
from lte_core.dataset.synth.rooms import SIDE
from lte_core.dataset.synth.scene import ALL_KINDS, Scene, compose, encode, plain
from lte_core.dataset.synth.textures import Pixels
from lte_core.dataset.synth.words import explain
from lte_core.images import ImageError, read_image
from lte_core.schema import Box, TraceSample, Verdict

GENERATOR = "trace-synth"
OBJECTS = "objects.jsonl"
MAX_PHOTOS = 1500  # about 1 GB
PHOTO_SIDE = 600
PHOTO_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".avif", ".tif", ".tiff"}


class SynthError(ValueError):
    """The data set cannot be written; the message says what to do."""


class Made(NamedTuple):
    """One sample before it is written: the scene, its JPEG bytes and its record."""

    scene: Scene
    data: bytes
    sample: TraceSample


class SceneContents(NamedTuple):
    """Everything in one scene; `evidence` holds indices into `objects`."""

    id: str
    objects: tuple[SceneObject, ...]
    evidence: tuple[int, ...]


def load_photos(folder: Path) -> list[Pixels]:
    """The photos of a folder and its subfolders by name, H x W x 3 uint8, their longest side at most 600 px.

    Unreadable files are skipped, and so is what comes after the first 1,500. Raises SynthError when the folder is
    missing or holds no readable picture.
    """
    if not folder.is_dir():
        raise SynthError(f"expected a folder with photos, got {folder}: it does not exist or is a file")
    photos: list[Pixels] = []
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in PHOTO_SUFFIXES):
        if len(photos) == MAX_PHOTOS:
            break
        try:
            image = read_image(path).pixels
        except ImageError:
            continue
        image.thumbnail((PHOTO_SIDE, PHOTO_SIDE), Image.Resampling.LANCZOS)
        if min(image.size) >= 32:
            photos.append(np.asarray(image.convert("RGB")))
    if not photos:
        raise SynthError(f"expected photos in {folder}, found none that could be read")
    return photos


def make(
    seed: int, index: int, photos: Sequence[Pixels] = (), plain_share: float = 0.1, kinds: Sequence[Kind] = ALL_KINDS
) -> Made:
    """Sample `index` of a seed: with probability `plain_share` a plain picture, else a scene of these kinds."""
    rng = np.random.default_rng([seed, index])
    scene = plain(rng, photos) if rng.random() < plain_share else compose(rng, photos, kinds)
    data = encode(scene, rng)
    digest = hashlib.sha256(data).hexdigest()
    return Made(
        scene,
        data,
        TraceSample(
            id=f"synth-{seed}-{index:06d}",
            image=f"images/{digest[:2]}/{digest}.jpg",
            sha256=digest,
            width=SIDE,
            height=SIDE,
            label=scene.label,
            explanation=explain([scene.objects[i] for i in scene.evidence], rng),
            regions=scene.regions,
            source="trace-synth" if scene.objects else "trace-synth/plain",
            generator=GENERATOR if scene.label is Verdict.GENERATED else None,
            split=split_of(digest),
        ),
    )


def write_dataset(
    out: Path,
    count: int,
    seed: int,
    photos: Path | None = None,
    plain_share: float = 0.1,
    progress: Callable[[int, int], None] | None = None,
    workers: int = 1,
    kinds: Sequence[Kind] = ALL_KINDS,
) -> Path:
    """Write `count` samples to `out/manifest.jsonl` and `out/images/`; gives the manifest's path.

    `kinds` are those that scenes may show: fewer make the scenes to practise one of them on.

    `workers` processes draw; the bytes are the same for any number of them.

    `out/objects.jsonl` gets everything in each scene, evidence or not: what a model that starts from nothing learns
    to see by, and what a manifest has no place for. A folder that already holds samples of the same settings is
    continued. `progress` is called with (done, count). Raises SynthError when the folder holds something else.
    """
    pictures = load_photos(photos) if photos else []
    kinds = [kind for kind in ALL_KINDS if kind in kinds]
    settings = {"seed": seed, "plain_share": plain_share, "photos": _digest(pictures)}
    _claim(out, settings if len(kinds) == len(ALL_KINDS) else {**settings, "kinds": " ".join(kinds)})
    manifest = out / "manifest.jsonl"
    done = _resume(manifest, seed)
    objects = out / OBJECTS
    _keep_lines(objects, done)
    drawn = _draw(partial(make, seed, plain_share=plain_share, kinds=kinds), range(done, count), pictures, workers)
    with (
        manifest.open("a", encoding="utf-8", newline="\n") as lines,
        objects.open("a", encoding="utf-8", newline="\n") as everything,
    ):
        for index, made in enumerate(drawn, done):
            target = out / made.sample.image
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(made.data)
            everything.write(_objects_line(made) + "\n")
            everything.flush()  # before the manifest's line, which makes the sample count
            lines.write(to_line(made.sample) + "\n")
            if progress:
                progress(index + 1, count)
    return manifest


def _draw(draw: Callable[..., Made], indices: range, photos: Sequence[Pixels], workers: int) -> Iterator[Made]:
    """The samples in order; drawn ahead by other processes when there are several workers."""
    if workers == 1 or len(indices) < 2:
        yield from (draw(index, photos) for index in indices)
        return
    # A fresh process: a forked one may hang on the locks of libraries that have threads.
    with multiprocessing.get_context("spawn").Pool(workers, _take_photos, (photos,)) as pool:
        yield from pool.imap(partial(_with_photos, draw), indices, chunksize=8)


_photos: Sequence[Pixels] = ()  # of a worker process, given once: they are too large to travel with every sample


def _take_photos(photos: Sequence[Pixels]) -> None:
    global _photos
    _photos = photos


def _with_photos(draw: Callable[..., Made], index: int) -> Made:
    return draw(index, _photos)


def read_objects(folder: Path) -> Iterator[SceneContents]:
    """What is in each scene of a folder that `write_dataset` wrote, in the manifest's order."""
    path = folder / OBJECTS
    if not path.is_file():
        raise SynthError(f"expected {path}, which `trace synth` writes beside the manifest; it is not there")
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            record = json.loads(line)
            objects = tuple(SceneObject(Kind(o["kind"]), o["defective"], Box(*o["bbox"])) for o in record["objects"])
            yield SceneContents(record["id"], objects, tuple(record["evidence"]))


def _objects_line(made: Made) -> str:
    objects = [{"kind": o.kind, "defective": o.defective, "bbox": list(o.box.xyxy)} for o in made.scene.objects]
    return json.dumps({"id": made.sample.id, "objects": objects, "evidence": list(made.scene.evidence)})


def _keep_lines(path: Path, count: int) -> None:
    """Cut a file of lines after the first `count`."""
    if path.exists():
        with path.open("rb+") as lines:
            for _ in range(count):
                lines.readline()
            lines.truncate(lines.tell())


def _digest(photos: Sequence[Pixels]) -> str | None:
    if not photos:
        return None
    digest = hashlib.sha256()
    for photo in photos:
        digest.update(photo.tobytes())
    return digest.hexdigest()


def _claim(out: Path, settings: dict[str, int | float | str | None]) -> None:
    """Record the settings beside the data, or check them against those of an earlier run."""
    record = out / "synth.json"
    if record.exists():
        earlier = json.loads(record.read_text(encoding="utf-8"))
        if earlier != settings:
            raise SynthError(f"{out} holds samples made with {earlier}, not {settings}: choose another folder")
        return
    if (out / "manifest.jsonl").exists():
        raise SynthError(f"{out} holds a manifest of another origin: choose another folder")
    out.mkdir(parents=True, exist_ok=True)
    record.write_text(json.dumps(settings) + "\n", encoding="utf-8")


def _resume(manifest: Path, seed: int) -> int:
    """How many samples are there; a last line that an interruption cut short is taken off."""
    if not manifest.exists():
        return 0
    lines = manifest.read_text(encoding="utf-8").splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines.pop()
        manifest.write_text("".join(lines), encoding="utf-8", newline="\n")
    if lines:
        try:
            last = from_line(lines[-1]).id
        except ManifestError as error:
            raise SynthError(f"{manifest}, line {len(lines)}: {error}. Choose another folder") from error
        if last != f"synth-{seed}-{len(lines) - 1:06d}":
            raise SynthError(f"{manifest} ends with {last} at line {len(lines)}: choose another folder")
    return len(lines)
