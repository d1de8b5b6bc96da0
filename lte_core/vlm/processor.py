"""A Qwen2.5-VL processor for images alone, where the stock one insists on a video processor and torchvision.

transformers infers a processor's parts from its `__init__` signature, so the parts are named there.
Importing this module registers it, which servers and trainers that go through AutoProcessor need: without
it AutoProcessor hands back the bare tokenizer and pictures are dropped without a word.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import AutoProcessor, Qwen2_5_VLConfig, Qwen2_5_VLProcessor
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.processing_utils import ProcessorMixin

from lte_core.vlm.weights import read_tokenizer


class ImageOnlyProcessor(Qwen2_5_VLProcessor):  # type: ignore[misc]
    """Turns chat text and PIL images into Qwen2.5-VL inputs."""

    def __init__(self, image_processor: Any = None, tokenizer: Any = None, chat_template: str | None = None) -> None:
        self.image_token, self.video_token = "<|image_pad|>", "<|video_pad|>"
        self.image_token_id = tokenizer.convert_tokens_to_ids(self.image_token)
        self.video_token_id = tokenizer.convert_tokens_to_ids(self.video_token)
        ProcessorMixin.__init__(self, image_processor, tokenizer, chat_template=chat_template)


AutoProcessor.register(Qwen2_5_VLConfig, ImageOnlyProcessor, exist_ok=True)


def load_processor(directory: Path) -> ImageOnlyProcessor:
    """The image-only processor of a checkpoint directory."""
    tokenizer = read_tokenizer(directory)
    images = Qwen2VLImageProcessorPil.from_pretrained(directory)
    return ImageOnlyProcessor(images, tokenizer, chat_template=tokenizer.chat_template)
