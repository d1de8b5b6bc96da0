"""What segment Examine is shown: the areas that the segment's first model locates itself, or others in their place.

The model's own regions are located once, greedily, before the training begins, and kept in `located-0-of-1.jsonl`, a
line a sample; an interrupted pass goes on. With several processes each locates its share.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lte_core.boxes import iou
from lte_core.images import ImageError, read_image
from lte_core.inference.crop_sources import CropSource, choose
from lte_core.inference.detector import DetectConfig, Failure, Item, LocateThenExamine
from lte_core.inference.load import LoadConfig, load_model
from lte_core.schema import Box, LocateResult, Region, Size
from lte_core.training.config import GrpoConfig
from lte_core.training.conversations import Shown, evidence
from lte_core.training.lessons import Lesson
from lte_core.vlm.base import Query

MATCH_IOU = 0.5  # from here on a located area shows what the annotated one shows


def shown_areas(
    lessons: Sequence[Lesson], nothing: Sequence[str], base: Path, out: Path, config: GrpoConfig
) -> list[list[Shown]]:
    """The areas of each lesson's Examine question, with what there is to say about each."""
    annotated = {str(n): lesson.sample.regions for n, lesson in enumerate(lessons)}
    own = {} if config.crops in (CropSource.ANNOTATED, CropSource.NONE) else locate_all(lessons, base, out, config)
    instead = choose(config.crops, annotated, config.seed)
    areas = []
    for n, lesson in enumerate(lessons):
        located = LocateResult("", own.get(n, ()), None, None, "")
        size = Size(lesson.sample.width, lesson.sample.height)
        regions = located.regions if instead is None else instead(str(n), located, size)
        areas.append([described(lesson, region, nothing) for region in regions])
    return areas


def described(lesson: Lesson, region: Region, nothing: Sequence[str]) -> Shown:
    """The region with what is known about the annotated area, or other object, that it mostly shows."""
    known = [*evidence(lesson.sample), *lesson.others]
    best = max(known, key=lambda item: iou(item.region.box, region.box), default=None)
    if best is not None and iou(best.region.box, region.box) >= MATCH_IOU:
        return Shown(region, best.clause)
    return Shown(region, nothing[0] if nothing else None)


def locate_all(lessons: Sequence[Lesson], base: Path, out: Path, config: GrpoConfig) -> dict[int, tuple[Region, ...]]:
    """The regions that the model in `base` locates, by the lesson's number; none where its reply cannot be read."""
    from accelerate import PartialState

    state = PartialState(cpu=config.device == "cpu")
    path = out / f"located-{state.process_index}-of-{state.num_processes}.jsonl"
    mine = range(state.process_index, len(lessons), state.num_processes)
    done = _read(path)
    rest = [n for n in mine if n not in done]
    if rest:
        device = None if config.device is None and state.device.type == "cpu" else str(state.device)
        detector = LocateThenExamine(*load_model(str(base), LoadConfig(device=device, threads=config.threads)),
                                     DetectConfig(only=Query.LOCATE))  # fmt: skip
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as lines:
            for n, result in zip(rest, detector.detect_many(_pictures(lessons, rest)), strict=True):
                regions = () if isinstance(result, Failure) else result.locate.regions
                listed = [{"bbox": region.box.xyxy, "label": region.label} for region in regions]
                lines.write(json.dumps({"sample": n, "regions": listed}) + "\n")
    state.wait_for_everyone()
    found: dict[int, tuple[Region, ...]] = {}
    for rank in range(state.num_processes):
        found |= _read(out / f"located-{rank}-of-{state.num_processes}.jsonl")
    return found


def _pictures(lessons: Sequence[Lesson], wanted: Sequence[int]) -> Iterator[Item | Failure]:
    for n in wanted:
        try:
            yield str(n), read_image(lessons[n].image)
        except ImageError as problem:
            yield Failure(str(n), str(problem))


def _read(path: Path) -> dict[int, tuple[Region, ...]]:
    """The whole lines of a file; what a kill left of the last one is cut off."""
    found: dict[int, tuple[Region, ...]] = {}
    if not path.is_file():
        return found
    end = 0
    with path.open("rb") as lines:
        for line in lines:
            if not line.endswith(b"\n"):
                break
            end += len(line)
            record: Mapping[str, Any] = json.loads(line)
            found[record["sample"]] = tuple(Region(Box(*r["bbox"]), r["label"]) for r in record["regions"])
    os.truncate(path, end)
    return found
