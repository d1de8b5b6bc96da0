"""Boxes in the files of others and of trainers, there and back; and files that are none."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from lte_core.boxes import rescale
from lte_core.dataset.manifest import BadLine, read_manifest
from lte_core.images import read_image
from lte_core.inference.checkpoint import DEFAULT_CHECKPOINT
from lte_core.schema import Box, Region, Size, TraceSample, Verdict
from lte_core.vlm.replies import parse_locate
from review import sft_formats
from review.export import FORMATS, ExportConfig, export
from review.formats import Draft, Told, from_coco, from_label_studio, to_coco_boxes, to_coco_image, to_label_studio
from review.incoming import Incoming
from review.media import Media
from review.records import Action, Content, Submission
from tests.review.conftest import Desk

VIEWS = DEFAULT_CHECKPOINT.views


@st.composite
def boxes_in_pictures(draw: st.DrawFn, longest: int = 5000) -> tuple[Box, Size]:
    """A picture's size and a box of at least 4 px in it: what a reviewer may save."""
    width, height = draw(st.integers(40, longest)), draw(st.integers(40, longest))
    x1, y1 = draw(st.floats(0, width - 5)), draw(st.floats(0, height - 5))
    return Box(x1, y1, draw(st.floats(x1 + 4, width)), draw(st.floats(y1 + 4, height))), Size(width, height)


@given(boxes_in_pictures())
def test_boxes_come_back_from_label_studio_and_coco(drawn: tuple[Box, Size]) -> None:
    box, size = drawn
    content = Content(Verdict.REAL, "why", (Region(box, "hand"),))
    told = Told("a", "images/a.jpg", size, content, "test", None, None)
    task = json.loads(json.dumps(to_label_studio(told, 1)))
    image = json.loads(json.dumps(to_coco_image(told, 1)))
    boxes = json.loads(json.dumps(to_coco_boxes(told, 1, 1, {"hand": 7})))
    document = {"images": [image], "annotations": boxes, "categories": [{"id": 7, "name": "hand"}]}
    for draft in (*from_label_studio([task]), *from_coco(document)):
        assert isinstance(draft, Draft)
        assert draft.content.regions[0].box.xyxy == pytest.approx(box.xyxy, abs=1e-6)
        assert draft.content.regions[0].box.x2 <= size.width + 1e-6


@given(boxes_in_pictures())
def test_boxes_come_back_from_what_trainers_get(drawn: tuple[Box, Size]) -> None:
    """Within half a pixel of the model's view (2 px of a photo of 16 megapixels). A box that is thinner than such a
    pixel is stated one pixel wide."""
    box, size = drawn
    sample = TraceSample("a", "a.jpg", "0" * 64, *size, Verdict.REAL, "why", (Region(box, "hand"),), "test")
    locate, _ = sft_formats.both_queries(sample, DEFAULT_CHECKPOINT, lambda crop: "crop.png")
    view = VIEWS.size(size)
    stated = rescale(box, size, view)
    bound = 0.5 if min(stated.width, stated.height) >= 1 else 1.5
    trl = sft_formats.trl(*locate, sample)["completion"][0]["content"][0]["text"]
    factory = sft_formats.llama_factory(*locate, sample)["messages"][1]["content"]
    for reply in (trl, factory):
        (region,) = parse_locate(reply).regions
        assert region.box.xyxy == pytest.approx(stated.xyxy, abs=bound + 1e-6)
    assert sft_formats.ms_swift(*locate, sample)["objects"]["bbox"] == [list(box.xyxy)]


RED, PLACE, UPRIGHT = (220, 20, 20), Box(20, 30, 90, 70), Size(200, 120)


