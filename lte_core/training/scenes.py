"""A folder of TRACE-synth as what training reads beyond its manifest: everything that is in each scene."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from lte_core.dataset.manifest import BadLine, read_lines
from lte_core.dataset.synth import SceneContents, SynthError, read_objects, statement
from lte_core.schema import Region, TraceSample
from lte_core.training.conversations import Shown
from lte_core.training.packing import Example


def scenes(folder: Path) -> Iterator[tuple[TraceSample, SceneContents]]:
    """Each sample of the manifest with everything that its scene holds. Raises SynthError when that is missing."""
    contents = {one.id: one for one in read_objects(folder)}
    for line in read_lines(folder / "manifest.jsonl"):
        if isinstance(line, BadLine):
            continue  # told by whoever reads the manifest itself
        if line.sample.id not in contents:
            raise SynthError(f"{folder}: the manifest has {line.sample.id}, of which the objects know nothing")
        yield line.sample, contents[line.sample.id]


def examples(folder: Path) -> list[Example]:
    """Every scene of the folder that is not kept for validation or test, for the base."""
    return [
        Example(folder / sample.image, contents.objects, contents.evidence)
        for sample, contents in scenes(folder)
        if sample.split not in ("val", "test")
    ]


def other_areas(folder: Path, seed: int) -> dict[str, tuple[Shown, ...]]:
    """By a sample's id: its objects that are no evidence, each with what there is to say about it."""
    rng = np.random.default_rng(seed)
    made = {}
    for sample, contents in scenes(folder):
        rest = [o for i, o in enumerate(contents.objects) if i not in contents.evidence]
        made[sample.id] = tuple(Shown(Region(o.box, o.kind.value), statement(o, rng)) for o in rest)
    return made
