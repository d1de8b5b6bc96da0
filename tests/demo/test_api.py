"""What a program can do with the app, through the client library that programs use."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from gradio_client.utils import QueueError

from tests.demo.fakes import BROKEN_SERVER, EXAMINE, FakeVLM, Script, scene_bytes, served

MOST_WAITING = 2


@pytest.fixture(scope="module")
def vlm() -> FakeVLM:
    return FakeVLM()


@pytest.fixture(scope="module")
def client(vlm: FakeVLM, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("uploads")))
        with served(vlm, most_waiting=MOST_WAITING) as url:
            yield Client(url, verbose=False, download_files=str(tmp_path_factory.mktemp("downloads")))


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "corner shop.jpg"
    path.write_bytes(scene_bytes())
    return path


@pytest.fixture(autouse=True)
def script(vlm: FakeVLM) -> Iterator[None]:
    vlm.script = Script()
    yield
    vlm.script = Script()


def test_detect_gives_the_published_record(client: Client, picture: Path) -> None:
    result: dict[str, Any] = json.loads(client.predict(handle_file(picture), api_name="/detect"))
    assert result["schema"] == "lte-detection/1"
    assert result["image"]["path"] == "corner shop.jpg"
    assert (result["image"]["width"], result["image"]["height"]) == (640, 480)
    assert result["verdict"] == "generated"
    assert result["flipped"] is True
    assert result["p_generated"] == pytest.approx(0.94)
    assert len(result["locate"]["regions"]) == 3
    assert result["locate"]["regions"][0]["label"] == "shop sign"
    assert result["examine"]["reply"] == EXAMINE
    assert "provenance" in result
    assert str(picture.parent) not in json.dumps(result)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        pytest.param("paper.pdf", b"%PDF-1.7 " + b"x" * 900, "PDF", id="a PDF"),
        pytest.param("notes.txt", b"no picture at all " * 40, "not a picture", id="a text"),
        pytest.param("photo.jpg", scene_bytes()[:2000], "damaged", id="a truncated JPEG"),
        pytest.param("page.jpg", b"<!doctype html><html><body>" * 20, "", id="a web page"),
        pytest.param("phone.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 900, "HEIC", id="HEIC"),
    ],
)
def test_a_wrong_file_is_answered_with_a_sentence(
    client: Client, tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(AppError) as problem:
        client.predict(handle_file(path), api_name="/detect")
    sentence = str(problem.value)
    assert said in sentence
    assert sentence.endswith(".")
    assert "Traceback" not in sentence
    assert "/" not in sentence.replace("AVIF/", "")  # no path of the server


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        pytest.param(BROKEN_SERVER, "does not answer", id="a model that cannot answer says why"),
        pytest.param(ValueError("key=8472"), "", id="a bug says nothing"),
    ],
)
def test_trouble_with_the_model(client: Client, vlm: FakeVLM, picture: Path, broken: Exception, said: str) -> None:
    vlm.script = Script(broken=broken)
    with pytest.raises(AppError) as problem:
        client.predict(handle_file(picture), api_name="/detect")
    assert said in str(problem.value)
    assert "8472" not in str(problem.value)


def test_an_address_is_not_fetched(client: Client) -> None:
    with pytest.raises(httpx.HTTPStatusError, match="400"):
        client.predict(
            {"path": "http://example.invalid/p.jpg", "meta": {"_type": "gradio.FileData"}}, api_name="/detect"
        )


def test_one_picture_at_a_time_and_a_short_line(client: Client, vlm: FakeVLM, picture: Path) -> None:
    vlm.script = Script(pace_s=0.02)
    jobs = [client.submit(handle_file(picture), api_name="/detect") for _ in range(MOST_WAITING + 4)]
    outcomes = [job.exception() for job in jobs]
    assert any(outcome is None for outcome in outcomes)
    full = [outcome for outcome in outcomes if outcome is not None]
    assert full
    assert all(isinstance(outcome, QueueError) and "Please try again" in str(outcome) for outcome in full)
    assert vlm.most_at_once == 1


def test_the_endpoint_is_documented(client: Client) -> None:
    info: Any = client.view_api(return_format="dict", print_info=False)
    assert list(info["named_endpoints"]) == ["/detect"]
    assert [parameter["parameter_name"] for parameter in info["named_endpoints"]["/detect"]["parameters"]] == [
        "picture"
    ]
