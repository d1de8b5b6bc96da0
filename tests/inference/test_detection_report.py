"""The JSON schema that others rely on, and the HTML page that people read."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from lte_core.images import SourceImage, read_image
from lte_core.inference.checkpoint import Checkpoint
from lte_core.inference.detector import Failure, LocateThenExamine
from lte_core.inference.report import from_json, to_json
from lte_core.inference.report_html import failure_section, to_html
from lte_core.provenance import Credentials, CredentialState, MetadataTag, Provenance
from lte_core.schema import Detection
from tests.conftest import EXAMINE, LOCATE, FakeVLM, png, scripted

HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>&amp;\udcff"


@pytest.fixture
def detection(source: SourceImage) -> Detection:
    found = LocateThenExamine(FakeVLM()).detect(source, "holiday/a.png")
    return replace(found, timings_s={"locate": 0.5, "examine": 0.25, "total": 0.75})


def test_the_schema_is_pinned(detection: Detection) -> None:
    assert to_json(detection) == {
        "schema": "lte-detection/1",
        "image": {"path": "holiday/a.png", "sha256": detection.image.sha256, "width": 100, "height": 80},
        "model": {"name": "fake-vlm", "sha256": "ab" * 32},
        "locate": {
            "explanation": "The lettering and the hand deserve a closer look.",
            "regions": [
                {"bbox": [10.0, 10.0, 60.0, 40.0], "label": "shop sign"},
                {"bbox": [70.0, 20.0, 95.0, 70.0], "label": "hand"},
            ],
            "verdict": "real",
            "p_generated": 0.4,
            "reply": LOCATE,
            "problem": None,
        },
        "crops": [
            {"bbox": [5, 7, 65, 43], "label": "shop sign", "regions": [0]},
            {"bbox": [67, 15, 98, 75], "label": "hand", "regions": [1]},
        ],
        "examine": {
            "explanation": "The letters [1] are none; the hand [2] is sound.",
            "verdict": "generated",
            "p_generated": 0.9,
            "reply": EXAMINE,
            "problem": None,
        },
        "verdict": "generated",
        "p_generated": 0.9,
        "flipped": True,
        "timings_s": {"locate": 0.5, "examine": 0.25, "total": 0.75},
        "provenance": None,
        "error": None,
    }


def test_the_readme_names_every_field(detection: Detection) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    told = readme[readme.index("A line of JSON") :][:900]
    record = to_json(detection)
    assert [name for name in record if f"`{name}`" not in told] == []
    inside = {*record["image"], *record["model"], *record["locate"], *record["crops"][0], *record["examine"]}
    assert [name for name in sorted(inside) if name not in told] == []


def test_a_failure_is_a_line_with_its_error() -> None:
    record = to_json(Failure("a.png", "The file is empty."))
    assert record == {"schema": "lte-detection/1", "image": {"path": "a.png"}, "error": "The file is empty."}
    assert from_json(record) == Failure("a.png", "The file is empty.")


@pytest.mark.parametrize(
    "vlm",
    [
        pytest.param(FakeVLM(), id="flipped"),
        pytest.param(FakeVLM(scripted("?", "?")), id="unreadable"),
        pytest.param(FakeVLM(scripted(p_locate=None, p_examine=None)), id="no-confidence"),
        pytest.param(FakeVLM(scripted(examine=f"<explanation>{HOSTILE}</explanation><verdict>real")), id="hostile"),
    ],
)
def test_what_is_written_comes_back(source: SourceImage, vlm: FakeVLM) -> None:
    found = LocateThenExamine(vlm).detect(source, "caf\udce9.png")
    assert from_json(json.loads(json.dumps(to_json(found)))) == found


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        pytest.param(lambda r: r.update(schema="lte-detection/2"), "lte-detection/2", id="another-schema"),
        pytest.param(lambda r: r.pop("schema"), "None", id="no-schema"),
        pytest.param(lambda r: r.pop("examine"), "examine", id="field-missing"),
        pytest.param(lambda r: r["image"].pop("sha256"), "sha256", id="inner-field-missing"),
        pytest.param(lambda r: r["examine"].update(verdict="fake"), "fake", id="another-verdict"),
        pytest.param(lambda r: r["crops"][0].update(bbox=[1, 2, 3]), "y2", id="half-a-box"),
        pytest.param(lambda r: r.update(locate=None), "NoneType", id="wrong-type"),
    ],
)
def test_a_record_that_is_not_one_is_refused(
    detection: Detection, spoil: Callable[[dict[str, Any]], object], named: str
) -> None:
    record = to_json(detection)
    spoil(record)
    with pytest.raises(ValueError, match=named):
        from_json(record)


class Page(HTMLParser):
    """The tags of a page with their attributes, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def values(self, name: str) -> Iterator[str]:
        return (attributes[name] or "" for _, attributes in self.tags if name in attributes)