def turned(orientation: int) -> bytes:
    """A photo that shows a red area at PLACE once its EXIF orientation is applied."""
    pixels = np.full((UPRIGHT.height, UPRIGHT.width, 3), 90, np.uint8)
    pixels[30:70, 20:90] = RED
    inverse = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # of what a viewer does, as PIL's transpose methods
    image = Image.fromarray(pixels)
    if orientation > 1:
        image = image.transpose(Image.Transpose(inverse[orientation]))
    exif, data = Image.Exif(), io.BytesIO()
    exif[0x0112] = orientation
    image.save(data, "JPEG", quality=95, subsampling=0, exif=exif)
    return data.getvalue()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_box_on_a_turned_photo_is_at_the_same_place_in_every_format(
    work: Desk, tmp_path: Path, orientation: int
) -> None:
    media = Media(tmp_path / "images")
    kept = media.keep(turned(orientation))
    assert kept.measured.size == UPRIGHT
    sample = TraceSample(
        "a", "a.jpg", kept.measured.sha256, *UPRIGHT, Verdict.REAL, "red", (Region(PLACE, "red"),), "t"
    )
    work.store.add([Incoming(sample, kept.suffix, {})])
    task = work.store.next(work.ana)
    assert task is not None
    work.store.decide(work.ana, Submission(task.id, task.version, Action.ACCEPT, "t"))
    out = tmp_path / "out"
    export(work.store, media, out, ExportConfig(formats=FORMATS))

    (line,) = read_manifest(out / "manifest.jsonl")
    locate, examine = (json.loads(row) for row in (out / "sft" / "trl.jsonl").read_text().splitlines())
    (told,) = parse_locate(locate["completion"][0]["content"][0]["text"]).regions
    drafts = [
        *from_label_studio(json.loads((out / "label-studio.json").read_text())),
        *from_coco(json.loads((out / "coco.json").read_text())),
    ]
    swift = json.loads((out / "sft" / "ms-swift.jsonl").read_text().splitlines()[0])
    places: list[Sequence[float]] = [
        line.sample.regions[0].box.xyxy,
        rescale(told.box, VIEWS.size(UPRIGHT), UPRIGHT).xyxy,
        swift["objects"]["bbox"][0],
        *(d.content.regions[0].box.xyxy for d in drafts if isinstance(d, Draft)),
    ]
    assert len(places) == 5
    pixels = np.asarray(read_image(out / line.sample.image).pixels.convert("RGB")).astype(int)
    for x1, y1, x2, y2 in places:
        assert (x1, y1, x2, y2) == pytest.approx(PLACE.xyxy, abs=2)
        inside = pixels[round(y1) + 3 : round(y2) - 3, round(x1) + 3 : round(x2) - 3]
        assert np.abs(inside - RED).max() < 30
    shown = np.asarray(read_image(out / examine["images"][1]).pixels.convert("RGB")).astype(int)
    assert np.abs(shown[10:-10, 14:-14] - RED).max() < 30, "the crop that Examine is shown"


def json_of(*keys: str) -> st.SearchStrategy[Any]:
    """Anything that JSON can say, most of it with these keys."""
    numbers = st.integers() | st.floats() | st.sampled_from([10**400, -(10**400)])
    return st.recursive(
        st.none() | st.booleans() | numbers | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(keys), inner, max_size=4),
        max_leaves=12,
    )


@given(json_of("data", "annotations", "result", "value", "image", "rectanglelabels", "x", "original_width"))
def test_any_label_studio_task_is_a_draft_or_a_bad_line(task: Any) -> None:
    assert [type(found) in (Draft, BadLine) for found in from_label_studio([task])] == [True]


@given(
    *[st.lists(json_of("id", "image_id", "category_id", "bbox", "file_name", "width", "height", "label", "name"))] * 3
)
def test_any_coco_image_is_a_draft_or_a_bad_line(images: list[Any], boxes: list[Any], names: list[Any]) -> None:
    document = {"images": images, "annotations": boxes, "categories": names}
    pictures = [image for image in images if isinstance(image, dict)]
    assert [type(found) in (Draft, BadLine) for found in from_coco(document)] == [True] * len(pictures)
