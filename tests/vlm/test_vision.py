"""Seeing pictures of one size at once gives what transformers' own encoder gives, and only where it may."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from lte_core.schema import Size
from lte_core.training import nano
from lte_core.vlm.vision import can_see_alike, see_alike

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def model() -> Any:
    torch.set_num_threads(1)
    return nano.make_model(nano.make_tokenizer(("the",), ("weave",)), seed=1).eval()


@pytest.mark.parametrize("grad", [True, False], ids=["training", "inference"])
@pytest.mark.parametrize(("width", "height", "count"), [(112, 112, 3), (224, 224, 2), (336, 112, 1), (112, 224, 2)])
def test_it_equals_transformers(model: Any, width: int, height: int, count: int, grad: bool) -> None:
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    some = torch.Generator().manual_seed(1)
    pixels = torch.randint(0, 256, (count, height, width, 3), dtype=torch.uint8, generator=some)
    processor = Qwen2VLImageProcessorPil()
    inputs = processor(images=list(pixels.numpy()), do_resize=False, return_tensors="pt")
    with torch.set_grad_enabled(grad):
        stock = model.model.get_image_features(inputs["pixel_values"], inputs["image_grid_thw"], return_dict=True)
        tokens = see_alike(model.model.visual, pixels, processor.image_mean, processor.image_std)
    assert (torch.stack(stock.pooler_output) - tokens).abs().max() < 2e-5


def test_in_half_precision_it_is_as_near_to_the_truth_as_transformers() -> None:
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    model = nano.make_model(nano.make_tokenizer(("the",), ("weave",)), seed=1).eval()
    pixels = torch.randint(0, 256, (2, 112, 112, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    processor = Qwen2VLImageProcessorPil()
    inputs = processor(images=list(pixels.numpy()), do_resize=False, return_tensors="pt")
    with torch.inference_mode():
        truth = see_alike(model.model.visual, pixels, processor.image_mean, processor.image_std)
        half = model.bfloat16().model
        stock = half.get_image_features(inputs["pixel_values"], inputs["image_grid_thw"], return_dict=True)
        ours = see_alike(half.visual, pixels, processor.image_mean, processor.image_std)
    assert ours.dtype == torch.bfloat16
    wrong = [(tokens.float() - truth).pow(2).mean() for tokens in (ours, torch.stack(stock.pooler_output))]
    assert 0 < wrong[0] < 1.5 * wrong[1]


@pytest.mark.parametrize(
    ("sizes", "device", "can"),
    [
        ([Size(112, 224)], CPU, True),
        ([Size(224, 224)] * 3, CPU, True),
        ([Size(112, 224), Size(224, 112)], CPU, False),
        ([Size(112, 112), Size(224, 224)], CPU, False),
        ([Size(112, 140)], CPU, False),
        ([Size(112, 112)], torch.device("meta"), False),  # weights that accelerate has put elsewhere
    ],
)
def test_where_it_may(model: Any, sizes: list[Size], device: torch.device, can: bool) -> None:
    assert can_see_alike(model.model.visual, sizes, device) is can


@pytest.mark.parametrize("name", ["patch_size", "spatial_merge_size", "window_size"])
def test_an_encoder_of_another_shape_goes_the_stock_way(model: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model.model.visual.config, name, 16)
    assert not can_see_alike(model.model.visual, [Size(112, 112)], CPU)
