"""The crop rule, and the second reply."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from lte_core.boxes import iou
from lte_core.inference.checkpoint import Checkpoint
from lte_core.inference.examine import CropConfig, cut_crops, examine_question, examine_result, plan_crops
from lte_core.inference.prompts import Prompts
from lte_core.schema import Box, Crop, ExamineResult, Region, Size, Verdict
from lte_core.vlm.base import Query, Reply
from lte_core.vlm.views import Views

IMAGE = Size(1000, 800)
BARE = CropConfig(pad=0, min_side=1)


def regions(*boxes: tuple[float, float, float, float]) -> list[Region]:
    return [Region(Box(*box), f"place {index}") for index, box in enumerate(boxes)]


@pytest.mark.parametrize(
    ("box", "config", "expected"),
    [
        pytest.param((100, 200, 300, 300), BARE, (100, 200, 300, 300), id="as-it-is"),
        pytest.param((100, 200, 300, 300), CropConfig(pad=0.1), (80, 190, 320, 310), id="context"),
        pytest.param((100.2, 200.9, 300.1, 300.5), BARE, (100, 200, 301, 301), id="whole-pixels-outwards"),
        pytest.param((0, 0, 1000, 800), CropConfig(), (0, 0, 1000, 800), id="whole-image"),
        pytest.param((500, 400, 504, 402), CropConfig(pad=0), (488, 387, 516, 415), id="grown-around-its-centre"),
        pytest.param((0, 400, 4, 402), CropConfig(pad=0), (0, 387, 28, 415), id="shifted-from-the-left"),
        pytest.param((997, 799, 1000, 800), CropConfig(pad=0), (972, 772, 1000, 800), id="shifted-from-the-corner"),
        pytest.param((0, 400, 1000, 403), CropConfig(0, 1, max_aspect=50), (0, 392, 1000, 412), id="never-too-thin"),
    ],
)
def test_a_crop_has_context_and_a_least_size(
    box: tuple[float, float, float, float], config: CropConfig, expected: tuple[float, ...]
) -> None:
    [crop] = plan_crops(regions(box), IMAGE, config)
    assert crop == Crop(Box(*expected), "place 0", (0,))


def test_the_least_size_gives_way_to_a_smaller_image() -> None:
    [crop] = plan_crops(regions((2, 2, 4, 4)), Size(20, 900), CropConfig(pad=0))
    assert crop.box == Box(0, 0, 20, 28)


def test_near_duplicates_become_one_crop_and_keep_their_regions() -> None:
    first, second, third = (100, 100, 200, 200), (400, 400, 500, 500), (102, 100, 202, 200)
    crops = plan_crops(regions(first, second, third), IMAGE, BARE)
    assert crops == (
        Crop(Box(100, 100, 202, 200), "place 0 / place 2", (0, 2)),
        Crop(Box(400, 400, 500, 500), "place 1", (1,)),
    )


def test_equal_labels_are_said_once() -> None:
    same = [Region(Box(0, 0, 100, 100), "hand"), Region(Box(1, 0, 100, 100), "hand"), Region(Box(0, 1, 99, 100), "")]
    [crop] = plan_crops(same, IMAGE, BARE)
    assert (crop.label, crop.regions) == ("hand", (0, 1, 2))


def test_at_most_so_many_crops_the_first_ones() -> None:
    crops = plan_crops(regions(*((x, 0, x + 50, 50) for x in range(0, 600, 60))), IMAGE, CropConfig(max_crops=3))
    assert [crop.regions for crop in crops] == [(0,), (1,), (2,)]


SIDES = st.integers(1, 3000)


@st.composite
def images_with_regions(draw: st.DrawFn) -> tuple[Size, list[Region]]:
    size = Size(draw(SIDES), draw(SIDES))
    found = []
    for _ in range(draw(st.integers(0, 8))):
        (x1, x2), (y1, y2) = (
            sorted(draw(st.lists(st.floats(0, side), min_size=2, max_size=2, unique=True))) for side in size
        )
        found.append(Region(Box(x1, y1, x2, y2), draw(st.sampled_from(["hand", "sign", ""]))))
    return size, found


@given(images_with_regions(), st.floats(0, 2), st.integers(1, 300), st.floats(0.3, 1))
def test_crops_cover_their_regions_inside_the_image(
    image: tuple[Size, list[Region]], pad: float, min_side: int, merge_iou: float
) -> None:
    size, found = image
    crops = plan_crops(found, size, CropConfig(pad, min_side, merge_iou))
    assert sorted(index for crop in crops for index in crop.regions) == list(range(len(found)))
    assert [crop.regions[0] for crop in crops] == sorted(crop.regions[0] for crop in crops)
    for crop in crops:
        x1, y1, x2, y2 = crop.box.xyxy
        assert 0 <= x1 < x2 <= size.width
        assert 0 <= y1 < y2 <= size.height
        assert all(float(value).is_integer() for value in crop.box.xyxy)
        assert x2 - x1 >= min(min_side, size.width)
        assert y2 - y1 >= min(min_side, size.height)
        sides = crop.box.width, crop.box.height
        if max(size) <= 100 * min(size):  # as images.py lets them in
            assert min(Views().size(Size(*map(int, sides)), crop=True)) > 0, "Qwen's resizing takes it"
        for inner in (found[index].box for index in crop.regions):
            assert x1 <= inner.x1 < inner.x2 <= x2
            assert y1 <= inner.y1 < inner.y2 <= y2
    assert all(iou(a.box, b.box) < merge_iou for a in crops for b in crops if a is not b)


def test_crops_are_cut_at_full_resolution() -> None:
    image = Image.new("RGB", (3000, 2000), "black")
    image.putpixel((1234, 777), (255, 0, 0))
    [cut] = cut_crops(image, plan_crops(regions((1230, 770, 1240, 780)), Size(*image.size), CropConfig()))
    assert cut.size == (28, 28)
    assert (255, 0, 0) in {colour for _, colour in cut.getcolors() or []}


def test_the_question_numbers_the_crops_and_carries_their_pixels() -> None:
    crops = [Crop(Box(0, 0, 9, 9), "left hand", (0,)), Crop(Box(0, 0, 5, 5), "", (1,))]
    images = [Image.new("RGB", (9, 9)), Image.new("RGB", (5, 5))]
    question = examine_question(crops, images, Checkpoint())
    assert (question.query, list(question.crops)) == (Query.EXAMINE, images)
    assert "\n[1] left hand\n[2] unnamed\n" in question.prompt
    assert "{crops}" not in question.prompt


def test_without_crops_the_question_is_about_the_image_alone() -> None:
    question = examine_question([], [], Checkpoint())
    assert question.crops == ()
    assert "examine the whole image once more" in question.prompt


def test_a_checkpoints_own_prompts_replace_ours() -> None:
    own = Checkpoint(prompts=Prompts("Locate", "Examine"))
    assert own.prompts.locate_prompt() == "Locate"
    assert examine_question([Crop(Box(0, 0, 9, 9), "{crops}", (0,))], [], own).prompt == "Examine"
    assert Prompts(examine="{crops}!").examine_prompt(["{crops}"]) == "[1] {crops}!"


def test_the_reply_is_read_and_calibrated() -> None:
    text = "<explanation>e</explanation><verdict>generated</verdict>"
    result = examine_result(Reply(text, 0.9), 2.0)
    assert result == ExamineResult("e", Verdict.GENERATED, result.p_generated, text)
    assert result.p_generated == pytest.approx(0.75)


def test_an_unreadable_reply_gives_no_verdict_and_no_confidence() -> None:
    result = examine_result(Reply("<explanation>e</explanation>", 0.9), 1.0)
    assert (result.verdict, result.p_generated, result.reply) == (None, None, "<explanation>e</explanation>")
    assert result.problem
