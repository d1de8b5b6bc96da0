from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lte_core.inference.references import by_crop, crop_numbers, replace_references
from lte_core.schema import Box, Crop

BOX = Box(0, 0, 10, 10)


def crops(*regions: tuple[int, ...]) -> list[Crop]:
    return [Crop(BOX, "", shown) for shown in regions]


@pytest.mark.parametrize(
    ("shown", "regions", "numbers"),
    [
        pytest.param([], 0, (), id="nothing"),
        pytest.param([(0,), (1,), (2,)], 3, (1, 2, 3), id="each its own"),
        pytest.param([(0, 2), (1,)], 3, (1, 2, 1), id="the last is merged with the first"),
        pytest.param([(0, 1), (2,)], 3, (1, 1, 2), id="a merged pair moves the ones after it"),
        pytest.param([], 3, (1, 2, 3), id="no crops yet"),
    ],
)
def test_the_number_of_a_region_is_that_of_its_crop(
    shown: list[tuple[int, ...]], regions: int, numbers: tuple[int, ...]
) -> None:
    assert crop_numbers(crops(*shown), regions) == numbers


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        pytest.param("[1] a; [2] b; [3] c", "[1] a; [2] b; [1] c", id="each"),
        pytest.param("[1, 3] as [2,3]", "[1] as [2, 1]", id="lists, a crop named once"),
        pytest.param("[4] and [1, 9] and [0]", "[4] and [1, 9] and [0]", id="no such region"),
        pytest.param("[x] [] [1", "[x] [] [1", id="no reference"),
    ],
)
def test_the_first_explanation_by_crop(said: str, shown: str) -> None:
    assert by_crop(said, (1, 2, 1)) == shown


@given(st.text("[]123, a<&", max_size=60), st.sets(st.integers(1, 4)))
def test_nothing_but_known_references_changes(text: str, known: set[int]) -> None:
    named: list[int] = []

    def show(numbers: object) -> str:
        assert isinstance(numbers, list)
        named.extend(numbers)
        return "R"

    shown = replace_references(text, known, show)
    assert set(named) <= known
    assert (shown == text) == (not named)
