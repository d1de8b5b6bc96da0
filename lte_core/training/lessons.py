"""A manifest, or the folder of one (a review export, a TRACE-synth folder), as what training reads.

The split "test" is never read. What can be known to be wrong is found before work starts: nothing to train on, pictures
that are not there or of another size, words that the model does not have.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from lte_core.dataset.build import file_hash
from lte_core.dataset.manifest import BadLine, read_lines
from lte_core.images import ImageError, measure_image, read_image
from lte_core.inference.checkpoint import Checkpoint
from lte_core.schema import TraceSample
from lte_core.training.config import TrainingError
from lte_core.training.conversations import Shown, locate_words
from lte_core.vlm.frames import Convention

MOST_UNKNOWN = 0.01


@dataclass(frozen=True)
class Lesson:
    """A sample, where its image is, and the other areas in it that are known not to be evidence."""

    sample: TraceSample
    image: Path
    others: tuple[Shown, ...] = ()

    def picture(self) -> Image.Image:
        """Upright RGB, as inference reads it. Raises TrainingError when the file is damaged."""
        try:
            return read_image(self.image).pixels
        except ImageError as problem:
            raise TrainingError(f"{self.image}: {problem} Take its line out of the manifest.") from problem


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
    """Lines without a sample or an explanation are left out, and told in `bad`.

    Raises TrainingError when none remains, or a picture is missing, unreadable or of another size than its line says.
    """
    from lte_core.dataset.synth.words import NOTHING
    from lte_core.dataset.synth.write import OBJECTS
    from lte_core.training.scenes import other_areas

    manifest = data / "manifest.jsonl" if data.is_dir() else data
    if not manifest.is_file():
        raise TrainingError(f"There is no manifest at {manifest}. Give one, or a folder with manifest.jsonl.")
    root = manifest.parent
    scene = (root / OBJECTS).is_file()
    others = other_areas(root, seed) if scene else {}
    kept: list[Lesson] = []
    bad: list[BadLine] = []
    for line in read_lines(manifest):
        if isinstance(line, BadLine):
            bad.append(line)
        elif line.sample.split != "test":
            lesson = Lesson(line.sample, root / line.sample.image, others.get(line.sample.id, ()))
            if lesson.sample.explanation.strip():
                kept.append(lesson)
            else:
                bad.append(BadLine(line.number, f"{lesson.sample.id} has no explanation to learn"))
    wrong = [problem for lesson in kept if (problem := _wrong_picture(lesson))]
    if wrong:
        raise TrainingError(
            f"{len(wrong):,} of {len(kept):,} pictures cannot be trained on. The first: {wrong[0]}. Put them right, or "
            "take their lines out of the manifest."
        )
    train, val = ([x for x in kept if (x.sample.split == "val") is wanted] for wanted in (False, True))
    if not train:
        told = f": {len(bad)} lines cannot be used (line {bad[0].number}: {bad[0].problem})." if bad else "."
        raise TrainingError(
            f'{manifest} has no sample to train on, expected lines whose split is "train" or none{told}'
        )
    sha256 = file_hash(manifest)
    if scene:
        sha256 = hashlib.sha256(f"{sha256} {file_hash(root / OBJECTS)}".encode()).hexdigest()
    return TrainingData(train, val, sha256, tuple(NOTHING) if others else (), bad)


def _wrong_picture(lesson: Lesson) -> str | None:
    """Why a picture is not the one that the manifest speaks of."""
    sample = lesson.sample
    try:
        found = measure_image(lesson.image)
    except ImageError as problem:
        return f"{lesson.image} cannot be read ({str(problem).rstrip('.')})"
    if found.size != (sample.width, sample.height):
        return (
            f"{lesson.image} has {found.size.width} x {found.size.height} pixels, and the manifest says "
            f"{sample.width} x {sample.height}: its boxes would be elsewhere"
        )
    return None


def check_words(lessons: Sequence[Lesson], checkpoint: Checkpoint, convention: Convention, tokenizer: Any) -> None:
    """Raises TrainingError when the model has no words for what it shall say: lte-nano's vocabulary is closed."""
    if tokenizer.unk_token_id is None:
        return
    texts = [locate_words(lesson.sample, checkpoint, convention).completion for lesson in lessons[:200]]
    ids = [token for text in texts for token in tokenizer(text, add_special_tokens=False).input_ids]
    unknown = ids.count(tokenizer.unk_token_id) / max(1, len(ids))
    if unknown > MOST_UNKNOWN:
        raise TrainingError(
            f"The model has no word for {unknown:.0%} of what it shall learn to say: lte-nano knows the words of "
            "TRACE-synth alone. Take another model, or explanations in its words."
        )
