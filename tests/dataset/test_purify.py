"""Each rule of purification at and around its threshold, and what holds whatever the experts said."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lte_core.dataset.candidates import Account, Candidate, Clue, Grounded, Grounding, numbered, unnumbered
from lte_core.dataset.manifest import from_line, to_line
from lte_core.dataset.purify import Drop, Purified, PurifyConfig, Rule, object_share, purify
from lte_core.schema import Box, TraceSample, Verdict

SIZE = (100, 100)
HAND = Clue("six fingers on one hand", "left")
SIGN = Clue("letters that are none", "upper right")
SAMPLE = TraceSample("s", "images/s.jpg", "0" * 64, *SIZE, Verdict.GENERATED, "", (), "test")


def grounded(corners: tuple[float, float, float, float], clue: int | None = 1, label: str = "extra finger") -> Grounded:
    return Grounded(Box(*corners), label, clue)


FINGER = grounded((10, 10, 30, 30))
LETTERS = grounded((60, 5, 90, 25), 2, "garbled letters")


def candidate(
    first: list[Grounded], second: list[Grounded] | None = None, clues: tuple[Clue, ...] = (HAND,), **subjects: Box
) -> Candidate:
    accounts = (Account(clues, "It is generated."), Account(clues))
    groundings = (
        Grounding(tuple(first), subjects.get("one")),
        Grounding(tuple(first if second is None else second), subjects.get("two")),
    )
    return Candidate(SAMPLE, accounts, groundings)


def rules(purified: Purified) -> list[Rule]:
    """Of the sample, and of boxes that went on their own account."""
    own = [drop.rule for drop in purified.drops if drop.box is None or drop.figure is not None or drop.rule == "object"]
    return sorted(set(own))


BIG = grounded((0, 0, 100, 50.0))
BIGGER = grounded((0, 0, 100, 50.1))
WIDE = grounded((10, 10, 40, 40))
HALF_OF_IT = grounded((20, 10, 50, 40))  # 20 of the 40 columns are shared
LESS = grounded((20.1, 10, 50.1, 40))


@pytest.mark.parametrize(
    ("given_", "similarity", "stays", "expected"),
    [
        pytest.param(candidate([FINGER]), 0.6, True, [], id="agreed at the least similarity"),
        pytest.param(candidate([FINGER]), 0.5999, False, [Rule.SIMILARITY], id="explanations differ"),
        pytest.param(candidate([WIDE], [HALF_OF_IT]), 1, True, [], id="IoU just enough"),
        pytest.param(
            candidate([WIDE], [LESS]), 1, False, [Rule.ONE_SIDED, Rule.UNCOVERED], id="IoU not quite enough"
        ),
        pytest.param(
            candidate([FINGER, LETTERS], [LETTERS], (HAND, SIGN)), 1, False, [Rule.ONE_SIDED, Rule.UNCOVERED],
            id="one grounding has not found it",
        ),
        pytest.param(
            candidate([FINGER, grounded((12, 12, 32, 32))], [FINGER]), 1, True, [Rule.ONE_SIDED],
            id="one box confirms only one",
        ),
        pytest.param(
            candidate([FINGER, replace(FINGER, clue=2)], [FINGER, LETTERS], (HAND, SIGN)), 1, False,
            [Rule.ONE_SIDED, Rule.UNCOVERED], id="the same place for another clue confirms nothing",
        ),
        pytest.param(candidate([BIG]), 1, True, [], id="half the picture"),
        pytest.param(candidate([BIGGER]), 1, False, [Rule.AREA, Rule.UNCOVERED], id="more than half"),
        pytest.param(
            candidate([FINGER, BIGGER]), 1, True, [Rule.AREA], id="a huge box beside a good one of the same clue"
        ),
        pytest.param(candidate([BIG], one=Box(0, 0, 100, 62.6)), 1, True, [], id="a part of the subject"),
        pytest.param(
            candidate([BIG], one=Box(0, 0, 100, 62.5)), 1, False, [Rule.SUBJECT, Rule.UNCOVERED], id="all the subject"
        ),
        pytest.param(
            candidate([BIG, FINGER], two=Box(0, 0, 100, 50)), 1, True, [Rule.SUBJECT], id="as the other pass saw it"
        ),
        pytest.param(
            candidate([FINGER, grounded((60, 60, 80, 80), None, "cup")]), 1, True, [Rule.OBJECT],
            id="half the boxes name things",
        ),
        pytest.param(
            candidate([FINGER, *(grounded((60, 60, 80, 80 + i), None, "cup") for i in range(2))]), 1, False,
            [Rule.DETECTION], id="most boxes name things",
        ),
        pytest.param(candidate([LETTERS], clues=(HAND, SIGN)), 1, False, [Rule.UNCOVERED], id="a clue without a box"),
        pytest.param(candidate([], clues=(HAND,)), 1, False, [Rule.UNCOVERED], id="no box at all"),
        pytest.param(candidate([], clues=()), 1, True, [], id="nothing was mentioned, and nothing has to be shown"),
    ],
)  # fmt: skip
def test_rules(given_: Candidate, similarity: float, stays: bool, expected: list[Rule]) -> None:
    purified = purify(given_, similarity)
    assert (purified.sample is not None) is stays
    assert rules(purified) == sorted(expected)


@pytest.mark.parametrize(
    ("label", "clue", "bare"),
    [
        ("hand", 1, False),
        ("left hand", 1, False),
        ("cup", 1, True),
        ("the red cup", 1, False),  # "red" says more than a name; it may be wrong, but is no detector's reply
        ("person", 1, True),
        ("two small books on the left", 1, True),
        ("extra finger", None, True),
        ("extra finger", 3, True),
        ("sign", 2, True),
    ],
)
def test_a_bare_name_is_no_clue(label: str, clue: int | None, bare: bool) -> None:
    box = grounded((0, 0, 9, 9), clue, label)
    assert object_share(candidate([box], clues=(HAND, SIGN)), Grounding((box,))) == bare


def test_a_name_of_which_its_clue_speaks_is_evidence() -> None:
    clue = Clue("the cup has two handles")
    assert object_share(candidate([], clues=(clue,)), Grounding((grounded((0, 0, 9, 9), 1, "cup"),))) == 0


def test_a_kept_sample_says_what_each_box_shows_and_what_was_dropped() -> None:
    given_ = candidate([LETTERS, FINGER, BIGGER], clues=(HAND, SIGN))
    sample = purify(given_, 0.83).sample
    assert sample is not None
    assert sample.explanation == "It is generated. [1] six fingers on one hand; [2] letters that are none"
    assert [(r.label, r.box.xyxy) for r in sample.regions] == [
        ("extra finger", (10, 10, 30, 30)),
        ("garbled letters", (60, 5, 90, 25)),
    ]
    assert sample.annotation["similarity"] == 0.83
    assert sample.annotation["min_iou"] == 1.0
    huge = {"reason": "area", "figure": 0.501, "limit": 0.5, "bbox": [0, 0, 100, 50.1], "label": "extra finger"}
    assert sample.annotation["dropped"] == [huge | {"pass": 1}, huge | {"pass": 2}]
    assert from_line(to_line(sample)) == sample


# -- whatever the experts said

corner = st.sampled_from([0.0, 5.0, 10.0, 20.0, 40.0, 45.0])
side = st.sampled_from([5.0, 8.0, 20.0, 22.0, 50.0, 55.0])
boxes = st.builds(lambda x, y, w, h: Box(x, y, x + w, y + h), corner, corner, side, side)
labels = st.sampled_from(["extra finger", "cup", "person", "garbled letters"])
listed = st.lists(st.builds(Grounded, boxes, labels, st.sampled_from([1, 1, 2, 2, None, 7])), max_size=6)


@st.composite
def candidates(draw: st.DrawFn) -> Candidate:
    """Two groundings that agree on much."""
    shared, first, second = draw(listed), draw(listed), draw(listed)
    subjects = st.none() | boxes
    made = candidate([*shared, *first], [*second, *shared], draw(st.sampled_from([(HAND,), (HAND, SIGN), ()])))
    one, two = (replace(grounding, subject=draw(subjects)) for grounding in made.groundings)
    return replace(made, groundings=(one, two))


configs = st.builds(
    PurifyConfig, *[st.sampled_from([0.3, 0.5, 0.8])] * 2, *[st.sampled_from([0.1, 0.3, 0.5, 0.8, 1.0])] * 3
)


@given(candidates(), configs)
def test_every_box_is_kept_or_dropped_once(given_: Candidate, config: PurifyConfig) -> None:
    purified = purify(given_, 0.6, config)
    dropped = [(drop.pass_, drop.index) for drop in purified.drops if drop.box is not None]
    assert len(set(dropped)) == len(dropped)
    for number, grounding in enumerate(given_.groundings, 1):
        gone = {index for pass_, index in dropped if pass_ == number}
        rest = [box for i, box in enumerate(grounding.boxes) if i not in gone]
        kept = purified.kept.groundings[number - 1].boxes if purified.kept else ()
        assert sorted(map(repr, rest)) == sorted(map(repr, kept))
    assert (purified.sample is None) == (purified.sample_drop is not None)


@given(candidates(), configs)
def test_purifying_twice_changes_nothing(given_: Candidate, config: PurifyConfig) -> None:
    once = purify(given_, 0.6, config)
    if once.kept is None or once.sample is None:
        return
    twice = purify(once.kept, 0.6, config)
    assert twice.drops == ()
    assert twice.sample is not None
    assert (twice.sample.explanation, twice.sample.regions) == (once.sample.explanation, once.sample.regions)


STRICTER = [
    ("min_similarity", 0.55, 0.65),
    ("min_iou", 0.3, 0.7),
    ("max_area", 0.5, 0.2),
    ("max_subject_iou", 0.9, 0.4),
    ("max_object_share", 0.9, 0.2),
]


@pytest.mark.parametrize(("name", "loose", "strict"), STRICTER)
@given(candidates())
def test_a_stricter_threshold_never_adds_a_box(name: str, loose: float, strict: float, given_: Candidate) -> None:
    def kept(limit: float) -> list[Any]:
        changed: dict[str, float] = {name: limit}
        found = purify(given_, 0.6, replace(PurifyConfig(), **changed)).kept
        return [] if found is None else [(box.box.xyxy, box.label, box.clue) for box in found.groundings[0].boxes]

    before, after = kept(loose), kept(strict)
    for box in after:
        assert box in before
        before.remove(box)  # one box answers for one


def test_a_drop_of_a_sample_is_a_record_too() -> None:
    assert Drop(Rule.UNCOVERED, clue=2).record() == {"reason": "uncovered", "clue": 2}
    assert Drop(Rule.SIMILARITY, 0.123456, 0.5).record() == {"reason": "similarity", "figure": 0.1235, "limit": 0.5}


@given(
    st.text(max_size=30),
    st.lists(st.text(max_size=30).filter(lambda text: text.strip(" ;.[]()\n\t") != ""), max_size=6),
)
def test_an_explanation_comes_apart_as_it_was_put_together(summary: str, notes: list[str]) -> None:
    whole = numbered(summary, notes)
    start, parts = unnumbered(whole)
    assert numbered(start, parts) == whole
    assert len(parts) in (0, len(notes))


@pytest.mark.parametrize(
    ("explanation", "parts"),
    [
        ("A hand is wrong [1] six fingers; [2] a seam", ("A hand is wrong", ["six fingers", "a seam"])),
        ("[1] six fingers", ("", ["six fingers"])),
        ("as in [2], [3] and [4]", ("as in [2], [3] and [4]", [])),
        ("no numbers", ("no numbers", [])),
        ("", ("", [])),
    ],
)
def test_parts_are_those_of_regions_numbered_from_one(explanation: str, parts: tuple[str, list[str]]) -> None:
    assert unnumbered(explanation) == parts
