"""A folder of TRACE-synth as what training reads beyond its manifest: everything that is in each scene."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from lte_core.dataset.manifest import read_manifest
from lte_core.dataset.synth import SceneContents, SynthError, read_objects, statement
from lte_core.schema import Region, TraceSample
from lte_core.training.conversations import Shown
from lte_core.training.packing import Example


def scenes(folder: Path) -> Iterator[tuple[TraceSample, SceneContents]]:
    """Each sample with everything that its scene holds. Raises SynthError when the two files do not belong together."""
    samples = (line.sample for line in read_manifest(folder / "manifest.jsonl"))
    for sample, contents in zip(samples, read_objects(folder), strict=True):
        if sample.id != contents.id:
            raise SynthError(f"{folder}: the manifest has {sample.id} where the objects have {contents.id}")
        yield sample, contents


def examples(folder: Path) -> list[Example]:
    """Every scene of the folder, for the base."""
    return [Example(folder / s.image, contents.objects, contents.evidence) for s, contents in scenes(folder)]


def other_areas(folder: Path, seed: int) -> dict[str, tuple[Shown, ...]]:
    """By a sample's id: its objects that are no evidence, each with what there is to say about it."""
    rng = np.random.default_rng(seed)
    made = {}
    for sample, contents in scenes(folder):
        rest = [o for i, o in enumerate(contents.objects) if i not in contents.evidence]
        made[sample.id] = tuple(Shown(Region(o.box, o.kind.value), statement(o, rng)) for o in rest)
    return made
