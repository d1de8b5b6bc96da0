"""Qwen3-VL by the same session: its deepstack features, its patches of 16 px and its boxes in 0-1000."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from PIL import Image

from lte_core.schema import ModelInfo, Size
from lte_core.training import nano
from lte_core.vlm.base import Query, Question, finish
from lte_core.vlm.qwen import QwenConfig, QwenVL
from lte_core.vlm.views import Views

LIMITS = {Query.LOCATE: 30, Query.EXAMINE: 20}


@pytest.fixture(scope="module")
def local() -> QwenVL:
    from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    torch.set_num_threads(1)
    torch.manual_seed(5)
    tokenizer = nano.make_tokenizer(("the", "weave", "repeats"), ("weave",))
    ids = {f"{name}_token_id": tokenizer.convert_tokens_to_ids(token) for name, token in nano.VISION_TOKENS.items()}
    rope = {"rope_type": "default", "rope_theta": 100.0, "mrope_section": [6, 5, 5], "mrope_interleaved": True}
    text = {
        "vocab_size": len(tokenizer), "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3,
        "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 32, "rope_parameters": rope,
        "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id, "bos_token_id": None,
        "initializer_range": 0.1,
    }  # fmt: skip
    vision = {
        "depth": 3, "hidden_size": 48, "intermediate_size": 96, "num_heads": 2, "out_hidden_size": 64,
        "deepstack_visual_indexes": [0, 1], "num_position_embeddings": 64, "initializer_range": 0.1,
    }  # fmt: skip
    model = Qwen3VLForConditionalGeneration(Qwen3VLConfig(text_config=text, vision_config=vision, **ids))
    images = Qwen2VLImageProcessorPil(patch_size=16, image_mean=[0.5] * 3, image_std=[0.5] * 3)
    config = QwenConfig(
        views=Views(crop_min_pixels=64 * 64, crop_max_pixels=96 * 96),
        relative_boxes=True, constrained=False, max_new_tokens=LIMITS,
    )  # fmt: skip
    return QwenVL(model, tokenizer, images, ModelInfo("tiny-qwen3"), config)


def noise(width: int, height: int, seed: int) -> Image.Image:
    pixels = torch.randint(0, 256, (height, width, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))
    return Image.fromarray(pixels.numpy())


def plain_call(local: QwenVL, image: Image.Image, question: Question) -> Any:
    """The same question by transformers' `generate`, from nothing."""
    views = [local.view(image), *(local.view(crop, crop=True) for crop in question.crops)]
    pixels = local.image_processor(images=views, do_resize=False, return_tensors="pt")
    ids, _ = local.prompt_ids(question.prompt, pixels["image_grid_thw"])
    row = torch.tensor([ids])
    return local.model.generate(
        input_ids=row, attention_mask=torch.ones_like(row), mm_token_type_ids=(row == local.image_token).int(),
        **pixels, max_new_tokens=LIMITS[question.query], do_sample=False,
    )[0, len(ids) :]  # fmt: skip


def test_both_queries_equal_two_plain_calls_and_a_batch_equals_both(local: QwenVL) -> None:
    images = (noise(130, 100, 1), noise(70, 160, 2))
    crops = ((noise(40, 30, 3), noise(50, 90, 4)), ())
    batch = local.open(images)
    assert batch.frames_wh == [Size(1000, 1000)] * 2
    for questions in (
        [Question(Query.LOCATE, "Locate")] * 2,
        [Question(Query.EXAMINE, "Examine", shown) for shown in crops],
    ):
        together = finish(batch.ask(questions))
        for image, question, batched in zip(images, questions, together, strict=True):
            plain = plain_call(local, image, question)
            assert batched.text == local.tokenizer.decode(plain).removesuffix("<|im_end|>")
            assert finish(local.open([image]).ask([question]))[0].text == batched.text


def test_a_different_picture_gives_a_different_reply(local: QwenVL) -> None:
    """Negative control: the replies above do depend on what is seen."""
    question = Question(Query.LOCATE, "Locate")
    replies = {finish(local.open([noise(130, 100, seed)]).ask([question]))[0].text for seed in range(5)}
    assert len(replies) > 1
