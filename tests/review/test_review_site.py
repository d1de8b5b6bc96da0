"""The review over HTTP, as a reviewer's page and as a stranger use it, on a real server."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from review.records import MAX_EXPLANATION, State
from review.web import COOKIE
from tests.review.conftest import PASSWORD
from tests.review.site import Reviewer, Site, picture, reviewed_site
from tests.test_app_security import everything_said

HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>{{7*7}}"
EVERY_WISH: tuple[dict[str, Any], ...] = (
    {"do": "next"}, {"do": "undo"}, {"do": "previous"}, {"do": "release"}, *(
        {"do": do, "task": 1} for do in ("open", "following", "renew", "history", "gold", "release")
    ),
    {"do": "decide", "task": 1, "version": 1, "action": "accept", "token": "0123456789abcdef"},
)  # fmt: skip


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))
    with reviewed_site(tmp_path) as site:
        yield site


def decision(task: dict[str, Any], action: str = "accept", **more: Any) -> dict[str, Any]:
    token = f"token-{task['id']}-{task['version']}-{action}"
    return {
        "do": "decide", "task": task["id"], "version": task["version"], "action": action, "token": token,
        "seconds": 3, **more,
    }  # fmt: skip


def test_a_reviewer_signs_in_and_works(site: Site) -> None:
    ana = site.signed_in("ana")
    first = ana.asks(do="next", serial=1)
    assert (first["screen"], first["serial"]) == ("task", 1)
    assert first["person"] == {"name": "ana", "lead": False}
    assert first["task"]["width"] == 200
    assert first["next_image"]
    image = ana.client.get("/" + first["task"]["image"])
    assert image.content.startswith(b"\x89PNG")
    assert "private" in image.headers["cache-control"]
    second = ana.asks(**decision(first["task"]))
    assert second["task"]["id"] != first["task"]["id"]
    assert second["saved"]
    assert second["progress"]["done"] == 1
    assert second["progress"]["today"] == 1
    back = ana.asks(do="undo")
    assert back["task"]["id"] == first["task"]["id"]
    assert back["progress"]["done"] == 0


def test_a_fix_is_shown_again_and_its_history_says_what_changed(site: Site) -> None:
    ana = site.signed_in("ana")
    task = ana.asks(do="next")["task"]
    content = task["content"] | {"explanation": HOSTILE, "regions": [{"bbox": [1, 2, 30, 40], "label": HOSTILE[:60]}]}
    ana.asks(**decision(task, "fix", content=content))
    again = ana.asks(do="open", task=task["id"])
    assert again["task"]["content"]["explanation"] == HOSTILE, "texts travel unchanged; the page draws them as text"
    assert again["task"]["before"] == task["content"]
    assert again["history"][0]["what"].startswith("fix: 1 box changed or drawn")


def test_ones_own_samples_are_gone_through_backwards(site: Site) -> None:
    ana = site.signed_in("ana")
    tasks = [ana.asks(do="next")["task"]]
    for _ in range(2):
        tasks.append(ana.asks(**decision(tasks[-1]))["task"])
    mine = {"filter": {"mine": True}}
    shown = ana.asks(do="next", **mine)["task"]
    assert shown["id"] == tasks[1]["id"]
    assert ana.asks(do="following", task=shown["id"], **mine)["notice"] == "This is the last sample that you decided."
    shown = ana.asks(**decision(shown, "reject", reason="bad image"), **mine)
    assert shown["saved"]
    assert shown["task"]["id"] == tasks[0]["id"], "not the one that was just decided again"


def test_two_reviewers_never_get_the_same_sample(site: Site) -> None:
    ana, bo = site.signed_in("ana"), site.signed_in("bo")
    assert ana.asks(do="next")["task"]["id"] != bo.asks(do="next")["task"]["id"]


def test_the_crops_of_an_accepted_sample_are_cut_at_once(site: Site) -> None:
    ana = site.signed_in("ana")
    ana.asks(**decision(ana.asks(do="next")["task"]))
    deadline = time.monotonic() + 20
    while not (found := list(site.media.folder.glob("crops/*/*.png"))) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(found) == 1


def test_a_stale_decision_is_shown_with_both_versions(site: Site) -> None:
    ana, bo = site.signed_in("ana"), site.signed_in("bo")
    task = ana.asks(do="next")["task"]
    site.work.clock.forward(3600)
    mine = bo.asks(do="open", task=task["id"])["task"]
    bo.asks(**decision(mine, "reject", reason="bad image"))
    shown = ana.asks(**decision(task))
    assert shown["screen"] == "conflict"
    assert shown["theirs"]["state"] == "rejected"
    newer = decision(shown["theirs"], overrule=True)
    assert ana.asks(**newer)["saved"]
    assert site.work.store.counts().by_state[State.ACCEPTED] == 1


def test_a_lost_lease_is_said(site: Site) -> None:
    ana = site.signed_in("ana")
    task = ana.asks(do="next")["task"]
    assert ana.asks(do="renew", task=task["id"]) == {"screen": "renewed", "held": True, "serial": None}
    site.work.clock.forward(3600)
    assert not ana.asks(do="renew", task=task["id"])["held"]


@pytest.mark.parametrize("act", EVERY_WISH, ids=lambda act: str(act["do"]))
def test_a_stranger_is_asked_to_sign_in_whatever_they_wish(site: Site, act: dict[str, Any]) -> None:
    shown = site.visitor().asks(**act)
    assert shown == {"screen": "signed-out", "notice": "", "serial": None}
    assert site.work.store.decisions(1) == ()


@pytest.mark.parametrize("cookie", ["", "x", "0" * 64, "ana"])
def test_an_invented_sign_in_is_none(site: Site, cookie: str) -> None:
    visitor = site.visitor()
    visitor.client.cookies.set(COOKIE, cookie)
    assert visitor.asks(do="next")["screen"] == "signed-out"


def test_a_signed_out_session_is_over_on_the_server(site: Site) -> None:
    ana = site.signed_in("ana")
    token = ana.client.cookies[COOKIE]
    ana.client.post("/review/sign-out")
    ana.client.cookies.set(COOKIE, token)
    assert ana.asks(do="next")["screen"] == "signed-out"


def test_a_disabled_account_is_out_at_once(site: Site) -> None:
    ana = site.signed_in("ana")
    site.work.accounts.disable("ana")
    assert ana.asks(do="next")["screen"] == "signed-out"


def test_an_annotator_marks_no_gold(site: Site) -> None:
    ana = site.signed_in("ana")
    task = ana.asks(do="next")["task"]
    ana.asks(**decision(task))
    refused = ana.asks(do="gold", task=task["id"], gold=True)
    assert refused["screen"] == "notice"
    assert "Only a lead" in refused["notice"]
    lead = site.signed_in("lea")
    assert lead.asks(do="gold", task=task["id"], gold=True)["task"]["gold"]
    assert not ana.asks(do="open", task=task["id"])["task"]["gold"], "a gold item looks like any other"


def test_wrong_passwords_are_refused_and_slowed_down(site: Site) -> None:
    visitor = site.visitor()
    said = [visitor.sign_in("ana", "wrong").json()["problem"] for _ in range(12)]
    assert visitor.sign_in("nobody", "wrong").status_code == 403
    assert said[0] != said[-1]
    assert visitor.sign_in("ana", PASSWORD).status_code == 403, "slowed down, even with the right one"


def test_the_cookie_is_for_the_server_alone(site: Site) -> None:
    cookie = site.visitor().sign_in("ana").headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie


@pytest.mark.parametrize("path", ["sign-in", "sign-out"])
def test_other_sites_cannot_sign_anybody_in_or_out(site: Site, path: str) -> None:
    ana = site.signed_in("ana")
    form = {"name": "bo", "password": PASSWORD}
    answer = ana.client.post(f"/review/{path}", data=form, headers={"origin": "https://evil.example"})
    assert answer.status_code == 403
    assert ana.asks(do="next")["person"]["name"] == "ana"


def test_images_are_for_reviewers(site: Site) -> None:
    ana = site.signed_in("ana")
    address = "/" + ana.asks(do="next")["task"]["image"]
    assert httpx.get(site.url + address).status_code == 401
    assert ana.client.get("/review/media/" + "0" * 64).status_code == 404
    for path in ("..%2f..%2freview.db", "%2e%2e", "x' OR 1=1", "../../app.py"):
        answer = ana.client.get(f"/review/media/{path}")
        assert answer.status_code == 404 or b"SQLite" not in answer.content
        assert b"import gradio" not in answer.content


def test_a_missing_or_changed_image_is_said_and_the_sample_can_be_skipped(site: Site) -> None:
    ana = site.signed_in("ana")
    task = ana.asks(do="next")["task"]
    file = next(site.media.folder.rglob(task["image"].rsplit("/", 1)[1] + "*"))
    file.write_bytes(picture(99))
    answer = ana.client.get("/" + task["image"])
    assert (answer.status_code, "was changed on disk" in answer.text) == (404, True)
    file.unlink()
    assert "is missing" in ana.client.get("/" + task["image"]).text
    assert ana.asks(**decision(task, "skip"))["task"]["id"] != task["id"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"explanation": "x" * (MAX_EXPLANATION + 1)}, f"at most {MAX_EXPLANATION}"),
        ({"explanation": "  "}, "The explanation is empty."),
        ({"regions": [{"bbox": [0, 0, 3, 50], "label": "x"}]}, "Box 1 is under 4 px"),
        ({"regions": [{"bbox": [0, 0, 201, 50], "label": "x"}]}, "outside the picture (200 x 100 px)"),
        ({"regions": [{"bbox": [0, 0, 50, 50], "label": " "}]}, "Box 1 has no label."),
        ({"regions": [{"bbox": [0, 0, 50, 50], "label": "x"}] * 33}, "at most 32"),
    ],
)
def test_an_edit_that_cannot_be_kept_is_said_and_nothing_is_saved(
    site: Site, change: dict[str, Any], said: str
) -> None:
    ana = site.signed_in("ana")
    task = ana.asks(do="next")["task"]
    shown = ana.asks(**decision(task, "fix", content=task["content"] | change))
    assert shown["screen"] == "notice"
    assert said in shown["notice"]
    assert site.work.store.decisions(task["id"]) == ()


@pytest.mark.parametrize("payload", [None, [], "next", 7, {"do": {"do": "next"}}, {"do": "next", "filter": [1]}])
def test_nonsense_is_answered_with_a_sentence(site: Site, payload: Any) -> None:
    ana = site.signed_in("ana")
    ana_raw = Reviewer(ana.client, ana.config)
    assert raw(ana_raw, payload)["screen"] == "notice"
    assert raw(site.visitor(), payload)["screen"] == "signed-out"


def raw(reviewer: Reviewer, payload: Any) -> dict[str, Any]:
    event = next(e for e in reviewer.config["dependencies"] if e["targets"][0][1] == "input" and not e["queue"])
    body = {"data": [payload], "fn_index": event["id"], "session_hash": "test"}
    shown: dict[str, Any] = reviewer.client.post("/gradio_api/run/predict", json=body).json()["data"][0]
    return shown


def test_a_stranger_learns_nothing_from_any_event(site: Site) -> None:
    """Every event of the app, by every route, with nobody signed in: no sample, no person, no figure is told."""
    for payload in (None, {"do": "next"}, {"do": "open", "task": 1}, "x"):
        said = everything_said(site.visitor().client, payload)
        assert "The hand of" not in said
        assert "sample-0000" not in said
        assert not re.search(r'"(ana|bo|lea)"', said)


def test_progress_is_told_to_reviewers_each_their_own_and_to_leads_everything(site: Site) -> None:
    ana, bo = site.signed_in("ana"), site.signed_in("bo")
    ana.asks(**decision(ana.asks(do="next")["task"]))
    bo.asks(**decision(bo.asks(do="next")["task"]))
    assert people(ana) == {"ana"}
    assert people(site.signed_in("lea")) == {"ana", "bo"}


def people(reviewer: Reviewer) -> set[str]:
    event = next(e for e in reviewer.config["dependencies"] if e["targets"][0][1] == "expand")
    body = {"data": [], "fn_index": event["id"], "session_hash": "test"}
    *_, table = reviewer.client.post("/gradio_api/run/predict", json=body).json()["data"]
    assert table["headers"] == ["person", "decisions", "accept", "fix", "reject", "last hour"]
    return {row[0] for row in table["data"]}


def test_the_audit_is_for_leads(site: Site) -> None:
    def audit(reviewer: Reviewer) -> str:
        button = next(c["id"] for c in reviewer.config["components"] if c["props"].get("elem_id") == "rv-audit")
        event = next(e for e in reviewer.config["dependencies"] if e["targets"][0] == [button, "click"])
        body = {"data": [], "fn_index": event["id"], "session_hash": "test"}
        said: str = reviewer.client.post("/gradio_api/run/predict", json=body).json()["data"][0]
        return said

    assert "Only a lead" in audit(site.visitor())
    assert "Only a lead" in audit(site.signed_in("ana"))
    assert "Nothing to compare yet" in audit(site.signed_in("lea"))
