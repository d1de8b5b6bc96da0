"""A manifest, or the folder of one (a review export, a TRACE-synth folder), as what training reads.

The split "test" is never read. Whatever can be known to be wrong is told before work starts: nothing to train on,
pictures that are not there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lte_core.dataset.build import file_hash
from lte_core.dataset.manifest import BadLine, read_lines
from lte_core.schema import TraceSample
from lte_core.training.config import TrainingError
from lte_core.training.conversations import Shown


@dataclass(frozen=True)
class Lesson:
    """A sample, where its image is, and the other areas in it that are known not to be evidence."""

    sample: TraceSample
    image: Path
    others: tuple[Shown, ...] = ()


@dataclass(frozen=True)
class TrainingData:
    """The lessons of both splits. `nothing`: ways to say that an area shows nothing, for data whose explanations speak
    of areas one by one. `bad` holds the manifest's lines that are no samples."""

    train: Sequence[Lesson]
    val: Sequence[Lesson]
    sha256: str
    nothing: tuple[str, ...] = ()
    bad: Sequence[BadLine] = ()


def read_data(data: Path, seed: int = 0) -> TrainingData:
    """Raises TrainingError when there is nothing to train on or a picture is missing."""
    from lte_core.dataset.synth.words import NOTHING
    from lte_core.dataset.synth.write import OBJECTS
    from lte_core.training.scenes import other_areas

    manifest = data / "manifest.jsonl" if data.is_dir() else data
    if not manifest.is_file():
        raise TrainingError(f"There is no manifest at {manifest}. Give one, or a folder with manifest.jsonl.")
    root = manifest.parent
    others = other_areas(root, seed) if (root / OBJECTS).is_file() else {}
    train: list[Lesson] = []
    val: list[Lesson] = []
    bad: list[BadLine] = []
    for line in read_lines(manifest):
        if isinstance(line, BadLine):
            bad.append(line)
        elif line.sample.split != "test":
            sample = line.sample
            lesson = Lesson(sample, root / sample.image, others.get(sample.id, ()))
            (val if sample.split == "val" else train).append(lesson)
    if not train:
        raise TrainingError(
            f'{manifest} has no sample to train on: expected lines whose split is "train" or none'
            + (f"; {len(bad)} lines are no samples ({bad[0].problem})." if bad else ".")
        )
    missing = [lesson.image for lesson in (*train, *val) if not lesson.image.is_file()]
    if missing:
        raise TrainingError(
            f"{len(missing):,} of {len(train) + len(val):,} pictures are not there, such as {missing[0]}. Put them "
            "back, or take their lines out of the manifest."
        )
    return TrainingData(train, val, file_hash(manifest), tuple(NOTHING) if others else (), bad)
