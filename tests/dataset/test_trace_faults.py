"""What a hostile tester found: each case once lost or doubled a paid reply, ended a stage, or showed a traceback."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.responses import JSONResponse, Response
from typer.testing import Result

from lte_core.dataset.build import Experts as Names
from lte_core.dataset.candidates import Candidate
from lte_core.dataset.manifest import read_manifest
from lte_core.files import copy_whole, write_whole
from tests.dataset.commands import flat, trace
from tests.dataset.expert_server import KEY, Experts, completion, error, explained, scenes, serving, truth_of

COUNT = 4


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return scenes(tmp_path_factory.mktemp("scenes"), COUNT, seed=9)


@pytest.fixture(scope="module")
def truth(drawn: Path) -> dict[str, Candidate]:
    return truth_of(drawn)


@pytest.fixture
def folder(drawn: Path, tmp_path: Path) -> Path:
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
    return trace("annotate", "--data", str(folder), "--base-url", experts.url, "--concurrency", "1", *more)


def ground(folder: Path, experts: Experts, *more: str) -> Result:
    return trace(
        "ground", "--data", str(folder), "--model", "qwen", "--base-url", experts.url, "--concurrency", "1", *more
    )


def purify(folder: Path) -> Result:
    return trace("purify", "--data", str(folder), "--embedder", "tfidf", "--min-similarity", "0.1")


def listed(folder: Path, name: str = "annotate-failures.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


def raw_json(text: str) -> Callable[[], Response]:
    return lambda: Response(text, media_type="application/json")


def told(content: object, **usage: object) -> Callable[[], Response]:
    message = {"role": "assistant", "content": content}
    record = {"id": "1", "object": "chat.completion", "created": 1, "model": "m",
              "choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": usage}  # fmt: skip
    return raw_json(json.dumps(record))


def choices(value: object) -> Callable[[], Response]:
    return raw_json(json.dumps({"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": value}))


ODD = {
    "nested too deep": (raw_json('{"choices":' + "[" * 100_000 + "]" * 100_000 + "}"), "server"),
    "an endless number": (raw_json('{"choices": [], "created": ' + "9" * 5_000 + "}"), "server"),
    "no message": (choices([{"index": 0, "finish_reason": "stop", "message": None}]), "server"),
    "null as a choice": (choices([None]), "server"),
    "a text as a choice": (choices(["a"]), "server"),
    "half a character in an error": (lambda: Response('{"error": {"message": "bad \\ud800"}}', 400), "server"),
    "a control in an error": (lambda: error(400, "\x1b]0;owned\x07 no"), "server"),
    "null content": (told(None), "malformed"),
    "a number as content": (told(7), "malformed"),
    "a clue that says nothing": (told('{"clues": [{"what": " . ", "where": ";"}]}'), "malformed"),
}


@pytest.mark.parametrize("name", ODD)
def test_one_odd_answer_is_one_failure(folder: Path, experts: Experts, name: str) -> None:
    answer, kind = ODD[name]
    experts.fault = lambda number: answer() if number == 3 else None
    done = annotate(folder, experts)
    assert done.exit_code == 3, done.output
    assert [failure["kind"] for failure in listed(folder)] == [kind]
    assert "\x1b" not in done.output
    assert len(experts.answered) == 2 * COUNT - 1
    assert annotate(folder, experts, "--again").exit_code == 0


def test_a_text_in_parts_is_a_text(folder: Path, experts: Experts, truth: dict[str, Candidate]) -> None:
    said = explained(next(iter(truth.values())), 1)
    parts = [{"type": "text", "text": said[:20]}, {"type": "image"}, {"type": "text", "text": said[20:]}]
    experts.fault = lambda number: told(parts, prompt_tokens=10**400)() if number == 1 else None
    assert annotate(folder, experts).exit_code == 0
    first = json.loads((folder / "raw/explanations.jsonl").read_text().splitlines()[0])
    assert (first["text"], first["tokens_in"]) == (said, 0)


@pytest.mark.parametrize("echo", [lambda: completion(None, refusal=f"no, {KEY}"), told(f"Bearer {KEY} is your key")])
def test_a_key_that_a_server_repeats_is_not_kept(folder: Path, experts: Experts, echo: Callable[[], Response]) -> None:
    experts.fault = lambda number: echo() if number == 1 else None
    done = annotate(folder, experts)
    texts = [path.read_text(errors="replace") for path in folder.rglob("*") if path.suffix in (".json", ".jsonl")]
    assert not any(KEY in text for text in (done.output, *texts))


@pytest.mark.parametrize(
    "box", [[0, 0, 1.7e308, 1.7e308], [0, 0, 1e-200, 1e-200], [-1e308, -1e308, 1e308, 1e308], [5, 5, 5.0000001, 9]]
)
def test_a_box_of_any_size_blocks_nothing(folder: Path, experts: Experts, box: list[float]) -> None:
    annotate(folder, experts)
    entry = json.dumps([{"bbox_2d": box, "label": "hand", "clue": 1}])
    experts.fault = lambda number: told(entry)() if number in (9, 10) else None
    assert ground(folder, experts).exit_code == 0
    assert purify(folder).exit_code == 0


@pytest.mark.parametrize("content", ["", None, 7])
def test_an_empty_grounding_is_no_answer(folder: Path, experts: Experts, content: object) -> None:
    annotate(folder, experts)
    experts.fault = lambda number: told(content)() if number == 9 else None
    assert ground(folder, experts).exit_code == 3
    assert [failure["kind"] for failure in listed(folder, "ground-failures.jsonl")] == ["malformed"]


def test_a_label_of_controls_comes_through_the_review(folder: Path, experts: Experts) -> None:
    from review.records import check_text

    annotate(folder, experts)
    answer = experts.answer

    def evil(body: dict[str, Any]) -> Response:
        record = json.loads(bytes(answer(body).body))
        message = record["choices"][0]["message"]
        message["content"] = message["content"].replace('"label": "', '"label": "\\u001b[31m\\u0000')
        return JSONResponse(record)

    experts.answer = evil  # type: ignore[method-assign]
    assert ground(folder, experts).exit_code == 0
    assert purify(folder).exit_code == 0
    samples = [line.sample for line in read_manifest(folder / "purified.jsonl")]
    assert samples
    for sample in samples:
        for region in sample.regions:
            check_text(region.label, "label")
            assert region.label.isprintable()


def test_images_that_a_server_refuses_do_not_stop_the_others(tmp_path: Path) -> None:
    """The first ten questions get a 400, and again at every try."""
    drawn = scenes(tmp_path / "many", 12, seed=3)
    out = tmp_path / "trace"
    assert trace("collect", "--from", f"manifest:{drawn}", "--out", str(out)).exit_code == 0
    with serving(Experts(truth_of(drawn))) as experts:
        experts.fault = lambda number: error(400, "content policy") if number <= 20 else None
        assert annotate(out, experts).exit_code == 3
        assert len(experts.answered) == 4
        experts.fault = lambda number: error(403, "flagged") if number == 25 else None
        assert annotate(out, experts).exit_code == 3
        assert len(experts.answered) == 23


def test_the_same_image_twice_is_asked_once(folder: Path, experts: Experts) -> None:
    path = folder / "manifest.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    again = json.loads(lines[0]) | {"id": "the-same-image"}
    path.write_text("".join([*lines, json.dumps(again) + "\n"]))
    assert trace("annotate", "--data", str(folder), "--base-url", experts.url, "--concurrency", "12").exit_code == 0
    assert len(experts.answered) == 2 * COUNT


def test_another_model_that_fails_leaves_what_is_there(folder: Path, experts: Experts) -> None:
    annotate(folder, experts)
    ground(folder, experts)
    purify(folder)
    before = (folder / "purified.jsonl").read_bytes()
    experts.fault = lambda number: error(404, "no such model")
    assert annotate(folder, experts, "--model", "gpt-4oo").exit_code == 3
    assert Names.load(folder) == Names("gpt-4o", "qwen")
    assert purify(folder).exit_code == 0
    assert (folder / "purified.jsonl").read_bytes() == before
    Names("nobody", "qwen").save(folder)
    done = purify(folder)
    assert done.exit_code == 2
    assert "replies of gpt-4o" in flat(done)
    assert (folder / "purified.jsonl").read_bytes() == before


def test_two_runs_never_ask_the_same(folder: Path, experts: Experts, drawn: Path) -> None:
    """Locks held as the other run would hold them."""
    (folder / "raw").mkdir()

    def refused(lock: str, how: int, *arguments: str) -> str:
        with (folder / lock).open("a") as file:
            fcntl.flock(file, how)
            done = annotate(folder, experts, *arguments)
        assert done.exit_code == 2, done.output
        assert not experts.requests
        return flat(done)

    whole = "raw/.explanations.lock"
    assert "Another run is asking for explanations" in refused(whole, fcntl.LOCK_EX)
    assert "Another run" in refused(whole, fcntl.LOCK_EX, "--shard", "1/2")
    assert "Another run" in refused(whole, fcntl.LOCK_SH)
    assert "of one count" in refused("raw/.explanations-of-3.lock", fcntl.LOCK_SH, "--shard", "1/2")
    assert "Another run is at work" in refused(".lock", fcntl.LOCK_EX)
    manifest = (folder / "manifest.jsonl").read_bytes()
    with (folder / ".lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        done = trace("build", "--from", f"real:{drawn}", "--out", str(folder), "--explainer-url", experts.url)
    assert done.exit_code == 2
    assert (folder / "manifest.jsonl").read_bytes() == manifest, "refused before anything is touched"
    assert annotate(folder, experts, "--shard", "1/2").exit_code == 0
    assert annotate(folder, experts, "--shard", "2/2").exit_code == 0
    assert len(experts.answered) == 2 * COUNT


def test_shards_keep_their_own_reports(folder: Path, experts: Experts) -> None:
    experts.fault = lambda number: completion("no") if number == 1 else None
    codes = [annotate(folder, experts, "--shard", f"{number}/2").exit_code for number in (1, 2)]
    assert sorted(codes) == [0, 3]
    assert sum(len(listed(folder, f"annotate-{n}-of-2-failures.jsonl")) for n in (1, 2)) == 1
    assert annotate(folder, experts).exit_code == 3
    record = json.loads((folder / "annotate.json").read_text())
    assert record["tokens_in"] == 2 * COUNT * 900, "of every reply that is kept"


def test_merging_loses_and_doubles_nothing(folder: Path, experts: Experts, drawn: Path, tmp_path: Path) -> None:
    annotate(folder, experts)
    full = shutil.copytree(folder, tmp_path / "full")
    (full / "manifest.jsonl").unlink()
    refused = trace("merge", str(folder), "--out", str(full))
    assert refused.exit_code == 2
    assert len((full / "raw/explanations.jsonl").read_text().splitlines()) == 2 * COUNT
    other = shutil.copytree(folder, tmp_path / "other")
    lines = [json.loads(line) for line in (other / "manifest.jsonl").read_text().splitlines()]
    lines[0] |= {"label": {"real": "generated", "generated": "real"}[lines[0]["label"]], "id": "contradicts"}
    lines[1] |= {"id": "same-image-other-id"}
    lines.append(lines[2] | {"image": "../escapes.jpg", "id": "outside", "sha256": "ab" * 32})
    (other / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    shutil.copy(folder / lines[2]["image"], tmp_path / "escapes.jpg")
    done = trace("merge", str(folder), str(other), "--out", str(tmp_path / "all"))
    assert done.exit_code == 3, done.output
    assert "another label" in flat(done)
    assert "is not there" in flat(done)
    merged = [line.sample for line in read_manifest(tmp_path / "all/manifest.jsonl")]
    assert len(merged) == COUNT - 1 == len({sample.sha256 for sample in merged})
    assert sorted(path.name for path in (tmp_path / "all").iterdir()) == ["images", "manifest.jsonl", "raw"]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ({"sha256": ""}, "64 hex digits"),
        ({"sha256": "zz" * 32}, "64 hex digits"),
        ({"width": 10**400}, "whole number"),
        ({"annotation": {"similarity": 10**400}}, None),
    ],
)
def test_one_bad_line_is_one_bad_line(
    folder: Path, experts: Experts, line: dict[str, object], says: str | None
) -> None:
    path = folder / "manifest.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines, json.dumps(json.loads(lines[0]) | line) + "\n"]))
    code = 0 if says is None else 3
    assert annotate(folder, experts).exit_code == code
    ground(folder, experts)
    assert purify(folder).exit_code == code
    done = trace("stats", str(folder))
    assert done.exit_code == code
    assert says is None or says in done.output


@pytest.mark.parametrize("text", ["", "{", "[]", '{"counts": 7}', "\x00"])
@pytest.mark.parametrize(
    "name", ["annotate.json", "ground.json", "collect.json", "fingerprints.jsonl", "raw/similarities.jsonl"]
)
def test_a_damaged_record_beside_is_passed_over(
    folder: Path, experts: Experts, drawn: Path, name: str, text: str
) -> None:
    annotate(folder, experts)
    ground(folder, experts)
    (folder / name).write_text(text + "\n")
    assert trace("collect", "--from", f"manifest:{drawn}", "--out", str(folder)).exit_code == 0
    assert purify(folder).exit_code == 0


def test_names_that_are_no_text_are_collected(drawn: Path, tmp_path: Path) -> None:
    image = next((drawn / "images").rglob("*.jpg"))
    root = os.fsencode(tmp_path / "in")
    Path(os.fsdecode(root + b"/gen\xff/fake")).mkdir(parents=True)
    for name in (b"a.jpg", b"dup\xff.jpg"):
        shutil.copy(os.fsencode(image), root + b"/gen\xff/fake/" + name)
    done = trace("collect", "--from", f"folders:{tmp_path / 'in'}", "--out", str(tmp_path / "out"))
    assert done.exit_code == 0, done.output
    (sample,) = [line.sample for line in read_manifest(tmp_path / "out/manifest.jsonl")]
    assert sample.generator == "gen?"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("annotate", "--base-url", "localhost:8901/v1"), "'localhost:8901/v1' is no address"),
        (("annotate", "--price", "cheap"), "--price 2.5,10"),
        (("annotate", "--shard", "0/2"), "i from 1 to n"),
        (("purify", "--embedder", "/no/such"), "cannot be loaded"),
    ],
)
def test_wrong_options_are_told(folder: Path, experts: Experts, arguments: tuple[str, ...], says: str) -> None:
    annotate(folder, experts)
    ground(folder, experts)
    done = trace(arguments[0], "--data", str(folder), *arguments[1:])
    assert done.exit_code == 2
    assert says in flat(done)


def test_folders_that_are_none_are_told(drawn: Path, tmp_path: Path) -> None:
    file, empty = tmp_path / "file", tmp_path / "empty"
    file.write_text("")
    empty.mkdir()
    for arguments in (
        ("collect", "--from", f"manifest:{drawn}", "--out", str(file)),
        ("collect", "--from", f"real:{empty}", "--out", str(tmp_path / "o")),
        ("annotate", "--data", str(file)),
        ("annotate", "--data", str(tmp_path / "none")),
        ("merge", str(drawn), "--out", str(file)),
        ("build", "--out", str(file)),
    ):
        done = trace(*arguments)
        assert done.exit_code == 2, arguments
        assert "Errno" not in done.output
        assert done.exception is None or isinstance(done.exception, SystemExit)


def test_a_dry_run_knows_what_is_answered_whatever_the_address(folder: Path, experts: Experts) -> None:
    annotate(folder, experts)
    done = trace("annotate", "--data", str(folder), "--model", f"{experts.url}#gpt-4o", "--dry-run")
    assert f"0 calls to gpt-4o ({2 * COUNT} answered already)" in flat(done)


def test_files_are_whole_or_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_whole(path, "one")
    with pytest.raises(UnicodeEncodeError):
        write_whole(path, "two \ud800")
    assert path.read_text() == "one"
    with pytest.raises(OSError, match="No such file"):
        copy_whole(tmp_path / "none", tmp_path / "b")
    assert [child.name for child in tmp_path.iterdir()] == ["a.json"]
    assert path.stat().st_mode & 0o777 == 0o666 & ~current_umask()


def current_umask() -> int:
    now = os.umask(0o022)
    os.umask(now)
    return now
