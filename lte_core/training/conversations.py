"""A TRACE sample as the two conversations that teach LTE: Locate (image -> E, B, y) and Examine (image, crops -> E, y).

The views, crops and prompts are those of inference, taken from the same functions, so what is taught is what will
be asked. Examine gets annotated crops, and a share of jittered, missing and distracting ones, so that the model has
to look at what it is shown. Knows no trainer; `Turn.trl()` gives TRL's columns.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from lte_core.boxes import clip, rescale
from lte_core.dataset.candidates import REFERENCE, unnumbered
from lte_core.inference.checkpoint import Checkpoint
from lte_core.inference.examine import CropConfig, cut_crops, plan_crops
from lte_core.schema import Box, Crop, Region, Size, TraceSample
from lte_core.vlm.frames import QWEN2_5, Convention


@dataclass(frozen=True, slots=True)
class Turn:
    """One question with its pictures at the size in which the model sees them, and the reply that it should give."""

    images: tuple[Image.Image, ...]
    prompt: str
    completion: str

    def trl(self) -> dict[str, Any]:
        """TRL's columns: as many image parts as images, and a completion, which alone counts in the loss."""
        asked = [{"type": "image"}] * len(self.images) + [{"type": "text", "text": self.prompt}]
        return {
            "images": list(self.images),
            "prompt": [{"role": "user", "content": asked}],
            "completion": [{"role": "assistant", "content": [{"type": "text", "text": self.completion}]}],
        }


@dataclass(frozen=True)
class CropShares:
    """How the crops of an Examine turn differ from the annotated ones. All values are ours.

    `missing`: chance that a box is left out; `distractors`: chance that an area that is no evidence is added;
    `unrelated`: chance that all crops are such areas; `jitter`: standard deviation of a box's place and size, as a
    share of its own size; `nothing`: chance that no crop is shown, as when nothing was located.
    """

    missing: float = 0.08
    distractors: float = 0.35
    unrelated: float = 0.1
    jitter: float = 0.06
    nothing: float = 0.05


@dataclass(frozen=True, slots=True)
class Shown:
    """An area that Examine may be shown, and what there is to say about it; None: nothing is known."""

    region: Region
    clause: str | None


def evidence(sample: TraceSample) -> list[Shown]:
    """The sample's regions, each with the part of the explanation that refers to it by number ("[2] …"), if any."""
    clauses = {int(number): text for number, text in REFERENCE.findall(sample.explanation)}
    return [Shown(region, clauses.get(number)) for number, region in enumerate(sample.regions, 1)]


@dataclass(frozen=True, slots=True)
class Words:
    """A turn without its pictures: what is asked, what should be answered, and which crops go with it."""

    prompt: str
    completion: str
    crops: tuple[Crop, ...] = ()


def locate_words(sample: TraceSample, checkpoint: Checkpoint, convention: Convention = QWEN2_5) -> Words:
    """Query 1. Boxes are stated in the frame of the view that the model is shown."""
    shown_wh = checkpoint.views.size(Size(sample.width, sample.height), factor=convention.factor)
    frame = convention.frame_wh(shown_wh)
    boxes = ",".join(_box_json(region, sample, frame, checkpoint.coordinate_step) for region in sample.regions)
    reply = (
        f"<explanation>{_plain(sample.explanation)}</explanation>"
        f"<boxes>[{boxes}]</boxes><verdict>{sample.label}</verdict>"
    )
    return Words(checkpoint.prompts.locate_prompt(), reply)


def examine_words(sample: TraceSample, shown: Sequence[Shown], checkpoint: Checkpoint) -> Words:
    """Query 2, with these areas as crops. The first verdict is never told: in training it would be the label."""
    config = CropConfig() if checkpoint.crop_pad is None else CropConfig(pad=checkpoint.crop_pad)
    crops = plan_crops([item.region for item in shown], Size(sample.width, sample.height), config)
    told = _about(sample.explanation, [shown[crop.regions[0]].clause for crop in crops])
    reply = f"<explanation>{_plain(told)}</explanation><verdict>{sample.label}</verdict>"
    return Words(checkpoint.prompts.examine_prompt([crop.label for crop in crops]), reply, crops)


def _about(explanation: str, clauses: Sequence[str | None]) -> str:
    """An explanation in numbered parts, told of these crops: its summary, and what is known of each, under its number.
    One without such parts stays as it is; where nothing is known of any crop, no crop is referred to."""
    summary, parts = unnumbered(explanation)
    if not parts:
        return explanation
    known = "; ".join(f"[{n}] {clause}" for n, clause in enumerate(clauses, 1) if clause is not None)
    return " ".join(part for part in (summary, known) if part) or "; ".join(parts)


