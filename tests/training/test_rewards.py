"""The paper's rewards against values worked out by hand, and what their wording lets a policy get away with."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sacrebleu.metrics.bleu import BLEU

from lte_core.boxes import iou
from lte_core.inference.locate import locate_result
from lte_core.schema import Box, Region, Size, Verdict
from lte_core.training.rewards import (
    RewardConfig,
    iou_reward,
    reward_examine,
    reward_locate,
    superfluous,
    verdict_reward,
)
from lte_core.vlm.base import Reply

FRAME, IMAGE = Size(224, 224), Size(448, 448)
HAND, SIGN = Box(0, 0, 100, 100), Box(200, 200, 300, 300)
REAL, FAKE = Verdict.REAL, Verdict.GENERATED


def reply(boxes: list[Box], verdict: str = "generated", text: str = "six fingers") -> str:
    """As a model that sees the image at half its size writes it."""
    listed = ",".join(f'{{"bbox_2d":[{",".join(f"{v / 2:g}" for v in box.xyxy)}],"label":"x"}}' for box in boxes)
    return f"<explanation>{text}</explanation><boxes>[{listed}]</boxes><verdict>{verdict}</verdict>"


REGIONS = (Region(HAND, "hand"), Region(SIGN, "sign"))


@pytest.mark.parametrize(
    ("boxes", "expected"),
    [
        ([HAND, SIGN], 1),
        ([SIGN, HAND], 1),
        ([HAND], 1 / 2),
        ([], 0),
        ([Box(50, 0, 150, 100), SIGN], (1 / 3 + 1) / 2),
        ([HAND, SIGN, Box(300, 0, 400, 100), Box(0, 300, 90, 390)], 1),  # a shower costs nothing
    ],
)
def test_the_iou_reward(boxes: list[Box], expected: float) -> None:
    assert iou_reward([HAND, SIGN], boxes) == pytest.approx(expected)
    found = reward_locate(reply(boxes), REGIONS, FAKE, FRAME, IMAGE)
    assert found.parts == {"format": 1, "iou": pytest.approx(expected)}
    assert found.total == pytest.approx(1 + expected)
    assert found.unreadable is None


def test_without_boxes_to_find() -> None:
    assert iou_reward([], []) == 1
    assert iou_reward([], [HAND]) == 0


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("", "no verdict"),
        ("<explanation>a</explanation><boxes>[]</boxes><verdict>maybe</verdict>", "unreadable verdict"),
        ("<explanation>a</explanation><verdict>real</verdict>", "no boxes block"),
        ("<boxes>[{]</boxes><verdict>real</verdict>", "unreadable boxes"),
        (reply([Box(900, 900, 990, 990)]), "boxes outside"),
    ],
)
def test_an_unreadable_reply_gets_nothing_and_is_told_by_kind(text: str, kind: str) -> None:
    found = reward_locate(text, REGIONS, FAKE, FRAME, IMAGE)
    assert (found.total, set(found.parts.values()), found.unreadable) == (0, {0}, kind)
    read = locate_result(Reply(text), FRAME, IMAGE, 1.0)
    assert (read.verdict, read.regions) == (None, ()), "as little worth as it is in use"


@pytest.mark.parametrize(
    ("end", "unreadable"),
    [
        ("</verdict>", None),
        ("</verdict>\n", None),
        ("</verdict>.</explanation>", None),
        ("", "open verdict"),
        ("</explanation>", "open verdict"),
        ("</verdict><verdict>generated", "open verdict"),
    ],
)
def test_a_verdict_that_is_not_closed_is_worth_nothing(end: str, unreadable: str | None) -> None:
    form = reply([HAND, SIGN]).removesuffix("</verdict>") + end
    assert reward_locate(form, REGIONS, FAKE, FRAME, IMAGE).unreadable == unreadable
    found = reward_examine("<explanation>six</explanation><verdict>generated" + end, "six", FAKE)
    assert (found.unreadable, found.total > 0) == (unreadable, unreadable is None)


def test_examine_is_paid_for_the_verdict_and_the_words() -> None:
    good = "<explanation>the hand has six fingers</explanation><verdict>generated</verdict>"
    library = BLEU(lowercase=True, max_ngram_order=2, effective_order=True)
    reference = "the left hand has six fingers"
    expected = library.sentence_score("the hand has six fingers", [reference]).score / 100
    found = reward_examine(good, reference, FAKE)
    assert found.parts == {"verdict": 1, "bleu": pytest.approx(expected)}
    assert found.total == pytest.approx(1 + expected)
    # By hand: 5 of 5 words, 3 of 4 pairs, one word short of 6.
    assert expected == pytest.approx(math.sqrt(1 * 3 / 4) * math.exp(1 - 6 / 5))
    assert reward_examine(good, reference, REAL).parts["verdict"] == 0
    assert reward_examine(good, reference, FAKE, RewardConfig(bleu=0)).total == 1
    assert reward_examine("real", reference, REAL).unreadable == "no verdict"
    assert verdict_reward(None, REAL) == 0


def test_the_dual_verdict_variant_pays_the_first_verdict_too() -> None:
    for verdict, expected in (("generated", 1), ("real", 0)):
        found = reward_locate(reply([HAND, SIGN], verdict), REGIONS, FAKE, FRAME, IMAGE, RewardConfig(locate_verdict=1))
        assert found.parts["verdict"] == expected
        assert found.total == 2 + expected


def test_the_weight_of_boxes_may_rise() -> None:
    rising = RewardConfig(iou_start=0.5)
    totals = [reward_locate(reply([HAND]), REGIONS, FAKE, FRAME, IMAGE, rising, at).total for at in (-1, 0, 0.5, 1, 2)]
    assert totals == pytest.approx([1.25, 1.25, 1.375, 1.5, 1.5])


def grid(count: int) -> list[Box]:
    """Boxes all over the image, of the sizes that evidence has."""
    sides = [110 * i for i in range(4)]
    return [Box(x, y, x + 110, y + 110) for y in sides for x in sides][:count]


def test_as_written_a_shower_of_boxes_pays_and_the_penalty_ends_it() -> None:
    """A policy that does not know where the evidence is: more boxes, more reward, as the paper words it; with the
    penalty the best it can do is to mark little."""
    plain, mended = RewardConfig(), RewardConfig(extra_penalty=0.15)

    def mean(config: RewardConfig, boxes: list[Box]) -> float:
        """Over places of the evidence that the policy cannot know."""
        places = [Box(x, y, x + 100, y + 100) for x in (10, 120, 230, 340) for y in (10, 120, 230, 340)]
        rewards = [
            reward_locate(reply(boxes), (Region(place, "x"),), FAKE, FRAME, IMAGE, config).total for place in places
        ]
        return sum(rewards) / len(rewards)

    as_written = [mean(plain, grid(count)) for count in range(9)]
    assert as_written == sorted(as_written)
    assert as_written[8] > as_written[1] + 0.3
    penalised = [mean(mended, grid(count)) for count in range(9)]
    assert penalised == sorted(penalised, reverse=True)
    few, many = (mean(RewardConfig(extra_penalty=0.01), [*grid(1)] * count) for count in (9, 40))
    assert few - many == pytest.approx(31 * 0.01), "boxes that nobody reads cost as much"
    # One that does know is paid alike either way.
    known = reward_locate(reply([HAND, SIGN]), REGIONS, FAKE, FRAME, IMAGE, mended)
    assert known.total == reward_locate(reply([HAND, SIGN]), REGIONS, FAKE, FRAME, IMAGE, plain).total == 2


def test_fragments_and_duplicates_are_superfluous() -> None:
    fragments = [Box(0, 0, 50, 100), Box(50, 0, 100, 100)]
    assert superfluous([HAND], [HAND, HAND, Box(1, 1, 100, 100)]) == 2
    assert superfluous([HAND], fragments) == 1, "one half still matches with an IoU of a half"


SIDES = st.tuples(*[st.floats(0, 300)] * 2, *[st.floats(5, 140)] * 2)
BOXES = st.lists(SIDES.map(lambda v: Box(v[0], v[1], v[0] + v[2], v[1] + v[3])), max_size=6)


@given(BOXES, BOXES, st.floats(0, 1))
def test_rewards_stay_in_their_range(reference: list[Box], predicted: list[Box], penalty: float) -> None:
    value = iou_reward(reference, predicted)
    assert 0 <= value <= 1
    if reference and all(any(iou(a, b) == 1 for b in predicted) for a in reference):
        assert value == 1
    regions = tuple(Region(box, "x") for box in reference)
    config = RewardConfig(extra_penalty=penalty)
    found = reward_locate(reply(predicted), regions, FAKE, FRAME, IMAGE, config)
    assert found.total <= 2 + 1e-9
    assert 0 <= superfluous(reference, predicted) <= len(predicted)
