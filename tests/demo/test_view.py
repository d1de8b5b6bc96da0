from __future__ import annotations

import re
from dataclasses import astuple, replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from demo import view
from demo.examples import Example, list_examples, write_examples
from demo.progress import Phase, Progress, advance, data_url, opened
from demo.view import About, Page, render
from lte_core.images import read_image
from lte_core.inference.detector import Cropped, Done, ExamineText, Located, LocateText
from lte_core.provenance import Credentials, CredentialState, MetadataTag, Provenance, read_provenance
from lte_core.schema import (
    Box,
    Crop,
    Detection,
    ExamineResult,
    ImageInfo,
    LocateResult,
    ModelInfo,
    Region,
    Size,
    Verdict,
)
from tests.demo.fakes import scene_bytes

ABOUT = About("lte-fake", "A note about the model.", "model-card", (0.35, 0.65))
REGIONS = (
    Region(Box(200, 20, 400, 100), "sign"),
    Region(Box(40, 200, 200, 360), "hand"),
    Region(Box(420, 260, 600, 440), "basket"),
)
LOCATE = LocateResult("The light is natural.", REGIONS, Verdict.REAL, 0.31, "<first reply>")
CROPS = tuple(Crop(region.box, region.label, (n,)) for n, region in enumerate(REGIONS))
EXAMINE = ExamineResult("The sign [1] is no script.", Verdict.GENERATED, 0.94, "<second reply>")
DETECTION = Detection(
    ImageInfo("shop.jpg", "a" * 64, 640, 480), ModelInfo("lte-fake"), LOCATE, CROPS, EXAMINE, {"total": 1.4}
)
SOURCE = read_image(scene_bytes((64, 48)))
PROVENANCE = read_provenance(SOURCE)
CAMERA, TOOL = MetadataTag("EXIF", "Model", "Box 3", False), MetadataTag("EXIF", "Software", "<NovelAI>", True)
IMAGES = (Image.new("RGB", (40, 30)),) * 3


def seen(detection: Detection = DETECTION, name: str = "shop.jpg") -> Progress:
    """Everything that is known when the detection is done."""
    progress = opened(SOURCE, name, PROVENANCE)
    for event in (Located(detection.locate), Cropped(detection.crops, IMAGES[: len(detection.crops)]), Done(detection)):
        progress = advance(progress, event)
    return replace(progress, json='{"verdict": "generated"}')


def judged(**changes: object) -> Detection:
    """The detection with another second reply."""
    return replace(DETECTION, examine=replace(EXAMINE, **changes))  # type: ignore[arg-type]


