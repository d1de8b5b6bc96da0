"""lte-nano's architecture and tokenizer: a real Qwen2.5-VL of a few million parameters, from nothing.

Every tag, coordinate and verdict word is one token, so that a small model spends its steps on seeing.
Says what the model is; `pretrain.py` and `sft.py` teach it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lte_core.schema import Box, Size

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast, Qwen2_5_VLForConditionalGeneration

IMAGE_WH = Size(224, 224)
FULL_WH = Size(448, 448)  # the whole scene, pixel by pixel: for the control that looks once at everything
CROP_WH = Size(112, 112)
CELL = 28  # pixels of one merged visual token: patch 14, merged 2x2
STEPS = 28  # boxes are written in steps of this share of the view's side, one token a number

END, IMAGE_PAD = "<|im_end|>", "<|image_pad|>"
VISION_TOKENS = {
    "image": IMAGE_PAD,
    "video": "<|video_pad|>",
    "vision_start": "<|vision_start|>",
    "vision_end": "<|vision_end|>",
}
_SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    END,
    "<|vision_start|>",
    "<|vision_end|>",
    IMAGE_PAD,
    "<|video_pad|>",
)
_FORM = (
    "user", "assistant", "Locate", "Examine", "<explanation>", "</explanation>", "<boxes>", "</boxes>", "<verdict>",
    "</verdict>", "real", "generated", "[", "]", ",", "; ", '{"bbox_2d":[', '],"label":"', '"}', "<unk>",
)  # fmt: skip
_CHAT_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}"
    "{% if m['content'] is string %}{{ m['content'] }}{% else %}{% for c in m['content'] %}"
    "{% if c['type'] in ('image', 'image_url') %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif c['type'] == 'text' %}{{ c['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant{% endif %}"
)


@dataclass(frozen=True)
class NanoConfig:
    """Widths and depths. The defaults give 6 M parameters (FACTS: what was shown to learn)."""

    vision_width: int = 192
    vision_depth: int = 4
    vision_heads: int = 4
    text_width: int = 256
    text_depth: int = 4
    text_heads: int = 4
    text_kv_heads: int = 2
    text_mlp: int = 704
    # Far below Qwen's 1e6: over a grid of 8 cells the width section of M-RoPE would be nearly constant.
    text_theta: float = 20.0
    vision_theta: float = 100.0


class VocabularyError(ValueError):
    """A nano knows other words than those that it shall be taught."""


def coordinate_step(image_wh: Size) -> int:
    """Boxes in a view of this size are written in multiples of this many pixels."""
    return image_wh.width // STEPS


def make_tokenizer(words: Iterable[str], labels: Iterable[str], image_wh: Size = IMAGE_WH) -> PreTrainedTokenizerFast:
    """A closed-vocabulary tokenizer: each known string is one token, with and without a leading space.

    For every size of the view the same places of the vocabulary hold the same words and the same shares of its side.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    tokens: dict[str, int] = {}
    spaced = (form for word in words for form in (word, f" {word}"))
    references = (f"[{i}]" for i in range(1, 9))
    step = coordinate_step(image_wh)
    coordinates = (str(i * step) for i in range(STEPS + 1))
    for token in (*_SPECIAL, *_FORM, *references, *coordinates, *labels, *spaced):
        tokens.setdefault(token, len(tokens))
    literal = "|".join(re.escape(t) for t in sorted(tokens, key=len, reverse=True) if t not in _SPECIAL)
    # The byte-level alphabet (a space is "Ġ") is what llguidance can read; every token here is ASCII.
    tokenizer = Tokenizer(models.WordLevel({t.replace(" ", "Ġ"): i for t, i in tokens.items()}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(literal), "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(_SPECIAL))
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token="<|endoftext|>",
        unk_token="<unk>",
        padding_side="left",
    )
    fast.chat_template = _CHAT_TEMPLATE
    # Servers cut the prompt off a reply at "<|im_start|>assistant\n", Qwen's; this template has no line break.
    fast.response_template = {"start_anchor": "<|im_start|>assistant", "fields": {"content": {"close": END}}}
    return fast


def make_model(tokenizer: Any, config: NanoConfig = NanoConfig(), seed: int = 0) -> Qwen2_5_VLForConditionalGeneration:
    """A randomly initialised Qwen2.5-VL of this shape, for this tokenizer's vocabulary."""
    import torch
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    half = config.text_width // config.text_heads // 2
    time = half // 4
    height = (half - time) // 2
    rope = {
        "rope_type": "default",
        "rope_theta": config.text_theta,
        "mrope_section": [time, height, half - time - height],
    }
    ids = {f"{name}_token_id": tokenizer.convert_tokens_to_ids(token) for name, token in VISION_TOKENS.items()}
    text = {
        "vocab_size": len(tokenizer), "hidden_size": config.text_width, "intermediate_size": config.text_mlp,
        "num_hidden_layers": config.text_depth, "num_attention_heads": config.text_heads,
        "num_key_value_heads": config.text_kv_heads, "max_position_embeddings": 2048, "rope_parameters": rope,
        "bos_token_id": None, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id,
        "initializer_range": 0.03,
    }  # fmt: skip
    vision = {
        "depth": config.vision_depth, "hidden_size": config.vision_width, "intermediate_size": config.vision_width * 3,
        "num_heads": config.vision_heads, "out_hidden_size": config.text_width, "window_size": 112,
        "fullatt_block_indexes": list(range(1, config.vision_depth, 2)), "initializer_range": 0.03,
        "rope_parameters": {"rope_type": "axial", "rope_theta": config.vision_theta},
    }  # fmt: skip
    torch.manual_seed(seed)
    whole = Qwen2_5_VLConfig(text_config=text, vision_config=vision, tie_word_embeddings=True, **ids)
    return Qwen2_5_VLForConditionalGeneration(whole)


def load_model(directory: str, tokenizer: Any) -> Qwen2_5_VLForConditionalGeneration:
    """An earlier nano, to be trained further. Raises VocabularyError when its words are not this tokenizer's."""
    import torch
    from transformers import AutoTokenizer, Qwen2_5_VLForConditionalGeneration

    earlier, now = (_words(t) for t in (AutoTokenizer.from_pretrained(directory), tokenizer))
    if earlier != now:
        raise VocabularyError(f"{directory} has another vocabulary ({len(earlier)} tokens against {len(now)})")
    return Qwen2_5_VLForConditionalGeneration.from_pretrained(directory, dtype=torch.float32)


def _words(tokenizer: Any) -> list[str]:
    """The vocabulary in order, with "#" for every coordinate: which pixels they are depends on the view."""
    vocabulary: dict[str, int] = tokenizer.get_vocab()
    return ["#" if word.isdecimal() else word for word in sorted(vocabulary, key=vocabulary.__getitem__)]


def box_json(box: Box, label: str, image_wh: Size = IMAGE_WH) -> str:
    """One region as lte-nano writes it: `box` in the view, rounded to the coordinate step."""
    step = coordinate_step(image_wh)
    x1, y1, x2, y2 = (min(image_wh.width, max(0, round(v / step) * step)) for v in box.xyxy)
    return f'{{"bbox_2d":[{x1},{y1},{x2},{y2}],"label":"{label}"}}'


def save(model: Any, tokenizer: Any, directory: Path, image_wh: Size = IMAGE_WH) -> None:
    """Write weights (bf16, half the size) with tokenizer and image settings: a directory that loads anywhere."""
    import copy

    import torch
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    from lte_core.vlm.processor import ImageOnlyProcessor

    copy.deepcopy(model).to(torch.bfloat16).save_pretrained(directory)
    pixels = image_wh.width * image_wh.height
    images = Qwen2VLImageProcessorPil(min_pixels=CELL * CELL, max_pixels=pixels)
    ImageOnlyProcessor(images, tokenizer, chat_template=_CHAT_TEMPLATE).save_pretrained(directory)
