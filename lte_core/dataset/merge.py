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
    """What came together. `missing` names images that none of the folders has."""

    samples: int = 0
    explanations: int = 0
    groundings: int = 0
    missing: list[str] = field(default_factory=list)
    bad_lines: list[tuple[Path, BadLine]] = field(default_factory=list)


def merge(folders: Sequence[Path], out: Path) -> Merged:
    """Write `out/manifest.jsonl`, its images and `out/raw/`. Each sample and each reply is taken once, the first place
    it is found at deciding the order. Raises BuildError when the folders do not belong together."""
    if out in folders:
        raise BuildError(f"{out} is one of the folders to merge. Name a new one.")
    if (out / "manifest.jsonl").exists():
        raise BuildError(f"There is a manifest in {out} already. Name a new folder.")
    merged = Merged()
    samples: dict[str, TraceSample] = {}
    for folder in folders:
        for item in samples_of(folder):
            if isinstance(item, BadLine):
                merged.bad_lines.append((folder, item))
            elif _taken(samples, item, folder):
                source = folder / item.image
                if source.is_file():
                    link_or_copy(source, out / item.image)
                else:
                    merged.missing.append(str(source))
    experts = _experts(folders)
    out.mkdir(parents=True, exist_ok=True)
    merged.explanations = join(folders, out, "explanations")
    merged.groundings = join(folders, out, "groundings")
    experts.save(out)
    write_manifest(out / "manifest.jsonl", samples.values())  # last: with it the folder is whole
    merged.samples = len(samples)
    return merged


def _taken(samples: dict[str, TraceSample], sample: TraceSample, folder: Path) -> bool:
    """Whether the sample is new. Raises BuildError for two different ones with one id."""
    earlier = samples.setdefault(sample.id, sample)
    if earlier.sha256 != sample.sha256 or earlier.label is not sample.label:
        raise BuildError(f"{folder}: the sample {sample.id} has another image or label than in a folder before it.")
    return earlier is sample


def _experts(folders: Sequence[Path]) -> Experts:
    found = [Experts.load(folder) for folder in folders]
    names = []
    for kind in ("explainer", "grounder"):
        stated = sorted({name for experts in found if (name := getattr(experts, kind))})
        if len(stated) > 1:
            raise BuildError(f"The folders asked different {kind}s: {', '.join(stated)}. Merge those of one.")
        names.append(stated[0] if stated else "")
    return Experts(*names)
