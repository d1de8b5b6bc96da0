"""`python -m lte_core detect`: what it prints and writes, its exit codes, and what it does with bad input."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from lte_core.commands.detect_run import DetectOptions, run_detect
from lte_core.commands.inputs import find_images
from lte_core.inference.checkpoint import Checkpoint, CheckpointError
from lte_core.inference.detector import Failure, LocateThenExamine
from lte_core.terminal import printable
from lte_core.vlm.base import Question, Reply, VLMError
from tests.conftest import LOCATE, Answer, FakeVLM, png, scripted
from tests.vlm.chat_server import say, serving, stay_silent

ROOT = Path(__file__).parent.parent
Capture = pytest.CaptureFixture[str]


def detector(answer: Answer | None = None, checkpoint: Checkpoint | None = None) -> Callable[[], LocateThenExamine]:
    return lambda: LocateThenExamine(FakeVLM(answer or scripted()), checkpoint or Checkpoint())


def no_model() -> LocateThenExamine:
    raise AssertionError("expected no model to be loaded")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three pictures, a file that only claims to be one, and what must not be taken."""
    root = tmp_path / "pictures"
    (root / "sub").mkdir(parents=True)
    (root / ".hidden").mkdir()
    for name in ("b.png", "a.JPG", "sub/c.webp", ".hidden/d.png", "sub/._e.png"):
        (root / name).write_bytes(png())
    (root / "broken.png").write_bytes(b"not a picture")
    (root / "notes.txt").write_text("no picture")
    return root


def names(found: Iterator[str | Failure], root: Path) -> list[str]:
    """Paths below `root`; Failures in brackets."""
    return [f"[{os.path.relpath(f.path, root)}]" if isinstance(f, Failure) else os.path.relpath(f, root) for f in found]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        pytest.param(["."], ["a.JPG", "b.png", "broken.png", "sub/c.webp"], id="folder"),
        pytest.param(["notes.txt", "b.png", "b.png"], ["notes.txt", "b.png", "b.png"], id="files-as-named"),
        pytest.param(["*.png"], ["b.png", "broken.png"], id="glob"),
        pytest.param(["**/*.webp"], ["sub/c.webp"], id="deep-glob"),
        pytest.param(["s*"], ["sub/c.webp"], id="glob-of-a-folder"),
        pytest.param(["*.gif", "b.png"], ["[*.gif]", "b.png"], id="glob-without-a-match"),
        pytest.param(["none.png", "b.png"], ["[none.png]", "b.png"], id="missing"),
        pytest.param(["b.png/x"], ["[b.png/x]"], id="below-a-file"),
        pytest.param([".hidden"], [".hidden/d.png"], id="hidden-folder-by-name"),
    ],
)
def test_what_the_arguments_stand_for(folder: Path, arguments: list[str], expected: list[str]) -> None:
    assert names(find_images([str(folder / a) for a in arguments]), folder) == expected


def test_a_phone_s_photos_in_a_folder_are_not_passed_over(folder: Path) -> None:
    for name in ("a.HEIC", "b.bmp"):
        (folder / "sub" / name).write_bytes(b"\0\0\0\x18ftypheic")
    assert names(find_images([str(folder / "sub")]), folder) == ["sub/a.HEIC", "sub/b.bmp", "sub/c.webp"]


def test_a_list_on_stdin(folder: Path) -> None:
    lines = [f"\ufeff{folder}/b.png\n".encode(), b"\r\n", f"{folder}/*.webp\r\n".encode(), f"{folder}/sub".encode()]
    (folder / "c.webp").write_bytes(png())
    assert names(find_images(["-", str(folder / "a.JPG")], lines), folder) == ["b.png", "c.webp", "sub/c.webp", "a.JPG"]


@pytest.mark.parametrize("name", ["", "a\0b", "*\0/x", "x" * 5000, "[", "**/" * 50 + "*"])
def test_odd_names_are_failures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    [failure] = find_images([name])
    assert isinstance(failure, Failure)
    assert failure.error.endswith(".")


def test_brackets_in_an_existing_name_are_no_pattern(tmp_path: Path) -> None:
    (tmp_path / "photo[1].png").write_bytes(png())
    assert names(find_images([str(tmp_path / "photo[1].png")]), tmp_path) == ["photo[1].png"]


