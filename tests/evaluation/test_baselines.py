"""Other detectors in the same tables, and what can be had without looking at the content."""

from __future__ import annotations

import json
import random
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from lte_core.__main__ import app
from lte_core.dataset.manifest import to_line
from lte_core.images import measure_image
from lte_core.schema import TraceSample, Verdict

COUNT = 40


def evaluate(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["eval", *arguments])


def test_two_samples_of_one_image_have_its_score_and_nothing_is_overwritten(data: Path, tmp_path: Path) -> None:
    path = data / "manifest.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines, json.dumps(json.loads(lines[0]) | {"id": "again"}) + "\n"]))
    command = ("--name", "x", "--command", program(tmp_path, 'print(f"{p},0.7")'))
    out = tmp_path / "p.jsonl"
    assert evaluate("baseline", "--data", str(data), "--out", str(out), *command).exit_code == 0
    for there in (out, path):
        before = there.read_bytes()
        assert evaluate("baseline", "--data", str(data), "--out", str(there), *command).exit_code == 2
        assert there.read_bytes() == before
    assert (
        evaluate(
            "baseline", "--data", str(data), "--out", str(tmp_path / "q"), "--name", "x", "--command", ""
        ).exit_code
        == 2
    )


def collection(folder: Path, seed: int, *, hint: bool) -> Path:
    """Pictures of noise; with a `hint` the generated ones are PNG and smooth, which is a shortcut and no content."""
    rng, lines = np.random.default_rng(seed), []
    folder.mkdir()
    for number in range(COUNT):
        label = Verdict.GENERATED if number % 2 else Verdict.REAL
        told = hint and label is Verdict.GENERATED
        pixels = rng.integers(0, 255, (16 if told else 64, 64, 3), np.uint8)
        picture = Image.fromarray(pixels).resize((96, 96), Image.Resampling.BICUBIC)
        path = folder / f"{number}.{'png' if told else 'jpg'}"
        picture.save(path)
        sample = TraceSample(f"s{number}", path.name, measure_image(path).sha256, 96, 96, label, "", (), "test")
        lines.append(to_line(sample) + "\n")
    random.Random(seed).shuffle(lines)
    (folder / "manifest.jsonl").write_text("".join(lines))
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return collection(tmp_path / "data", 1, hint=True)


def program(tmp_path: Path, body: str) -> str:
    """A detector: `p` is the path of one image, by its number 0 to 39; odd ones are generated."""
    path = tmp_path / "detector.py"
    path.write_text(
        "import sys, pathlib\n"
        "for line in sys.stdin:\n"
        "    p = line.strip(); n = int(pathlib.Path(p).stem)\n"
        f"    {body}\n"
    )
    return f"{sys.executable} {path}"


def accuracy(out: Path) -> tuple[float, float, float | None]:
    record = json.loads(evaluate("report", str(out), "--json").stdout)
    return record["acc"], record["unreadable"], record["auroc"]


@pytest.mark.parametrize(
    ("body", "options", "code", "expected"),
    [
        ('print(f"{p},{0.9 if n % 2 else 0.2}")', (), 0, (1.0, 0.0, 1.0)),
        ('print(f"{p},{0.9 if n % 2 else 0.2}")', ("--score-of-real",), 0, (0.0, 0.0, 0.0)),
        ('print("loading…"); print(f"{p},{0.9 if n % 2 else 0.2}")', (), 0, (1.0, 0.0, 1.0)),
        ("print(f\"{p},{0.9 if n % 2 else float('nan')}\")", (), 3, (0.5, 0.5, None)),
        ('print(f"{p},{90 if n % 2 else 0.2}")', (), 3, (0.5, 0.5, None)),
        ('print(f"{p},{0.9 if n % 2 else 0.2}", flush=True); n < 20 or sys.exit("out of memory")', (), 3, None),
        ('print("nothing")', (), 3, (0.0, 1.0, None)),
    ],
)
def test_a_program_is_scored_by_what_it_prints(
    data: Path, tmp_path: Path, body: str, options: tuple[str, ...], code: int, expected: tuple[float, ...] | None
) -> None:
    out = tmp_path / "p.jsonl"
    command = program(tmp_path, body)
    done = evaluate("baseline", "--data", str(data), "--out", str(out), "--name", "NPR", "--command", command, *options)
    assert done.exit_code == code, done.output
    assert len(out.read_text().splitlines()) == COUNT
    if expected is None:
        acc, unreadable, _ = accuracy(out)
        assert 0 < acc < 1, "what was printed before the crash counts"
        assert acc == pytest.approx(1 - unreadable)
        assert "out of memory" in done.output
    else:
        assert accuracy(out) == pytest.approx(expected)
    assert json.loads(evaluate("report", str(out), "--json").stdout)["name"] == "NPR, baseline"


def test_a_program_that_is_not_there_or_too_slow_is_told(data: Path, tmp_path: Path) -> None:
    done = evaluate(
        "baseline", "--data", str(data), "--out", str(tmp_path / "p.jsonl"), "--name", "x", "--command", "/no/such"
    )
    assert done.exit_code == 2
    assert "cannot be started" in done.output
    slow = program(tmp_path, 'print(f"{p},0.9", flush=True); n != 7 or __import__("time").sleep(30)')
    options = ("--name", "x", "--command", slow, "--timeout", "2")
    done = evaluate("baseline", "--data", str(data), "--out", str(tmp_path / "p.jsonl"), *options)
    assert done.exit_code == 3
    assert "longer than 2 s" in done.output


