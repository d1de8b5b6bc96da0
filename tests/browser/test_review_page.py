"""The Review tab in a real Chromium, at a real server: what a reviewer does there is what the store keeps."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from lte_core.schema import Box, Region, Verdict
from review.records import Action, Reason, State
from tests.browser.reviewing import HAND, Reviewer, Window, actions, retype
from tests.browser.visits import PHONE

pytestmark = pytest.mark.browser
HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>{{7*7}}${alert(3)}"
MINE = "Her own words about the hand."


def test_signing_in_and_out(window: Window) -> None:
    ana = window.fresh()
    ana.sign_in("ana", "wrong password")
    expect(ana.page.get_by_role("alert").filter(has_text="The name or the password is wrong.")).to_be_visible()
    expect(ana.page.locator(".rv-stage")).to_have_count(0)
    ana.sign_in("ana")
    ana.sees(1)
    expect(ana.page.locator(".rv-bar")).to_contain_text("ana")
    ana.page.get_by_role("button", name="Sign out").click()
    expect(ana.page.get_by_label("Password")).to_have_value("")
    ana.reload()
    expect(ana.page.get_by_label("Password")).to_be_visible()
    assert window.site.work.store.next(window.site.work.bo).id == 1  # type: ignore[union-attr]  # ana's lease is over
    window.check()


def test_the_other_tab_needs_no_account_and_holds_no_sample(window: Window) -> None:
    ana = window.fresh("ana")
    ana.sees(1)
    ana.page.get_by_role("tab", name="Detection").click()
    expect(ana.page.locator("#lte-pick")).to_be_visible()
    ana.press("a", "f", "s", "Delete")
    ana.page.get_by_role("button", name="Sign out").wait_for(state="hidden")
    ana.open_tab()
    ana.sees(1)
    assert actions(ana.site) == [], "keys of the desk mean nothing on the other tab"
    stranger = window.fresh()
    stranger.page.get_by_role("tab", name="Detection").click()
    stranger.page.locator("[data-example]").first.click()
    expect(stranger.page.locator('#lte-steps [data-phase="done"]')).to_be_visible(timeout=15_000)
    window.check()


def test_accepting_takes_one_key(ana: Reviewer) -> None:
    expect(ana.page.locator(".rv-progress")).to_contain_text("0 of 3 · today 0")
    ana.press("a")
    ana.sees(2)
    expect(ana.page.locator(".rv-progress")).to_contain_text("1 of 3 · today 1")
    expect(ana.page.locator(".rv-hints")).to_contain_text("✓ saved")
    assert actions(ana.site) == [("ana", Action.ACCEPT)]
    assert ana.site.work.store.counts().by_state == {State.ACCEPTED: 1, State.OPEN: 2}
    assert len(ana.site.work.store.revisions(1)) == 1


def test_a_key_that_is_held_down_decides_once(ana: Reviewer) -> None:
    ana.page.keyboard.down("a")
    ana.sees(2)
    ana.page.keyboard.down("a")  # Playwright sends it as a repetition
    ana.page.keyboard.up("a")
    ana.press("s")
    ana.sees(3)
    assert actions(ana.site, 2) == [("ana", Action.SKIP)]


def test_the_last_sample_leaves_an_empty_desk_from_which_one_can_go_back(ana: Reviewer) -> None:
    for number in (1, 2, 3):
        ana.sees(number)
        ana.press("a")
    expect(ana.page.get_by_role("heading", name="Nothing is left here")).to_be_visible()
    ana.press("u")
    ana.sees(3)
    assert actions(ana.site, 3) == [("ana", Action.ACCEPT), ("ana", Action.UNDO)]


def test_unsaved_edits_are_not_accepted(ana: Reviewer) -> None:
    ana.press("1", "ArrowLeft", "a")
    ana.hears("You have unsaved edits")
    assert actions(ana.site) == []
    ana.press("Control+z", "a")
    ana.sees(2)
    assert actions(ana.site) == [("ana", Action.ACCEPT)]


def test_rejecting_asks_why_and_keeps_the_comment(ana: Reviewer) -> None:
    ana.press("r")
    ana.page.get_by_label("Comment").fill("letters like a, f and 1 decide nothing here")
    ana.page.get_by_label("Comment").press("1")
    assert actions(ana.site) == []
    ana.press("Escape", "3")
    ana.sees(2)
    (decision,) = ana.decisions()
    assert (decision.action, decision.reason) == (Action.REJECT, Reason.NO_EVIDENCE)
    assert decision.comment == "letters like a, f and 1 decide nothing here1"


def test_after_a_rejection_the_numbers_choose_boxes_again(ana: Reviewer) -> None:
    ana.press("r", "4")
    ana.sees(2)
    ana.press("1")
    expect(ana.page.locator(".rv-box.on")).to_have_attribute("data-box", "0")
    ana.press("r", "Escape", "2")
    expect(ana.page.locator(".rv-box.on")).to_have_attribute("data-box", "1")
    assert actions(ana.site, 2) == []


def test_a_skipped_sample_comes_back_with_the_edits(ana: Reviewer) -> None:
    retype(ana, MINE)
    ana.page.get_by_role("button", name="Skip").click()
    for number in (2, 3):
        ana.sees(number)
        ana.press("a")
    ana.sees(1)
    expect(ana.page.get_by_label("Explanation")).to_have_value(MINE)
    assert actions(ana.site) == [("ana", Action.SKIP)]


def test_undo_takes_the_last_decision_back_even_after_a_reload(ana: Reviewer) -> None:
    ana.press("a")
    ana.sees(2)
    ana.reload()
    ana.sees(2)
    ana.press("u")
    ana.sees(1)
    ana.hears("Taken back.")
    expect(ana.page.locator(".rv-progress")).to_contain_text("0 of 3")
    accepted, undo = ana.decisions()
    assert accepted.undone
    assert undo.undoes == accepted.id


def test_previous_and_next_walk_along_the_decisions(ana: Reviewer) -> None:
    for number in (1, 2):
        ana.sees(number)
        ana.press("a")
    ana.sees(3)
    for key, number in (("k", 2), ("k", 1), ("j", 2)):
        ana.press(key)
        ana.sees(number)
    ana.page.get_by_role("button", name="previous").click()
    ana.sees(1)
    assert [actions(ana.site, number) for number in (1, 2, 3)] == [[("ana", Action.ACCEPT)]] * 2 + [[]]


def test_after_the_last_decision_next_leads_back_to_the_queue(ana: Reviewer) -> None:
    ana.press("a")
    ana.sees(2)
    ana.site.work.clock.forward(1)
    ana.press("k")
    ana.sees(1)
    ana.press("j")
    expect(ana.page.locator(".rv-history summary")).to_contain_text("sample-00001", timeout=1500)


def test_a_filter_that_nothing_fits_says_so_and_can_be_cleared(ana: Reviewer) -> None:
    ana.page.locator(".rv-filters summary").click()
    ana.page.get_by_label("mine").check()
    expect(ana.page.get_by_text("No sample fits this filter.")).to_be_visible()
    ana.page.get_by_role("button", name="Clear the filter").click()
    ana.sees(1)


def test_a_reload_comes_back_to_the_desk(ana: Reviewer) -> None:
    ana.page.reload()
    ana.sees(1)
    expect(ana.page.get_by_role("tab", name="Review")).to_have_attribute("aria-selected", "true")


def test_line_ends_of_another_system_are_no_edit(window: Window) -> None:
    ana = window.fresh("ana", explanation="first\r\nsecond")
    ana.sees(1)
    expect(ana.page.locator(".rv-edits")).to_be_hidden()
    ana.press("a")
    ana.sees(2)
    assert actions(ana.site) == [("ana", Action.ACCEPT)]
    window.check()


def test_hostile_texts_stay_texts(window: Window) -> None:
    region = Region(Box(*HAND), HOSTILE)
    ana = window.fresh("lea", samples=2, explanation=HOSTILE, regions=(region,), id=HOSTILE, source=HOSTILE)
    expect(ana.page.locator(".rv-history summary")).to_contain_text(HOSTILE)
    expect(ana.page.get_by_label("Explanation")).to_have_value(HOSTILE)
    expect(ana.page.locator(".rv-tag")).to_have_text(f"1 {HOSTILE}")
    retype(ana, f"{HOSTILE} and more")
    expect(ana.page.locator(".rv-diff")).to_contain_text(HOSTILE)
    ana.press("Control+Enter")
    expect(ana.page.get_by_text("Nothing is left here")).to_be_visible()
    ana.press("k")
    ana.page.get_by_text("History").click()
    assert ana.page.evaluate("window.fired") == 0
    assert ana.page.locator("#rv-desk :is(script, img, [onerror])").count() == 0
    assert ana.newest().explanation == f"{HOSTILE} and more"
    window.check()


def test_a_missing_picture_is_said_and_the_sample_can_be_skipped(window: Window) -> None:
    ana = window.fresh(samples=1)
    for file in window.site.media.folder.rglob("*.*"):
        if file.is_file():
            file.unlink()
    ana.page.context.new_cdp_session(ana.page).send("Network.clearBrowserCache")
    ana.sign_in("ana")
    ana.hears("The picture cannot be shown: it is missing")
    expect(ana.page.locator(".rv-broken")).to_be_visible()
    ana.press("s")
    expect(ana.page.locator(".rv-hints")).to_contain_text("✓ saved")
    assert actions(ana.site) == [("ana", Action.SKIP)]
    window.check()


def test_on_a_phone(window: Window) -> None:
    long = "Donaudampfschifffahrtsgesellschaftskapitänsmützenabzeichen" * 2
    ana = window.fresh(explanation=long, regions=(Region(Box(*HAND), long[:80]),))
    ana.page.set_viewport_size(PHONE)
    for step in ("sign in", "sample", "reasons"):
        if step == "sample":
            ana.sign_in("ana")
            ana.sees(1)
        if step == "reasons":
            ana.tap(ana.page.get_by_role("button", name="Reject"))
        assert ana.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], step
    ana.page.evaluate("scrollTo(0, 0)")
    expect(ana.page.get_by_role("button", name="Accept")).to_be_in_viewport()  # the thumb's place, wherever one reads
    ana.tap(ana.page.get_by_role("button", name="Accept"))
    ana.sees(2)
    assert actions(ana.site) == [("ana", Action.ACCEPT)]
    ana.page.evaluate("scrollTo(0, 9999)")
    ana.tap(ana.page.get_by_role("button", name="Skip"))
    ana.sees(3)
    expect(ana.page.locator(".rv-stage")).to_be_in_viewport(ratio=1)
    ana.tap(ana.page.get_by_role("button", name="undo last"))
    ana.sees(2)
    ana.tap(ana.page.get_by_role("button", name="undo last"))
    ana.sees(1)
    window.check()


def test_everything_has_a_name_and_every_box_can_be_reached(ana: Reviewer) -> None:
    boxes = ana.page.get_by_role("button", name=re.compile(r"^Box \d, "))
    expect(boxes).to_have_count(2)
    expect(boxes.nth(1)).to_have_attribute("aria-label", "Box 2, sign, 160 by 145 pixels at 400, 96")
    boxes.first.focus()
    ana.press("Tab")
    expect(boxes.nth(1)).to_be_focused()
    expect(ana.page.locator(".rv-box.on")).to_have_attribute("data-box", "1")
    expect(ana.page.get_by_role("radiogroup", name="Label").get_by_role("radio")).to_have_count(2)
    expect(ana.page.get_by_role("progressbar", name="Samples decided")).to_be_attached()
    ana.press("r")
    unnamed = ana.page.evaluate(
        """() => [...document.querySelectorAll("#rv-desk :is(button, a, input, textarea, select, [role])")]
          .filter((e) => e.checkVisibility() && e.role !== "status"
            && !(e.ariaLabel || e.innerText?.trim() || [...(e.labels ?? [])].some((label) => label.innerText.trim())))
          .map((e) => e.outerHTML)"""
    )
    assert unnamed == []


@pytest.mark.parametrize("way", ["Escape", "?", "Enter"])
def test_the_keys_are_listed_and_decide_nothing_meanwhile(ana: Reviewer, way: str) -> None:
    ana.press("?")
    expect(ana.page.get_by_role("dialog", name="Keys")).to_contain_text("accept as it is")
    ana.press("a", "s", "Delete", way)  # Enter: on Close, which has the focus
    expect(ana.page.get_by_role("dialog")).to_have_count(0)
    ana.sees(1)
    assert actions(ana.site) == []


def test_only_a_lead_is_offered_gold_items(window: Window) -> None:
    for name, offers in (("ana", 0), ("lea", 1)):
        person = window.fresh(name)
        person.sees(1)
        person.press("a")
        person.sees(2)
        person.press("k")
        person.sees(1)
        person.page.locator(".rv-history summary").click()
        gold = person.page.get_by_role("button", name="Make it a gold item")
        expect(gold).to_have_count(offers)
    gold.click()
    person.hears("This is a gold item now.")
    assert next(iter(window.site.work.store.rows())).gold
    window.check()


def test_the_label_is_chosen_with_the_arrow_keys(ana: Reviewer) -> None:
    ana.page.get_by_label("Real photo").focus()
    ana.press("ArrowDown", "Control+Enter")
    ana.sees(2)
    assert ana.newest().label is Verdict.GENERATED
