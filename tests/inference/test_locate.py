"""From the first reply to regions in the original image's pixels."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lte_core.inference.locate import locate_result
from lte_core.schema import Box, LocateResult, Region, Size, Verdict
from lte_core.vlm.base import Reply

IMAGE = Size(640, 428)
FRAME = Size(644, 420)  # Qwen2.5-VL's view of it


def located(*boxes: str, frame: Size = FRAME, image: Size = IMAGE) -> LocateResult:
    entries = ",".join(f'{{"bbox_2d":[{box}],"label":"it"}}' for box in boxes)
    text = f"<explanation>e</explanation><boxes>[{entries}]</boxes><verdict>real</verdict>"
    return locate_result(Reply(text, 0.5), frame, image, 1.0)


@pytest.mark.parametrize(
    ("frame", "box", "expected"),
    [
        pytest.param(FRAME, "147,134,619,407", (146.1, 136.5, 615.2, 414.7), id="qwen2.5-vl"),
        pytest.param(Size(1000, 1000), "0,500,1000,1000", (0, 214, 640, 428), id="qwen3-vl"),
        pytest.param(FRAME, "-50,-50,322,210", (0, 0, 320, 214), id="clipped-left-and-top"),
        pytest.param(FRAME, "322,210,9000,1e300", (320, 214, 640, 428), id="clipped-right-and-bottom"),
        pytest.param(FRAME, "-1e308,-1e308,1e308,1e308", (0, 0, 640, 428), id="astronomic"),
    ],
)
def test_boxes_are_rescaled_and_clipped(frame: Size, box: str, expected: tuple[float, ...]) -> None:
    [region] = located(box, frame=frame).regions
    assert region.box.xyxy == pytest.approx(expected, abs=0.1)


def test_boxes_outside_are_dropped_and_the_first_eight_kept() -> None:
    inside = [f"{x},0,{x + 10},10" for x in range(0, 100, 10)]
    result = located("700,0,800,50", *inside)
    assert result.problem is None
    assert [round(region.box.x1 * 644 / 640) for region in result.regions] == [0, 10, 20, 30, 40, 50, 60, 70]


def test_all_boxes_outside_is_unreadable_and_not_no_boxes() -> None:
    result = located("700,0,800,50")
    assert (result.verdict, result.regions, result.p_generated) == (None, (), None)
    assert result.problem == "All boxes of the reply lie outside the image."
    assert located() == LocateResult("e", (), Verdict.REAL, 0.5, located().reply)


def test_an_unreadable_reply_keeps_its_words_and_says_why() -> None:
    result = locate_result(Reply("<explanation>I think", 0.7), FRAME, IMAGE, 1.0)
    assert result == LocateResult(
        "", (), None, None, "<explanation>I think", "The reply has no <verdict>; it ends: '<explanation>I think'"
    )


def test_long_labels_are_shortened() -> None:
    text = f'<boxes>[{{"bbox_2d":[0,0,9,9],"label":"{"a" * 79} {"b" * 50}"}}]</boxes><verdict>real</verdict>'
    assert locate_result(Reply(text), IMAGE, IMAGE, 1.0).regions == (Region(Box(0, 0, 9, 9), "a" * 79),)


def test_p_generated_is_calibrated_by_the_temperature() -> None:
    text = "<boxes>[]</boxes><verdict>generated</verdict>"
    assert locate_result(Reply(text, 0.9), IMAGE, IMAGE, 2.0).p_generated == pytest.approx(0.75)


SIDES = st.integers(1, 5000)
NUMBERS = st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.integers(-10, 1010))


@given(st.tuples(SIDES, SIDES), st.tuples(SIDES, SIDES), st.lists(st.tuples(*[NUMBERS] * 4), max_size=12))
def test_regions_always_lie_inside_the_image(
    frame: tuple[int, int], image: tuple[int, int], boxes: list[tuple[float, ...]]
) -> None:
    result = located(*(",".join(map(repr, box)) for box in boxes), frame=Size(*frame), image=Size(*image))
    assert len(result.regions) <= 8
    for region in result.regions:
        x1, y1, x2, y2 = region.box.xyxy
        assert 0 <= x1 < x2 <= image[0]
        assert 0 <= y1 < y2 <= image[1]
