"""Replies in a tokenizer like Qwen's own, whose tokens merge letters, brackets and tags as they come."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from lte_core.schema import ModelInfo
from lte_core.training import nano
from lte_core.vlm.base import Query, Question, Reply
from lte_core.vlm.grammar import REPLY_FORMS
from lte_core.vlm.qwen import QwenConfig, QwenVL
from lte_core.vlm.replies import parse_examine, parse_locate
from lte_core.vlm.views import Views

SPLIT = (  # Qwen2.5's
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
TEXTS = (
    '<explanation>the sign [1] is garbled.</explanation><boxes>[{"bbox_2d":[10,20,30,40],"label":"shop sign"},'
    '{"bbox_2d":[1,2,3,4],"label":"hand"}]</boxes><verdict>real</verdict>',
    '<explanation>the hand "is" fine</explanation><boxes>[]</boxes><verdict>generated</verdict>',
    "招牌 文字",
)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(SPLIT), "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)]
    )
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=420, special_tokens=[*nano._SPECIAL], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    made.train_from_iterator(TEXTS * 50, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=made, eos_token=nano.END, pad_token="<|endoftext|>", padding_side="left"
    )
    fast.chat_template = nano._CHAT_TEMPLATE
    return fast


@pytest.fixture
def vlm(tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> QwenVL:
    for query, form in REPLY_FORMS.items():  # a model at random ends nothing before it must
        monkeypatch.setitem(REPLY_FORMS, query, form.replace("{1,1500}", "{1,60}"))
    torch.set_num_threads(1)
    config = QwenConfig(
        views=Views(crop_min_pixels=56 * 56, crop_max_pixels=112 * 112),
        max_new_tokens={Query.LOCATE: 1_500, Query.EXAMINE: 500},
    )
    model = nano.make_model(tokenizer, seed=3).eval()
    return QwenVL(model, tokenizer, Qwen2VLImageProcessorPil(), ModelInfo("test"), config)


def written(vlm: QwenVL, image: Image.Image, query: Query) -> tuple[str, Reply]:
    """What streamed, and the reply."""
    writing, text = vlm.open([image]).ask([Question(query, query.value)]), ""
    while True:
        try:
            text += next(writing).text
        except StopIteration as end:
            return text, end.value[0]


def odds(vlm: QwenVL, image: Image.Image, query: Query, head: str) -> float:
    """P(generated) from both whole replies, each in the tokens that it has when it is read as one text."""
    scores = []
    for verdict in ("real", "generated"):
        ids = vlm.tokenizer(f"{head}<verdict>{verdict}</verdict>", add_special_tokens=False).input_ids
        session = vlm.open([image])
        with torch.inference_mode():
            rows, positions = session._continue([Question(query, query.value)], None)
            first = int(positions[0].max()) + 1
            spots = torch.cat([positions[0], torch.arange(first, first + len(ids)).expand(3, -1)], 1)
            logits = session._steps.feed([rows[0] + ids], [spots], None, keep=len(ids) + 1)[0, :-1]
        scores.append(float(logits.log_softmax(-1).gather(1, torch.tensor(ids)[:, None]).sum()))
    return float(torch.tensor(scores).softmax(0)[1])


def test_tokens_run_across_the_tags(tokenizer: Any) -> None:
    tokens = [tokenizer.decode([i]) for i in tokenizer(TEXTS[0]).input_ids]
    assert ">real" in tokens, "else this file tests nothing"


@pytest.mark.parametrize("query", list(Query))
def test_a_reply_is_in_form_and_its_verdict_weighed_as_one_text(vlm: QwenVL, query: Query) -> None:
    image = Image.fromarray(np.random.default_rng(1).integers(0, 256, (120, 140, 3), dtype=np.uint8))
    streamed, reply = written(vlm, image, query)
    assert (reply.finish, streamed) == ("stop", reply.text)
    assert reply.text.endswith("</verdict>")
    (parse_locate if query is Query.LOCATE else parse_examine)(reply.text)
    head = reply.text[: reply.text.rindex("<verdict>")]
    assert reply.p_generated == pytest.approx(odds(vlm, image, query, head), abs=1e-4)
