"""Reviewed samples as SFT data for TRL, LLaMA-Factory and ms-swift: both queries of each, one JSON object a line.

The words come from `lte_core.training.conversations`, as for our own training. Pure: paths and samples in, records out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from lte_core.inference.checkpoint import Checkpoint
from lte_core.schema import Crop, TraceSample
from lte_core.training.conversations import Words, evidence, examine_words, locate_words

Record = dict[str, Any]


def both_queries(
    sample: TraceSample, checkpoint: Checkpoint, crop_path: Callable[[Crop], str]
) -> list[tuple[Words, list[str]]]:
    """Locate and Examine, each with the paths of its pictures; Examine is shown the reviewed boxes."""
    locate, examine = locate_words(sample, checkpoint), examine_words(sample, evidence(sample), checkpoint)
    return [(locate, [sample.image]), (examine, [sample.image, *map(crop_path, examine.crops)])]


def trl(words: Words, images: Sequence[str], sample: TraceSample) -> Record:
    """As many image parts as images; boxes in the model's frame (the view of at most `max_pixels`)."""
    asked = [{"type": "image"}] * len(images) + [{"type": "text", "text": words.prompt}]
    return {
        "images": list(images),
        "prompt": [{"role": "user", "content": asked}],
        "completion": [{"role": "assistant", "content": [{"type": "text", "text": words.completion}]}],
    }


def llama_factory(words: Words, images: Sequence[str], sample: TraceSample) -> Record:
    """ShareGPT messages with one "<image>" for each picture; boxes in the model's frame."""
    asked = "<image>" * len(images) + words.prompt
    messages = [{"role": "user", "content": asked}, {"role": "assistant", "content": words.completion}]
    return {"messages": messages, "images": list(images)}


LLAMA_FACTORY_COLUMNS = {
    "formatting": "sharegpt",
    "columns": {"messages": "messages", "images": "images"},
    "tags": {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"},
}


def ms_swift(words: Words, images: Sequence[str], sample: TraceSample) -> Record:
    """Placeholders and objects: ms-swift states boxes itself, so they are given in original pixels.

    Train with QWENVL_BBOX_FORMAT=new. Examine's reply has no boxes, and then there are no objects.
    """
    record: Record = llama_factory(words, images, sample)
    start, _, rest = words.completion.partition("<boxes>")
    boxes, found, end = rest.partition("</boxes>")
    if found and boxes != "[]":
        placeholder = '{"bbox_2d":<bbox>,"label":"<ref-object>"}'
        listed = ",".join([placeholder] * len(sample.regions))
        record["messages"][1]["content"] = f"{start}<boxes>[{listed}]</boxes>{end}"
        record["objects"] = {
            "ref": [region.label for region in sample.regions],
            "bbox": [list(region.box.xyxy) for region in sample.regions],
        }
    return record
