"""Query 1: the question about the whole image, and what its reply says in the original image's pixels.

Calls no model (`detector.py` does) and cuts no crops (`examine.py` does).
"""

from __future__ import annotations

from dataclasses import replace

from lte_core.boxes import clip, rescale
from lte_core.inference.checkpoint import Checkpoint, calibrate
from lte_core.schema import Box, LocateResult, Region, Size
from lte_core.vlm.base import Query, Question, Reply
from lte_core.vlm.replies import LocateReply, ReplyError, parse_locate

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
        read = read_locate(reply.text, frame_wh, image_wh)
    except ReplyError as problem:
        return LocateResult("", (), None, None, reply.text, str(problem))
    p_generated = calibrate(reply.p_generated, temperature)
    return LocateResult(read.explanation, read.regions[:MAX_REGIONS], read.verdict, p_generated, reply.text)


def read_locate(text: str, frame_wh: Size, image_wh: Size) -> LocateReply:
    """The reply with all its boxes that lie in the image, in its pixels. Raises ReplyError for one that cannot be
    read; also when it names boxes and none of them lies in the image."""
    read = parse_locate(text)
    places = ((to_original(region.box, frame_wh, image_wh), region.label) for region in read.regions)
    regions = tuple(Region(box, label[:_MAX_LABEL_CHARS].strip()) for box, label in places if box is not None)
    if read.regions and not regions:
        raise ReplyError("boxes outside", "All boxes of the reply lie outside the image.")
    return replace(read, regions=regions)


def to_original(box: Box, frame_wh: Size, image_wh: Size) -> Box | None:
    """A box of a reply in pixels of the original image; None when nothing of it lies inside."""
    # Clipped before it is scaled: a box of 1e308 would overflow.
    inside = clip(box, frame_wh)
    if inside is None or min(inside.width, inside.height) < _MIN_SIDE:
        return None
    # Clipped again: rescaling can land a rounding error outside.
    return clip(rescale(inside, frame_wh, image_wh), image_wh)
