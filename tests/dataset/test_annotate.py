"""What an explanation's reply may look like."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lte_core.dataset.annotate import MAX_CLUE_CHARS, MAX_CLUES, explanation_hash, explanation_prompt, parse_account
from lte_core.dataset.candidates import Account, Clue
from lte_core.dataset.raw import Said
from lte_core.schema import Verdict
from lte_core.vlm.replies import ReplyError

ONE = Account((Clue("six fingers", "left hand"),), "A hand is wrong")
WHOLE = json.dumps({"clues": [{"what": "six fingers", "where": "left hand"}], "summary": "A hand is wrong"})


@pytest.mark.parametrize(
    ("text", "account"),
    [
        (WHOLE, ONE),
        (f"```json\n{WHOLE}\n```", ONE),
        (f"<think>Let me see {{}}</think>Here it is: {WHOLE} I hope it helps.", ONE),
        ('{"clues": [{"what": "six  fingers\\n", "where": " left hand "}], "summary": "A hand\\u0000 is wrong"}', ONE),
        ('{"clues": [{"what": "a"}, {"what": " "}, 7, {"where": "b"}]}', Account((Clue("a"),))),
        ('{"clues": [{"what": "a", "where": null}], "summary": null}', Account((Clue("a"),))),
        ('{"clues": [{"what": "half \\ud800 a character"}]}', Account((Clue("half ? a character"),))),
    ],
)
def test_a_reply_is_read(text: str, account: Account) -> None:
    assert parse_account(Said(text)) == account


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (Said("I cannot help with that.", "refusal"), "refusal"),
        (Said(WHOLE, "length"), "cut"),
        (Said("I cannot help with that."), "malformed"),
        (Said(""), "malformed"),
        (Said('{"clues": [], "summary": "nothing"}'), "malformed"),
        (Said('{"clues": "six fingers"}'), "malformed"),
        (Said('{"clues": [{"what": ""}]}'), "malformed"),
        (Said('["clues"]'), "malformed"),
        (Said('{"clues": [{"what": "cut'), "malformed"),
        (Said('{"a":' * 100_000 + "}"), "malformed"),
    ],
)
def test_a_reply_of_no_use_says_of_what_kind(said: Said, reason: str) -> None:
    with pytest.raises(ReplyError) as caught:
        parse_account(said)
    assert caught.value.reason == reason


def test_long_replies_are_bounded() -> None:
    clues = [{"what": "x" * 5000, "where": "y" * 5000}] * 50
    account = parse_account(Said(json.dumps({"clues": clues, "summary": "z" * 5000})))
    assert len(account.clues) == MAX_CLUES
    assert {len(clue.what) for clue in account.clues} == {MAX_CLUE_CHARS}


@given(st.text(max_size=200) | st.from_regex(r'\{"clues": ?\[.{0,80}\].{0,20}\}', fullmatch=True))
def test_any_text_gives_an_account_or_a_reason(text: str) -> None:
    try:
        account = parse_account(Said(text))
    except ReplyError:
        return
    assert account.clues
    assert account.text.isprintable()


def test_the_prompt_states_the_label_and_is_hashed() -> None:
    real, generated = explanation_prompt(Verdict.REAL), explanation_prompt(Verdict.GENERATED)
    assert "real photograph" in real
    assert "AI image generator" in generated
    assert explanation_hash(Verdict.REAL) != explanation_hash(Verdict.GENERATED)
