"""Label Studio and COCO, in both directions. Pure: documents in, drafts out, and back; opens no file.

What the two have no place for travels in keys of our own, which their tools pass over: in Label Studio's `data`, and
on COCO's images.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast, get_args

from lte_core.dataset.manifest import BadLine
from lte_core.schema import Box, Region, Size, Split, Verdict
from review.records import Content


class FormatError(ValueError):
    """A document is not what it claims to be; the message says what was expected."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A sample as another tool states it: the image's hash is unknown, its size may be."""

    id: str
    image: str
    content: Content
    source: str
    generator: str | None = None
    split: Split | None = None
    size: Size | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """A sample to be told to another tool; `image` is its path in the export."""

    id: str
    image: str
    size: Size
    content: Content
    source: str
    generator: str | None
    split: Split | None


def to_label_studio(told: Told, number: int) -> dict[str, Any]:
    """One task with one annotation: boxes in percent, the explanation as a text area, the label as a choice."""
    width, height = told.size
    frame = {"original_width": width, "original_height": height, "image_rotation": 0}

    def rectangle(index: int, region: Region) -> dict[str, Any]:
        x1, y1, x2, y2 = region.box.xyxy
        percent = {"x": 100 * x1 / width, "y": 100 * y1 / height,
                   "width": 100 * (x2 - x1) / width, "height": 100 * (y2 - y1) / height, "rotation": 0}  # fmt: skip
        value = percent | {"rectanglelabels": [region.label]}
        return frame | {"id": f"box{index}", "type": "rectanglelabels", "from_name": "boxes", "to_name": "image",
                        "value": value}  # fmt: skip

    result = [rectangle(index, region) for index, region in enumerate(told.content.regions, 1)]
    for name, kind, value in (
        ("explanation", "textarea", {"text": [told.content.explanation]}),
        ("label", "choices", {"choices": [told.content.label.value]}),
    ):
        result.append({"id": name, "type": kind, "from_name": name, "to_name": "image", "value": value})
    data = {"image": told.image, "id": told.id, "width": width, "height": height, "source": told.source}
    data |= {key: value for key, value in (("generator", told.generator), ("split", told.split)) if value is not None}
    return {"id": number, "data": data, "annotations": [{"id": number, "result": result}]}


def from_label_studio(tasks: list[Any]) -> Iterator[Draft | BadLine]:
    """The tasks' first annotations (or predictions), numbered by their places from 1."""
    for number, task in enumerate(tasks, 1):
        try:
            yield _task(task)
        except FormatError as problem:
            yield BadLine(number, str(problem))


def to_coco_image(told: Told, number: int) -> dict[str, Any]:
    return {
        "id": number, "file_name": told.image, "width": told.size.width, "height": told.size.height,
        "sample_id": told.id, "label": told.content.label.value, "explanation": told.content.explanation,
        "source": told.source, "generator": told.generator, "split": told.split,
    }  # fmt: skip


def to_coco_boxes(told: Told, image: int, first: int, categories: Mapping[str, int]) -> list[dict[str, Any]]:
    """Annotations of the image, numbered from `first`; COCO's boxes are x, y, width, height in pixels."""
    return [
        {
            "id": first + index, "image_id": image, "category_id": categories[region.label],
            "bbox": [region.box.x1, region.box.y1, region.box.width, region.box.height],
            "area": region.box.area, "iscrowd": 0,
        }
        for index, region in enumerate(told.content.regions)
    ]  # fmt: skip


def from_coco(document: Mapping[str, Any]) -> Iterator[Draft | BadLine]:
    """The images with their boxes, numbered by their places from 1.

    An image says in `label` whether it is "real" or "generated", and in `explanation` why: COCO has no place of its
    own for either.
    """
    names = {_key(c, "id"): str(c.get("name", "")) for c in _dicts(document, "categories")}
    boxes: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for annotation in _dicts(document, "annotations"):
        boxes[_key(annotation, "image_id")].append(annotation)
    for number, image in enumerate(_dicts(document, "images"), 1):
        try:
            regions = tuple(_coco_region(a, names) for a in boxes[_key(image, "id")])
            name = _string(image, "file_name")
            size = Size(_whole(image, "width"), _whole(image, "height"))
            content = Content(_label(image.get("label")), _string(image, "explanation"), regions)
            sample_id = str(image.get("sample_id") or f"coco-{name}")
            yield Draft(
                sample_id, name, content, str(image.get("source") or "coco"), _generator(image), _split(image), size
            )
        except FormatError as problem:
            yield BadLine(number, str(problem))


