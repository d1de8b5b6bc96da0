"""A reviewer at the Review tab: what they do there, and the samples that they find. A box is [x1, y1, x2, y2]."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, expect
from sqlalchemy import delete

from lte_core.schema import Box, Region
from review.database import writing
from review.records import Action, Content, Decision
from review.tables import DecisionRow, FailureRow, RevisionRow, SampleRow, SessionRow
from tests.browser.visits import DESKTOP, Visit, visit
from tests.review.conftest import PASSWORD
from tests.review.site import Site, reviewed_site, with_picture

SIZE = (640, 480)
HAND = (64.25, 48.5, 224.75, 208.125)
SIGN = (400.1, 96.2, 560.3, 240.7)
REGIONS = (Region(Box(*HAND), "hand"), Region(Box(*SIGN), "sign"))
TEXT = "The hand has six fingers."


def put_samples(site: Site, count: int = 3, **changes: Any) -> None:
    """These samples and no others, each with a hand and a sign; their ids in the store are 1, 2, 3. No one is in."""
    with writing(site.work.store.engine) as session:
        for table in (DecisionRow, RevisionRow, SampleRow, SessionRow, FailureRow):
            session.execute(delete(table))
    plain = {"explanation": TEXT, "regions": REGIONS}
    site.work.store.add([with_picture(site.media, number, SIZE, **plain | changes) for number in range(count)])


@dataclass
class Reviewer:
    """One person's page."""

    page: Page
    site: Site

    def sign_in(self, name: str, password: str = PASSWORD) -> None:
        self.page.get_by_label("Name").fill(name)
        self.page.get_by_label("Password").fill(password)
        self.page.get_by_role("button", name="Sign in").click()

    def open_tab(self) -> None:
        self.page.get_by_role("tab", name="Review").click()

    def enter(self, name: str) -> None:
        """To the Review tab; with a name, signed in."""
        self.open_tab()
        if name:
            self.sign_in(name)
            expect(self.page.locator(".rv-bar")).to_be_visible()

    def reload(self) -> None:
        self.page.reload()
        self.open_tab()

    def sees(self, number: int) -> None:
        """The sample with this id in the store is on the desk, and its picture too."""
        expect(self.page.locator(".rv-history summary")).to_contain_text(f"sample-{number - 1:05d}")

    def hears(self, sentence: str) -> None:
        expect(self.page.locator(".rv-live")).to_contain_text(sentence)

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def box(self, number: int) -> Locator:
        return self.page.locator(f'.rv-box[data-box="{number - 1}"]')

    def on_screen(self, x: float, y: float) -> tuple[float, float]:
        """Where a pixel of the picture is, while all of it is shown."""
        stage = self.page.locator(".rv-stage").bounding_box()
        assert stage
        return stage["x"] + x * stage["width"] / SIZE[0], stage["y"] + y * stage["height"] / SIZE[1]

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """With the mouse, from one pixel of the picture to another."""
        self.page.locator(".rv-stage").scroll_into_view_if_needed()
        mouse = self.page.mouse
        mouse.move(*self.on_screen(*start))
        mouse.down()
        mouse.move(*self.on_screen(*end), steps=4)
        mouse.up()

    def touch(self, *path: tuple[float, float]) -> None:
        """With one finger, from one point of the screen to the next."""
        fingers = self.page.context.new_cdp_session(self.page)
        fingers.send("Emulation.setTouchEmulationEnabled", {"enabled": True, "maxTouchPoints": 2})
        for number, (x, y) in enumerate(path):
            kind = "touchMove" if number else "touchStart"
            fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y}]})
        fingers.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        fingers.send("Emulation.setTouchEmulationEnabled", {"enabled": False})
        fingers.detach()

    def tap(self, target: Locator) -> None:
        target.scroll_into_view_if_needed()
        place = target.bounding_box()
        assert place
        self.touch((place["x"] + place["width"] / 2, place["y"] + place["height"] / 2))

    def decisions(self, number: int = 1) -> tuple[Decision, ...]:
        return self.site.work.store.decisions(number)

    def newest(self, number: int = 1) -> Content:
        """The newest revision of a sample in the store."""
        return self.site.work.store.revisions(number)[-1].content

    def boxes(self, number: int = 1) -> list[tuple[float, ...]]:
        return [region.box.xyxy for region in self.newest(number).regions]


@contextmanager
def reviewer(browser: Browser, site: Site, name: str = "") -> Iterator[Reviewer]:
    """A browser of their own on the Review tab. At the end nothing has left the machine or gone wrong."""
    seen = visit(browser, site.url)
    seen.page.on("console", lambda message: seen.errors.extend(_complaints(message)))
    person = Reviewer(seen.page, site)
    person.enter(name)
    yield person
    seen.page.context.close()
    assert seen.outside == []
    assert seen.errors == []


def _complaints(message: ConsoleMessage) -> list[str]:
    refused = "Failed to load resource" in message.text  # an answer, too: a wrong password, a missing picture
    return [message.text] if message.type == "error" and not refused else []


@dataclass(frozen=True)
class Window:
    """A browser and a site that serve all tests of a module, for each as if new: to open both anew takes seconds."""

    visit: Visit
    site: Site

    def fresh(self, name: str = "", samples: int = 3, **changes: Any) -> Reviewer:
        """One more reviewer at an empty desk with these samples."""
        put_samples(self.site, samples, **changes)
        page = self.visit.page
        page.set_viewport_size(DESKTOP)
        page.context.clear_cookies()
        page.reload()
        page.evaluate("localStorage.clear()")
        person = Reviewer(page, self.site)
        person.enter(name)
        return person

    def check(self) -> None:
        assert self.visit.outside == []
        errors = self.visit.errors.copy()
        self.visit.errors.clear()
        assert errors == []


@contextmanager
def open_window(browser: Browser, folder: Path) -> Iterator[Window]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(folder / "uploads"))
        with reviewed_site(folder, samples=0) as site:
            seen = visit(browser, site.url)
            seen.page.on("console", lambda message: seen.errors.extend(_complaints(message)))
            yield Window(seen, site)
            seen.page.context.close()


def actions(site: Site, number: int = 1) -> list[tuple[str, Action]]:
    return [(decision.person, decision.action) for decision in site.work.store.decisions(number)]


def retype(person: Reviewer, text: str) -> None:
    person.page.get_by_label("Explanation").fill(text)
    expect(person.page.locator(".rv-edits")).to_have_text("unsaved edits")


def near(box: Sequence[float]) -> Any:
    """Equal within one pixel."""
    return pytest.approx(tuple(box), abs=1)
