"""What a stranger may and may not do to the app, on a real server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from app import SPACE_FRAMES, create_app
from demo.pages import card_page
from lte_core.images import ImageLimits
from lte_core.inference.checkpoint import Checkpoint
from tests.demo.fakes import FakeVLM, serve, served

CARD = "---\nlicense: x\n---\n# Card\n<script>alert(1)</script> [a](javascript:alert(1)) ![p](http://x.example/p.png)"
SECRET = "the key is 8472"
Dependencies = list[dict[str, Any]]
MOST_BYTES = ImageLimits().max_bytes


@pytest.fixture(scope="module")
def uploads(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("uploads")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(folder))
        yield folder


@pytest.fixture(scope="module")
def client(uploads: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    card = tmp_path_factory.mktemp("model") / "README.md"
    card.write_text(CARD)
    with served(FakeVLM(), card=card) as url, httpx.Client(base_url=url, timeout=20) as client:
        yield client


def dependencies(client: httpx.Client) -> Dependencies:
    found: Dependencies = client.get("/config").json()["dependencies"]
    return found


def everything_said(client: httpx.Client, payload: object) -> str:
    """Send the payload in every input of every event, by every route; all that comes back."""
    said = ""
    for event in dependencies(client):
        data = [payload] * len(event["inputs"])
        body = {"data": data, "fn_index": event["id"], "session_hash": f"s{event['id']}"}
        for route in ("run/predict", "api/predict", f"run/{event['api_name']}", f"call/{event['api_name']}"):
            said += client.post(f"/gradio_api/{route}", json=body).text
        if client.post("/gradio_api/queue/join", json=body).is_success:
            with client.stream("GET", "/gradio_api/queue/data", params={"session_hash": f"s{event['id']}"}) as stream:
                said += "".join(stream.iter_text())
    return said


def leaks(app: FastAPI, folder: Path, secret: Path) -> bool:
    """Whether naming the file in a request makes its content appear in an answer or where it can be fetched."""
    with serve(app) as url, httpx.Client(base_url=url, timeout=20) as client:
        said = everything_said(client, {"path": str(secret), "meta": {"_type": "gradio.FileData"}})
        said += client.get(f"/gradio_api/file={secret}").text
        copies = "".join(file.read_text(errors="replace") for file in folder.rglob("*") if file.is_file())
    return SECRET in said + copies


@pytest.mark.parametrize(
    ("launched", "leaked"), [pytest.param(True, False, id="ours"), pytest.param(False, True, id="as Gradio mounts it")]
)
def test_no_event_copies_a_file_of_the_server(uploads: Path, launched: bool, leaked: bool) -> None:
    """The second case is the hole that `has_launched` closes: without it this test could not fail."""
    secret = Path.home() / ".lte-test-secret"  # neither in the temporary folder nor in the working one
    secret.write_text(SECRET)
    try:
        app = create_app(FakeVLM(), Checkpoint())
        mounted: Any = next(route for route in app.routes if getattr(route, "path", None) == "")
        mounted.app.get_blocks().has_launched = launched
        assert leaks(app, uploads, secret) is leaked
    finally:
        secret.unlink()


@pytest.mark.parametrize(
    "address", ["http://example.invalid/p.jpg", "https://example.invalid/p.jpg", "file:///etc/passwd"]
)
def test_no_event_fetches_an_address(client: httpx.Client, uploads: Path, address: str) -> None:
    before = set(uploads.rglob("*"))
    said = everything_said(client, {"path": address, "url": address, "meta": {"_type": "gradio.FileData"}})
    assert "root:" not in said
    if address.startswith("http"):
        assert "Send the picture itself, not its address." in said
    assert set(uploads.rglob("*")) == before


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=https://example.com/",
        "/gradio_api/file=http://127.0.0.1:1/",
        "/gradio_api/file/https://example.com/",
        "/gradio_api/proxy=https://example.com/",
        "/gradio_api/file=/etc/passwd",
        "/gradio_api/file=app.py",
        "/examples/../app.py",
        "/examples/%2e%2e/%2e%2e/app.py",
        "/monitoring/summary",
        "/docs",
        "/openapi.json",
    ],
)
def test_these_addresses_give_nothing(client: httpx.Client, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code in (403, 404)
    assert "root:" not in answer.text
    assert "import gradio" not in answer.text


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        pytest.param({}, True, id="a program"),
        pytest.param({"Origin": "SELF"}, True, id="the page itself"),
        pytest.param({"Origin": "https://lte.example", "X-Forwarded-Host": "lte.example"}, True, id="behind a proxy"),
        pytest.param({"Origin": "https://evil.example"}, False, id="another site"),
        pytest.param({"Origin": "null"}, False, id="a sandboxed frame"),
        pytest.param({"Origin": ""}, False, id="an empty origin"),
        pytest.param({"Sec-Fetch-Site": "same-origin"}, True, id="the page, without an origin"),
        pytest.param({"Sec-Fetch-Site": "cross-site"}, False, id="another site, without an origin"),
        pytest.param({"Origin": "http://127.0.0.1:1"}, False, id="another port"),
        pytest.param({"Origin": "http://127.0.0.1.evil.example"}, False, id="a name that begins alike"),
    ],
)
@pytest.mark.parametrize("path", ["/gradio_api/upload", "/gradio_api/queue/join", "/gradio_api/run/begin", "/login"])
def test_other_sites_cannot_send(client: httpx.Client, path: str, headers: dict[str, str], allowed: bool) -> None:
    origin = str(client.base_url).rstrip("/")
    headers = {name: origin if value == "SELF" else value for name, value in headers.items()}
    answer = client.post(path, headers=headers, json={"data": []})
    assert ("Requests from other sites are refused" not in answer.text) is allowed
    assert (answer.status_code == 403) is not allowed


def test_no_site_may_read_the_answers(client: httpx.Client) -> None:
    evil = {"Origin": "https://evil.example"}
    for path in ("/", "/config", "/gradio_api/info"):
        assert "access-control-allow-origin" not in client.get(path, headers=evil).headers
    asked = {**evil, "Access-Control-Request-Method": "POST"}
    preflight = client.options("/gradio_api/queue/join", headers=asked)
    assert "access-control-allow-origin" not in preflight.headers
    assert preflight.status_code == 400


@pytest.mark.parametrize("path", ["/", "/config", "/model-card", "/favicon.ico", "/examples/none.jpg", "/nothing"])
def test_every_answer_carries_the_headers(client: httpx.Client, path: str) -> None:
    headers = client.get(path).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    policy = headers["Content-Security-Policy"]
    assert "connect-src 'self';" in policy
    assert "script-src-attr 'none';" in policy
    assert "frame-ancestors 'self'" in policy
    assert "server" not in headers


def test_a_space_may_be_shown_in_its_frame() -> None:
    with served(FakeVLM(), framed_by=SPACE_FRAMES) as url:
        policy = httpx.get(f"{url}/favicon.ico").headers["Content-Security-Policy"]
    assert policy.endswith("frame-ancestors 'self' https://huggingface.co https://*.hf.space")


def test_the_configuration_holds_nothing_private(client: httpx.Client) -> None:
    """Anyone can read it, with every component's first value."""
    config = client.get("/config").text
    for private in (Path.cwd(), Path.home(), Path(__file__).parent):
        assert f'"{private}' not in config
    assert client.get("/config").json().get("username") in (None, "")


