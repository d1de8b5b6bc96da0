"""Experts behind a real server: what they say is kept, what goes wrong is told, and the rest goes on."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.responses import Response
from typer.testing import Result

from lte_core.dataset.annotate import SCHEMA
from lte_core.dataset.asking import ExpertConfig, load_expert
from lte_core.dataset.build import Experts as Names
from lte_core.dataset.candidates import Candidate
from lte_core.dataset.raw import Recorder, Replies, files_of, raw_file
from lte_core.dataset.stages import explanation_jobs, run_stage
from lte_core.vlm.base import VLMError
from tests.dataset.commands import flat, trace
from tests.dataset.expert_server import (
    KEY,
    Experts,
    Fault,
    completion,
    cut_off,
    error,
    explained,
    garbage,
    scenes,
    serving,
    truth_of,
    web_page,
)  # fmt: skip

COUNT = 6


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return scenes(tmp_path_factory.mktemp("scenes"), COUNT)


@pytest.fixture(scope="module")
def truth(drawn: Path) -> dict[str, Candidate]:
    return truth_of(drawn)


@pytest.fixture
def folder(drawn: Path, tmp_path: Path) -> Path:
    """A collection of the scenes."""
    done = trace("collect", "--from", f"manifest:{drawn}", "--out", str(tmp_path / "trace"))
    assert done.exit_code == 0, done.output
    return tmp_path / "trace"


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("GROUNDER_API_KEY", KEY)
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.01)
    monkeypatch.setattr("openai._base_client.MAX_RETRY_DELAY", 0.02)


@pytest.fixture
def experts(truth: dict[str, Candidate]) -> Iterator[Experts]:
    with serving(Experts(truth)) as running:
        yield running


def annotate(folder: Path, experts: Experts, *more: str) -> Result:
    return trace("annotate", "--data", str(folder), "--base-url", experts.url, "--concurrency", "3", *more)


def ground(folder: Path, experts: Experts, *more: str) -> Result:
    return trace("ground", "--data", str(folder), "--model", "qwen", "--base-url", experts.url, *more)


def failures(folder: Path, command: str = "annotate") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / f"{command}-failures.jsonl").read_text().splitlines()]


def test_every_image_is_explained_and_grounded_twice(folder: Path, experts: Experts) -> None:
    done = annotate(folder, experts)
    assert done.exit_code == 0, done.output
    assert len(experts.answered) == 2 * COUNT == len(set(experts.answered))
    body = experts.bodies[0]
    assert body["model"] == "gpt-4o"
    assert body["response_format"]["json_schema"]["schema"] == SCHEMA
    assert {body["seed"] for body in experts.bodies} == {1, 2}
    assert ground(folder, experts).exit_code == 0
    assert len(experts.answered) == 4 * COUNT == len(set(experts.answered))
    record = json.loads((folder / "annotate.json").read_text())
    assert (record["answered"], record["failures"], record["tokens_in"]) == (2 * COUNT, {}, 2 * COUNT * 900)
    assert record["dollars"] == pytest.approx(2 * COUNT * (900 * 2.5 + 100 * 10) / 1e6)
    assert Names.load(folder) == Names("gpt-4o", "qwen")


def test_nothing_is_paid_for_twice(folder: Path, experts: Experts) -> None:
    assert annotate(folder, experts, "--limit", "2").exit_code == 0
    assert len(experts.answered) == 4
    for _ in range(2):
        assert annotate(folder, experts).exit_code == 0
        assert len(experts.answered) == 2 * COUNT == len(set(experts.answered))
    assert json.loads((folder / "annotate.json").read_text())["known"] == 2 * COUNT


ONCE = {
    "over its limit": lambda: error(429, "slow down", **{"retry-after": "0"}),
    "failing": lambda: error(500),
    "overloaded": lambda: error(503),
    "timed out": lambda: error(408),
    "cut off": cut_off,
}


@pytest.mark.parametrize("kind", ONCE)
def test_what_passes_is_tried_again(folder: Path, experts: Experts, kind: str) -> None:
    experts.fault = lambda number: ONCE[kind]() if number in (2, 3, 7) else None
    done = annotate(folder, experts)
    assert done.exit_code == 0, done.output
    assert experts.requests == 2 * COUNT + 3


def nth(number: int, answer: Response) -> Fault:
    return lambda request: answer if request == number else None


@pytest.mark.parametrize(
    ("answer", "kind", "kept", "words"),
    [
        (completion(None, refusal="I'm sorry."), "refusal", True, "I'm sorry."),
        (completion("", finish="content_filter"), "refusal", True, "no reason given"),
        (completion('{"clues": [{"wh', finish="length"), "cut", True, "token limit"),
        (completion('{"clues": [{"wh'), "malformed", True, "Expected one JSON object"),
        (completion("A lovely picture!"), "malformed", True, "A lovely picture!"),
        (garbage(), "server", False, "no chat completion"),
        (web_page(), "server", False, "no chat completion"),
        (error(400, "your picture is too large: image"), "server", False, "does not take these pictures"),
    ],
)
def test_a_reply_of_no_use_is_told_and_the_rest_goes_on(
    folder: Path, experts: Experts, answer: Response, kind: str, kept: bool, words: str
) -> None:
    experts.fault = nth(4, answer)
    done = annotate(folder, experts)
    assert done.exit_code == 3, done.output
    (failure,) = failures(folder)
    assert failure["kind"] == kind
    assert words in failure["message"]
    assert len(Replies(files_of(folder, "explanations"))) == 2 * COUNT - (not kept)
    # Asked again: what was kept only when that is wanted, what was not kept at any time.
    asked = experts.requests
    assert annotate(folder, experts).exit_code == (3 if kept else 0)
    assert experts.requests == asked + (not kept)
    assert annotate(folder, experts, "--again").exit_code == 0
    assert experts.requests == asked + 1
    assert failures(folder) == []


def test_a_silent_server_is_given_up_on(folder: Path, experts: Experts) -> None:
    async def silent() -> Response:
        await asyncio.sleep(3)
        return error(500)

    experts.fault = lambda number: silent() if number == 1 else None
    expert = load_expert("gpt-4o", experts.url, ExpertConfig(concurrency=1, timeout_s=0.5, retries=0))
    recorder = Recorder(Replies(), raw_file(folder, "explanations"))
    from lte_core.dataset.manifest import read_manifest

    samples = [line.sample for line in read_manifest(folder / "manifest.jsonl")][:2]
    report = run_stage(explanation_jobs(samples, "gpt-4o"), folder, expert, recorder)
    recorder.close()
    (failure,) = report.failures
    assert "was silent for 0.5 s" in failure.message
    assert (report.answered, report.stopped) == (3, None)


def test_a_wrong_key_stops_at_once_and_is_never_shown(
    folder: Path, experts: Experts, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = "sk-a-wrong-key-99887766"
    monkeypatch.setenv("OPENAI_API_KEY", wrong)
    done = annotate(folder, experts)
    assert done.exit_code == 3
    assert "refuses the API key (401)" in flat(done)
    assert experts.requests <= 3
    written = [path.read_text() for path in folder.rglob("*.json*")]
    assert not any(wrong in text for text in (done.output, *written))


def test_no_key_is_told_before_anything_is_asked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    done = trace("annotate", "--data", str(folder))
    assert done.exit_code == 2
    assert "OPENAI_API_KEY" in done.output
    with pytest.raises(VLMError, match="wants an API key"):
        load_expert("gpt-4o", "https://api.openai.com/v1")


def test_a_server_that_is_down_is_given_up_on(folder: Path, experts: Experts) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    done = trace("annotate", "--data", str(folder), "--base-url", f"http://127.0.0.1:{port}/v1", "--concurrency", "2")
    assert done.exit_code == 3
    assert "Nothing answers at" in flat(done)
    assert 8 <= len(failures(folder)) <= 10
    assert annotate(folder, experts).exit_code == 0, "and once it is up the same command goes on"


@pytest.mark.parametrize("harm", ["damaged", "missing", "changed"])
def test_an_image_that_is_not_there_is_told(folder: Path, experts: Experts, harm: str) -> None:
    images = sorted((folder / "images").rglob("*.*"))
    data = images[0].read_bytes()
    images[0].unlink()
    if harm != "missing":
        images[0].write_bytes(data[:200] if harm == "damaged" else images[1].read_bytes())
    done = annotate(folder, experts)
    assert done.exit_code == 3
    assert [failure["kind"] for failure in failures(folder)] == ["image", "image"]
    assert len(experts.answered) == 2 * (COUNT - 1)


def test_bad_lines_are_told_and_the_rest_goes_on(folder: Path, experts: Experts) -> None:
    path = folder / "manifest.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines[:2], '{"schema": "trace/9"}\n', *lines[2:]]))
    done = annotate(folder, experts)
    assert done.exit_code == 3
    assert "line 3" in done.output
    assert len(experts.answered) == 2 * COUNT


def test_a_server_that_knows_no_extras_is_asked_without(folder: Path, experts: Experts) -> None:
    def fault(number: int) -> Response | None:
        body = experts.bodies[-1]
        for name in ("response_format", "temperature", "max_tokens"):
            if name in body:
                return error(400, f"Unsupported parameter: {name}")
        return None

    experts.fault = fault
    assert annotate(folder, experts, "--concurrency", "1").exit_code == 0
    assert experts.requests == 2 * COUNT + 3, "what is refused is left out from then on"
    assert {"response_format", "temperature", "max_tokens"}.isdisjoint(experts.bodies[-1])
    assert experts.bodies[-1]["max_completion_tokens"] == 1024


def test_a_dry_run_asks_nobody_and_states_the_cost(folder: Path, experts: Experts) -> None:
    annotate(folder, experts, "--limit", "1")
    asked = experts.requests
    done = annotate(folder, experts, "--dry-run")
    assert done.exit_code == 0
    assert experts.requests == asked
    text = flat(done)
    assert f"{2 * COUNT - 2} calls to gpt-4o (2 answered already)" in text
    assert "about $0." in text
    assert "Explain what in the picture" in text
    free = annotate(folder, experts, "--dry-run", "--model", "mine")
    assert "unknown without --price" in free.output
    assert "about $" in annotate(folder, experts, "--dry-run", "--model", "mine", "--price", "1,2").output
    assert annotate(folder, experts, "--dry-run", "--price", "cheap").exit_code == 2


def test_shards_share_the_work_and_merge(folder: Path, experts: Experts, drawn: Path, tmp_path: Path) -> None:
    """Two machines, each with the collection in a folder of its own."""
    other = tmp_path / "other"
    assert trace("collect", "--from", f"manifest:{drawn}", "--out", str(other)).exit_code == 0
    for number, where in ((1, folder), (2, other)):
        assert annotate(where, experts, "--shard", f"{number}/2").exit_code == 0
        assert ground(where, experts, "--shard", f"{number}/2").exit_code == 0
    assert len(experts.answered) == 4 * COUNT == len(set(experts.answered))
    merged = trace("merge", str(folder), str(other), "--out", str(tmp_path / "all"))
    assert merged.exit_code == 0, merged.output
    assert f"{COUNT} samples, {2 * COUNT} explanations and {2 * COUNT} groundings" in merged.output
    assert trace("purify", "--data", str(tmp_path / "all"), "--embedder", "tfidf").exit_code == 0
    assert (tmp_path / "all/manifest.jsonl").read_bytes() == (folder / "manifest.jsonl").read_bytes()
    assert annotate(folder, experts, "--shard", "3/2").exit_code == 2
    assert trace("merge", str(folder), str(other), "--out", str(other)).exit_code == 2


def test_commands_say_which_one_comes_first(tmp_path: Path, folder: Path, experts: Experts) -> None:
    for command, expected in (
        ("annotate", "trace collect"),
        ("ground", "trace annotate"),
        ("purify", "trace annotate"),
    ):
        done = trace(command, "--data", str(tmp_path), *(["--base-url", experts.url] if command != "purify" else []))
        assert done.exit_code == 2
        assert expected in flat(done)
    annotate(folder, experts)
    done = trace("purify", "--data", str(folder), "--embedder", "tfidf")
    assert "trace ground" in flat(done)


def test_many_questions_are_asked_at_once(folder: Path, experts: Experts) -> None:
    experts.delay_s = 0.3
    started = time.monotonic()
    assert annotate(folder, experts, "--concurrency", "12").exit_code == 0
    assert time.monotonic() - started < 2 * COUNT * experts.delay_s * 0.75


def test_the_picture_goes_out_without_its_metadata(folder: Path, experts: Experts) -> None:
    annotate(folder, experts, "--limit", "1")
    url = experts.bodies[0]["messages"][0]["content"][0]["image_url"]["url"]
    assert url.startswith("data:image/png;base64,")
    assert b"Exif" not in base64.b64decode(url.partition(",")[2])


def test_explanations_are_independent(folder: Path, experts: Experts, truth: dict[str, Candidate]) -> None:
    """No request of one pass holds a word of what the other pass said."""
    annotate(folder, experts)
    said = [explained(candidate, pass_) for candidate in truth.values() for pass_ in (1, 2)]
    clues = {clue["what"] for text in said for clue in json.loads(text)["clues"]}
    asked = [body["messages"][0]["content"][1]["text"] for body in experts.bodies]
    assert all(len(body["messages"]) == 1 for body in experts.bodies)
    assert not any(clue in text for clue in clues for text in asked)
