"""The shapes of Qwen2.5-VL by size, for what needs a model's dimensions and none of its weights: speed and memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from lte_core.training.nano import VISION_TOKENS

if TYPE_CHECKING:
    from transformers import Qwen2_5_VLConfig


class Shape(NamedTuple):
    """Widths and depths: of the language model, then of the vision encoder."""

    width: int
    depth: int
    mlp: int
    heads: int
    kv_heads: int
    tied: bool = False
    vision_width: int = 1280
    vision_heads: int = 16
    vision_depth: int = 32
    vision_mlp: int = 3420


# Qwen2.5-VL's own configurations; the smallest one keeps their proportions.
SHAPES = {
    "0.1b": Shape(768, 8, 2048, 12, 2, True, vision_width=384, vision_heads=6, vision_depth=8, vision_mlp=1024),
    "3b": Shape(2048, 36, 11008, 16, 2, True),
    "7b": Shape(3584, 28, 18944, 28, 4),
    "32b": Shape(5120, 64, 27648, 40, 8, vision_mlp=3456),
}
VOCABULARY = 152_064


def shape_config(shape: str, tokenizer: Any) -> Qwen2_5_VLConfig:
    """A configuration of this shape for this tokenizer. Raises ValueError for a size that is not known."""
    from transformers import Qwen2_5_VLConfig

    if shape not in SHAPES:
        raise ValueError(f"expected one of {', '.join(SHAPES)}, got {shape!r}")
    size = SHAPES[shape]
    rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": _sections(size.width // size.heads)}
    return Qwen2_5_VLConfig(
        text_config={
            "vocab_size": VOCABULARY, "hidden_size": size.width, "num_hidden_layers": size.depth,
            "intermediate_size": size.mlp, "num_attention_heads": size.heads, "num_key_value_heads": size.kv_heads,
            "rope_parameters": rope, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id,
            "bos_token_id": None,
        },
        vision_config={
            "depth": size.vision_depth, "hidden_size": size.vision_width, "intermediate_size": size.vision_mlp,
            "num_heads": size.vision_heads, "out_hidden_size": size.width,
            "fullatt_block_indexes": list(range(7, size.vision_depth, 8)),
        },
        tie_word_embeddings=size.tied,
        **{f"{name}_token_id": tokenizer.convert_tokens_to_ids(token) for name, token in VISION_TOKENS.items()},
    )  # fmt: skip


def _sections(head: int) -> list[int]:
    """M-RoPE's split of half a head: a quarter for time, the rest for height and width, as Qwen2.5-VL has it."""
    time = head // 8
    rest = (head // 2 - time) // 2
    return [time, rest, head // 2 - time - rest]
