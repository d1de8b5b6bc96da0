"""Scenes to packed training batches: both replies about one image in one sequence.

    [image] "Locate" reply1 | [crop]… "Examine" reply2

The image is a prefix that both branches see; a mask keeps the branches from seeing each other, as at inference.
Reads pictures; knows nothing of models.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from lte_core.boxes import rescale
from lte_core.dataset.synth import Kind, SceneObject, explain
from lte_core.inference.examine import CropConfig, cut_crops, plan_crops
from lte_core.schema import Box, Region, Size
from lte_core.training.conversations import jitter, random_box
from lte_core.training.dense import cell_centres
from lte_core.training.nano import CELL, CROP_WH, IMAGE_PAD, IMAGE_WH, box_json

KINDS = tuple(Kind)
CLASSES = 1 + 2 * len(KINDS)
CROPS = CropConfig(pad=0.06)
NO_BRANCH, LOCATE, EXAMINE = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Example:
    """One scene on disk with everything in it, evidence or not."""

    image: Path
    objects: tuple[SceneObject, ...]
    evidence: tuple[int, ...]


class CropChoice(NamedTuple):
    """What one crop shows: the area of the image, and the object in it, if any."""

    box: Box
    shows: SceneObject | None


def object_class(shown: SceneObject | None) -> int:
    """0 for background, then each kind sound and defective."""
    return 0 if shown is None else 1 + 2 * KINDS.index(shown.kind) + int(shown.defective)


def choose_crops(rng: random.Random, example: Example, size: Size) -> list[CropChoice]:
    """Crops as Examine may get them: evidence with some missing, sound extras, empty ones, and jittered boxes."""
    objects, evidence = example.objects, set(example.evidence)
    if not objects or rng.random() < 0.1:
        return [_look_at(random_box(rng, size), objects) for _ in range(rng.randint(1, 3))]
    kept = [o for i, o in enumerate(objects) if i in evidence and rng.random() > 0.08] or [rng.choice(objects)]
    kept += [o for i, o in enumerate(objects) if i not in evidence and rng.random() < 0.35]
    boxes = [jitter(rng, o.box, rng.choice((0.0, 0.06, 0.06, 0.15)), size) for o in kept]
    if rng.random() < 0.1:
        boxes.append(random_box(rng, size))
    rng.shuffle(boxes)
    return [_look_at(box, objects) for box in boxes[:4]]


def _look_at(box: Box, objects: Sequence[SceneObject]) -> CropChoice:
    """The crop with the object that it mostly contains (at least 45 % of the object's area)."""

    def share(o: SceneObject) -> float:
        width = min(box.x2, o.box.x2) - max(box.x1, o.box.x1)
        height = min(box.y2, o.box.y2) - max(box.y1, o.box.y1)
        return max(width, 0) * max(height, 0) / o.box.area

    best = max(objects, key=share, default=None)
    return CropChoice(box, best if best is not None and share(best) >= 0.45 else None)


@dataclass
class Batch:
    """Tensors of `n` scenes with `k` crops in all, padded to `t` tokens; `c` is the view's number of cells, 64.

    `images` uint8 [n,224,224,3]; `crops` uint8 [k,112,112,3]; `ids`, `branch`, `target` [n,t]; `positions`
    [3,n,t]; `mask` bool [n,1,t,t]; `cell_class` [n,c] and `cell_box` [n,c,4] in pixels of the view;
    `crop_class` [k]. `branch` is 0 in the shared prefix, 1 and 2 in the branches, 3 in padding.
    """

    images: Tensor
    crops: Tensor
    ids: Tensor
    positions: Tensor
    branch: Tensor
    target: Tensor
    mask: Tensor
    cell_class: Tensor
    cell_box: Tensor
    crop_class: Tensor
    image_token: int
    crop_end_token: int

    def to(self, device: torch.device | str) -> Batch:
        moved: dict[str, Any] = {
            f.name: v.to(device) for f in fields(self) if isinstance(v := getattr(self, f.name), Tensor)
        }
        return replace(self, **moved)

    @property
    def side(self) -> int:
        """Of the view, in pixels."""
        return self.images.shape[1]

    def image_tokens(self) -> tuple[Tensor, Tensor]:
        pictures = self.ids == self.image_token
        return pictures & (self.branch == NO_BRANCH), pictures & (self.branch == EXAMINE)

    def crop_ends(self) -> Tensor:
        return (self.ids == self.crop_end_token) & (self.branch == EXAMINE)

    def cell_offsets(self) -> Tensor:
        """The box of each cell's object as offsets from the cell's centre, in cells."""
        return (self.cell_box - cell_centres(self.side).to(self.cell_box.device)) / CELL


class Row(NamedTuple):
    """One packed sequence: ids, positions `[tokens, 3]`, branch and the branch whose loss counts at each token."""

    ids: list[int]
    positions: list[tuple[int, int, int]]
    branch: list[int]
    target: list[int]


class Packer:
    """Turns examples into batches, drawing crops, jitter and wording anew each time."""

    def __init__(self, tokenizer: Any, image_wh: Size = IMAGE_WH) -> None:
        self._tokenizer = tokenizer
        self.image_wh = image_wh
        self._image_token = tokenizer.convert_tokens_to_ids(IMAGE_PAD)
        self._crop_end = tokenizer.convert_tokens_to_ids("<|vision_end|>")
        image, small = ((side.width // CELL) ** 2 for side in (image_wh, CROP_WH))
        self._prefix = self._ids(f"<|im_start|>user<|vision_start|>{IMAGE_PAD * image}<|vision_end|>")
        self._crop = self._ids(f"<|vision_start|>{IMAGE_PAD * small}<|vision_end|>")
        self._ask = {q: self._ids(f"{q}<|im_end|><|im_start|>assistant") for q in ("Locate", "Examine")}

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer(text, add_special_tokens=False).input_ids
        return ids

    def row(self, example: Example, crops: Sequence[CropChoice], size: Size, rng: np.random.Generator) -> Row:
        """The base model's two replies: every object named and boxed; what each crop shows."""
        boxes = ",".join(box_json(rescale(o.box, size, self.image_wh), o.kind, self.image_wh) for o in example.objects)
        told = explain(example.objects, rng)
        first = self._ids(f"<explanation>{told}</explanation><boxes>[{boxes}]</boxes><|im_end|>")
        second = self._ids(f"<explanation>{explain([c.shows for c in crops], rng)}</explanation><|im_end|>")
        ask1, ask2 = self._ask["Locate"], self._crop * len(crops) + self._ask["Examine"]
        prefix = self._positions(self._prefix, 0)
        start = max(prefix[-1]) + 1
        ones, twos = len(ask1) + len(first), len(ask2) + len(second)
        return Row(
            self._prefix + ask1 + first + ask2 + second,
            prefix + self._positions(ask1 + first, start) + self._positions(ask2 + second, start),
            [NO_BRANCH] * len(prefix) + [LOCATE] * ones + [EXAMINE] * twos,
            [0] * (len(prefix) + len(ask1)) + [LOCATE] * len(first) + [0] * len(ask2) + [EXAMINE] * len(second),
        )

    def _positions(self, ids: Sequence[int], start: int) -> list[tuple[int, int, int]]:
        """M-RoPE positions (time, height, width); every picture here is square."""
        places: list[tuple[int, int, int]] = []
        here, index = start, 0
        while index < len(ids):
            if ids[index] != self._image_token:
                places.append((here, here, here))
                here, index = here + 1, index + 1
                continue
            end = index
            while end < len(ids) and ids[end] == self._image_token:
                end += 1
            side = int((end - index) ** 0.5)
            places += [(here, here + i // side, here + i % side) for i in range(end - index)]
            here, index = here + side, end
        return places

    def collate(self, items: Sequence[Item]) -> Batch:
        rows = [item.row for item in items]
        count, width = len(rows), max(len(row.ids) for row in rows)
        ids, target = (np.zeros((count, width), np.int64) for _ in range(2))
        branch, places = np.full((count, width), 3), np.zeros((3, count, width), np.int64)
        for i, row in enumerate(rows):
            length = len(row.ids)
            ids[i, :length], target[i, :length], branch[i, :length] = row.ids, row.target, row.branch
            places[:, i, :length] = np.array(row.positions).T
        same = (branch[:, None, :] == NO_BRANCH) | (branch[:, None, :] == branch[:, :, None])
        mask = np.tril(np.ones((width, width), bool))[None] & same
        return Batch(
            images=torch.from_numpy(np.stack([item.image for item in items])),
            crops=torch.from_numpy(np.concatenate([item.crops for item in items])),
            ids=torch.from_numpy(ids),
            positions=torch.from_numpy(places),
            branch=torch.from_numpy(branch),
            target=torch.from_numpy(target),
            mask=torch.from_numpy(mask[:, None]),
            cell_class=torch.from_numpy(np.stack([item.cell_class for item in items])),
            cell_box=torch.from_numpy(np.stack([item.cell_box for item in items])),
            crop_class=torch.tensor([c for item in items for c in item.crop_class]),
            image_token=self._image_token,
            crop_end_token=self._crop_end,
        )


class Item(NamedTuple):
    """One example, read and cut."""

    row: Row
    image: np.ndarray[Any, Any]
    crops: np.ndarray[Any, Any]
    cell_class: np.ndarray[Any, Any]
    cell_box: np.ndarray[Any, Any]
    crop_class: list[int]


class SceneData(Dataset[Item]):
    """Examples by (epoch, index): the same draw of crops and words for the same seed, epoch and index."""

    def __init__(self, examples: Sequence[Example], packer: Packer, seed: int) -> None:
        self._examples, self._packer, self._seed = examples, packer, seed

    def __len__(self) -> int:
        return len(self._examples)

    def __getitem__(self, key: int) -> Item:
        """`key` counts samples over all epochs."""
        example = self._examples[key % len(self._examples)]
        rng = random.Random(f"{self._seed}/{key}")
        with Image.open(example.image) as picture:
            image = picture.convert("RGB")
        size = Size(*image.size)
        chosen = choose_crops(rng, example, size)
        row = self._packer.row(example, chosen, size, np.random.default_rng(rng.getrandbits(32)))
        plans = [plan_crops([Region(c.box, "")], size, CROPS)[0] for c in chosen]
        views = [cut.resize(CROP_WH, Image.Resampling.BICUBIC) for cut in cut_crops(image, plans)]
        kinds, boxes = self._cells(example, size)
        return Item(
            row,
            np.asarray(image.resize(self._packer.image_wh, Image.Resampling.BICUBIC)),
            np.stack([np.asarray(view) for view in views]),
            kinds,
            boxes,
            [object_class(c.shows) for c in chosen],
        )

    def _cells(self, example: Example, size: Size) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """Class `[cells]` and box `[cells, 4]` of the object in which each cell's centre lies."""
        view = self._packer.image_wh
        centres = cell_centres(view.width).numpy()
        kinds, boxes = np.zeros(len(centres), np.int64), np.zeros((len(centres), 4), np.float32)
        for shown in example.objects:
            box = rescale(shown.box, size, view)
            x, y = centres[:, 0], centres[:, 1]
            inside = (x > box.x1 - 2) & (x < box.x2 + 2) & (y > box.y1 - 2) & (y < box.y2 + 2)
            kinds[inside], boxes[inside] = object_class(shown), box.xyxy
        return kinds, boxes
