"""A sample's picture with its boxes drawn and numbered, for eyes."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from lte_core.schema import Region

COLORS = (
    "#e69f00",
    "#56b4e9",
    "#009e73",
    "#f0e442",
    "#0072b2",
    "#d55e00",
    "#cc79a7",
)  # Okabe and Ito: told apart by all


def draw(image: Image.Image, regions: Sequence[Region]) -> Image.Image:
    """Outlines with numbers at their corners, in the order of the regions; the picture itself stays as it is."""
    shown = image.convert("RGB")
    pen = ImageDraw.Draw(shown)
    width = max(2, round(min(shown.size) / 200))
    font = ImageFont.load_default(size=max(12, round(min(shown.size) / 28)))
    for number, region in enumerate(regions, 1):
        color, corners = COLORS[(number - 1) % len(COLORS)], region.box.xyxy
        pen.rectangle(corners, outline="black", width=width + 2)
        pen.rectangle(corners, outline=color, width=width)
        place = (corners[0] + width, corners[1] + width)
        pen.rectangle(pen.textbbox(place, f" {number} ", font=font), fill=color)
        pen.text(place, f" {number} ", fill="black", font=font)
    return shown
