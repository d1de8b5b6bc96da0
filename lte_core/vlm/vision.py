"""Qwen2.5-VL's vision encoder over pictures of one size, as a few large products.

The stock forward pass walks over windows and pictures in Python and embeds patches by a 3-D convolution. When every
picture has one size that whole windows fill, as at lte-nano's fixed sizes, the same mathematics takes it two thirds of
the time on a CPU, a model of 0.1 B nine tenths. Tests hold the two equal. Training (`training/dense.py`) and inference
(`qwen.py`) both see through here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  (torch's own convention)
from torch import Tensor

from lte_core.schema import Size

PATCH, MERGE, WINDOW = 14, 2, 8  # pixels a patch; patches a merged cell and a window, along a side
WINDOW_PX = PATCH * WINDOW
CELLS = WINDOW // MERGE  # merged cells along a window's side


def can_see_alike(visual: Any, sizes: Sequence[Size], device: torch.device) -> bool:
    """Whether the encoder is of this shape and lies whole on the device, and the pictures have one size that whole
    windows of 112 px fill."""
    config = visual.config
    shape = tuple(getattr(config, name, None) for name in ("patch_size", "spatial_merge_size", "window_size"))
    if shape != (PATCH, MERGE, WINDOW_PX) or any(side % WINDOW_PX for side in sizes[0]) or len(set(sizes)) > 1:
        return False
    return all(weight.device == device for weight in visual.parameters())


def see_alike(visual: Any, pixels: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """uint8 `[pictures, height, width, 3]`, sides multiples of 112, to merged tokens `[pictures, cells, width]`.

    `mean` and `std` are the image processor's, of colours in 0 to 1. Cells are in reading order.
    """
    count, high, wide = pixels.shape[0], pixels.shape[1] // WINDOW_PX, pixels.shape[2] // WINDOW_PX
    mid, spread = (torch.tensor(v, device=pixels.device) * 255 for v in (mean, std))
    scaled = ((pixels.float() - mid) / spread).permute(0, 3, 1, 2)
    # Patches in Qwen's order: window by window, inside it merged cell by merged cell (2x2 patches each).
    cut = scaled.reshape(count, 3, high, CELLS, MERGE, PATCH, wide, CELLS, MERGE, PATCH)
    patches = cut.permute(0, 2, 6, 3, 7, 4, 8, 1, 5, 9).reshape(count, high * wide * WINDOW**2, 3 * PATCH * PATCH)
    # A still picture is the same frame twice, so the two temporal slices of the kernel add up.
    weight = visual.patch_embed.proj.weight
    kernel = weight.float().sum(2).reshape(-1, 3 * PATCH * PATCH)  # a sum in bfloat16 would round each weight once more
    hidden = F.linear(patches, kernel)
    if weight.dtype != torch.float32:
        hidden = hidden.to(weight.dtype)
    cos, sin = _rotary(visual, high, wide, pixels.device)
    for index, block in enumerate(visual.blocks):
        whole = index in visual.fullatt_block_indexes
        hidden = hidden + _attend(block.attn, block.norm1(hidden), cos, sin, 1 if whole else high * wide)
        hidden = hidden + block.mlp(block.norm2(hidden))
    merged = visual.merger(hidden).view(count, high, wide, CELLS, CELLS, -1)
    tokens: Tensor = merged.permute(0, 1, 3, 2, 4, 5).reshape(count, high * wide * CELLS**2, -1)
    return tokens


def _rotary(visual: Any, high: int, wide: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosines and sines `[patches, head]` of the patches' places, in Qwen's order."""
    y, x = (torch.arange(windows * WINDOW, device=device) for windows in (high, wide))
    rows, columns = torch.meshgrid(y, x, indexing="ij")
    frequencies = visual.rotary_pos_emb.inv_freq.to(device).float()

    def ordered(places: Tensor) -> Tensor:
        cut = places.reshape(high, CELLS, MERGE, wide, CELLS, MERGE).permute(0, 3, 1, 4, 2, 5)
        product: Tensor = cut.reshape(-1, 1) * frequencies
        return product

    angles = torch.cat([ordered(rows), ordered(columns)] * 2, dim=-1)
    return angles.cos(), angles.sin()


def _attend(attention: Any, hidden: Tensor, cos: Tensor, sin: Tensor, parts: int) -> Tensor:
    """Attention inside each of `parts` equal runs of patches."""
    count, length, _ = hidden.shape
    heads, head, run = attention.num_heads, attention.head_dim, length // parts
    query, key, value = attention.qkv(hidden).reshape(count, parts, run, 3, heads, head).permute(3, 0, 1, 4, 2, 5)
    cos, sin = (x.to(query.dtype).view(parts, 1, run, head) for x in (cos, sin))

    def rotate(x: Tensor) -> Tensor:
        half = torch.cat([-x[..., head // 2 :], x[..., : head // 2]], dim=-1)
        return x * cos + half * sin

    query, key, value = (x.flatten(0, 1) for x in (rotate(query), rotate(key), value))  # [runs, heads, run, head]
    if query.is_cuda or not torch.is_grad_enabled():
        mixed = F.scaled_dot_product_attention(query, key, value)
    else:  # explicit products beat the CPU kernel in the backward pass (14 -> 17 samples/s)
        mixed = (query * head**-0.5 @ key.transpose(-1, -2)).softmax(-1) @ value
    out: Tensor = attention.proj(mixed.transpose(1, 2).reshape(count, length, -1))
    return out
