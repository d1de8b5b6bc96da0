"""Unsaved edits on the Review tab, in a real Chromium: nothing that a person made is lost, or counts twice."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Route, expect

from review.records import Action, State
from tests.browser.reviewing import HAND, SIGN, TEXT, Reviewer, Window, actions, retype, reviewer

pytestmark = pytest.mark.browser
MINE = "Her own words about the hand."


@pytest.fixture
def bo(browser: Browser, window: Window, ana: Reviewer) -> Iterator[Reviewer]:
    """At the same sample as ana, whose lease has run out."""
    window.site.work.clock.forward(3600)
    with reviewer(browser, window.site, "bo") as bo:
        bo.sees(1)
        yield bo


def test_unsaved_edits_survive_a_reload(ana: Reviewer) -> None:
    ana.press("2", "Delete")
    retype(ana, MINE)
    ana.reload()
    ana.hears("Your unsaved edits are back.")
    expect(ana.page.locator(".rv-box")).to_have_count(1)
    expect(ana.page.get_by_label("Explanation")).to_have_value(MINE)
    ana.press("f")
    ana.sees(2)
    assert (ana.boxes(), ana.newest().explanation) == ([HAND], MINE)
    ana.press("u")
    ana.sees(1)
    expect(ana.page.get_by_label("Explanation")).to_have_value(TEXT)  # what is saved leaves no draft


def test_unsaved_edits_survive_the_end_of_the_sign_in(ana: Reviewer) -> None:
    retype(ana, MINE)
    ana.site.work.accounts.set_password("ana", "battery staple")  # ends her sign-ins
    ana.press("Control+Enter")
    expect(ana.page.get_by_role("alert").filter(has_text="your unsaved edits are kept")).to_be_visible()
    assert actions(ana.site) == []
    ana.sign_in("ana", "battery staple")
    ana.sees(1)
    expect(ana.page.get_by_label("Explanation")).to_have_value(MINE)
    ana.press("f")
    ana.sees(2)
    assert ana.newest().explanation == MINE
    ana.site.work.accounts.set_password("ana", "correct horse")


def test_unsaved_edits_are_not_shown_to_the_next_person_at_this_computer(ana: Reviewer) -> None:
    retype(ana, MINE)
    ana.page.get_by_role("button", name="Sign out").click()
    ana.sign_in("bo")
    ana.sees(1)
    expect(ana.page.get_by_label("Explanation")).to_have_value(TEXT)


def conflict(ana: Reviewer, bo: Reviewer) -> None:
    """bo rejects what ana is editing; she is told when she saves."""
    bo.press("r", "2")
    bo.sees(2)
    retype(ana, MINE)
    ana.press("Control+Enter")
    dialog = ana.page.get_by_role("dialog", name="Two versions")
    expect(dialog).to_contain_text("bo decided this sample meanwhile.")
    expect(dialog.locator("section").first).to_contain_text(TEXT)
    expect(dialog.locator("section").last).to_contain_text(MINE)
    assert actions(ana.site) == [("bo", Action.REJECT)]


def test_of_two_versions_mine_is_kept(ana: Reviewer, bo: Reviewer) -> None:
    conflict(ana, bo)
    ana.page.get_by_role("button", name="Keep mine").click()
    ana.sees(3)  # bo has the second one
    assert actions(ana.site) == [("bo", Action.REJECT), ("ana", Action.FIX)]
    assert (ana.newest().explanation, ana.boxes()) == (MINE, [HAND, SIGN])
    assert ana.site.work.store.counts().by_state[State.FIXED] == 1


def test_of_two_versions_theirs_is_taken(ana: Reviewer, bo: Reviewer) -> None:
    conflict(ana, bo)
    ana.page.get_by_role("button", name="Take theirs").click()
    ana.sees(3)
    assert actions(ana.site) == [("bo", Action.REJECT)]
    assert ana.site.work.store.counts().by_state[State.REJECTED] == 1


@pytest.mark.parametrize("way", ["button", "Escape"])
def test_from_two_versions_back_to_the_edits(ana: Reviewer, bo: Reviewer, way: str) -> None:
    conflict(ana, bo)
    if way == "button":
        ana.page.get_by_role("button", name="Back to my edits").click()
    else:
        ana.press("Escape")
    expect(ana.page.get_by_role("dialog")).to_have_count(0)
    ana.hears("Your edits are still here.")
    expect(ana.page.get_by_label("Explanation")).to_have_value(MINE)
    ana.reload()
    ana.press("k")
    assert actions(ana.site) == [("bo", Action.REJECT)]
    stored = ana.page.evaluate("JSON.stringify(localStorage)")
    assert MINE in stored


def test_keep_mine_of_an_accepted_sample_is_what_was_accepted(ana: Reviewer, bo: Reviewer) -> None:
    retype(bo, "What bo made of it.")
    bo.press("Control+Enter")
    bo.sees(2)
    ana.press("a")
    ana.page.get_by_role("button", name="Keep mine").click()
    ana.sees(3)
    assert actions(ana.site) == [("bo", Action.FIX), ("ana", Action.ACCEPT)]
    assert ana.decisions()[-1].revision == 1, "what she saw, not what bo made of it"


def test_a_decision_whose_answer_is_lost_counts_once(browser: Browser, window: Window) -> None:
    window.fresh()
    with reviewer(browser, window.site, "ana") as ana:
        ana.sees(1)
        retype(ana, MINE)
        ana.page.clock.install()
        lost: list[Route] = []

        def lose(route: Route) -> None:
            if lost:
                return route.continue_()
            route.fetch()
            return lost.append(route)  # and the page hears nothing

        ana.page.route("**/run/predict*", lose)
        ana.press("Control+Enter")
        while not lost:
            ana.page.wait_for_timeout(20)
        assert actions(ana.site) == [("ana", Action.FIX)]
        ana.page.clock.fast_forward(21_000)
        ana.hears("The server does not answer.")
        expect(ana.page.get_by_label("Explanation")).to_have_value(MINE)
        ana.press("Control+Enter")
        ana.sees(2)
        assert actions(ana.site) == [("ana", Action.FIX)]
