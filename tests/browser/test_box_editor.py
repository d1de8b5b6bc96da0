"""Boxes on the Review tab by mouse, keys and touch, in a real Chromium: what is drawn is what the store keeps."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from lte_core.inference.examine import CropConfig, plan_crops
from lte_core.schema import Box, Region, Size, Verdict
from review.records import Action
from tests.browser.reviewing import HAND, SIGN, SIZE, TEXT, Reviewer, Window, near
from tests.browser.visits import PHONE

pytestmark = pytest.mark.browser
CORNER = (HAND[2], HAND[3])


def test_a_box_is_moved_by_mouse(ana: Reviewer) -> None:
    ana.drag((100, 100), (140, 70))
    ana.press("f")
    ana.sees(2)
    moved, sign = ana.boxes()
    assert moved == near((104.25, 18.5, 264.75, 178.125))
    assert sign == SIGN, "a box that was not touched stays as it was, to the last bit"
    assert [d.action for d in ana.decisions()] == [Action.FIX]


def test_a_box_is_moved_as_far_as_the_edge(ana: Reviewer) -> None:
    ana.drag((100, 100), (20, 20))
    ana.press("f")
    ana.sees(2)
    assert ana.boxes()[0] == near((0, 0, 160.5, 159.625))


def test_a_box_is_resized_by_a_corner_and_by_a_side(ana: Reviewer) -> None:
    ana.box(1).click()
    ana.drag(CORNER, (300, 300))
    ana.drag((HAND[0], (HAND[1] + 300) / 2), (20, 170))
    ana.press("f")
    ana.sees(2)
    (x1, y1, x2, y2), sign = ana.boxes()
    assert (x1, x2, y2) == near((20, 300, 300))
    assert y1 == HAND[1], "a side that was not touched stays as it was"
    assert sign == SIGN


def test_a_box_is_drawn_and_named(ana: Reviewer) -> None:
    ana.page.get_by_role("button", name="draw").click()
    ana.drag((320, 280), (500, 440))
    ana.page.keyboard.type("woven  basket")
    ana.press("Enter", "f")
    ana.sees(2)
    assert ana.boxes() == [HAND, SIGN, near((320, 280, 500, 440))]
    assert [region.label for region in ana.newest().regions] == ["hand", "sign", "woven basket"]


def test_a_box_is_drawn_over_another_one_from_any_corner(ana: Reviewer) -> None:
    ana.press("d")
    ana.drag((200, 200), (90, 60))
    ana.press("Escape", "f")
    ana.sees(2)
    assert ana.boxes() == [HAND, SIGN, near((90, 60, 200, 200))]


def test_a_box_is_deleted_by_mouse(ana: Reviewer) -> None:
    ana.box(1).click()
    ana.page.get_by_role("button", name="remove").click()
    ana.press("f")
    ana.sees(2)
    assert ana.boxes() == [SIGN]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        pytest.param(["ArrowRight", "ArrowRight", "ArrowUp"], (66.25, 47.5, 226.75, 207.125), id="nudge"),
        pytest.param(["Shift+ArrowLeft", "Shift+ArrowDown"], (54.25, 58.5, 214.75, 218.125), id="nudge by 10"),
        pytest.param(["Control+ArrowRight", "Control+Shift+ArrowUp"], (64.25, 48.5, 225.75, 198.125), id="resize"),
        pytest.param(["ArrowLeft", "Control+z", "Control+Shift+z"], (63.25, 48.5, 223.75, 208.125), id="redo"),
    ],
)
def test_a_box_is_placed_by_keys(ana: Reviewer, keys: list[str], expected: tuple[float, ...]) -> None:
    ana.press("1", *keys, "Control+Enter")
    ana.sees(2)
    moved, sign = ana.boxes()
    assert moved == pytest.approx(expected, abs=0.11)
    assert sign == SIGN


def test_keys_choose_another_box_while_one_has_the_focus(ana: Reviewer) -> None:
    ana.box(1).focus()
    ana.press("2", "Delete", "Control+Enter")
    ana.sees(2)
    assert ana.boxes() == [HAND]


def test_a_deleted_box_comes_back_and_goes_again(ana: Reviewer) -> None:
    ana.press("1", "Delete")
    expect(ana.page.locator(".rv-box")).to_have_count(1)
    ana.press("Control+z")
    expect(ana.page.locator(".rv-box")).to_have_count(2)
    expect(ana.page.locator(".rv-edits")).to_be_hidden()
    ana.press("Control+Shift+z", "Control+Enter")
    ana.sees(2)
    assert ana.boxes() == [SIGN]


def test_a_box_is_drawn_without_a_pointer(ana: Reviewer) -> None:
    ana.press("d", "Enter")
    ana.page.keyboard.type("cloud")
    ana.press("Enter", "Shift+ArrowLeft", "Control+Enter")
    ana.sees(2)
    assert ana.boxes() == [HAND, SIGN, near((230, 180, 390, 300))]


def test_a_box_gets_another_name(ana: Reviewer) -> None:
    ana.press("2", "l")
    expect(ana.page.get_by_label("Label of box 2")).to_be_focused()
    ana.page.keyboard.type("shop sign")
    ana.press("Control+Enter")
    ana.sees(2)
    assert [region.label for region in ana.newest().regions] == ["hand", "shop sign"]
    assert ana.boxes() == [HAND, SIGN]


def test_a_name_that_is_given_up_stays(ana: Reviewer) -> None:
    ana.press("1", "l")
    ana.page.keyboard.type("a")
    ana.press("Escape")
    expect(ana.page.get_by_label("Label of box 1")).to_have_value("hand")
    ana.press("l", "Delete", "Enter")
    ana.hears("A box needs a label.")
    ana.press("a")
    ana.sees(2)
    assert [d.action for d in ana.decisions()] == [Action.ACCEPT]


@pytest.mark.parametrize(
    "box",
    [
        pytest.param(HAND, id="with context"),
        pytest.param((300.5, 200.5, 306.5, 207), id="a small box is given more"),
        pytest.param((0, 0, 5, 5), id="in the first corner"),
        pytest.param((633, 470, 640, 480), id="in the last corner"),
    ],
)
def test_a_loupe_shows_the_crop_that_the_model_will_see(window: Window, box: tuple[float, ...]) -> None:
    region = Region(Box(*box), "hand")
    ana = window.fresh("ana", regions=(region,))
    ana.sees(1)
    (crop,) = plan_crops([region], Size(*SIZE), CropConfig())
    x1, y1, x2, y2 = crop.box.xyxy
    shown = ana.page.locator(".rv-lens").get_attribute("viewBox")
    assert shown is not None
    assert [float(v) for v in shown.split()] == [x1, y1, x2 - x1, y2 - y1]
    window.check()


def test_a_pointer_that_rests_on_a_crop_chooses_nothing(ana: Reviewer) -> None:
    ana.press("1")
    ana.page.locator(".rv-loupes figure").nth(1).hover()
    ana.press("Delete", "f")
    ana.sees(2)
    assert ana.boxes() == [SIGN]


def test_a_box_under_4_px_is_refused_with_a_sentence(ana: Reviewer) -> None:
    ana.press("d")
    ana.drag((320, 300), (322, 400))
    ana.hears("under 4 pixels")
    expect(ana.page.locator(".rv-box")).to_have_count(2)
    ana.drag((320, 300), (330, 400))  # still drawing
    expect(ana.page.locator(".rv-box")).to_have_count(3)


def test_a_box_that_is_pushed_together_can_be_saved(ana: Reviewer) -> None:
    ana.press("1", *["Control+Shift+ArrowLeft"] * 17, "Control+Enter")
    ana.sees(2)
    x1, y1, x2, y2 = ana.boxes()[0]
    assert (x1, y1, y2) == (HAND[0], HAND[1], HAND[3])
    assert 4 <= x2 - x1 <= 4.2


def test_the_picture_stays_zoomed_in_while_boxes_change(ana: Reviewer) -> None:
    picture = ana.page.locator(".rv-svg")
    ana.press("+", "+")
    near_by = picture.get_attribute("viewBox")
    assert near_by
    assert float(near_by.split()[2]) == pytest.approx(640 / 1.5**2)
    ana.press("2", "ArrowLeft", "l", "Enter", "Delete", "Control+z")
    expect(picture).to_have_attribute("viewBox", near_by)
    ana.press("0")
    expect(picture).to_have_attribute("viewBox", "0 0 640 480")


def test_a_box_drawn_while_zoomed_in_is_where_it_was_drawn(ana: Reviewer) -> None:
    ana.press("+", "+")
    x, y, width, height = map(float, (ana.page.locator(".rv-svg").get_attribute("viewBox") or "").split())
    ana.press("d")
    ana.drag((64, 48), (320, 240))
    ana.press("Escape", "f")
    ana.sees(2)
    assert ana.boxes()[2] == near((x + width / 10, y + height / 10, x + width / 2, y + height / 2))


def test_a_box_is_drawn_by_touch(ana: Reviewer) -> None:
    ana.page.set_viewport_size(PHONE)
    ana.tap(ana.page.get_by_role("button", name="draw"))
    ana.hears("Drag over the picture")
    ana.page.locator(".rv-stage").scroll_into_view_if_needed()
    ana.touch(*(ana.on_screen(*point) for point in ((300, 260), (350, 300), (420, 380), (500, 440))))
    expect(ana.page.get_by_label("Label of box 3")).to_be_focused()
    ana.page.keyboard.type("basket")
    ana.tap(ana.page.get_by_role("button", name="Save fix"))
    ana.sees(2)
    assert ana.boxes() == [HAND, SIGN, pytest.approx((300, 260, 500, 440), abs=2)]  # a phone's pixel is nearly 2
    assert ana.newest().regions[2].label == "basket"


def test_a_finger_between_the_boxes_scrolls_the_page(ana: Reviewer) -> None:
    ana.page.set_viewport_size(PHONE)
    ana.page.locator(".rv-stage").scroll_into_view_if_needed()
    before = ana.page.evaluate("scrollY")
    ana.touch(*(ana.on_screen(320, y) for y in (400, 340, 280, 200, 100)))
    ana.page.wait_for_function("(before) => scrollY > before", arg=before)
    assert ana.page.evaluate("scrollY") > before


def test_explanation_and_label_are_edited(ana: Reviewer) -> None:
    ana.press("e")
    expect(ana.page.get_by_label("Explanation")).to_be_focused()
    ana.press("Control+a")
    ana.page.keyboard.type("The hand has far too many fingers.")
    expect(ana.page.locator(".rv-diff ins")).to_have_text("far too many")
    expect(ana.page.locator(".rv-diff del")).to_have_text("six")
    assert ana.decisions() == (), "letters that are typed decide nothing"
    ana.page.get_by_label("AI-generated").check()
    ana.press("f")  # the focus is on the label, not in a text
    ana.sees(2)
    kept = ana.newest()
    assert (kept.label, kept.explanation) == (Verdict.GENERATED, "The hand has far too many fingers.")
    assert ana.boxes() == [HAND, SIGN]
    assert ana.site.work.store.revisions(1)[0].content.explanation == TEXT, "what was there before is kept"