def test_the_page_says_what_was_found(detection: Detection, source: SourceImage) -> None:
    checkpoint = Checkpoint(note="A toy.", card="https://example.org/card")
    page = Page(to_html(detection, source, None, checkpoint))
    for words in (
        "holiday/a.png", "Looks AI-generated", "changed after examination", "90 %", "looked real · 40 % generated",
        "are none; the hand", "shop sign", "A toy.", detection.image.sha256, "ab" * 32, LOCATE, EXAMINE,
    ):  # fmt: skip
        assert words in page.text
    assert "https://example.org/card" in page.values("href")


def test_numbers_lead_from_words_to_crops_to_boxes(detection: Detection, source: SourceImage) -> None:
    page = Page(to_html(detection, source))
    ids, links = list(page.values("id")), [href[1:] for href in page.values("href")]
    assert len(ids) == len(set(ids)) == 4
    assert sorted(links) == sorted(ids)


def test_the_page_needs_nothing_and_runs_nothing(detection: Detection, source: SourceImage) -> None:
    html = to_html(detection, source)
    page = Page(html)
    assert {"script", "link", "iframe", "object", "form"}.isdisjoint(tag for tag, _ in page.tags)
    assert all(src.startswith("data:image/jpeg;base64,") for src in page.values("src"))
    assert len(list(page.values("src"))) == 3
    assert not re.search(r"url\(|@import|https?://", html)
    [policy] = [a["content"] for tag, a in page.tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'unsafe-inline'")


def test_hostile_text_stays_text(source: SourceImage) -> None:
    boxes = f'[{{"bbox_2d":[10,10,60,40],"label":"{HOSTILE[1:40]}"}}]'
    locate = f"<explanation>{HOSTILE}</explanation><boxes>{boxes}</boxes><verdict>real</verdict>"
    vlm = FakeVLM(scripted(locate, f"<explanation>{HOSTILE} [1]</explanation><verdict>real</verdict>"))
    vlm.info = replace(vlm.info, name=HOSTILE)
    checkpoint = Checkpoint(note=HOSTILE, card="javascript:alert(3)")
    found = LocateThenExamine(vlm, checkpoint).detect(source, HOSTILE)
    html = to_html(found, source, None, checkpoint) + failure_section(Failure(HOSTILE, HOSTILE))
    page = Page(html)
    assert "script" not in {tag for tag, _ in page.tags}
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    assert page.text.count("<script>alert(1)</script>") >= 7
    assert not any("javascript" in href for href in page.values("href"))
    html.encode()


@pytest.mark.parametrize(
    ("vlm", "words"),
    [
        pytest.param(FakeVLM(scripted(p_examine=0.6)), "Uncertain leans towards AI-generated", id="uncertain"),
        pytest.param(FakeVLM(scripted(examine="?")), "No verdict", id="second-unreadable"),
        pytest.param(FakeVLM(scripted("?")), "The first reply could not be read", id="first-unreadable"),
        pytest.param(FakeVLM(scripted(p_examine=None)), "This model gives no confidence", id="no-confidence"),
        pytest.param(
            FakeVLM(scripted("<boxes>[]</boxes><verdict>real</verdict>")), "marked no place to look at", id="no-boxes"
        ),
        pytest.param(FakeVLM(scripted(p_examine=0.9999)), "over 99 %", id="never-certain"),
        pytest.param(FakeVLM(scripted()), "has not been calibrated", id="nobody-calibrated-it"),
    ],
)
def test_the_page_in_other_cases(source: SourceImage, vlm: FakeVLM, words: str) -> None:
    assert words in Page(to_html(LocateThenExamine(vlm).detect(source), source)).text


def test_a_reference_to_no_crop_stays_as_it_was_written(source: SourceImage) -> None:
    vlm = FakeVLM(scripted(examine="<explanation>See [3], [1, 2] and [1, 9].</explanation><verdict>real</verdict>"))
    page = Page(to_html(LocateThenExamine(vlm).detect(source), source))
    assert "See [3], 1 2 and [1, 9]." in page.text


def test_a_large_picture_makes_a_small_page() -> None:
    large = read_image(png((4000, 3000)))
    html = to_html(LocateThenExamine(FakeVLM()).detect(large), large)
    assert len(html) < 200_000
    assert 'width="4000" height="3000"' in html, "the boxes' frame is the original's"


def test_provenance_is_apart_from_the_verdict(detection: Detection, source: SourceImage) -> None:
    credentials = Credentials(CredentialState.UNTRUSTED, f"Signed by {HOSTILE}", HOSTILE, "tool", True)
    provenance = Provenance(credentials, (MetadataTag("EXIF", "Software", HOSTILE, True),))
    record = to_json(detection, provenance)
    assert record["provenance"] == {
        "credentials": {
            "state": "untrusted", "summary": f"Signed by {HOSTILE}", "issuer": HOSTILE, "claim_generator": "tool",
            "ai_generated": True,
        },
        "metadata": [{"source": "EXIF", "key": "Software", "value": HOSTILE, "names_generator": True}],
    }  # fmt: skip
    assert {**record, "provenance": None} == to_json(detection)
    assert json.loads(json.dumps(record)) == record
    page = Page(to_html(detection, source, provenance))
    assert "Where it comes fromnot part of the verdictSigned by \"'><script>" in page.text
    assert "(names a generator)" in page.text
    assert "script" not in {tag for tag, _ in page.tags}
