"""The fast forward pass for pictures of equal size gives what transformers' own gives."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from lte_core.training import nano
from lte_core.training.dense import MEAN, STD, DenseNano


@pytest.fixture(scope="module")
def parts() -> tuple[DenseNano, Any]:
    torch.set_num_threads(1)
    tokenizer = nano.make_tokenizer(("the",), ("weave",))
    return DenseNano(nano.make_model(tokenizer, seed=1), classes=5).eval(), tokenizer


@pytest.mark.parametrize("side", [112, 224])
def test_vision_equals_transformers(parts: tuple[DenseNano, Any], side: int) -> None:
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    net, _ = parts
    images = torch.randint(0, 256, (3, side, side, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    processor = Qwen2VLImageProcessorPil(image_mean=MEAN, image_std=STD)
    inputs = processor(images=list(images.numpy()), do_resize=False, return_tensors="pt")
    with torch.inference_mode():
        stock = net.model.model.get_image_features(inputs["pixel_values"], inputs["image_grid_thw"], return_dict=True)
        assert (torch.stack(stock.pooler_output) - net.look(images)).abs().max() < 1e-4


def test_language_model_equals_transformers(parts: tuple[DenseNano, Any]) -> None:
    net, tokenizer = parts
    ids = torch.randint(7, len(tokenizer), (2, 12), generator=torch.Generator().manual_seed(2))
    positions = torch.arange(12).expand(3, 2, -1)
    mask = torch.tril(torch.ones(12, 12, dtype=torch.bool))[None, None].expand(2, 1, -1, -1)
    with torch.inference_mode():
        hidden, _ = net.read(net.text.embed_tokens(ids), positions, mask)
        stock = net.model(input_ids=ids, position_ids=positions, attention_mask=torch.ones_like(ids)).logits
        assert (hidden @ net.text.embed_tokens.weight.T - stock).abs().max() < 1e-4
