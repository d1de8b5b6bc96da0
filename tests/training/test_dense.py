"""The packed forward pass gives what transformers' own gives (seeing: `tests/vlm/test_vision.py`)."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from lte_core.training import nano
from lte_core.training.dense import DenseNano


@pytest.fixture(scope="module")
def parts() -> tuple[DenseNano, Any]:
    torch.set_num_threads(1)
    tokenizer = nano.make_tokenizer(("the",), ("weave",))
    return DenseNano(nano.make_model(tokenizer, seed=1), classes=5).eval(), tokenizer


def test_language_model_equals_transformers(parts: tuple[DenseNano, Any]) -> None:
    net, tokenizer = parts
    ids = torch.randint(7, len(tokenizer), (2, 12), generator=torch.Generator().manual_seed(2))
    positions = torch.arange(12).expand(3, 2, -1)
    mask = torch.tril(torch.ones(12, 12, dtype=torch.bool))[None, None].expand(2, 1, -1, -1)
    with torch.inference_mode():
        hidden, _ = net.read(net.text.embed_tokens(ids), positions, mask)
        stock = net.model(input_ids=ids, position_ids=positions, attention_mask=torch.ones_like(ids)).logits
        assert (hidden @ net.text.embed_tokens.weight.T - stock).abs().max() < 1e-4
