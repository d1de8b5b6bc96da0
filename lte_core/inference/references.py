"""Numbers in an explanation, such as [1] or [2, 3], and what they stand for.

The first explanation counts the regions that it names; the final one the crops that it is about. Crops that show nearly
the same are merged, so a page, which numbers boxes and crops alike, has to translate the first. Knows no HTML.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence

from lte_core.schema import Crop

_REFERENCE = re.compile(r"\[(\d{1,2}(?:\s*,\s*\d{1,2})*)\]")


def crop_numbers(crops: Sequence[Crop], regions: int) -> tuple[int, ...]:
    """For each of so many regions the number, from 1, of the crop that shows it; its own number where not all of them
    have a crop, as before there are any."""
    of_region = {region: number for number, crop in enumerate(crops, 1) for region in crop.regions}
    return tuple(of_region[region] for region in range(regions)) if len(of_region) == regions else _own(regions)


def by_crop(explanation: str, numbers: Sequence[int]) -> str:
    """The first explanation with `crop_numbers` in place of regions'."""
    known = _own(len(numbers))
    return replace_references(
        explanation, known, lambda named: f"[{', '.join(map(str, dict.fromkeys(numbers[n - 1] for n in named)))}]"
    )


def replace_references(text: str, known: Collection[int], show: Callable[[Sequence[int]], str]) -> str:
    """The text with what `show` makes of each reference; one with a number that is not `known` stays as it is."""

    def shown(match: re.Match[str]) -> str:
        named = [int(number) for number in match[1].split(",")]
        return show(named) if set(named) <= set(known) else match[0]

    return _REFERENCE.sub(shown, text)


def _own(count: int) -> tuple[int, ...]:
    return tuple(range(1, count + 1))
