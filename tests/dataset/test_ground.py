"""What a grounding's reply may look like, and where its boxes end up."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lte_core.dataset.candidates import Account, Clue, Grounded, Grounding
from lte_core.dataset.ground import MAX_BOXES, grounding_hash, grounding_prompt, parse_grounding
from lte_core.dataset.raw import Said
from lte_core.schema import Box, Size
from lte_core.vlm.replies import ReplyError

SIZE, FRAME = Size(1000, 500), Size(500, 250)


def entry(corners: list[float], label: str = "hand", clue: int | None = 1) -> dict[str, object]:
    return {"bbox_2d": corners, "label": label} | ({} if clue is None else {"clue": clue})


HAND = Grounded(Box(20, 40, 100, 200), "hand", 1)


@pytest.mark.parametrize(
    ("text", "grounding"),
    [
        (json.dumps([entry([10, 20, 50, 100])]), Grounding((HAND,))),
        (f"```json\n{json.dumps([entry([10, 20, 50, 100])])}\n```", Grounding((HAND,))),
        (json.dumps([entry([50, 100, 10, 20])]), Grounding((HAND,))),
        ('[{"clue": "1", "bbox_2d": [10, 20, 50, 100], "label": "hand"}', Grounding((HAND,))),
        (json.dumps([entry([10, 20, 50, 100], clue=None)]), Grounding((Grounded(HAND.box, "hand", None),))),
        (json.dumps([entry([10, 20, 50, 100], clue=9)]), Grounding((Grounded(HAND.box, "hand", None),))),
        (json.dumps([entry([10, 20, 50, 100], "clue: 2")]), Grounding((Grounded(HAND.box, "clue: 2", 1),))),
        (json.dumps([entry([10, 20, 50, 100], "")]), Grounding((Grounded(HAND.box, "area", 1),))),
        (json.dumps([entry([-50, 0, 600, 250], "all", 0)]), Grounding((), Box(0, 0, 1000, 500))),
        (json.dumps([entry([0, 0, 9, 9], "a", 0), entry([0, 0, 99, 99], "b", 0)]), Grounding((), Box(0, 0, 198, 198))),
        (json.dumps([entry([600, 20, 650, 100]), entry([10, 20, 50, 100])]), Grounding((HAND,))),
        ("[]", Grounding(())),
    ],
)
def test_a_reply_is_read(text: str, grounding: Grounding) -> None:
    assert parse_grounding(Said(text, frame_wh=FRAME), SIZE, clues=2) == grounding


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (Said("no", "refusal", frame_wh=FRAME), "refusal"),
        (Said("[", "length", frame_wh=FRAME), "cut"),
        (Said("There is nothing wrong.", frame_wh=FRAME), "malformed"),
        (Said('[{"bbox_2d": [1, 2, 3]}]', frame_wh=FRAME), "malformed"),
        (Said(json.dumps([entry([10, 20, 50, 100])])), "malformed"),
    ],
)
def test_a_reply_of_no_use_says_of_what_kind(said: Said, reason: str) -> None:
    with pytest.raises(ReplyError) as caught:
        parse_grounding(said, SIZE, clues=2)
    assert caught.value.reason == reason


@given(
    st.lists(st.tuples(*[st.floats(-1e6, 1e6)] * 4, st.integers(-3, 9)), min_size=1, max_size=60),
    st.integers(0, 5),
)
def test_boxes_lie_inside_the_image_and_belong_to_a_clue(found: list[tuple[float, ...]], clues: int) -> None:
    text = json.dumps([entry(list(corners), clue=int(clue)) for *corners, clue in found])
    try:
        grounding = parse_grounding(Said(text, frame_wh=FRAME), SIZE, clues)
    except ReplyError:
        return
    assert len(grounding.boxes) <= MAX_BOXES
    for grounded in grounding.boxes:
        x1, y1, x2, y2 = grounded.box.xyxy
        assert 0 <= x1 < x2 <= SIZE.width
        assert 0 <= y1 < y2 <= SIZE.height
        assert grounded.clue is None or 1 <= grounded.clue <= clues


def test_the_second_pass_is_another_question() -> None:
    account = Account((Clue("six fingers", "left"), Clue("a seam", "right")))
    first, second = (grounding_prompt(account, pass_) for pass_ in (1, 2))
    assert first.index("1. six fingers (left)") < first.index("2. a seam (right)")
    assert second.index("1. six fingers (left)") > second.index("2. a seam (right)")
    assert grounding_hash(account, 1) != grounding_hash(account, 2)
    assert grounding_hash(account, 1) != grounding_hash(Account(account.clues[:1]), 1)
