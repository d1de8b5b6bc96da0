"""A detection that a reviewer sends to the queue, from the store up to the running app."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lte_core.schema import (
    Box,
    Detection,
    ExamineResult,
    ImageInfo,
    LocateResult,
    ModelInfo,
    Region,
    Verdict,
)
from review.media import Media
from review.offering import offer
from review.records import Origin
from tests.review.conftest import Desk
from tests.review.site import Reviewer, Site, picture, reviewed_site

PICTURE = picture(7)
FOUND = Detection(
    ImageInfo("p.png", hashlib.sha256(PICTURE).hexdigest(), 200, 100),
    ModelInfo("lte-fake", sha256="0" * 64),
    LocateResult(
        "At first sight.", (Region(Box(10, 20, 60, 80), "hand"), Region(Box(0, 0, 2, 2), "dot")), Verdict.REAL, 0.4, ""
    ),
    (),
    ExamineResult("Six fingers.", Verdict.GENERATED, 0.9, ""),
)


def test_the_models_boxes_and_words_become_the_first_revision(work: Desk, tmp_path: Path) -> None:
    said = offer(PICTURE, FOUND, work.ana, work.store, Media(tmp_path))
    assert said == "It is in the review queue now."
    (row,) = work.store.rows()
    assert (row.source, row.proposed.label, row.proposed.explanation) == (
        "detection",
        Verdict.GENERATED,
        "Six fingers.",
    )
    assert row.proposed.regions == (Region(Box(10, 20, 60, 80), "hand"),), "a dot cannot be reviewed"
    assert row.current.origin is Origin.DETECTION
    assert row.annotation["sent_by"] == "ana"
    again = offer(PICTURE, FOUND, work.bo, work.store, Media(tmp_path))
    assert again == "This picture is under review already."


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"examine": ExamineResult("", None, None, "?", "unreadable")}, "has no verdict"),
        ({"examine": ExamineResult("", Verdict.REAL, 0.1, ""), "locate": replace(FOUND.locate, explanation=" ")},
         "The explanation is empty"),
    ],
)  # fmt: skip
def test_what_cannot_be_reviewed_is_said(work: Desk, tmp_path: Path, change: dict[str, Any], said: str) -> None:
    assert said in offer(PICTURE, replace(FOUND, **change), work.ana, work.store, Media(tmp_path))
    assert list(work.store.rows()) == []


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))
    with reviewed_site(tmp_path / "data", samples=0) as site:
        yield site


def calls(reviewer: Reviewer, event: dict[str, Any], data: list[Any]) -> Any:
    """Run one event of the page; what its last message says."""
    body = {"data": data, "fn_index": event["id"], "session_hash": "one"}
    if event["queue"] is False:
        return reviewer.client.post("/gradio_api/run/predict", json=body).json()["data"]
    assert reviewer.client.post("/gradio_api/queue/join", json=body).is_success
    with reviewer.client.stream("GET", "/gradio_api/queue/data", params={"session_hash": "one"}) as stream:
        for line in stream.iter_lines():
            message = json.loads(line.removeprefix("data: ")) if line.startswith("data: ") else {}
            if message.get("msg") == "process_completed":
                return message["output"].get("data")
    raise AssertionError("the event did not end")


def detect_and_send(reviewer: Reviewer) -> str:
    """What pressing the page's buttons sends: upload, both looks, Review this."""
    by_id = {c["props"].get("elem_id"): c["id"] for c in reviewer.config["components"]}
    events = reviewer.config["dependencies"]
    begin = next(e for e in events if e["targets"][0] == [by_id["lte-pick"], "upload"])
    detect = next(e for e in events if e["queue"] is not False and by_id["lte-pick"] in e["inputs"])
    send = next(e for e in events if e["targets"][0] == [by_id["lte-review-this"], "click"])
    (path,) = reviewer.client.post("/gradio_api/upload", files={"files": ("p.png", PICTURE, "image/png")}).json()
    file = {"path": path, "orig_name": "p.png", "meta": {"_type": "gradio.FileData"}}
    turn = calls(reviewer, begin, [])[0]
    calls(reviewer, detect, [file, turn])
    said: str = calls(reviewer, send, [file, None])[0]
    return said


def test_a_reviewer_sends_what_the_page_shows(site: Site) -> None:
    assert "It is in the review queue now." in detect_and_send(site.signed_in("ana"))
    (row,) = site.work.store.rows()
    assert row.sha256 == hashlib.sha256(PICTURE).hexdigest()
    assert len(row.proposed.regions) == 3


def test_a_visitor_is_told_to_sign_in(site: Site) -> None:
    assert "Sign in on the Review tab first." in detect_and_send(site.visitor())
    assert list(site.work.store.rows()) == []
