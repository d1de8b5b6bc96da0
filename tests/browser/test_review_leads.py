"""What is around the desk, in a real Chromium: samples in and out, progress, and a detection sent to the queue."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.reviewing import Window
from tests.browser.visits import PHONE

pytestmark = pytest.mark.browser


def test_a_lead_takes_the_reviewed_samples_away_and_brings_them_in_elsewhere(window: Window, tmp_path: Path) -> None:
    lea = window.fresh("lea")
    for number in (1, 2):
        lea.sees(number)
        lea.press("a")
    lea.sees(3)
    lea.page.get_by_role("button", name="For leads").click()
    lea.page.get_by_label("Label Studio").check()
    with lea.page.expect_download() as waiting:
        lea.page.get_by_role("link", name="Export").click()
    waiting.value.save_as(tmp_path / "out.zip")
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        names = archive.namelist()
        manifest = next(name for name in names if name.endswith("manifest.jsonl"))
        assert len(archive.read(manifest).splitlines()) == 2
        assert any(name.endswith("label-studio.json") for name in names)
        assert not any(name.endswith("coco.json") for name in names)
    lea.page.get_by_label("Zip file").set_input_files(tmp_path / "out.zip")
    lea.page.get_by_role("button", name="Import", exact=True).click()
    expect(lea.page.locator(".rv-told")).to_contain_text("0 samples are new, 2 were there already, 0 lines were bad.")
    window.check()


def test_progress_and_agreement_are_drawn_for_a_lead(window: Window) -> None:
    lea = window.fresh("lea")
    lea.press("a")
    lea.sees(2)
    lea.page.get_by_role("button", name="Progress").click()
    expect(lea.page.get_by_role("row", name="lea 1 1 0 0 1")).to_be_visible()
    expect(lea.page.locator("#rv-progress svg", has_text="Samples by state")).to_be_visible()
    expect(lea.page.locator("#rv-progress svg", has_text="Decisions by hour")).to_be_visible()
    lea.page.get_by_role("button", name="For leads").click()
    lea.page.get_by_role("button", name="Work out agreement and audit").click()
    expect(lea.page.locator("#rv-audit-said")).to_contain_text("Kept samples: 1, unchanged 1")
    lea.page.set_viewport_size(PHONE)
    assert lea.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    window.check()


def test_an_annotator_sees_their_own_progress_and_nothing_for_leads(window: Window) -> None:
    ana = window.fresh("ana")
    ana.sees(1)
    expect(ana.page.get_by_role("button", name="Progress")).to_be_visible()
    expect(ana.page.get_by_role("button", name="For leads")).to_be_hidden()
    window.check()


def test_a_detection_is_sent_to_the_queue_by_who_is_signed_in(window: Window) -> None:
    ana = window.fresh("ana", samples=1)
    ana.sees(1)
    ana.page.get_by_role("tab", name="Detection").click()
    ana.page.locator("[data-example]").first.click()
    expect(ana.page.locator('#lte-steps [data-phase="done"]')).to_be_visible(timeout=15_000)
    ana.page.get_by_role("button", name="Review this").click()
    expect(ana.page.get_by_text("It is in the review queue now.")).to_be_visible()
    ana.open_tab()
    ana.press("a")
    expect(ana.page.locator(".rv-history summary")).to_contain_text("detection-")
    expect(ana.page.locator(".rv-history")).to_contain_text("detection: ")
    window.check()


def test_a_stranger_is_not_offered_to_send_one(window: Window) -> None:
    stranger = window.fresh()
    stranger.page.get_by_role("tab", name="Detection").click()
    stranger.page.locator("[data-example]").first.click()
    expect(stranger.page.locator('#lte-steps [data-phase="done"]')).to_be_visible(timeout=15_000)
    expect(stranger.page.get_by_role("button", name="Review this")).to_be_hidden()
    window.check()
