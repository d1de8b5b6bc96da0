"""The Detection page in a real Chromium, at a real server, with a model that follows a script."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser, FilePayload, expect

from tests.browser.visits import DESKTOP, PHONE, SMALL_PHONE, TABLET, Visit, visit
from tests.demo.fakes import BROKEN_SERVER, FakeVLM, Script, scene, scene_bytes

pytestmark = pytest.mark.browser


def test_a_dropped_picture_is_scanned_examined_and_judged(visitor: Visit) -> None:
    page = visitor.page
    visitor.drop(scene_bytes())
    visitor.reaches("done")
    expect(page.locator(".lte-stage img")).to_have_js_property("naturalWidth", 640)
    expect(page.locator(".lte-box")).to_have_count(3)
    expect(page.locator(".lte-crop")).to_have_count(3)
    expect(page.locator(".lte-verdict h2")).to_have_text(re.compile("Looks AI-generated"))
    expect(page.locator(".chip.flip")).to_have_text("changed after examination")
    expect(page.get_by_role("meter")).to_have_attribute("aria-valuenow", "94")
    expect(page.locator(".lte-verdict .words button")).to_have_text(["1", "2", "3"])
    expect(page.get_by_text("Where it comes from")).to_be_visible()
    expect(page.locator("#lte-stop")).to_be_hidden()
    box, picture = page.locator("#lte-box-2").bounding_box(), page.locator(".lte-stage img").bounding_box()
    assert box
    assert picture
    assert (box["x"] - picture["x"]) / picture["width"] == pytest.approx(0.08, abs=0.01)
    assert box["height"] / picture["height"] == pytest.approx(0.33, abs=0.01)
    page.get_by_text("Both replies, word for word").click()
    expect(page.locator("pre").first).to_contain_text("<explanation>")
    page.get_by_text("The result as JSON").click()
    expect(page.locator("pre").last).to_contain_text('"schema": "lte-detection/1"')


def test_the_report_is_one_file_that_stands_alone(visitor: Visit, tmp_path: Path) -> None:
    visitor.drop(scene_bytes())
    visitor.reaches("done")
    with visitor.page.expect_download() as waiting:
        visitor.page.locator("#lte-report").click()
    assert re.fullmatch(r"lte-report-[0-9a-f]{12}\.html", waiting.value.suggested_filename)
    waiting.value.save_as(tmp_path / "report.html")
    report = (tmp_path / "report.html").read_text()
    assert "are no letters of any script" in report
    assert "data:image/jpeg;base64," in report
    assert not re.search(r'(?:src|href)="(?!data:|#)', report)


def test_a_number_lights_up_wherever_it_stands(visitor: Visit) -> None:
    page = visitor.page
    visitor.drop(scene_bytes())
    visitor.reaches("done")

    def lit() -> dict[str, set[str]]:
        value = "(e) => getComputedStyle(e).getPropertyValue('--lit')"
        return {n: {e.evaluate(value) for e in page.locator(f'[data-n="{n}"]').all()} for n in "123"}

    sources = ["#lte-box-2", "#lte-crop-2", '.lte-verdict .words [data-n="2"]']
    for source in sources:
        page.locator(source).hover()
        assert lit() == {"1": {""}, "2": {"1"}, "3": {""}}, f"pointer over {source}"
    page.mouse.move(1, 1)
    assert lit() == {"1": {""}, "2": {""}, "3": {""}}
    page.locator("#lte-pick").focus()
    for source in sources:
        for _ in range(40):
            page.keyboard.press("Tab")
            if page.evaluate("(selector) => document.activeElement.matches(selector)", source):
                break
            if page.evaluate("document.activeElement === document.body"):
                page.locator(".lte-box").first.focus()
        assert lit() == {"1": {""}, "2": {"1"}, "3": {""}}, f"focus on {source}"


def test_a_number_leads_to_its_box_and_the_box_to_its_crop(visitor: Visit) -> None:
    page = visitor.page
    visitor.drop(scene_bytes())
    visitor.reaches("done")
    page.locator('.lte-verdict .words [data-n="3"]').click()
    expect(page.locator("#lte-box-3")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#lte-crop-3")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#lte-box-3")).to_be_focused()


def test_stop_ends_the_work(visitor: Visit, vlm: FakeVLM) -> None:
    vlm.script = Script(pace_s=0.05)
    finished = vlm.finished
    visitor.drop(scene_bytes())
    visitor.reaches("examine")
    visitor.page.locator("#lte-stop").click()
    visitor.reaches("stopped")
    expect(visitor.page.locator(".lte-verdict h2")).to_have_text("Stopped")
    expect(visitor.page.locator(".lte-box")).to_have_count(3)  # what was found stays
    for _ in range(100):
        if not vlm.writing:
            break
        visitor.page.wait_for_timeout(50)
    assert (vlm.writing, vlm.finished) == (0, finished)
    expect(visitor.page.locator(".lte-verdict h2")).to_have_text("Stopped")
    vlm.script = Script()
    visitor.drop(scene_bytes())
    visitor.reaches("done")


def test_a_second_picture_ends_the_first(visitor: Visit, vlm: FakeVLM) -> None:
    vlm.script = Script(pace_s=0.1)
    opened, finished = vlm.opened, vlm.finished
    visitor.drop(scene_bytes())
    visitor.reaches("scan", "examine")
    vlm.script = Script(examine="<explanation>Second.</explanation><verdict>real</verdict>", p_examine=0.1)
    visitor.drop(scene_bytes((320, 320)), "second.jpg")
    visitor.reaches("done")
    expect(visitor.page.locator(".lte-verdict h2")).to_have_text(re.compile("Looks real"))
    expect(visitor.page.locator(".lte-stage img")).to_have_attribute("alt", re.compile(r"second\.jpg"))
    assert (vlm.opened - opened, vlm.finished - finished) == (2, 1)


def test_visitors_wait_in_line_and_are_told_when_it_is_full(browser: Browser, url: str, vlm: FakeVLM) -> None:
    vlm.script = Script(pace_s=0.25)
    first, second, third = visitors = [visit(browser, url) for _ in range(3)]
    first.drop(scene_bytes())
    first.reaches("scan")
    second.drop(scene_bytes())
    second.reaches("waiting")
    expect(second.page.get_by_text(re.compile(r"queue: 1/1"))).to_be_visible()
    third.drop(scene_bytes())
    third.reaches("failed")
    expect(third.page.get_by_role("alert").filter(has_text="Many pictures are waiting")).to_be_visible()
    vlm.script = Script()
    first.page.locator("#lte-stop").click()
    second.reaches("done")
    third.drop(scene_bytes((300, 300)))
    third.reaches("done")
    for visitor in visitors:
        assert visitor.errors == []
        visitor.page.context.close()


def test_stop_while_waiting(browser: Browser, url: str, vlm: FakeVLM) -> None:
    vlm.script = Script(pace_s=0.1)
    opened = vlm.opened
    first, second = visitors = [visit(browser, url) for _ in range(2)]
    first.drop(scene_bytes())
    first.reaches("scan")
    second.drop(scene_bytes())
    second.reaches("waiting")
    second.page.locator("#lte-stop").click()
    second.reaches("stopped")
    first.page.locator("#lte-stop").click()
    first.reaches("stopped")
    second.page.wait_for_timeout(500)
    second.reaches("stopped")
    assert vlm.opened - opened == 1
    for visitor in visitors:
        visitor.page.context.close()


def test_leaving_the_page_ends_the_work(browser: Browser, url: str, vlm: FakeVLM) -> None:
    vlm.script = Script(pace_s=0.1)
    finished = vlm.finished
    leaving, staying = visit(browser, url), visit(browser, url)
    leaving.drop(scene_bytes())
    leaving.reaches("scan")
    leaving.page.context.close()
    vlm.script = Script()
    staying.drop(scene_bytes())
    staying.reaches("done")
    assert vlm.finished - finished == 1
    staying.page.context.close()


WRONG_FILES = (
    ("paper.pdf", "application/pdf", b"%PDF-1.7 " + b"x" * 900, "PDF"),
    ("notes.txt", "text/plain", b"words " * 200, "not a picture"),
    ("phone.heic", "", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 900, "HEIC"),
    ("cut.jpg", "image/jpeg", scene_bytes()[:2000], "damaged"),
    ("empty.jpg", "image/jpeg", b"", "empty"),
)


def test_a_wrong_file_is_answered_with_what_to_do(visitor: Visit) -> None:
    for name, kind, content, said in WRONG_FILES:
        visitor.drop(content, name, kind)
        expect(visitor.page.locator(".lte-verdict [role=alert]")).to_contain_text(said)
        visitor.reaches("failed")
        assert "Traceback" not in visitor.page.content()
    visitor.drop(scene_bytes())
    visitor.reaches("done")


def test_a_file_over_the_limit_is_not_even_sent(visitor: Visit) -> None:
    expect(visitor.page.locator(".lte-drop small")).to_contain_text("up to 12 MB")
    huge: FilePayload = {"name": "huge.jpg", "mimeType": "image/jpeg", "buffer": bytes(13 * 2**20)}
    visitor.page.locator('input[type="file"][data-testid$="-upload-button"]').first.set_input_files(huge)
    expect(visitor.page.locator("#lte-notice")).to_contain_text("larger than 12 MB")
    expect(visitor.page.locator("#lte-steps [role=status]")).to_have_text("Ready for a picture.")
    visitor.page.evaluate("document.querySelector('#lte-notice').textContent = ''")
    visitor.page.evaluate(
        """() => {
          const data = new DataTransfer();
          data.items.add(new File([new Uint8Array(13 * 2 ** 20)], "huge.jpg", { type: "image/jpeg" }));
          document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
        }"""
    )
    expect(visitor.page.locator("#lte-notice")).to_contain_text("larger than 12 MB")
    visitor.reaches("empty")


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        pytest.param(BROKEN_SERVER, "does not answer. Start it", id="the model says why"),
        pytest.param(ValueError("key=8472"), "Something went wrong on the server", id="a bug"),
    ],
)
def test_trouble_with_the_model(visitor: Visit, vlm: FakeVLM, broken: Exception, said: str) -> None:
    vlm.script = Script(broken=broken)
    visitor.drop(scene_bytes())
    visitor.reaches("failed")
    expect(visitor.page.locator(".lte-verdict [role=alert]")).to_contain_text(said)
    assert "8472" not in visitor.page.content()
    vlm.script = Script()
    visitor.drop(scene_bytes((300, 300)))
    visitor.reaches("done")


HOSTILE = "\"'><img src=x onerror=alert(1)><svg onload=alert(1)><script>alert(1)</script>${alert(1)}{{alert(1)}}"


def test_hostile_text_stays_text(visitor: Visit, vlm: FakeVLM) -> None:
    label = HOSTILE.replace('"', '\\"').replace("{", "(").replace("}", ")")
    vlm.script = Script(
        locate=f'<explanation>{HOSTILE}</explanation><boxes>[{{"bbox_2d":[300,60,700,260],"label":"{label}"}}]</boxes>'
        "<verdict>real</verdict>",
        examine=f"<explanation>{HOSTILE} [1]</explanation><verdict>generated</verdict>",
    )
    visitor.drop(scene_bytes(), name=f"{HOSTILE}.jpg")
    visitor.reaches("done")
    expect(visitor.page.locator(".lte-verdict .words")).to_contain_text("<img src=x onerror=alert(1)>")
    visitor.page.get_by_text("The result as JSON").click()
    visitor.page.wait_for_timeout(300)
    assert visitor.page.evaluate("window.fired") == 0
    assert visitor.page.locator("#lte-app script, #lte-app img[onerror], #lte-app [onload]").count() == 0


def test_what_would_be_injected_could_not_run_nor_tell(visitor: Visit) -> None:
    """The second line of defence: even markup in the page has no working event handler and reaches no other host."""
    visitor.page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=alert(1)>')")
    told = visitor.page.evaluate("fetch('http://127.0.0.1:9/').then(() => 'told', (e) => e.name)")
    visitor.page.wait_for_timeout(300)
    assert visitor.page.evaluate("window.fired") == 0
    assert told == "TypeError"
    visitor.outside.clear()


def test_examples_paste_and_camera_lead_to_the_same_door(visitor: Visit) -> None:
    page = visitor.page
    page.route("**/examples/*", lambda route: route.abort())
    page.locator("[data-example]").first.click()
    expect(page.locator("#lte-notice")).to_contain_text("could not be loaded")
    page.unroute("**/examples/*")
    page.locator("[data-example]").first.click()
    visitor.reaches("done")
    expect(page.locator(".lte-stage img")).to_have_attribute("alt", re.compile(r"desk-flawed\.jpg"))
    page.evaluate(
        """async () => {
          const canvas = Object.assign(document.createElement("canvas"), { width: 200, height: 100 });
          canvas.getContext("2d").fillRect(0, 0, 90, 90);
          const blob = await new Promise((done) => canvas.toBlob(done, "image/png"));
          await navigator.clipboard.write([new ClipboardItem({ "image/png": blob })]);
        }"""
    )
    page.get_by_role("button", name="Paste").click()
    expect(page.locator(".lte-stage img")).to_have_attribute("alt", re.compile("pasted picture"))
    visitor.reaches("done")
    page.get_by_role("button", name="Camera").click()
    expect(page.locator("dialog video")).to_have_js_property("readyState", 4)
    page.get_by_role("button", name="Take picture").click()
    expect(page.locator(".lte-stage img")).to_have_attribute("alt", re.compile(r"camera\.jpg"))
    expect(page.locator("dialog")).to_have_count(0)


def test_nothing_is_wider_than_the_screen(browser: Browser, url: str, vlm: FakeVLM) -> None:
    long = "Donaudampfschifffahrtsgesellschaftskapitänsmützenabzeichen" * 3
    vlm.script = Script(
        locate=f'<explanation>{long}</explanation><boxes>[{{"bbox_2d":[5,400,60,500],"label":"{long}"}},'
        f'{{"bbox_2d":[940,5,999,60],"label":"{long}"}}]</boxes><verdict>real</verdict>',
        examine=f"<explanation>{long} [1]</explanation><verdict>generated</verdict>",
    )
    visitor = visit(browser, url, PHONE)
    for phase in ("empty", "done"):
        if phase == "done":
            visitor.drop(scene_bytes(), f"{long}.jpg")
        visitor.reaches(phase)
        for size in (PHONE, SMALL_PHONE, TABLET, DESKTOP):
            visitor.page.set_viewport_size(size)
            assert visitor.page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    visitor.page.context.close()


def test_on_a_phone_the_verdict_comes_before_the_crops(browser: Browser, url: str) -> None:
    visitor = visit(browser, url, PHONE)
    visitor.drop(scene_bytes())
    visitor.reaches("done")
    expect(visitor.page.locator("#lte-report")).to_be_visible()
    tops = [
        visitor.page.locator(part).bounding_box()["y"]  # type: ignore[index]
        for part in (".lte-stage", ".lte-verdict", ".lte-crops", "#lte-more", "#lte-report", ".lte-examples")
    ]
    assert tops == sorted(tops)
    visitor.page.context.close()


@pytest.mark.parametrize(
    ("path", "scheme", "dark"),
    [
        pytest.param("/", "light", False, id="light system"),
        pytest.param("/", "dark", True, id="dark system"),
        pytest.param("/?__theme=dark", "light", True, id="asked for dark"),
        pytest.param("/?__theme=light", "dark", False, id="asked for light"),
    ],
)
def test_both_themes_follow_the_visitor(browser: Browser, url: str, path: str, scheme: str, dark: bool) -> None:
    visitor = visit(browser, url, path=path, color_scheme=scheme)
    paper = visitor.page.evaluate("getComputedStyle(document.querySelector('.gradio-container')).backgroundColor")
    assert paper == ("rgb(20, 20, 19)" if dark else "rgb(251, 250, 247)")
    visitor.page.context.close()


def test_the_model_card_is_one_click_away(visitor: Visit) -> None:
    with visitor.page.context.expect_page() as opened:
        visitor.page.get_by_role("link", name="lte-fake").click()
    expect(opened.value.get_by_role("heading", name="lte-fake")).to_be_visible()
    assert opened.value.url.endswith("/model-card")


def test_the_way_from_the_first_key_to_the_verdict_needs_no_pointer(visitor: Visit, tmp_path: Path) -> None:
    page = visitor.page
    scene((400, 300)).save(tmp_path / "keys.png")
    page.on("filechooser", lambda _: None)  # early: a key is pressed faster than Chromium learns of the listener
    page.locator("#lte-pick").focus()
    expect(page.locator("#lte-pick")).to_be_focused()
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files(tmp_path / "keys.png")
    visitor.reaches("done")
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll("#lte-app :is(button, a, input:not([type=file]))")]
          .filter((e) => e.checkVisibility() && !(e.ariaLabel || e.innerText.trim())).map((e) => e.outerHTML)"""
    )
    assert unnamed == []
    assert page.locator("#lte-app img:not([alt])").count() == 0
    assert page.locator("#lte-steps [role=status]").inner_text().startswith("Done in")


def test_outcomes_without_a_confidence_or_a_verdict(visitor: Visit, vlm: FakeVLM) -> None:
    vlm.script = Script(p_locate=None, p_examine=None)
    visitor.drop(scene_bytes())
    visitor.reaches("done")
    expect(visitor.page.get_by_text("gives no confidence")).to_be_visible()
    vlm.script = replace(Script(), examine="I would rather not say.")
    visitor.drop(scene_bytes((300, 300)))
    expect(visitor.page.locator(".lte-verdict h2")).to_have_text(re.compile("No verdict"))
    expect(visitor.page.locator(".lte-box")).to_have_count(3)