def _task(task: Any) -> Draft:
    data = task.get("data") if isinstance(task, dict) else None
    if not isinstance(data, dict):
        raise FormatError('expected a task with "data", as Label Studio exports it')
    made = [task.get(key) for key in ("annotations", "predictions")]
    first = next((found[0] for found in made if isinstance(found, list) and found), None)
    results = first.get("result") if isinstance(first, dict) else None
    if not isinstance(results, list):
        raise FormatError("expected at least one annotation, found none")
    regions, size, texts, choices = [], None, [], []
    for result in results:
        value = result.get("value") if isinstance(result, dict) else None
        match value:
            case {"rectanglelabels": [str(label), *_], **place}:
                size = Size(_whole(result, "original_width"), _whole(result, "original_height"))
                regions.append(_percent_region(place, label, size))
            case {"text": [str(text), *_]} | {"text": str(text)}:
                texts.append(text)
            case {"choices": [str(choice), *_]}:
                choices.append(choice)
    content = Content(_label(choices[0] if choices else data.get("label")), "\n".join(texts), tuple(regions))
    image = _string(data, "image")
    name = str(data.get("id") or f"label-studio-{task.get('id')}")
    return Draft(name, image, content, str(data.get("source") or "label-studio"), _generator(data), _split(data), size)


def _percent_region(value: Mapping[Any, Any], label: str, size: Size) -> Region:
    x, y, w, h = (_number(value, key) for key in ("x", "y", "width", "height"))
    width, height = size
    corners = (x * width / 100, y * height / 100, (x + w) * width / 100, (y + h) * height / 100)
    return Region(_box(corners, size), label)


def _key(record: Mapping[str, Any], name: str) -> str:
    """An id as a key, also where a file has a list or an object in its place."""
    return repr(record.get(name))


def _coco_region(annotation: Mapping[str, Any], names: Mapping[str, str]) -> Region:
    match annotation.get("bbox"):
        case [x, y, w, h] if all(map(_is_finite, (x, y, w, h))):
            return Region(_box((x, y, x + w, y + h), None), names.get(_key(annotation, "category_id"), ""))
        case other:
            raise FormatError(f'expected [x, y, width, height] at "bbox", got {other!r}')


def _box(corners: tuple[float, float, float, float], size: Size | None) -> Box:
    """Percentages do not add up exactly: a thousandth of a pixel outside is inside."""
    if size is not None:
        limits = (size.width, size.height) * 2
        corners = cast(
            "tuple[float, float, float, float]",
            tuple(min(max(v, 0.0), limit) if -1e-3 < v < limit + 1e-3 else v
                  for v, limit in zip(corners, limits, strict=True)),
        )  # fmt: skip
    try:
        return Box(*corners)
    except ValueError as problem:
        raise FormatError(str(problem)) from problem


def _label(value: object) -> Verdict:
    try:
        return Verdict(str(value))
    except ValueError as problem:
        raise FormatError(f'expected the label "real" or "generated", got {value!r}') from problem


def _split(record: Mapping[str, Any]) -> Split | None:
    value = record.get("split")
    if value is not None and value not in get_args(Split):
        raise FormatError(f'expected "train", "val" or "test" at "split", got {value!r}')
    return cast("Split | None", value)


def _generator(record: Mapping[str, Any]) -> str | None:
    value = record.get("generator")
    return None if value is None else str(value)


def _dicts(document: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    value = document.get(key)
    if not isinstance(value, list):
        raise FormatError(f'expected a list at "{key}", as COCO has it, got {type(value).__name__}')
    return [entry for entry in value if isinstance(entry, dict)]


def _string(record: Mapping[str, Any], key: str) -> str:
    value = record.get(key)
    if not isinstance(value, str):
        raise FormatError(f'expected a text at "{key}", got {value!r}')
    return value


def _whole(record: Mapping[str, Any], key: str) -> int:
    value = record.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value < 2**31:
        raise FormatError(f'expected a positive whole number at "{key}", got {value!r}')
    return value


def _number(record: Mapping[Any, Any], key: str) -> float:
    value = record.get(key)
    if not _is_finite(value):
        raise FormatError(f'expected a number at "{key}", got {value!r}')
    return float(cast("float", value))


def _is_finite(value: object) -> bool:
    """A number that a box may have: JSON knows whole numbers beyond every float, and Python knows NaN."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9