class Tags(HTMLParser):
    """Every start tag with the names of its attributes, and all text."""

    def __init__(self, page: Page) -> None:
        super().__init__()
        self.tags: list[tuple[str, tuple[str, ...]]] = []
        self.text = ""
        self.feed("".join(astuple(page)))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, tuple(name for name, _ in attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


HOSTILE = st.one_of(
    st.text(max_size=60),
    st.sampled_from([
        "<script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "' onmouseover='alert(1)",
        "</pre></details><svg onload=alert(1)>",
        "${alert(1)} {{constructor}} `",
        "&lt;script&gt;",
    ]),
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(label=HOSTILE, words=HOSTILE, reply=HOSTILE, name=HOSTILE)
def test_no_text_becomes_markup(label: str, words: str, reply: str, name: str) -> None:
    """A visitor's and a model's words change what is said, never the elements that say it."""

    def page(label: str, words: str, reply: str, name: str) -> Page:
        regions = tuple(replace(region, label=label) for region in REGIONS)
        locate = replace(LOCATE, explanation=words, regions=regions, reply=reply)
        crops = tuple(replace(crop, label=label) for crop in CROPS)
        examine = replace(EXAMINE, explanation=words, reply=reply)
        detection = replace(DETECTION, locate=locate, crops=crops, examine=examine)
        about = replace(ABOUT, name=name, note=words)
        return render(replace(seen(detection, name), json=reply), about)

    plain = page("sign", "words", "reply", "name")
    words = re.sub(r"\[", "(", words)  # a reference to a box becomes a button on purpose
    assert Tags(page(label, words, reply, name)).tags == Tags(plain).tags


@given(text=HOSTILE)
def test_no_half_written_reply_becomes_markup(text: str) -> None:
    progress = opened(SOURCE, "shop.jpg", PROVENANCE)
    words = re.sub(r"\[", "(", text)
    for event in (LocateText(words), ExamineText(words)):
        tags = Tags(render(advance(progress, event), ABOUT)).tags
        assert all(not name.startswith("on") for _, names in tags for name in names)
        assert {"script", "svg"}.isdisjoint(tag for tag, _ in tags)
    failed = render(Progress(Phase.FAILED, problem=text), ABOUT)
    assert Tags(failed).tags == Tags(render(Progress(Phase.FAILED, problem="words"), ABOUT)).tags


@pytest.mark.parametrize(
    ("detection", "said", "not_said"),
    [
        pytest.param(DETECTION, ["Looks AI-generated", "94 %", "changed after examination"], [], id="flipped"),
        pytest.param(
            judged(verdict=Verdict.REAL, p_generated=0.12), ["Looks real", "12 %"], ["changed"], id="not flipped"
        ),
        pytest.param(
            judged(p_generated=0.58), ["Uncertain", "leans towards AI-generated", "58 %"], ["Looks AI"], id="uncertain"
        ),
        pytest.param(judged(p_generated=0.65), ["Looks AI-generated"], ["leans"], id="edge of the band"),
        pytest.param(judged(p_generated=0.999), ["over 99 %"], ["100"], id="never certain of generated"),
        pytest.param(
            judged(p_generated=0.001, verdict=Verdict.REAL), ["under 1 %"], ["0 %"], id="never certain of real"
        ),
        pytest.param(
            judged(p_generated=None), ["Looks AI-generated", "gives no confidence"], ["Estimated"], id="no confidence"
        ),
        pytest.param(
            judged(verdict=None, problem="The reply has no <verdict>."),
            ["No verdict", "could not be read", "The reply has no <verdict>."],
            ["Looks", "changed", "Estimated"],
            id="unreadable second reply",
        ),
        pytest.param(
            replace(DETECTION, locate=LocateResult("", (), None, None, "hm", "The reply has no boxes."), crops=()),
            ["unreadable", "The reply has no boxes.", "Looks AI-generated"],
            ["changed", "looked real"],
            id="unreadable first reply",
        ),
        pytest.param(
            replace(DETECTION, locate=replace(LOCATE, regions=()), crops=()),
            ["It marked no place to look at", "looked real"],
            ["magnifying"],
            id="no boxes",
        ),
    ],
)  # fmt: skip
def test_outcomes(detection: Detection, said: list[str], not_said: list[str]) -> None:
    text = Tags(render(seen(detection), ABOUT)).text.replace("\xa0", " ")
    assert [words for words in said if words not in text] == []
    assert [words for words in not_said if words in text] == []


def test_the_model_and_its_card_stand_beside_every_verdict() -> None:
    verdict = render(seen(), ABOUT).verdict
    assert 'href="model-card"' in verdict
    assert "A note about the model." in verdict
    assert "evidence to weigh, not proof" in render(seen(), About("other", "")).verdict


@pytest.mark.parametrize(("calibrated", "p", "told"), [(True, 0.94, False), (False, 0.94, True), (False, None, False)])
def test_a_confidence_that_nobody_calibrated_is_said_to_be_one(calibrated: bool, p: float | None, told: bool) -> None:
    page = render(seen(judged(p_generated=p)), replace(ABOUT, calibrated=calibrated))
    assert ("has not been calibrated" in page.verdict) is told


@pytest.mark.parametrize(
    ("tags", "said", "not_said"),
    [
        pytest.param((), ["Nobody signed."], ["generator"], id="none"),
        pytest.param((CAMERA,), ["EXIF Model: Box 3"], ["generator"], id="a camera"),
        pytest.param((CAMERA, TOOL), ["EXIF Software: <NovelAI>", "Anyone can write"], ["Box 3"], id="a generator"),
    ],
)
def test_provenance_is_shown_apart_from_the_verdict(
    tags: tuple[MetadataTag, ...], said: list[str], not_said: list[str]
) -> None:
    credentials = Credentials(CredentialState.UNTRUSTED, "Nobody signed.", claim_generator="<Tool>")
    page = render(replace(seen(), provenance=Provenance(credentials, tags)), ABOUT)
    text = Tags(page).text
    assert "not part of the verdict" in page.more
    assert [words for words in [*said, "Made with: <Tool>."] if words not in text] == []
    assert [words for words in not_said if words in text] == []
    assert all(words not in page.verdict for words in said)


@pytest.mark.parametrize(
    ("text", "buttons", "left"),
    [
        pytest.param("The sign [1] and the hand [2].", [1, 2], [], id="single"),
        pytest.param("Both [2, 3] are odd.", [2, 3], [], id="list"),
        pytest.param("[1][3]", [1, 3], [], id="adjacent"),
        pytest.param("Box [4] is not there.", [], ["[4]"], id="unknown number"),
        pytest.param("[1, 9]", [], ["[1, 9]"], id="partly unknown"),
        pytest.param("[0] [x] [] [1", [], ["[0]", "[x]", "[]", "[1"], id="no reference"),
    ],
)
def test_references_become_buttons(text: str, buttons: list[int], left: list[str]) -> None:
    verdict = render(seen(judged(explanation=text)), ABOUT).verdict
    assert [int(n) for n in re.findall(r'data-goto="lte-box-(\d+)"', verdict)] == buttons
    assert all(words in verdict for words in left)


def test_merged_boxes_share_the_number_of_their_crop_in_the_first_explanation_too() -> None:
    crops = (Crop(REGIONS[1].box, "hand", (1,)), Crop(REGIONS[0].box, "sign", (0, 2)))
    locate = replace(DETECTION.locate, explanation="[1] odd letters, [2] five fingers & [3] a <weave>")
    page = render(seen(replace(DETECTION, crops=crops, locate=locate)), ABOUT)
    first = page.more[page.more.index("First impression") :]
    assert re.findall(r'data-goto="lte-box-(\d)"', first) == ["2", "1", "2"]
    assert "five fingers &amp; " in first
    assert "a &lt;weave&gt;" in first
    assert re.findall(r'class="lte-box[^"]*"[^>]* data-n="(\d)"', page.stage) == ["2", "1", "2"]
    assert re.findall(r'id="(lte-box-\d)"', page.stage) == ["lte-box-2", "lte-box-1"]
    assert re.findall(r'aria-label="Box \d: ([^.]*)\.', page.stage) == ["sign", "hand", "sign"]
    assert re.findall(r'class="lte-crop"[^>]* data-n="(\d)"', page.crops) == ["1", "2"]


@pytest.mark.parametrize(
    ("box", "classes"),
    [
        pytest.param(Box(100, 200, 200, 300), set(), id="inside"),
        pytest.param(Box(100, 5, 200, 300), {"below"}, id="at the top"),
        pytest.param(Box(100, 0, 200, 480), {"tucked"}, id="full height"),
        pytest.param(Box(500, 200, 640, 300), {"end"}, id="at the right"),
        pytest.param(Box(-50, -50, 700, 500), {"tucked"}, id="beyond the picture"),
    ],
)
def test_a_box_stays_on_the_picture_and_its_tag_too(box: Box, classes: set[str]) -> None:
    html = view._box(box, "x", 1, Size(640, 480), first=True)
    found = re.search(r'class="lte-box([^"]*)"', html)
    assert found
    assert set(found[1].split()) == classes
    left, top, width, height = (float(v) for v in re.findall(r":(-?[\d.]+)%", html))
    assert 0 <= left <= left + width <= 100.01
    assert 0 <= top <= top + height <= 100.01


@pytest.mark.parametrize(
    ("events", "phase", "states", "status"),
    [
        pytest.param([], Phase.SCAN, ["now", "", ""], "Scanning", id="scan"),
        pytest.param([Located(LOCATE)], Phase.ZOOM, ["done", "now", ""], "Found 3 places", id="zoom"),
        pytest.param(
            [Located(replace(LOCATE, regions=()))], Phase.ZOOM, ["done", "now", ""], "Looking again", id="nothing found"
        ),
        pytest.param(
            [Located(LOCATE), Cropped(CROPS[:1], (Image.new("RGB", (9, 9)),))],
            Phase.EXAMINE, ["done", "done", "now"], "Examining 1 crop…", id="examine",
        ),
        pytest.param([Done(DETECTION)], Phase.DONE, ["done", "done", "done"], "Done in 1.4 s.", id="done"),
    ],
)  # fmt: skip
def test_steps(events: list[Located | Cropped | Done], phase: Phase, states: list[str], status: str) -> None:
    progress = opened(SOURCE, "shop.jpg", PROVENANCE)
    for event in events:
        progress = advance(progress, event)
    steps = render(progress, ABOUT).steps
    assert progress.phase is phase
    assert re.findall(r'<li class="(\w*)"', steps) == states
    assert status in steps
    assert f'data-phase="{phase}"' in steps


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        pytest.param("<expl", "", id="half a tag"),
        pytest.param("<explanation>The light", "The light", id="first words"),
        pytest.param("<explanation>The light.</explanation><boxes>[{", "The light.", id="boxes are not words"),
        pytest.param("<explanation>The light.</expl", "The light.", id="closing tag begun"),
        pytest.param("a < b is fine", "a < b is fine", id="a sign is no tag"),
        pytest.param("plain", "plain", id="no tags"),
    ],
)
def test_a_reply_is_readable_while_it_is_written(reply: str, words: str) -> None:
    assert view._spoken(reply) == words


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        pytest.param((2000, 1000), (500, 250), id="scaled down"),
        pytest.param((40, 30), (40, 30), id="never up"),
        pytest.param((1000, 2), (500, 1), id="thin"),
    ],
)
def test_pictures_travel_small(size: tuple[int, int], shown: tuple[int, int]) -> None:
    import base64
    import io

    url = data_url(Image.new("RGB", size), 500)
    assert Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).size == shown


