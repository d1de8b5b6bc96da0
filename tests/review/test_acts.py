"""What a page sends is read whole or refused with a sentence, whatever it is."""

from __future__ import annotations

import math
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lte_core.schema import Box, Region, Verdict
from review.acts import Act, read_act
from review.records import MAX_REGIONS, Action, Content, ContentError, Filter, Order, Reason, State

TOKEN = "0123456789abcdef"
REGION = {"bbox": [10, 20, 60, 80], "label": "hand"}
CONTENT = {"label": "real", "explanation": "A hand.", "regions": [REGION]}
FIX = {"do": "decide", "task": 3, "version": 2, "action": "fix", "token": TOKEN, "seconds": 4.5, "content": CONTENT}


def test_a_fix_is_read() -> None:
    act = read_act(FIX)
    assert (act.do, act.task) == ("decide", 3)
    assert act.submission is not None
    assert act.submission.action is Action.FIX
    assert act.submission.seconds == 4.5
    assert act.submission.content == Content(Verdict.REAL, "A hand.", (Region(Box(10, 20, 60, 80), "hand"),))


def test_a_filter_and_an_order_are_read() -> None:
    wanted = {"label": "generated", "generator": "g", "source": "", "split": "val", "state": "disputed", "mine": True}
    act = read_act({"do": "next", "order": "oldest", "filter": wanted})
    assert act == Act("next", Filter(Verdict.GENERATED, "g", None, "val", State.DISPUTED, True), Order.OLDEST)


def test_only_a_fix_carries_content() -> None:
    act = read_act(FIX | {"action": "reject", "reason": "bad image"})
    assert act.submission is not None
    assert act.submission.content is None
    assert act.submission.reason is Reason.BAD_IMAGE


def box(*corners: object) -> dict[str, Any]:
    return {"content": CONTENT | {"regions": [{"bbox": list(corners), "label": "hand"}]}}


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"do": "drop"}, id="unknown wish"),
        pytest.param({"do": None}, id="no wish"),
        pytest.param({"task": None}, id="no sample"),
        pytest.param({"task": -1}, id="negative sample"),
        pytest.param({"task": True}, id="sample is a truth value"),
        pytest.param({"task": 2**63}, id="sample beyond the database"),
        pytest.param({"version": "2"}, id="version in words"),
        pytest.param({"token": ""}, id="no token"),
        pytest.param({"comment": "half a character \ud800"}, id="comment that no file can hold"),
        pytest.param({"content": CONTENT | {"explanation": "\ud800"}}, id="explanation that no file can hold"),
        pytest.param({"content": CONTENT | {"explanation": "a\0b"}}, id="explanation that no database can hold"),
        pytest.param({"content": CONTENT | {"regions": [REGION | {"label": "x\udfff"}]}}, id="broken label"),
        pytest.param({"filter": {"source": "\ud800"}}, id="filter of half a character"),
        pytest.param({"token": "x" * 65}, id="long token"),
        pytest.param({"token": "' OR 1=1 --     "}, id="strange token"),
        pytest.param({"action": "destroy"}, id="unknown action"),
        pytest.param({"reason": "because"}, id="unknown reason"),
        pytest.param({"comment": "x" * 100_000}, id="endless comment"),
        pytest.param({"comment": 7}, id="comment is a number"),
        pytest.param({"order": "best"}, id="unknown order"),
        pytest.param({"filter": {"split": "all"}}, id="unknown split"),
        pytest.param({"filter": {"label": ["real"]}}, id="label is a list"),
        pytest.param({"filter": "all"}, id="filter is a word"),
        pytest.param({"content": None}, id="no content"),
        pytest.param({"content": CONTENT | {"label": "fake"}}, id="unknown label"),
        pytest.param({"content": CONTENT | {"explanation": None}}, id="no explanation"),
        pytest.param({"content": CONTENT | {"explanation": "x" * 1_000_000}}, id="endless explanation"),
        pytest.param({"content": CONTENT | {"regions": "none"}}, id="boxes in words"),
        pytest.param({"content": CONTENT | {"regions": [REGION] * (MAX_REGIONS + 1)}}, id="too many boxes"),
        pytest.param({"content": CONTENT | {"regions": [{"bbox": [1, 2, 3, 4]}]}}, id="a box without label"),
        pytest.param(box(1, 2, 3), id="three numbers"),
        pytest.param(box(1, 2, math.nan, 4), id="NaN"),
        pytest.param(box(1, 2, math.inf, 4), id="infinite"),
        pytest.param(box(1, 2, 1e300, 4), id="huge"),
        pytest.param(box(1, 2, "3", 4), id="number in words"),
        pytest.param(box(1, 2, True, 4), id="truth value"),
        pytest.param(box(3, 2, 1, 4), id="reversed"),
    ],
)
def test_what_no_page_sends_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ContentError):
        read_act(FIX | change)


@pytest.mark.parametrize("seconds", [math.nan, math.inf, -5, "long", True, None])
def test_seconds_that_cannot_be_count_as_none_or_as_a_day_at_most(seconds: object) -> None:
    act = read_act(FIX | {"seconds": seconds})
    assert act.submission is not None
    assert 0 <= act.submission.seconds <= 24 * 3600


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner, max_size=5),
    max_leaves=12,
)


@given(payload=anything)
def test_anything_is_an_act_or_refused(payload: Any) -> None:
    with suppress(ContentError):
        assert isinstance(read_act(payload), Act)


@given(st.sampled_from(sorted({*FIX, "order", "filter", "reason", "comment", "gold", "overrule"})), anything)
def test_one_strange_value_is_an_act_or_refused(key: str, value: Any) -> None:
    with suppress(ContentError):
        assert isinstance(read_act(FIX | {key: value}), Act)
