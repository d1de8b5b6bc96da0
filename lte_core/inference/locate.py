"""Query 1: the question about the whole image, and what its reply says in the original image's pixels.

Calls no model (`detector.py` does) and cuts no crops (`examine.py` does).
"""

from __future__ import annotations

from lte_core.boxes import clip, rescale
from lte_core.inference.checkpoint import Checkpoint, calibrate
from lte_core.schema import LocateResult, Region, Size
from lte_core.vlm.base import Query, Question, Reply
from lte_core.vlm.replies import ReplyError, parse_locate

MAX_REGIONS = 8
_MAX_LABEL_CHARS = 80
_MIN_SIDE = 1e-3  # in the model's frame: a side below this is rounding, not a place


def locate_question(checkpoint: Checkpoint) -> Question:
    return Question(Query.LOCATE, checkpoint.prompts.locate_prompt())


def locate_result(reply: Reply, frame_wh: Size, image_wh: Size, temperature: float) -> LocateResult:
    """Read the reply. One that cannot be read gives `problem`, and nothing else of it is used.

    Regions come in the reply's order: boxes rescaled from the model's frame and clipped to the image, labels
    shortened. Boxes with nothing inside the image are dropped, and those beyond the first 8.
    """
    try:
        read = parse_locate(reply.text)
        regions = [place for region in read.regions if (place := _place(region, frame_wh, image_wh))]
        if read.regions and not regions:
            raise ReplyError("unreadable boxes", "All boxes of the reply lie outside the image.")
    except ReplyError as problem:
        return LocateResult("", (), None, None, reply.text, str(problem))
    p_generated = calibrate(reply.p_generated, temperature)
    return LocateResult(read.explanation, tuple(regions[:MAX_REGIONS]), read.verdict, p_generated, reply.text)


def _place(region: Region, frame_wh: Size, image_wh: Size) -> Region | None:
    # Clipped before it is scaled: a box of 1e308 would overflow.
    inside = clip(region.box, frame_wh)
    if inside is None or min(inside.width, inside.height) < _MIN_SIDE:
        return None
    # Clipped again: rescaling can land a rounding error outside.
    box = clip(rescale(inside, frame_wh, image_wh), image_wh)
    return None if box is None else Region(box, region.label[:_MAX_LABEL_CHARS].strip())