@pytest.mark.parametrize(("features", "least"), [("size", 0.95), ("spectrum", 0.95), ("both", 0.95)])
def test_the_floor_finds_the_shortcut(data: Path, tmp_path: Path, features: str, least: float) -> None:
    train, out = collection(tmp_path / "train", 2, hint=True), tmp_path / "floor.jsonl"
    done = evaluate("floor", "--data", str(data), "--train", str(train), "--features", features, "--out", str(out))
    assert done.exit_code == 0, done.output
    assert accuracy(out)[0] >= least


def test_without_other_images_the_floor_learns_from_these_in_turn(data: Path, tmp_path: Path) -> None:
    plain = collection(tmp_path / "plain", 4, hint=False)
    found = []
    for folder in (data, plain):
        out = tmp_path / f"{folder.name}-floor.jsonl"
        assert evaluate("floor", "--data", str(folder), "--out", str(out)).exit_code == 0
        found.append(accuracy(out)[0])
    assert found[0] >= 0.95
    assert 0.2 <= found[1] <= 0.8, "an image is never among those that its score was learnt from"
    few = ("--data", str(data), "--limit", "2", "--out", str(tmp_path / "f.jsonl"))
    assert evaluate("floor", *few).exit_code == 2


def test_what_nobody_asked_for_is_a_dash_and_a_missing_floor_is_told(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "p.jsonl"
    command = ("--name", "x", "--command", program(tmp_path, 'print(f"{p},0.7")'))
    assert evaluate("baseline", "--data", str(data), "--out", str(out), *command).exit_code == 0
    record = json.loads(evaluate("report", str(out), "--json").stdout)
    assert [record[name] for name in ("iou", "bleu2", "rouge_l", "boxes")] == [None] * 4
    floor = tmp_path / "floor.jsonl"
    assert evaluate("floor", "--data", str(data), "--out", str(floor)).exit_code == 0
    told = [("floor is missing" in evaluate("report", *map(str, files)).stdout) for files in ([out], [out, floor])]
    assert told == [True, False]


def test_nothing_that_a_late_program_started_outlives_it(data: Path, tmp_path: Path) -> None:
    note = tmp_path / "child.pid"
    body = (
        "import subprocess, time; child = subprocess.Popen(['sleep', '60'], stdin=subprocess.DEVNULL); "
        f"pathlib.Path({str(note)!r}).write_text(str(child.pid)); time.sleep(60)"
    )
    options = ("--name", "x", "--command", program(tmp_path, body), "--timeout", "2")
    assert evaluate("baseline", "--data", str(data), "--out", str(tmp_path / "p.jsonl"), *options).exit_code == 3
    state = Path(f"/proc/{note.read_text()}/stat")
    for _ in range(50):
        if not state.exists() or state.read_text().split()[2] == "Z":  # a zombie of nobody's is ended, too
            return
        time.sleep(0.1)
    pytest.fail("the child runs on")


@pytest.mark.parametrize("given", ["data", "out"])
def test_a_folder_in_place_of_a_file_is_told_in_words(data: Path, tmp_path: Path, given: str) -> None:
    (tmp_path / "folder.jsonl").mkdir()
    arguments = {"data": str(data), "out": str(tmp_path / "f.jsonl"), given: str(tmp_path / "folder.jsonl")}
    done = evaluate("floor", "--data", arguments["data"], "--out", arguments["out"])
    assert done.exit_code == 2
    assert "Errno" not in done.output
    report = evaluate("report", str(tmp_path / "folder.jsonl"))
    assert report.exit_code == 2
    assert "Errno" not in report.output


def test_without_a_shortcut_the_floor_guesses(tmp_path: Path) -> None:
    train, data = (collection(tmp_path / name, seed, hint=False) for name, seed in (("train", 3), ("data", 4)))
    out = tmp_path / "floor.jsonl"
    assert evaluate("floor", "--data", str(data), "--train", str(train), "--out", str(out)).exit_code == 0
    assert 0.2 <= accuracy(out)[0] <= 0.8


def test_a_floor_needs_both_classes_and_tells_of_damage(data: Path, tmp_path: Path) -> None:
    real = tmp_path / "real.jsonl"
    lines = (data / "manifest.jsonl").read_text().splitlines(keepends=True)
    real.write_text("".join(line for line in lines if '"real"' in line).replace('"image": "', '"image": "data/'))
    done = evaluate("floor", "--data", str(data), "--train", str(real), "--out", str(tmp_path / "f.jsonl"))
    assert done.exit_code == 2
    assert "lacks one" in " ".join(done.output.replace("│", " ").split())
    (data / "0.jpg").write_bytes(b"")
    same = evaluate("floor", "--data", str(data), "--train", str(data), "--out", str(tmp_path / "f.jsonl"))
    assert same.exit_code == 2
    assert "in both sets" in " ".join(same.output.replace("│", " ").split())
    train = collection(tmp_path / "train", 2, hint=True)
    done = evaluate("floor", "--data", str(data), "--train", str(train), "--out", str(tmp_path / "f.jsonl"))
    assert done.exit_code == 3
    assert "empty" in done.output
