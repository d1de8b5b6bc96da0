"""One Chromium and one app for all browser tests of a module."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from lte_core.images import ImageLimits
from lte_core.intake import MIB, Intake
from tests.browser.reviewing import Reviewer, Window, open_window
from tests.browser.visits import Visit, visit
from tests.demo.fakes import FakeVLM, Script, served

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def vlm() -> FakeVLM:
    return FakeVLM()


@pytest.fixture(scope="module")
def url(vlm: FakeVLM, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    card = tmp_path_factory.mktemp("model") / "README.md"
    card.write_text("# lte-fake\nA scripted model.")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("uploads")))
        intake = Intake(ImageLimits(max_bytes=12 * MIB))  # not the default, to see that the page follows
        with served(vlm, card=card, most_waiting=1, intake=intake) as url:
            yield url


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-dev-shm-usage", "--use-fake-device-for-media-stream"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield browser
        browser.close()


@pytest.fixture(autouse=True)
def script(vlm: FakeVLM) -> Iterator[None]:
    vlm.script = Script()
    yield
    vlm.script = Script()


@pytest.fixture
def visitor(browser: Browser, url: str) -> Iterator[Visit]:
    seen = visit(browser, url)
    yield seen
    seen.page.context.close()
    assert seen.outside == []
    assert seen.errors == []


@pytest.fixture(scope="module")
def window(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Window]:
    with open_window(browser, tmp_path_factory.mktemp("review")) as window:
        yield window


@pytest.fixture
def ana(window: Window) -> Iterator[Reviewer]:
    ana = window.fresh("ana")
    ana.sees(1)
    yield ana
    window.check()
