"""The frame arithmetic equals Qwen's own, and holds still when a server applies it a second time."""

from __future__ import annotations

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize as qwen_smart_resize

from lte_core.schema import Size
from lte_core.vlm.frames import (
    MAX_ASPECT,
    MIN_PIXELS,
    QWEN2_5,
    QWEN3,
    RELATIVE_WH,
    Convention,
    convention_of,
    smart_resize,
)

SIDES = st.integers(1, 12_000)
SIZES = st.builds(Size, SIDES, SIDES)
FACTORS = st.sampled_from([28, 32])
BUDGETS = st.sampled_from([56 * 56, 224 * 224, 576 * 28 * 28, 1280 * 28 * 28, 16384 * 28 * 28])


@given(SIZES, FACTORS, st.sampled_from([28 * 28, MIN_PIXELS, 65_536]), BUDGETS)
@example(Size(10, 1), 28, MIN_PIXELS, 224 * 224)
@example(Size(2000, 10), 28, MIN_PIXELS, 224 * 224)
@example(Size(12_000, 60), 32, MIN_PIXELS, 224 * 224)
def test_smart_resize_gives_the_numbers_of_transformers(
    size: Size, factor: int, min_pixels: int, max_pixels: int
) -> None:
    assume(max(size) <= MAX_ASPECT * min(size))
    height, width = qwen_smart_resize(size.height, size.width, factor, min_pixels, max_pixels)
    assert smart_resize(size, factor, min_pixels, max_pixels) == Size(width, height)


@given(SIZES, FACTORS, st.sampled_from([256 * 28 * 28, 1280 * 28 * 28]))
def test_a_resized_picture_keeps_its_size_when_a_server_resizes_it_again(
    size: Size, factor: int, max_pixels: int
) -> None:
    # Above 100:1 one side clamps to the factor, the area no longer fits, and Qwen's rule is not idempotent.
    assume(max(size) <= 100 * min(size))
    shown_wh = smart_resize(size, factor, MIN_PIXELS, max_pixels)
    assert MIN_PIXELS <= shown_wh.width * shown_wh.height <= max_pixels
    assert smart_resize(shown_wh, factor, MIN_PIXELS, 16384 * 28 * 28) == shown_wh


@pytest.mark.parametrize(
    ("size", "max_pixels", "expected"),
    [
        pytest.param(Size(640, 428), 1280 * 28 * 28, Size(644, 420), id="rounded-to-28"),
        pytest.param(Size(1536, 1024), 1280 * 28 * 28, Size(1204, 812), id="shrunk-to-the-budget"),
        pytest.param(Size(448, 448), 224 * 224, Size(224, 224), id="nano"),
        pytest.param(Size(1, 1), 1280 * 28 * 28, Size(56, 56), id="grown-to-the-minimum"),
    ],
)
def test_smart_resize_by_example(size: Size, max_pixels: int, expected: Size) -> None:
    assert smart_resize(size, 28, MIN_PIXELS, max_pixels) == expected


def test_a_strip_that_qwen_cannot_see_is_refused_with_its_size() -> None:
    with pytest.raises(ValueError, match=r"at most 200 times the short one, got 4001x20"):
        smart_resize(Size(4001, 20), 28, MIN_PIXELS, 224 * 224)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        pytest.param("Qwen/Qwen2.5-VL-7B-Instruct", QWEN2_5, id="qwen2.5-vl"),
        pytest.param("Qwen/Qwen3-VL-8B-Instruct", QWEN3, id="qwen3-vl"),
        pytest.param("qwen3vl:32b", QWEN3, id="ollama-style"),
        pytest.param("my-qwen-3-vl-lte", QWEN3, id="own-name"),
        pytest.param("qwen-32b-vl", QWEN2_5, id="a-size-is-no-generation"),
        pytest.param("lte-nano", QWEN2_5, id="nano"),
    ],
)
def test_the_convention_follows_the_model_name(model: str, expected: Convention) -> None:
    assert convention_of(model) == expected


@pytest.mark.parametrize(
    ("convention", "expected"),
    [
        pytest.param(QWEN2_5, Size(644, 420), id="absolute"),
        pytest.param(QWEN3, RELATIVE_WH, id="relative"),
    ],
)
def test_boxes_come_in_the_frame_of_the_convention(convention: Convention, expected: Size) -> None:
    assert convention.frame_wh(Size(644, 420)) == expected
