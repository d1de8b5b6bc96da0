"""The folders of several machines as one: their samples, their images, and everything that the experts said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lte_core.dataset.build import BuildError, Experts, samples_of
from lte_core.dataset.manifest import BadLine, write_manifest
from lte_core.dataset.raw import join
from lte_core.files import link_or_copy
from lte_core.schema import TraceSample


@dataclass
class Merged:
    """What came together. `left_out` says of each sample or line that did not, why."""

    samples: int = 0
    explanations: int = 0
    groundings: int = 0
    left_out: list[str] = field(default_factory=list)


def merge(folders: Sequence[Path], out: Path) -> Merged:
    """Write `out/manifest.jsonl`, its images and `out/raw/`.

    Each image and each reply is taken once, in the order in which they are found; an image that one folder calls real
    and another generated is left out. Raises BuildError when the folders do not belong together.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BuildError(f"{out} is there already. Name a new folder: what is in it would be mixed or lost.")
    merged, taken = Merged(), _Taken()
    for folder in folders:
        for item in samples_of(folder):
            if isinstance(item, BadLine):
                merged.left_out.append(f"{folder / 'manifest.jsonl'}, line {item.number}: {item.problem}")
            elif problem := taken.offer(item, folder):
                merged.left_out.append(problem)
    experts = _experts(folders)
    out.mkdir(parents=True, exist_ok=True)
    for sample, folder in taken.found():
        link_or_copy(folder / sample.image, out / sample.image)
    merged.explanations = join(folders, out, "explanations")
    merged.groundings = join(folders, out, "groundings")
    experts.save(out)
    write_manifest(out / "manifest.jsonl", [sample for sample, _ in taken.found()])  # last: then the folder is whole
    merged.samples = len(taken.found())
    return merged


class _Taken:
    """The samples so far, by image, with the folders that they are from."""

    def __init__(self) -> None:
        self._by_image: dict[str, tuple[TraceSample, Path] | None] = {}
        self._by_id: dict[str, str] = {}

    def offer(self, sample: TraceSample, folder: Path) -> str | None:
        """Take the sample, or say why not; nothing for one that is there already."""
        if sample.sha256 in self._by_image:
            earlier = self._by_image[sample.sha256]
            if earlier is not None and earlier[0].label is sample.label:
                return None
            self._by_image[sample.sha256] = None
            return f"{folder}: {sample.id} has another label in a folder before it, and is left out in both"
        if self._by_id.setdefault(sample.id, sample.sha256) != sample.sha256:
            return f"{folder}: the id {sample.id} is that of another image in a folder before it"
        inside = (folder / sample.image).resolve().is_relative_to(folder.resolve())
        if not inside or not (folder / sample.image).is_file():
            return f"{folder}: the image {sample.image} of {sample.id} is not there"
        self._by_image[sample.sha256] = sample, folder
        return None

    def found(self) -> list[tuple[TraceSample, Path]]:
        return [item for item in self._by_image.values() if item is not None]


def _experts(folders: Sequence[Path]) -> Experts:
    found = [Experts.load(folder) for folder in folders]
    names = []
    for kind in ("explainer", "grounder"):
        stated = sorted({name for experts in found if (name := getattr(experts, kind))})
        if len(stated) > 1:
            raise BuildError(f"The folders asked different {kind}s: {', '.join(stated)}. Merge those of one.")
        names.append(stated[0] if stated else "")
    return Experts(*names)
