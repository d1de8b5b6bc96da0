"""Replies as models really write them: read as far as they can be trusted, refused by kind otherwise."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lte_core.schema import Box, Region, Verdict
from lte_core.vlm.replies import ExamineReply, LocateReply, ReplyError, parse_examine, parse_locate

ONE = '{"bbox_2d":[1,2,30,40],"label":"left hand"}'
HAND = Region(Box(1, 2, 30, 40), "left hand")
TWO = '{"bbox_2d":[5,6,70,80],"label":"sign"}'
SIGN = Region(Box(5, 6, 70, 80), "sign")


def located(boxes: str, explanation: str = "why", verdict: str = "generated") -> str:
    return f"<explanation>{explanation}</explanation><boxes>{boxes}</boxes><verdict>{verdict}</verdict>"


@pytest.mark.parametrize(
    ("boxes", "expected"),
    [
        pytest.param(f"[{ONE},{TWO}]", [HAND, SIGN], id="as-asked"),
        pytest.param("[]", [], id="empty-list"),
        pytest.param(" [ \n ] ", [], id="empty-list-spaced"),
        pytest.param("", [], id="empty-block"),
        pytest.param("```json\n[]\n```", [], id="empty-list-fenced"),
        pytest.param(f"```json\n[\n  {ONE},\n  {TWO}\n]\n```", [HAND, SIGN], id="fenced"),
        pytest.param("[{'bbox_2d': [1, 2, 30, 40], 'label': 'left hand'}]", [HAND], id="single-quoted"),
        pytest.param(
            "[{'bbox_2d': [1,2,30,40], 'label': 'man's hand'}]", [Region(HAND.box, "man's hand")], id="apostrophe"
        ),
        pytest.param('[{"bbox_2d":[1,2,30,40,],"label":"left hand",},]', [HAND], id="trailing-commas"),
        pytest.param(f"[{ONE},{TWO[:20]}", [HAND], id="cut-inside-a-box"),
        pytest.param(f"[{ONE},{TWO[:-4]}", [HAND, Region(SIGN.box, "si")], id="cut-inside-a-label"),
        pytest.param('[{"bbox_2d":[30,40,1,2],"label":"left hand"}]', [HAND], id="reversed-corners"),
        pytest.param('[{"bbox_2d":[30,2,1,40],"label":"left hand"}]', [HAND], id="one-axis-reversed"),
        pytest.param('[{"bbox_2d":[-5,2,9999,40]}]', [Region(Box(-5, 2, 9999, 40), "")], id="out-of-bounds-kept"),
        pytest.param(f'[{{"bbox_2d":[NaN,1,2,3],"label":"x"}},{ONE}]', [HAND], id="nan-dropped"),
        pytest.param(f'[{{"bbox_2d":[0,1,Infinity,3]}},{ONE}]', [HAND], id="infinity-dropped"),
        pytest.param(f'[{{"bbox_2d":[0,1,1e999,3]}},{ONE}]', [HAND], id="overflow-dropped"),
        pytest.param(f'[{{"bbox_2d":[5,5,5,9],"label":"x"}},{ONE}]', [HAND], id="zero-area-dropped"),
        pytest.param(f'[{{"bbox_2d":[1,2,3],"label":"x"}},{ONE}]', [HAND], id="three-numbers-dropped"),
        pytest.param('[{"bbox_2d":["1","2",\'30\',"40.0"],"label":"left hand"}]', [HAND], id="strings-as-numbers"),
        pytest.param('[{"label":"left hand","bbox_2d":[1,2,30,40]}]', [HAND], id="label-first"),
        pytest.param('{"bbox":[1,2,30,40],"label":"left hand"}', [HAND], id="bare-object-short-key"),
        pytest.param('[{"bbox_2d":[1,2,30,40],"label":7}]', [Region(HAND.box, "")], id="label-not-text"),
        pytest.param('[{"bbox_2d":[1,2,30,40]}]', [Region(HAND.box, "")], id="no-label"),
        pytest.param('[{"bbox_2d":[1,2,30,40],"label":"招牌"}]', [Region(HAND.box, "招牌")], id="chinese"),
        pytest.param('[{"bbox_2d":[1,2,30,40],"label":"\\u62db \\"A\\", b"}]',
                     [Region(HAND.box, '招 "A", b')], id="escapes"),
        pytest.param('[{"bbox_2d":[1,2,30,40],"label":" a\\n\\t b "}]', [Region(HAND.box, "a b")], id="label-spaces"),
        pytest.param('[{"bbox_2d":[1,2,30,40],"label":"\\ud800"}]', [Region(HAND.box, "?")], id="lone-surrogate"),
        pytest.param('[{"bbox_2d":[1,2,30,40],"label":"{x}"},' + TWO + "]", [Region(HAND.box, ""), SIGN], id="brace"),
        pytest.param(f"[{','.join([ONE] * 200)}]", [HAND] * 200, id="two-hundred"),
    ],
)  # fmt: skip
def test_boxes(boxes: str, expected: list[Region]) -> None:
    assert list(parse_locate(located(boxes)).regions) == expected


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        pytest.param("", "no verdict", id="empty"),
        pytest.param("I cannot help with that.", "no verdict", id="refusal"),
        pytest.param(f"<explanation>why</explanation><boxes>[{ONE}]</boxes>", "no verdict", id="cut-before-verdict"),
        pytest.param(f"<explanation>why</explanation><boxes>[{ONE}", "no verdict", id="cut-in-boxes"),
        pytest.param("<explanation>why it goes on and", "no verdict", id="cut-in-explanation"),
        pytest.param(located("[]", verdict="gener"), "unreadable verdict", id="another-word"),
        pytest.param("<boxes>[]</boxes><verdict>gener", "unreadable verdict", id="cut-in-the-word"),
        pytest.param(located("[]", verdict="real or generated"), "unreadable verdict", id="both"),
        pytest.param(located("[]", verdict="not real"), "unreadable verdict", id="negated"),
        pytest.param(located("[]", verdict=""), "unreadable verdict", id="empty-verdict"),
        pytest.param(located("[]") + "<verdict>maybe</verdict>", "unreadable verdict", id="the-last-is-unreadable"),
        pytest.param("<explanation>why</explanation><verdict>real</verdict>", "no boxes block", id="no-boxes-block"),
        pytest.param(located("none"), "unreadable boxes", id="prose-instead-of-boxes"),
        pytest.param(located('[{"bbox_2d":[1,2'), "unreadable boxes", id="only-a-cut-box"),
        pytest.param(located('[{"bbox_2d":[5,5,5,5],"label":"x"}]'), "unreadable boxes", id="only-zero-area"),
        pytest.param(located('[{"box":"top left"}]'), "unreadable boxes", id="other-keys"),
    ],
)
def test_unreadable_locate(reply: str, reason: str) -> None:
    with pytest.raises(ReplyError) as error:
        parse_locate(reply)
    assert error.value.reason == reason
    assert str(error.value).endswith((".", "'", '"')), "a sentence, or one that ends in what was found"


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [
        pytest.param("real", Verdict.REAL, id="real"),
        pytest.param("generated", Verdict.GENERATED, id="generated"),
        pytest.param(" \n REAL. ", Verdict.REAL, id="upper-case-padded"),
        pytest.param("**Generated**", Verdict.GENERATED, id="markdown"),
        pytest.param('"real"', Verdict.REAL, id="quoted"),
        pytest.param("AI-generated", Verdict.GENERATED, id="ai-generated"),
    ],
)
def test_verdict_words(verdict: str, expected: Verdict) -> None:
    assert parse_examine(f"<explanation>e</explanation><verdict>{verdict}</verdict>").verdict is expected


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        pytest.param(
            "<explanation>1\n2</explanation>\n<verdict>real</verdict>", ("1\n2", Verdict.REAL), id="as-asked"
        ),
        pytest.param("<explanation>a</explanation><verdict>real", ("a", Verdict.REAL), id="closing-tag-cut"),
        pytest.param("<EXPLANATION>a</Explanation>< verdict >real</ verdict>", ("a", Verdict.REAL), id="tag-spelling"),
        pytest.param("The hand is odd.\n<verdict>real</verdict>", ("The hand is odd.", Verdict.REAL), id="untagged"),
        pytest.param("<explanation>a <verdict>real</verdict>", ("a", Verdict.REAL), id="explanation-not-closed"),
        pytest.param("<verdict>real</verdict>", ("", Verdict.REAL), id="no-explanation"),
        pytest.param("<verdict>real</verdict><explanation>a</explanation>", ("a", Verdict.REAL), id="other-order"),
        pytest.param(
            "<explanation>It says <b>SALE</b> & <verdict>real</verdict>.</explanation><verdict>generated</verdict>",
            ("It says <b>SALE</b> & real.", Verdict.GENERATED),
            id="tags-inside-the-explanation",
        ),
        pytest.param(
            "<explanation><explanation>a</explanation></explanation><verdict>real</verdict>",
            ("a", Verdict.REAL),
            id="nested",
        ),
        pytest.param(
            "<explanation>a</explanation><verdict>real</verdict> Wait. <verdict>generated</verdict>",
            ("a", Verdict.GENERATED),
            id="the-last-verdict-counts",
        ),
        pytest.param(
            "<think>The form is <explanation>x</explanation><verdict>real</verdict></think>"
            "<explanation>a</explanation><verdict>generated</verdict>",
            ("a", Verdict.GENERATED),
            id="thoughts-first",
        ),
        pytest.param(
            "<explanation>手が不自然です。</explanation><verdict>generated</verdict>",
            ("手が不自然です。", Verdict.GENERATED),
            id="japanese",
        ),
        pytest.param("<explanation>\ud800</explanation><verdict>real", ("?", Verdict.REAL), id="lone-surrogate"),
    ],
)  # fmt: skip
def test_explanation_and_verdict(reply: str, expected: tuple[str, Verdict]) -> None:
    assert parse_examine(reply) == ExamineReply(*expected)


def test_boxes_named_in_the_explanation_are_not_the_boxes() -> None:
    reply = located(f"[{ONE}]", explanation="I would write <boxes>[]</boxes> for nothing.")
    assert parse_locate(reply) == LocateReply("I would write [] for nothing.", (HAND,), Verdict.GENERATED)


PIECES = st.sampled_from(
    ["<explanation>", "</explanation>", "<boxes>", "</boxes>", "<verdict>", "</verdict>", "real", "generated",
     "[", "]", "{", "}", '"bbox_2d":', "bbox:", "[1,2,30,40]", "[NaN,'2',1e400,-0]", '"label":', "label:'", '"', ",",
     "\\", "\\u", "</think>", "\x00", "\ud800", "ſ", "1" * 400, "```json"]
)  # fmt: skip
TEXTS = st.one_of(st.text(), st.lists(st.one_of(PIECES, st.text(max_size=5)), max_size=40).map("".join))


@given(TEXTS)
@example("<boxeſ></boxeſ><verdict>real")
@pytest.mark.parametrize("parse", [parse_locate, parse_examine])
def test_any_text_is_read_or_refused(parse: Callable[[str], LocateReply | ExamineReply], text: str) -> None:
    try:
        reply = parse(text)
    except ReplyError:
        return
    texts = [reply.explanation]
    if isinstance(reply, LocateReply):
        assert all(math.isfinite(value) for region in reply.regions for value in region.box.xyxy)
        texts += [region.label for region in reply.regions]
    "".join(texts).encode()  # no lone surrogates


NUMBERS = st.floats(-1e6, 1e6, allow_nan=False)
REGIONS = st.builds(
    lambda x, y, w, h, label: Region(Box(x, y, x + w, y + h), label),
    NUMBERS, NUMBERS, st.floats(1, 1e6), st.floats(1, 1e6),
    st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters="<>{}[]\\\"'")),
)  # fmt: skip


@given(st.lists(REGIONS, max_size=10), st.sampled_from(Verdict))
def test_what_is_written_in_the_form_is_read_back(regions: list[Region], verdict: Verdict) -> None:
    boxes = ",".join(f'{{"bbox_2d":{list(region.box.xyxy)},"label":"{region.label}"}}' for region in regions)
    assert parse_locate(located(f"[{boxes}]", "e", verdict)) == LocateReply("e", tuple(regions), verdict)


MEGABYTE = 1_000_000
UNITS = [
    "<",
    "< ",
    "</verdict><boxes>",
    '{"bbox_2d":[',
    "{bbox:[1,2,3,4]label:'",
    "label:'",
    '"label":"\\',
    " ",
    ".",
    "1,",
]


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("frame", ["{}", "<boxes>[{{{}</boxes><verdict>real", "<verdict>{}x</verdict>"])
def test_a_hostile_megabyte_takes_bounded_time(frame: str, unit: str) -> None:
    text = frame.format(unit * (MEGABYTE // len(unit)))
    start = time.process_time()
    with contextlib.suppress(ReplyError):
        parse_locate(text)
    assert time.process_time() - start < 2  # measured: at most 0.1 s; a quadratic scan takes minutes
