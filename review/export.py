"""Reviewed samples as a folder: a manifest, SFT data, images, and an account of every sample that is left out.

The same database gives the same bytes. Only what people accepted or fixed goes out. Written beside its place and then
moved there, so that an interrupted export leaves nothing half done. Decides nothing (`store.py`), prints nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any, Literal

from lte_core.dataset.manifest import to_line
from lte_core.files import link_or_copy
from lte_core.images import ImageError
from lte_core.inference.checkpoint import DEFAULT_CHECKPOINT, Checkpoint
from lte_core.inference.examine import CropConfig
from lte_core.runs import commit
from lte_core.schema import Size, TraceSample
from lte_core.training.conversations import Words
from review import sft_formats
from review.crops import SampleCrops
from review.desk import Exported
from review.formats import Told, to_coco_boxes, to_coco_image, to_label_studio
from review.media import Media, MediaError
from review.records import Content, Filter
from review.reviewed import reason_to_exclude, reviewed_sample
from review.store import ReviewStore

Format = Literal["trl", "llama-factory", "ms-swift", "label-studio", "coco"]
SFT: tuple[Format, ...] = ("trl", "llama-factory", "ms-swift")
FORMATS: tuple[Format, ...] = (*SFT, "label-studio", "coco")


class ExportError(Exception):
    """Nothing was exported; the message says what to do."""


@dataclass(frozen=True)
class ExportConfig:
    """What goes out. `checkpoint` holds the prompts, and the pixel budget in whose frame boxes are stated."""

    formats: tuple[Format, ...] = SFT
    wanted: Filter = field(default_factory=Filter)
    checkpoint: Checkpoint = DEFAULT_CHECKPOINT


@dataclass(frozen=True, slots=True)
class ExportCounts:
    """How many samples went out, and how many did not, by reason."""

    written: int
    excluded: Mapping[str, int]


def export(
    store: ReviewStore,
    media: Media,
    out: Path,
    config: ExportConfig = ExportConfig(),
    progress: Callable[[int], None] = lambda rows: None,
) -> ExportCounts:
    """Write the export to a new folder `out`. Raises ExportError when that holds something, or on a full disk."""
    out = out.resolve()  # "." has a name, too
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ExportError(f"{out} is there already. Name a new folder: an export is never mixed with another one.")
    part = out.with_name(f".{out.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir(parents=True)
        with ExitStack() as stack:
            writer = _Writer(part, media, config, stack)
            for number, row in enumerate(store.rows(config.wanted), 1):
                writer.take(row)
                progress(number)
            counts = writer.finish()
        _account(part, config, counts)
        with contextlib.suppress(FileNotFoundError):
            out.rmdir()
        part.rename(out)
    except OSError as problem:
        shutil.rmtree(part, ignore_errors=True)
        raise ExportError(f"The export to {out} failed: {problem.strerror or problem}.") from problem
    return counts


_TELL: Mapping[Format, Callable[[Words, Sequence[str], TraceSample], dict[str, Any]]] = {
    "trl": sft_formats.trl,
    "llama-factory": sft_formats.llama_factory,
    "ms-swift": sft_formats.ms_swift,
}


class _Writer:
    """The open files of one export."""

    def __init__(self, folder: Path, media: Media, config: ExportConfig, stack: ExitStack) -> None:
        self._folder, self._media, self._config, self._stack = folder, media, config, stack
        self._written = self._boxes = 0
        self._excluded: Counter[str] = Counter()
        self._categories: dict[str, int] = {}
        self._manifest = self._open("manifest.jsonl")
        self._out = self._open("excluded.jsonl")
        self._sft = {name: self._open(f"sft/{name}.jsonl") for name in SFT if name in config.formats}
        self._studio = self._open("label-studio.json") if "label-studio" in config.formats else None
        self._coco = [self._open(f"coco.{part}") for part in ("images", "boxes")] if "coco" in config.formats else []

    def take(self, row: Exported) -> None:
        """Write one sample, or why it is left out."""
        reason, sample, asked = reason_to_exclude(row), None, []
        if reason is None:
            sample = reviewed_sample(row)
            try:
                self._media.check(row.sha256, row.suffix)
                if self._sft:
                    crops = SampleCrops(self._media, row)
                    asked = sft_formats.both_queries(sample, self._config.checkpoint, crops.keep)
            except (MediaError, ImageError) as problem:
                reason = f"image: {problem}"
        if reason is not None or sample is None:
            self._excluded[str(reason).partition(":")[0]] += 1
            self._out.write(_line({"id": row.sample_id, "reason": reason}))
            return
        link_or_copy(self._media.path(row.sha256, row.suffix), f"{self._folder}/{sample.image}")
        for name in {name for _, images in asked for name in images if name != sample.image}:
            link_or_copy(f"{self._media.folder}/{name}", f"{self._folder}/{name}")
        self._manifest.write(to_line(sample) + "\n")
        self._written += 1
        for words, images in asked:
            for name, file in self._sft.items():
                file.write(_line(_TELL[name](words, images, sample)))
        self._tell(sample)

    def finish(self) -> ExportCounts:
        """Close what is one document, and say what was done."""
        if self._studio is not None:
            self._studio.write("\n]\n" if self._written else "[]\n")
        if self._coco:
            self._join_coco()
        if "llama-factory" in self._sft:
            info = {"lte_reviewed": {"file_name": "sft/llama-factory.jsonl", **sft_formats.LLAMA_FACTORY_COLUMNS}}
            self._open("dataset_info.json").write(json.dumps(info, indent=2) + "\n")
        return ExportCounts(self._written, dict(sorted(self._excluded.items())))

    def _tell(self, sample: TraceSample) -> None:
        told = Told(
            sample.id, sample.image, Size(sample.width, sample.height),
            Content(sample.label, sample.explanation, sample.regions), sample.source, sample.generator, sample.split,
        )  # fmt: skip
        if self._studio is not None:
            self._studio.write(",\n" if self._written > 1 else "[\n")
            self._studio.write(json.dumps(to_label_studio(told, self._written), ensure_ascii=False))
        if self._coco:
            for region in sample.regions:
                self._categories.setdefault(region.label, len(self._categories) + 1)
            self._coco[0].write(_line(to_coco_image(told, self._written)))
            for box in to_coco_boxes(told, self._written, self._boxes + 1, self._categories):
                self._boxes += 1
                self._coco[1].write(_line(box))

    def _join_coco(self) -> None:
        """COCO is one object of three lists: the two that were written line by line, and the categories."""
        with (self._folder / "coco.json").open("w", encoding="utf-8", newline="\n") as whole:
            for name, part in zip(("images", "annotations"), self._coco, strict=True):
                part.close()
                whole.write(f'{"{" if name == "images" else ","}"{name}": [\n')
                path = Path(part.name)
                with path.open(encoding="utf-8") as lines:
                    for number, line in enumerate(lines):
                        whole.write(("," if number else "") + line)
                path.unlink()
                whole.write("]")
            names = [{"id": number, "name": name} for name, number in self._categories.items()]
            whole.write(f',"categories": {json.dumps(names, ensure_ascii=False)}}}\n')

    def _open(self, name: str) -> IO[str]:
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return self._stack.enter_context(path.open("w", encoding="utf-8", newline="\n"))


def _account(folder: Path, config: ExportConfig, counts: ExportCounts) -> None:
    """EXPORT.json: what was exported how, a hash of every file, and each excluded sample with its reason."""
    left_out = folder / "excluded.jsonl"
    files = sorted(p for p in (*folder.glob("*"), *folder.glob("sft/*")) if p.is_file())  # not the images: many
    views = config.checkpoint.views
    head = {
        "schema": "lte-export/1",
        "commit": commit(),
        "filter": asdict(config.wanted),
        "formats": list(config.formats),
        "max_pixels": views.max_pixels,
        "crop_pad": config.checkpoint.crop_pad if config.checkpoint.crop_pad is not None else CropConfig.pad,
        "samples": {"in": counts.written + sum(counts.excluded.values()), "written": counts.written},
        "excluded_by_reason": dict(counts.excluded),
        "sha256": {str(p.relative_to(folder)): _hash(p) for p in files if p != left_out},
    }
    with (folder / "EXPORT.json").open("w", encoding="utf-8", newline="\n") as out, left_out.open("rb") as lines:
        out.write(json.dumps(head, ensure_ascii=False, indent=2)[:-2] + ',\n  "excluded": [')
        for number, line in enumerate(lines):
            out.write(("," if number else "") + "\n    " + line.decode("utf-8").strip())
        out.write("\n  ]\n}\n")
    left_out.unlink()


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


_JSON = json.JSONEncoder(ensure_ascii=False)  # `json.dumps` would make one for every line


def _line(record: Mapping[str, Any]) -> str:
    return _JSON.encode(record) + "\n"