def test_the_queue_cannot_be_passed_by(client: httpx.Client) -> None:
    for route in ("run/detect", "api/detect"):
        assert client.post(f"/gradio_api/{route}", json={"data": [None]}).status_code == 404


def test_only_detect_is_offered_to_programs(client: httpx.Client) -> None:
    offered = client.get("/gradio_api/info").json()
    assert list(offered["named_endpoints"]) == ["/detect"]
    assert offered["unnamed_endpoints"] == {}


@pytest.mark.parametrize(
    ("headers", "content", "status"),
    [
        pytest.param({}, b"x" * (MOST_BYTES + 2**20 + 1), 413, id="a large body"),
        pytest.param({"Transfer-Encoding": "chunked"}, iter([b"x"]), 411, id="a body of unknown length"),
        pytest.param({}, b"x" * (2**20 + 1), 413, id="a large message"),
        pytest.param({}, b"[" * 100_000, 400, id="a deep message"),
        pytest.param({}, b"no json", 400, id="no message"),
    ],
)
def test_bodies_are_bounded(client: httpx.Client, headers: dict[str, str], content: Any, status: int) -> None:
    try:
        answer = client.post("/gradio_api/queue/join", headers=headers, content=content)
    except httpx.WriteError:
        assert status == 413  # refused while it was still being sent
    else:
        assert answer.status_code == status


def test_a_form_is_no_message(client: httpx.Client) -> None:
    """A sign-in form has to come through; it cannot reach an event."""
    form = {"path": "http://example.invalid/"}
    assert client.post("/login", data=form).status_code not in (400, 411, 413)
    assert client.post("/gradio_api/queue/join", data=form).status_code == 422


def test_a_file_over_the_limit_is_refused(client: httpx.Client) -> None:
    answer = client.post("/gradio_api/upload", files={"files": ("p.jpg", b"x" * (MOST_BYTES + 1))})
    assert answer.status_code == 413


def test_the_model_card_runs_nothing(client: httpx.Client) -> None:
    page = client.get("/model-card")
    assert page.headers["content-type"].startswith("text/html")
    assert "<h1>Card</h1>" in page.text
    assert "license: x" not in page.text
    assert "<script" not in page.text
    assert 'href="javascript' not in page.text
    assert "<img" not in page.text


def test_a_card_shows_its_tables() -> None:
    page = card_page("| a | b |\n|---|---|\n| 1 | 2 |", "Card & more", "")
    assert "<td>2</td>" in page
    assert "<title>Card &amp; more</title>" in page


def test_results_have_no_address(client: httpx.Client) -> None:
    """No event of the page takes a file's place from the server's side: its pictures travel inside the answer."""
    config = json.loads(client.get("/config").text)
    shown = {component["type"] for component in config["components"]}
    assert shown <= {
        "html", "row", "column", "uploadbutton", "button", "downloadbutton", "textbox", "json", "form", "state",
    }  # fmt: skip
