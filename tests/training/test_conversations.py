"""What is taught is what will be asked: frames, crops and references of the SFT conversations."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from lte_core.inference.checkpoint import Checkpoint
from lte_core.inference.prompts import Prompts
from lte_core.schema import Box, Region, Size, TraceSample, Verdict
from lte_core.training.conversations import (
    CropShares,
    Shown,
    choose_shown,
    evidence,
    examine_turn,
    locate_turn,
)
from lte_core.vlm.frames import QWEN3
from lte_core.vlm.replies import parse_examine, parse_locate

NANO = Checkpoint(
    prompts=Prompts("Locate", "Examine"),
    image_wh=Size(224, 224),
    crop_wh=Size(112, 112),
    crop_pad=0.06,
    coordinate_step=8,
)
IMAGE = Image.effect_mandelbrot((448, 336), (-2, -1.5, 1, 1.5), 50).convert("RGB")
SAMPLE = TraceSample(
    id="a", image="a.jpg", sha256="0" * 64, width=448, height=336, label=Verdict.GENERATED, source="test",
    explanation="[1] the weave repeats exactly; [2] the digits are wrong",
    regions=(Region(Box(10, 20, 110, 100), "weave"), Region(Box(200, 150, 320, 300), "hand")),
)  # fmt: skip


def test_evidence_pairs_each_region_with_its_clause() -> None:
    assert [(shown.region.label, shown.clause) for shown in evidence(SAMPLE)] == [
        ("weave", "the weave repeats exactly"),
        ("hand", "the digits are wrong"),
    ]
    assert [s.clause for s in evidence(replace(SAMPLE, explanation="The hand is odd."))] == [None, None]


@pytest.mark.parametrize(
    ("checkpoint", "convention", "first_box"),
    [
        pytest.param(NANO, None, (8, 16, 56, 64), id="fixed view, multiples of 8"),
        pytest.param(Checkpoint(), None, (10, 20, 110, 100), id="Qwen2.5-VL, pixels of the view"),
        pytest.param(Checkpoint(), QWEN3, (22, 60, 246, 298), id="Qwen3-VL, 0-1000"),
    ],
)
def test_boxes_are_stated_in_the_models_frame(
    checkpoint: Checkpoint, convention: object, first_box: tuple[float, ...]
) -> None:
    turn = locate_turn(SAMPLE, IMAGE, checkpoint, *([QWEN3] if convention else []))
    reply = parse_locate(turn.completion)
    assert reply.regions[0].box.xyxy == first_box
    assert [region.label for region in reply.regions] == ["weave", "hand"]
    assert (reply.explanation, reply.verdict) == (SAMPLE.explanation, Verdict.GENERATED)


def test_examine_shows_the_crops_in_order_and_renumbers_what_is_said_of_them() -> None:
    first, second = evidence(SAMPLE)
    turn = examine_turn(SAMPLE, IMAGE, [second, first], NANO)
    assert [image.size for image in turn.images] == [(224, 224), (112, 112), (112, 112)]
    assert parse_examine(turn.completion).explanation == "[1] the digits are wrong; [2] the weave repeats exactly"
    columns = turn.trl()
    parts = columns["prompt"][0]["content"]
    assert [part["type"] for part in parts] == ["image"] * 3 + ["text"]
    assert len(columns["images"]) == 3


def test_without_numbered_clauses_the_whole_explanation_is_kept() -> None:
    sample = replace(SAMPLE, explanation="The hand <b>is odd</b>.")
    turn = examine_turn(sample, IMAGE, evidence(sample), NANO)
    assert parse_examine(turn.completion).explanation == "The hand  b is odd /b ."


@pytest.mark.parametrize(
    ("explanation", "told"),
    [
        ("A stall. [1] the weave repeats; [2] the digits are wrong", "A stall. [2] the weave repeats"),
        ("[1] the weave repeats; [2] the digits are wrong", "[2] the weave repeats"),
        ("No number here.", "No number here."),
    ],
)
def test_what_is_said_of_a_crop_has_its_number_and_nothing_is_said_of_others(explanation: str, told: str) -> None:
    sample = replace(SAMPLE, explanation=explanation)
    unknown = Shown(Region(Box(0, 0, 30, 30), ""), None)
    turn = examine_turn(sample, IMAGE, [unknown, evidence(sample)[0]], NANO)
    assert parse_examine(turn.completion).explanation == told


@pytest.mark.parametrize("label", list(Verdict))
def test_whether_there_are_crops_does_not_tell_the_label(label: Verdict) -> None:
    """Photos have no annotated region in many releases; generated pictures have."""
    sample = replace(SAMPLE, label=label, regions=() if label is Verdict.REAL else SAMPLE.regions)
    empty = sum(not choose_shown(random.Random(n), sample, (), None, CropShares()) for n in range(2_000))
    assert 0.035 < empty / 2_000 < 0.065


@pytest.mark.parametrize(
    ("shares", "others", "labels"),
    [
        pytest.param(CropShares(0, 0, 0, 0, 0), (), {"weave", "hand"}, id="all annotated"),
        pytest.param(CropShares(0, 1, 0, 0, 0), ("gloss",), {"weave", "hand", "gloss"}, id="every distractor"),
        pytest.param(CropShares(1, 0, 0, 0, 0), (), {""}, id="all missing: one area of nothing"),
        pytest.param(CropShares(0, 0, 1, 0, 0), ("gloss",), {""}, id="unrelated"),
        pytest.param(CropShares(0, 0, 0, 0, 1), ("gloss",), set(), id="nothing"),
    ],
)
def test_shares_decide_what_is_shown(shares: CropShares, others: tuple[str, ...], labels: set[str]) -> None:
    rest = [Shown(Region(Box(350, 10, 430, 90), label), "the highlight is consistent") for label in others]
    for seed in range(5):
        shown = choose_shown(random.Random(seed), SAMPLE, rest, "nothing", shares)
        found = {item.region.label for item in shown}
        assert found >= labels
        assert bool(found) is bool(labels)


@pytest.mark.parametrize("regions", [(), SAMPLE.regions])
def test_an_area_of_nothing_has_a_name_like_any_other(regions: tuple[Region, ...]) -> None:
    names = ["weave", "hand", "crowd", "crowd"]
    sample, shares = replace(SAMPLE, regions=regions), CropShares(0, 0, 1, 0, 0)
    found = Counter(
        item.region.label
        for seed in range(1_000)
        for item in choose_shown(random.Random(seed), sample, (), "nothing", shares, names)
    )
    assert set(found) == set(names)
    assert found["crowd"] > 1.5 * found["hand"] > 0, "as often as in the data"


@given(st.integers(), st.floats(0, 1), st.floats(0, 1), st.floats(0, 0.5))
def test_whatever_is_shown_lies_inside_the_image(seed: int, missing: float, extra: float, jitter: float) -> None:
    shown = choose_shown(random.Random(seed), SAMPLE, (), None, CropShares(missing, extra, 0.2, jitter, 0))
    assert shown
    for item in shown:
        x1, y1, x2, y2 = item.region.box.xyxy
        assert 0 <= x1 < x2 <= SAMPLE.width
        assert 0 <= y1 < y2 <= SAMPLE.height
