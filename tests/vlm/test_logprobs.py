"""P(generated) comes out the same however a server's tokens cut the tag and the verdict."""

from __future__ import annotations

import math
from itertools import pairwise
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lte_core.vlm.logprobs import Token, p_generated, tokens_of

TAG = Token("<verdict>", {})
REPLY = "<explanation>A real cat.</explanation><verdict>generated</verdict>"


def said(text: str, **chances: float) -> Token:
    return Token(text, {word: math.log(chance) for word, chance in chances.items()})


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        pytest.param([TAG, said("real", real=0.8, generated=0.2)], 0.2, id="one-token-each"),
        pytest.param([TAG, said("real", real=0.4, generated=0.1, unsure=0.5)], 0.2, id="two-way"),
        pytest.param([TAG, said("gener", **{" gener": 0.3, "ge": 0.3, "real": 0.4}), said("ated")], 0.6, id="pieces"),
        pytest.param([TAG, said("\n"), said("Real", Real=0.5, GENERATED=0.5)], 0.5, id="line-break-and-capitals"),
        pytest.param([TAG, said("real</", **{"real</": 0.9, '"generated"': 0.1})], 0.1, id="more-than-the-word"),
        pytest.param(
            [Token("<verdict", {}), said(">real", **{">real": 0.9, ">g": 0.1, "real": 0.9})], 0.1, id="tag-end"
        ),
        pytest.param([Token("< Verdict >", {}), said("real", real=0.9, generated=0.1)], 0.1, id="loose-tag"),
        pytest.param([TAG, said("real", real=0.96, the=0.04)], 0.04, id="unlisted-gets-the-least-listed"),
        pytest.param(
            [TAG, said("real", real=0.9, generated=0.1), TAG, said("generated", real=0.2, generated=0.8)],
            0.8,
            id="last-verdict",
        ),
        pytest.param([TAG, said("unsure", unsure=0.5, real=0.3, generated=0.2)], 0.4, id="another-word-written"),
        pytest.param([TAG, said("real", real=0.9)], None, id="no-alternatives"),
        pytest.param([TAG, said("maybe", maybe=0.9, no=0.1)], None, id="neither-listed"),
        pytest.param([said("It is real", real=0.5, generated=0.5)], None, id="no-verdict"),
        pytest.param([TAG, said(" ")], None, id="cut-off"),
        pytest.param([], None, id="server-lists-none"),
    ],
)
def test_p_generated_is_read_where_the_verdict_begins(tokens: list[Token], expected: float | None) -> None:
    assert p_generated(tokens) == (None if expected is None else pytest.approx(expected))


@given(st.sets(st.integers(1, len(REPLY) - 1)), st.floats(0.001, 0.999))
def test_any_cut_of_the_reply_gives_the_same_chance(cuts: set[int], chance: float) -> None:
    start = REPLY.index("generated</")
    tokens = []
    for begin, end in pairwise([0, *sorted(cuts), len(REPLY)]):
        other = REPLY[begin:start] + "real" if begin <= start < end else "x"
        tokens.append(Token(REPLY[begin:end], {REPLY[begin:end]: math.log(chance), other: math.log(1 - chance)}))
    assert p_generated(tokens) == pytest.approx(chance)


@given(st.dictionaries(st.sampled_from(["real", "generated", " re", "x", ""]), st.floats(max_value=0.009)))
def test_p_generated_is_a_probability_or_none(options: dict[str, float]) -> None:
    p = p_generated([TAG, Token("real", options)])
    assert p is None or 0 <= p <= 1


@pytest.mark.parametrize(
    "logprobs",
    [
        pytest.param(None, id="none"),
        pytest.param(SimpleNamespace(content=None), id="no-content"),
        pytest.param(SimpleNamespace(content=7), id="no-list"),
    ],
)
def test_a_choice_without_log_probabilities_has_no_tokens(logprobs: object) -> None:
    assert list(tokens_of(SimpleNamespace(logprobs=logprobs))) == []


def test_only_real_log_probabilities_are_kept() -> None:
    listed = [("real", -0.1), ("generated", math.nan), ("x", 9e9), (None, -1.0), ("y", None), ("z", 1e-7)]
    written = SimpleNamespace(
        token="real",
        logprob=-0.1,
        top_logprobs=[SimpleNamespace(token=token, logprob=logprob) for token, logprob in listed],
    )
    (token,) = tokens_of(SimpleNamespace(logprobs=SimpleNamespace(content=[written])))
    assert token == Token("real", {"real": -0.1, "z": 1e-7})
