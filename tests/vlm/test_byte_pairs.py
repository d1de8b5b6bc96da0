"""Replies in a tokenizer like Qwen's own, whose tokens merge letters, brackets and tags as they come."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import regex  # type: ignore[import-untyped]
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from llguidance import LLMatcher
from PIL import Image
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from lte_core.schema import ModelInfo
from lte_core.training import nano
from lte_core.vlm.base import Query, Question, Reply
from lte_core.vlm.grammar import REPLY_FORMS, closing_form, make_guide
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


@pytest.fixture(scope="module")
def guide(tokenizer: Any) -> Any:
    return make_guide(tokenizer, len(tokenizer), tokenizer.eos_token_id)


@pytest.fixture(scope="module")
def model(tokenizer: Any) -> Any:
    """At random: it ends nothing before it must."""
    torch.set_num_threads(1)
    return nano.make_model(tokenizer, seed=3).eval()


def vlm(model: Any, tokenizer: Any, **limits: int) -> QwenVL:
    config = QwenConfig(
        views=Views(crop_min_pixels=56 * 56, crop_max_pixels=112 * 112),
        max_new_tokens={Query(name): limit for name, limit in limits.items()},
    )
    return QwenVL(model, tokenizer, Qwen2VLImageProcessorPil(), ModelInfo("test"), config)


IMAGE = Image.fromarray(np.random.default_rng(1).integers(0, 256, (120, 140, 3), dtype=np.uint8))


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


@pytest.mark.parametrize(("query", "limit"), [("locate", 500), ("locate", 620), ("examine", 100), ("examine", 153)])
def test_a_reply_ends_in_time_and_in_form(model: Any, tokenizer: Any, query: str, limit: int) -> None:
    """Long before it would: the verdict is weighed, in whatever tokens it stands, as of one text."""
    local = vlm(model, tokenizer, **{query: limit})
    streamed, reply = written(local, IMAGE, Query(query))
    assert (reply.finish, streamed) == ("stop", reply.text)
    assert limit // 3 < reply.tokens <= limit
    (parse_locate if query == "locate" else parse_examine)(reply.text)
    head = reply.text[: reply.text.rindex("<verdict>")]
    assert reply.p_generated == pytest.approx(odds(local, IMAGE, Query(query), head), abs=1e-4)


@pytest.mark.parametrize("limit", [430, 475])
def test_a_list_of_boxes_ends_in_time(model: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    form = REPLY_FORMS[Query.LOCATE]  # changed, so that the limit comes among the boxes
    for ours, theirs in (("{1,1500}", "{1,9}"), ("{0,7})?", "{7,7})")):
        assert ours in form
        form = form.replace(ours, theirs)
    monkeypatch.setitem(REPLY_FORMS, Query.LOCATE, form)
    _, reply = written(vlm(model, tokenizer, locate=limit), IMAGE, Query.LOCATE)
    assert (reply.finish, reply.text[-10:]) == ("stop", "</verdict>")
    assert limit // 3 < reply.tokens <= limit
    assert 0 < len(parse_locate(reply.text).regions) < 8


def test_a_limit_without_room_for_a_reply_cuts_it(model: Any, tokenizer: Any) -> None:
    _, reply = written(vlm(model, tokenizer, examine=20), IMAGE, Query.EXAMINE)
    assert (reply.finish, reply.tokens, reply.p_generated) == ("length", 20, None)


REGION = '{"bbox_2d": [1, 22, 333, 4444], "label": "}a [sign] (of \'{x}\')"}'
LONG = "<explanation>C'est $5.00 + (x|y) \\d [1]; 招牌 #~&^*?-</explanation>"


@pytest.mark.parametrize(
    ("query", "whole"),
    [
        (Query.EXAMINE, LONG + "<verdict>real</verdict>"),
        (Query.LOCATE, LONG + "<boxes>[]</boxes><verdict>real</verdict>"),
        (Query.LOCATE, f"{LONG}<boxes>[{REGION}, {REGION},{REGION}]</boxes><verdict>generated</verdict>"),
    ],
)
def test_wherever_a_reply_is_it_can_end_soon(query: Query, whole: str) -> None:
    assert regex.fullmatch(REPLY_FORMS[query], whole)
    for length in range(len(whole)):
        form = closing_form(query, whole[:length])
        assert regex.fullmatch(form, whole[:length], partial=True), whole[:length]
    assert not regex.fullmatch(closing_form(query, whole[:40]), whole[:60] + "x", partial=True), "no further words"


WORDS = st.text(st.characters(exclude_characters="<>", exclude_categories=["Cs"]), min_size=1, max_size=30)
LABELS = st.text(st.characters(exclude_characters='<>"\\\n', exclude_categories=["Cs"]), min_size=1, max_size=20)


@given(WORDS, st.lists(LABELS, max_size=3), st.floats(0, 1))
def test_whatever_was_said_its_tokens_fit_the_closing_form(
    tokenizer: Any, guide: Any, said: str, labels: list[str], share: float
) -> None:
    regions = ", ".join(f'{{"bbox_2d": [1, 22, 333, 4444], "label": "{label}"}}' for label in labels)
    whole = f"<explanation>{said}</explanation><boxes>[{regions}]</boxes><verdict>real</verdict>"
    ids = tokenizer(whole, add_special_tokens=False).input_ids
    kept = ids[: int(share * (len(ids) - 1))]
    text = tokenizer.decode(kept)
    assume(whole.startswith(text))  # not inside a character
    form = LLMatcher.grammar_from_regex(closing_form(Query.LOCATE, text))
    assert LLMatcher(guide, form).consume_tokens(kept), text