def test_a_file_name_loses_its_folders() -> None:
    assert opened(SOURCE, "/home/someone/shop.jpg", PROVENANCE).name == "shop.jpg"


def test_examples_are_of_both_kinds_and_say_which(tmp_path: Path) -> None:
    examples = list_examples()
    assert [example.flawed for example in examples].count(True) == 3
    assert len(examples) == 6
    assert view.examples_html(examples).count("<img ") == 6
    (tmp_path / "odd.jpg").touch()
    with pytest.raises(ValueError, match="expected a name such as"):
        list_examples(tmp_path)
    assert view.examples_html([]) == ""
    hostile = view.examples_html([Example(tmp_path / '"><script>.jpg', "<script>", True)])
    assert "<script" not in hostile


def test_examples_can_be_drawn_anew(tmp_path: Path) -> None:
    write_examples(tmp_path)
    shipped = [(example.caption, example.flawed) for example in list_examples()]
    assert [(example.caption, example.flawed) for example in list_examples(tmp_path)] == shipped


def _tokens(dark: bool) -> dict[str, str]:
    css = Path(view.__file__).with_name("style.css").read_text()
    return {name: pair[dark] for name, *pair in re.findall(r"--([\w-]+): light-dark\((#\w+), (#\w+)\)", css)}


def _luminance(color: str) -> float:
    channels = (int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize(
    ("ink", "ground"),
    [(ink, ground) for ink in ("ink", "soft", "accent", "gen", "real", "unsure") for ground in ("paper", "card")]
    + [("on-accent", "accent"), ("paper", "ink")],
)
def test_every_text_has_contrast(ink: str, ground: str, dark: bool) -> None:
    """At least 4.5 to 1 (WCAG 2.2 AA)."""
    tokens = _tokens(dark)
    lighter, darker = sorted((_luminance(tokens[ink]), _luminance(tokens[ground])), reverse=True)
    assert (lighter + 0.05) / (darker + 0.05) >= 4.5