def locate_turn(
    sample: TraceSample, image: Image.Image, checkpoint: Checkpoint, convention: Convention = QWEN2_5
) -> Turn:
    """Query 1 with its picture."""
    words = locate_words(sample, checkpoint, convention)
    return Turn((checkpoint.views.show(image, factor=convention.factor),), words.prompt, words.completion)


def examine_turn(
    sample: TraceSample,
    image: Image.Image,
    shown: Sequence[Shown],
    checkpoint: Checkpoint,
    convention: Convention = QWEN2_5,
) -> Turn:
    """Query 2 with the picture and these areas enlarged."""
    words = examine_words(sample, shown, checkpoint)
    factor = convention.factor
    views = [checkpoint.views.show(c, crop=True, factor=factor) for c in cut_crops(image, words.crops)]
    return Turn((checkpoint.views.show(image, factor=factor), *views), words.prompt, words.completion)


def choose_shown(
    rng: random.Random, sample: TraceSample, others: Sequence[Shown], nothing: str | None, shares: CropShares,
    names: Sequence[str] = (),
) -> list[Shown]:  # fmt: skip
    """The areas of one Examine turn. `others` are known areas that are no evidence; `nothing` is what to say about
    an area in which there is nothing, None where the sample's explanation has no numbered parts. Such an area is called
    by one of `names`, the data's labels: one without a name would tell that there is nothing in it."""
    size = Size(sample.width, sample.height)
    box = random_box(rng, size)
    name = names[int(box.x1 * 7_919) % len(names)] if names else ""  # drawn with the box
    anywhere = Shown(Region(box, name), nothing)
    if rng.random() < shares.nothing:
        return []  # in both classes alike: whether there are crops must tell nothing
    if rng.random() < shares.unrelated:
        return [anywhere]
    kept = [item for item in evidence(sample) if rng.random() >= shares.missing]
    kept += [item for item in others if rng.random() < shares.distractors]
    if rng.random() < shares.distractors / 3 or not kept:
        kept.append(anywhere)
    rng.shuffle(kept)
    return [Shown(Region(jitter(rng, item.region.box, shares.jitter, size), item.region.label), item.clause)
            for item in kept[: CropConfig.max_crops]]  # fmt: skip


def _box_json(region: Region, sample: TraceSample, frame: Size, step: int) -> str:
    box = rescale(region.box, Size(sample.width, sample.height), frame)
    x1, x2 = _stated(box.x1, box.x2, frame.width, step)
    y1, y2 = _stated(box.y1, box.y2, frame.height, step)
    numbers = (x1, y1, x2, y2)
    # A label is one line without the characters that would end it: the form has no escapes.
    label = re.sub(r"[\"\\<>\s]+", " ", region.label).strip()[:60] or "area"
    return f'{{"bbox_2d":[{",".join(map(str, numbers))}],"label":"{label}"}}'


def _stated(low: float, high: float, limit: int, step: int) -> tuple[int, int]:
    """Both ends of a box's side in whole steps of the frame; at least one step apart, since a box without area is
    none to the reader of a reply."""
    first, last = (min(limit, max(0, round(v / step) * step)) for v in (low, high))
    if first == last:
        return (first, last + step) if last + step <= limit else (first - step, last)
    return first, last


def _plain(text: str) -> str:
    """The explanation without angle brackets, which belong to the form."""
    return re.sub(r"[<>]", " ", text).strip() or "nothing to add"


def random_box(rng: random.Random, size: Size) -> Box:
    """A box of an eighth to a third of the sides, anywhere."""
    width, height = size.width * rng.uniform(1 / 8, 1 / 3), size.height * rng.uniform(1 / 8, 1 / 3)
    x, y = rng.uniform(0, size.width - width), rng.uniform(0, size.height - height)
    return Box(x, y, x + width, y + height)


def jitter(rng: random.Random, box: Box, sigma: float, size: Size) -> Box:
    """The box moved and scaled at random; as it was when nothing of it would be left in the image."""
    width, height = box.width * np.exp(rng.gauss(0, sigma)), box.height * np.exp(rng.gauss(0, sigma))
    x = (box.x1 + box.x2) / 2 + rng.gauss(0, sigma) * box.width
    y = (box.y1 + box.y2) / 2 + rng.gauss(0, sigma) * box.height
    return clip(Box(x - width / 2, y - height / 2, x + width / 2, y + height / 2), size) or box