def test_a_link_to_nowhere_and_an_empty_folder_are_failures(tmp_path: Path) -> None:
    (tmp_path / "gone.png").symlink_to(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    assert names(find_images([f"{tmp_path}/gone.png", f"{tmp_path}/empty"]), tmp_path) == ["[gone.png]", "[empty]"]
    assert names(find_images([f"{tmp_path}/*.png"]), tmp_path) == ["[gone.png]"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may list everything")
def test_a_folder_that_may_not_be_listed_is_a_failure(folder: Path) -> None:
    (folder / "sub").chmod(0)
    try:
        assert names(find_images([str(folder)]), folder) == ["a.JPG", "b.png", "broken.png", "[sub]"]
    finally:
        (folder / "sub").chmod(stat.S_IRWXU)


def lines_of(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_json_is_one_line_an_input_in_order_and_nothing_else(folder: Path, capsys: Capture) -> None:
    code = run_detect(detector(), DetectOptions([str(folder / "missing.png"), str(folder)], as_json=True))
    captured = capsys.readouterr()
    records = lines_of(captured.out)
    assert code == 2
    assert captured.err == ""
    assert [Path(record["image"]["path"]).name for record in records] == [
        "missing.png", "a.JPG", "b.png", "broken.png", "c.webp",
    ]  # fmt: skip
    assert [record["error"] is None for record in records] == [False, True, True, False, True]
    assert records[1]["verdict"] == "generated"


def test_out_holds_the_same_lines(picture: Path, tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "new" / "results.jsonl"
    assert run_detect(detector(), DetectOptions([str(picture)], as_json=True, out=out)) == 0
    assert out.read_text() == capsys.readouterr().out


def test_for_people(picture: Path, capsys: Capture) -> None:
    assert run_detect(detector(), DetectOptions([str(picture), "missing.png"])) == 2
    out = capsys.readouterr().out
    assert "100 × 80" in out
    assert "Looks AI-generated · P(generated) 0.90 · changed after examination" in out
    assert "[2] hand  67 15 98 75" in out
    assert "  The letters [1] are none; the hand [2] is sound." in out
    assert "First impression: real · P(generated) 0.40 · model fake-vlm" in out
    assert "missing.png  no result: There is no such file" in out
    assert "\x1b" not in out, "no colours where there is no terminal"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        pytest.param(scripted(p_examine=0.6), "Uncertain, leans towards generated · P(generated) 0.60", id="uncertain"),
        pytest.param(scripted(examine="?"), "No verdict: the second reply is unreadable", id="unreadable"),
        pytest.param(scripted("?"), "First impression: unreadable", id="first-unreadable"),
        pytest.param(scripted(p_examine=None), "Looks AI-generated · changed", id="no-confidence"),
        pytest.param(scripted(examine="<explanation>\x1b[31m[b]</explanation><verdict>real"), "�[31m[b]", id="escape"),
    ],
)  # fmt: skip
def test_for_people_in_other_cases(picture: Path, capsys: Capture, answer: Answer, words: str) -> None:
    assert run_detect(detector(answer), DetectOptions([str(picture)])) == 0
    assert words in capsys.readouterr().out


def test_what_a_file_says_of_itself_is_told_apart(tmp_path: Path, capsys: Capture) -> None:
    said = PngInfo()
    said.add_text("Software", "NovelAI \x1b[31m")
    Image.new("RGB", (40, 40)).save(tmp_path / "a.png", pnginfo=said)
    assert run_detect(detector(), DetectOptions([str(tmp_path)])) == 0
    assert "  Not part of the verdict: PNG text Software: NovelAI [31m\n" in capsys.readouterr().out


def test_printable_leaves_languages_alone() -> None:
    assert printable("naïve 招牌\n\x1b]0;title\x07\udcff\u202e") == "naïve 招牌\n�]0;title���"


def test_the_report_and_the_crops(folder: Path, tmp_path: Path) -> None:
    report, crops = tmp_path / "report.html", tmp_path / "crops"
    options = DetectOptions([str(folder)], report=report, crops_dir=crops)
    assert run_detect(detector(checkpoint=Checkpoint(note="A toy.")), options) == 2
    page = report.read_text()
    assert page.count("<article>") == 4
    assert page.count("A toy.") == 3
    assert page.endswith("</html>\n")
    found = sorted(path.name for path in crops.iterdir())
    assert len(found) == 6
    assert found[0].startswith("a-")
    assert found[0].endswith("-1.png")
    with Image.open(crops / found[0]) as image:
        assert image.size == (60, 36)


def test_a_model_that_fails_on_one_picture_goes_on(folder: Path, capsys: Capture) -> None:
    (folder / "b.png").write_bytes(png((30, 30)))

    def answer(question: Question, image: Image.Image) -> Reply:
        if image.size == (30, 30):
            raise VLMError("The server is away.")
        return scripted()(question, image)

    assert run_detect(detector(answer), DetectOptions([f"{folder}/b.png", f"{folder}/a.JPG"], as_json=True)) == 2
    assert [record["error"] for record in lines_of(capsys.readouterr().out)] == ["The server is away.", None]


def test_without_a_picture_no_model_is_loaded(tmp_path: Path, capsys: Capture) -> None:
    assert run_detect(no_model, DetectOptions([str(tmp_path)], as_json=True)) == 2
    [record] = lines_of(capsys.readouterr().out)
    assert record["error"].startswith("There is no picture in this folder")


@pytest.mark.parametrize("error", [VLMError("There is no model 'x'."), CheckpointError("lte.json is broken.")])
def test_a_model_that_cannot_be_used_is_one_sentence(picture: Path, capsys: Capture, error: Exception) -> None:
    def load() -> LocateThenExamine:
        raise error

    assert run_detect(load, DetectOptions([str(picture)], as_json=True)) == 1
    assert capsys.readouterr() == ("", f"{error}\n")


@pytest.mark.parametrize("field", ["out", "report", "crops_dir"])
def test_an_output_that_cannot_be_written_is_one_sentence(picture: Path, capsys: Capture, field: str) -> None:
    options = DetectOptions([str(picture)], **{field: picture / "below"})  # type: ignore[arg-type]
    assert run_detect(no_model, options) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "cannot be read or written" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("field", ["out", "report"])
@pytest.mark.parametrize(
    ("given", "written"),
    [
        pytest.param("scan", "scan", id="an input"),
        pytest.param("scan", "link", id="an input by another name"),
        pytest.param("*a*", "scan", id="an input by a pattern"),
        pytest.param("elsewhere", "mine.png", id="a picture by its suffix, that nobody named as an input"),
    ],
)
def test_a_picture_is_never_overwritten(
    picture: Path, tmp_path: Path, capsys: Capture, given: str, written: str, field: str
) -> None:
    before = picture.read_bytes()
    for name in ("scan", "mine.png", "elsewhere"):
        (tmp_path / name).write_bytes(before)
    (tmp_path / "link").symlink_to(tmp_path / "scan")
    options = DetectOptions([str(tmp_path / given)], **{field: tmp_path / written})  # type: ignore[arg-type]
    assert run_detect(no_model, options) == 1
    assert "would overwrite the picture" in capsys.readouterr().err
    assert (tmp_path / written).read_bytes() == before


def test_two_results_never_share_a_file(picture: Path, tmp_path: Path, capsys: Capture) -> None:
    options = DetectOptions([str(picture)], out=tmp_path / "x.html", report=tmp_path / "." / "x.html")
    assert run_detect(no_model, options) == 1
    assert "Name two files" in capsys.readouterr().err
    assert not (tmp_path / "x.html").exists()


def test_a_terminal_as_narrow_as_can_be(picture: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setenv("COLUMNS", "2")
    assert run_detect(detector(), DetectOptions([str(picture)])) == 0
    assert "LooksAI-generated" in "".join(capsys.readouterr().out.split())


def test_an_interrupted_run_keeps_what_was_done(tmp_path: Path, capsys: Capture) -> None:
    for index in range(6):
        (tmp_path / f"{index}.png").write_bytes(png((40 + index, 30)))

    def answer(question: Question, image: Image.Image) -> Reply:
        if image.size[0] == 44:
            signal.raise_signal(signal.SIGINT)
        return scripted()(question, image)

    out, report = tmp_path / "out.jsonl", tmp_path / "out.html"
    assert run_detect(detector(answer), DetectOptions([str(tmp_path)], as_json=True, out=out, report=report)) == 130
    stdout, err = capsys.readouterr()
    printed, written = lines_of(stdout), lines_of(out.read_text())
    assert 1 <= len(printed) < 6
    assert printed[: len(written)] == written  # the signal may come between two outputs
    assert len(printed) - len(written) in (0, 1)
    assert re.fullmatch(r"Stopped\. \d of 6 inputs are done, and their results are kept\.\n", err)
    assert report.read_text().endswith("</html>\n")


def test_file_names_of_any_bytes(tmp_path: Path, capsys: Capture) -> None:
    path = os.path.join(os.fsencode(tmp_path), b"caf\xe9\x1b[31m.png")  # noqa: PTH118
    try:
        Path(os.fsdecode(path)).write_bytes(png())
    except OSError:
        pytest.skip("this file system takes no such name")
    lines, page, crops = (tmp_path / "out" / name for name in ("a.jsonl", "a.html", "crops"))
    options = DetectOptions([str(tmp_path)], True, lines, page, crops)
    assert run_detect(detector(), options) == 0
    [record] = lines_of(capsys.readouterr().out)
    assert os.fsencode(record["image"]["path"]) == path
    assert run_detect(detector(), DetectOptions([str(tmp_path)])) == 0
    assert "caf��[31m.png" in capsys.readouterr().out.replace("\n", "")  # the terminal's width cuts it


def program(*arguments: str, **options: Any) -> subprocess.Popen[bytes]:
    """The program in a process of its own."""
    return subprocess.Popen(
        [sys.executable, *arguments], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options
    )


@pytest.fixture
def model() -> Iterator[str]:
    """The name of a model behind a URL that gives the same reply to both questions."""
    with serving(say(LOCATE)) as server:
        yield f"{server.url}#m"


def test_a_reader_that_goes_away_leaves_no_traceback(tmp_path: Path) -> None:
    for index in range(40):
        (tmp_path / f"{index}.png").write_bytes(png())
    # More than a pipe holds, so that nobody is done before the reader has gone.
    wordy = LOCATE.replace("The lettering", "The lettering " * 300)
    with serving(say(wordy)) as server:
        typed = ["-m", "lte_core", "detect", str(tmp_path), "--model", f"{server.url}#m"]
        with program(*typed) as for_people, program(*typed, "--json") as for_programs:
            for process in (for_people, for_programs):
                assert process.stdout is not None
                assert process.stderr is not None
                process.stdout.readline()
                process.stdout.close()
                assert process.stderr.read() == b""
    assert (for_people.returncode, for_programs.returncode) == (141, 141)


def test_ctrl_c_does_not_wait_for_a_silent_server(picture: Path) -> None:
    with serving(stay_silent) as server:
        typed = ["-m", "lte_core", "detect", str(picture), "--model", f"{server.url}#m"]
        with program(*typed) as process:
            deadline = time.monotonic() + 20
            while not server.sent and time.monotonic() < deadline:
                time.sleep(0.02)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=5)
    assert (process.returncode, out) == (130, b"")
    assert err == b"Stopped. 0 of 1 inputs are done, and their results are kept.\n"


def test_the_typed_command(picture: Path, tmp_path: Path, model: str) -> None:
    options = [
        "--json",
        "--model",
        model,
        "--threads",
        "1",
        "--out",
        f"{tmp_path}/a.jsonl",
        "--report",
        f"{tmp_path}/a.html",
    ]
    process = program("-m", "lte_core", "detect", "-", *options, stdin=subprocess.PIPE)
    out, err = process.communicate(os.fsencode(picture) + b"\nmissing.png\n", 30)
    assert (process.returncode, err) == (2, b"")
    assert [record["error"] is None for record in lines_of(out.decode())] == [True, False]
    assert (tmp_path / "a.jsonl").read_bytes() == out
    assert (tmp_path / "a.html").read_text().count("<article>") == 2


@pytest.mark.parametrize(
    ("closed", "arguments", "code", "said"),
    [
        pytest.param("<&-", ["-"], 0, b"The list on standard input names no picture.", id="input"),
        pytest.param(">&-", ["{picture}", "--out", "{out}"], 0, b"", id="output"),
        pytest.param(">&- 2>&-", ["{picture}", "missing", "--out", "{out}"], 2, b"", id="outputs"),
    ],
)
def test_a_closed_stream_is_no_trouble(
    picture: Path, tmp_path: Path, model: str, closed: str, arguments: list[str], code: int, said: bytes
) -> None:
    out = tmp_path / "out.jsonl"
    filled = [argument.format(picture=picture, out=out) for argument in arguments]
    run = [sys.executable, "-m", "lte_core", "detect", "--model", model, *filled]
    done = subprocess.run(["sh", "-c", f'exec "$@" {closed}', "sh", *run], cwd=ROOT, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr.strip()) == (code, b"", said)
    assert not out.exists() or all(line["schema"] for line in lines_of(out.read_text()))
    assert out.exists() == ("{out}" in arguments)


@pytest.mark.parametrize(
    ("arguments", "environment", "code", "said"),
    [
        pytest.param(["x.png", "--threads", "0"], {}, 2, b"--threads", id="zero-threads"),
        pytest.param(["{picture}"], {"LTE_PORT": "x"}, 1, b"LTE_PORT is 'x'", id="bad-setting"),
        pytest.param(["{picture}", "--model", "no/such/model"], {}, 1, b"no model at 'no/such/model'", id="bad-model"),
    ],
)
def test_wrong_use(picture: Path, arguments: list[str], environment: dict[str, str], code: int, said: bytes) -> None:
    typed = [argument.format(picture=picture) for argument in arguments]
    process = program("-m", "lte_core", "detect", *typed, env={**os.environ, **environment})
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (code, b"")
    assert said in err
    assert b"Traceback" not in err


def test_help_needs_nothing_heavy() -> None:
    heavy = ("torch", "transformers", "gradio", "openai", "numpy", "PIL", "pydantic")
    process = program("-c", f"import sys; import lte_core.__main__; print([m for m in {heavy} if m in sys.modules])")
    assert process.communicate(timeout=30) == (b"[]\n", b"")
