"""Does the final verdict rest on the areas that the model named? Hide them, hide others, show another image's crops.

For each image with located boxes, all with the regions that the first look gave on the untouched image:

    drop(hidden) = P(v2 | image) - P(v2 | image with those boxes hidden),   P of the verdict v2 on the untouched image
    faithfulness = mean over images of drop(own boxes) - drop(random boxes of equal size)

Positive: hiding what was named matters more than hiding as much elsewhere. Swapped crops show whether Examine looks at
what it is shown; the references say whether its words speak of the boxes. Ours; no source gives such a score.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

from lte_core.boxes import iou
from lte_core.dataset.candidates import REFERENCE
from lte_core.evaluation.intervals import Interval
from lte_core.evaluation.outcomes import read_predictions
from lte_core.evaluation.predict import Prediction, predict
from lte_core.evaluation.run import Samples, about_run, keep, same_run
from lte_core.images import ImageError, SourceImage, read_image
from lte_core.inference.detector import Failure, LocateThenExamine
from lte_core.inference.examine import cut_crops
from lte_core.schema import Box, Crop, Detection, Region, Size, TraceSample, Verdict

STEPS = ("untouched", "own-hidden", "random-hidden", "swapped-crops")


@dataclass(frozen=True)
class Mean:
    """A mean over images with the middle 95 % of bootstrap resamples."""

    value: float
    interval: Interval


@dataclass(frozen=True)
class Faithfulness:
    """`n` images had boxes and a probability. `swapped_flips`: the share whose verdict another image's crops change.
    `named`: the share of crops that the words refer to by number; `dangling`: the share of references to no crop;
    `fitting`: the share of references whose words share one with the crop's label. None without any."""

    n: int
    own_drop: Mean
    random_drop: Mean
    score: Mean
    swapped_drop: Mean
    swapped_flips: float
    named: float | None
    dangling: float | None
    fitting: float | None


def predict_steps(
    detector: LocateThenExamine, data: Samples, out: Path, seed: int = 0,
    progress: Callable[[int], None] = lambda done: None,
) -> None:  # fmt: skip
    """A predictions file in `out` for each step; those that are there are kept. Raises RunError."""
    same_run(out / "faithfulness.run.json", about_run(detector, data) | {"seed": seed})
    keep(out / "untouched.jsonl", predict(detector, data.samples, data.root), progress)
    found = {truth.id: result for truth, result in read_predictions(out / "untouched.jsonl")}
    located = {name: r.locate.regions for name, r in found.items() if not isinstance(r, Failure) and r.locate.regions}
    samples = [sample for sample in data.samples if sample.id in located]
    done = len(data.samples)
    for step in STEPS[1:]:
        made = _step(step, detector, samples, data.root, located, seed)
        keep(out / f"{step}.jsonl", made, lambda here, before=done: progress(before + here))  # type: ignore[misc]
        done += len(samples)
        progress(done)


def _step(
    step: str, detector: LocateThenExamine, samples: Sequence[TraceSample], root: Path,
    located: Mapping[str, Sequence[Region]], seed: int,
) -> Iterator[Prediction]:  # fmt: skip
    """The samples again, examined on the regions of the untouched image."""
    config = replace(detector.config, examine_instead=lambda path, result, size: located[path])
    if step == "swapped-crops":
        following = {a.id: b for a, b in zip(samples, [*samples[1:], *samples[:1]], strict=True)}
        config = replace(config, cut_instead=lambda path, image, crops: _from(following[path], root, image, crops))

    def change(sample: TraceSample, source: SourceImage) -> tuple[TraceSample, SourceImage]:
        boxes = [region.box for region in located[sample.id]]
        if step == "own-hidden":
            return sample, replace(source, pixels=hidden(source.pixels, boxes))
        if step == "random-hidden":
            elsewhere = other_boxes(boxes, Size(*source.pixels.size), random.Random(f"{seed}/{sample.id}"))
            return sample, replace(source, pixels=hidden(source.pixels, elsewhere))
        return sample, source

    changed = LocateThenExamine(detector.vlm, detector.checkpoint, config)

    def opened() -> Iterator[Any]:
        for sample in samples:
            try:
                yield sample.id, change(sample, read_image(root / sample.image))[1]
            except ImageError as problem:
                yield Failure(sample.id, str(problem))

    for sample, result in zip(samples, changed.detect_many(opened()), strict=True):
        yield Prediction(sample, result)


def _from(other: TraceSample, root: Path, image: Image.Image, crops: Sequence[Crop]) -> Sequence[Image.Image]:
    """The same places cut out of another image, which is scaled to this one's size."""
    try:
        pixels = read_image(root / other.image).pixels
    except ImageError:
        pixels = image.transpose(Image.Transpose.ROTATE_180)  # its own, turned: other pixels all the same
    return cut_crops(pixels if pixels.size == image.size else pixels.resize(image.size), crops)


def hidden(image: Image.Image, boxes: Sequence[Box]) -> Image.Image:
    """The image with what is inside the boxes blurred beyond recognition: a flat patch would itself look suspicious."""
    shown = image.copy()
    blurred = image.filter(ImageFilter.GaussianBlur(max(image.size) / 16))
    for box in boxes:
        corners = (int(box.x1), int(box.y1), -int(-box.x2 // 1), -int(-box.y2 // 1))
        shown.paste(blurred.crop(corners), corners[:2])
    return shown


def other_boxes(boxes: Sequence[Box], size: Size, rng: random.Random, tries: int = 30) -> list[Box]:
    """As many boxes of the same sizes, as far as there is room where the given ones are not."""
    found: list[Box] = []
    for box in boxes:
        places = [
            Box(x, y, x + box.width, y + box.height)
            for _ in range(tries)
            if (x := rng.uniform(0, size.width - box.width)) is not None
            and (y := rng.uniform(0, size.height - box.height)) is not None
        ]
        taken = [*boxes, *found]
        found.append(min(places, key=lambda place: sum(iou(place, other) for other in taken)))
    return found


def measure(out: Path, seed: int = 0) -> Faithfulness:
    """The score from the files of `predict_steps`. Raises ValueError when no image can be compared."""
    by_step = {step: dict(_by_id(out / f"{step}.jsonl")) for step in STEPS}
    whole = by_step["untouched"]
    names = [
        name
        for name in by_step["own-hidden"]
        if all(_chance(by_step[step].get(name), whole[name].verdict) is not None for step in STEPS)
    ]
    if not names:
        raise ValueError("No image has boxes, a verdict and a probability in every step: there is nothing to compare.")
    before = np.array([_chance(whole[name], whole[name].verdict) for name in names])
    drops = {
        step: before - np.array([_chance(by_step[step][name], whole[name].verdict) for name in names])
        for step in STEPS[1:]
    }
    swapped = by_step["swapped-crops"]
    flips = sum(swapped[name].verdict != whole[name].verdict for name in names) / len(names)
    return Faithfulness(
        len(names), _mean(drops["own-hidden"], seed), _mean(drops["random-hidden"], seed),
        _mean(drops["own-hidden"] - drops["random-hidden"], seed), _mean(drops["swapped-crops"], seed), flips,
        *references([whole[name] for name in names]),
    )  # fmt: skip


def references(results: Sequence[Detection]) -> tuple[float | None, float | None, float | None]:
    """Shares of crops that are named, of references that dangle, and of references that fit their crop's label."""
    crops = named = told = dangling = fitting = 0
    for result in results:
        found = [(int(part[1]), part[2]) for part in REFERENCE.finditer(result.examine.explanation)]
        crops += len(result.crops)
        named += len({number for number, _ in found if 1 <= number <= len(result.crops)})
        told += len(found)
        for number, words in found:
            if not 1 <= number <= len(result.crops):
                dangling += 1
            else:
                fitting += bool(_words(words) & _words(result.crops[number - 1].label))
    return _share(named, crops), _share(dangling, told), _share(fitting, told - dangling)


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _words(text: str) -> set[str]:
    return set(re.findall(r"[a-z]{3,}", text.lower()))


def _by_id(path: Path) -> Iterator[tuple[str, Detection]]:
    for truth, result in read_predictions(path):
        if not isinstance(result, Failure):
            yield truth.id, result


def _chance(result: Detection | None, verdict: Verdict | None) -> float | None:
    """P(verdict), as the result has it."""
    if result is None or verdict is None or result.p_generated is None:
        return None
    return result.p_generated if verdict is Verdict.GENERATED else 1 - result.p_generated


def _mean(values: np.ndarray[Any, Any], seed: int, resamples: int = 2_000) -> Mean:
    rng = np.random.default_rng(seed)
    drawn = values[rng.integers(0, len(values), (resamples, len(values)))].mean(axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Mean(float(values.mean()), Interval(float(low), float(high)))
