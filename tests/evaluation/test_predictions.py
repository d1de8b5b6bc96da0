"""Predictions as files: made by lte-nano, killed and gone on with, refused where they do not belong, and scored."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner, Result

from lte_core.__main__ import app
from lte_core.dataset.manifest import read_manifest
from lte_core.dataset.synth import write_dataset
from lte_core.evaluation.outcomes import detections, outcome, read_predictions, union_iou
from lte_core.evaluation.run import RunConfig, predict_file, read_samples
from lte_core.files import locked
from lte_core.inference.crop_sources import CropSource
from lte_core.inference.detector import Failure, LocateThenExamine
from lte_core.inference.load import NANO, load_model
from lte_core.schema import Box, Size

ROOT = Path(__file__).parents[2]
COUNT = 12


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    write_dataset(folder, COUNT, 77, plain_share=0.0)
    return folder


def evaluate(*arguments: str) -> Result:
    torch.set_num_threads(1)
    return CliRunner().invoke(app, ["eval", *arguments])


@pytest.fixture(scope="module")
def predictions(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A file of each way to look."""
    folder, made = tmp_path_factory.mktemp("predictions"), {}
    for name, options in {
        "lte": (), "single": ("--mode", "single"), "explain": ("--mode", "explain"), "base": ("--mode", "base"),
        "random": ("--crops", "random"), "largest3": ("--crops", "largest3"), "annotated": ("--crops", "annotated"),
    }.items():  # fmt: skip
        made[name] = folder / f"{name}.jsonl"
        done = evaluate("predict", "--data", str(data), "--out", str(made[name]), *options)
        assert done.exit_code == 0, done.output
    return made


def told(done: Result) -> str:
    """What was said, however long the paths were that its lines were broken for."""
    return " ".join(done.output.replace("│", " ").split())


def lines(path: Path, *, timed: bool = False) -> list[dict[str, Any]]:
    records = [json.loads(line) for line in path.read_text().splitlines()]
    return records if timed else [{k: v for k, v in record.items() if k != "timings_s"} for record in records]


def test_every_sample_has_its_line_with_its_truth(data: Path, predictions: dict[str, Path]) -> None:
    samples = [line.sample for line in read_manifest(data / "manifest.jsonl")]
    for path in predictions.values():
        truths = [truth for truth, _ in read_predictions(path)]
        assert [(t.id, t.label, t.regions, t.explanation, t.source, t.generator, t.sha256) for t in truths] == [
            (s.id, s.label, s.regions, s.explanation, s.source, s.generator, s.sha256) for s in samples
        ]
        run = json.loads(path.with_suffix(".run.json").read_text())
        assert run["model"]["sha256"]
        assert run["data_sha256"]
        assert run["samples"] == COUNT


def test_the_ways_to_look_differ_as_they_should(predictions: dict[str, Path]) -> None:
    found = {name: lines(path) for name, path in predictions.items()}
    for lte, single, explain in zip(found["lte"], found["single"], found["explain"], strict=True):
        assert single["locate"] == lte["locate"], "the first look is the same one"
        assert single["verdict"] == lte["locate"]["verdict"]
        assert (single["crops"], explain["crops"], explain["locate"]["regions"]) == ([], [], [])
        assert explain["examine"]["reply"].startswith("<explanation>")
        assert explain["verdict"] == explain["locate"]["verdict"]
    for lte, other in zip(found["lte"], found["largest3"], strict=True):
        assert len(other["crops"]) <= 3
        if len(lte["locate"]["regions"]) <= 3:
            assert other["examine"]["reply"] == lte["examine"]["reply"]
    shown = [[crop["bbox"] for crop in record["crops"]] for record in found["random"]]
    assert shown != [[crop["bbox"] for crop in record["crops"]] for record in found["lte"]]
    assert any(record["examine"]["reply"] for record in found["base"])


@pytest.mark.parametrize("name", ["random", "largest3", "annotated"])
def test_a_first_look_that_is_known_changes_nothing(
    data: Path, predictions: dict[str, Path], tmp_path: Path, name: str
) -> None:
    known = detections(predictions["lte"])
    assert len(known) == COUNT
    config, out = RunConfig(crops=CropSource(name)), tmp_path / "again.jsonl"
    detector = LocateThenExamine(*load_model(NANO))
    assert predict_file(detector, read_samples(data, config), out, config, first_look=known.get) == []
    assert lines(out) == lines(predictions[name])
    for record in lines(out, timed=True):
        assert record["timings_s"]["locate"] == known[record["sample"]["id"]].timings_s["locate"]


@pytest.mark.slow
def test_a_run_that_is_killed_comes_to_the_same(data: Path, predictions: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "killed.jsonl"
    command = [sys.executable, "-m", "lte_core", "eval", "predict", "--data", str(data), "--out", str(out)]
    for least in (1, 8):
        process = subprocess.Popen([*command, "--threads", "1"], cwd=ROOT, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and process.poll() is None:
            if out.exists() and out.read_bytes().count(b"\n") >= least:
                break
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    with out.open("a") as torn:
        torn.write('{"sample": {"id"')
    done = subprocess.run([*command, "--threads", "1"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert lines(out) == lines(predictions["lte"])
    before = out.read_bytes()
    assert evaluate("predict", "--data", str(data), "--out", str(out)).exit_code == 0
    assert out.read_bytes() == before, "what is done is not done again"


def test_a_file_of_another_run_is_not_mixed(data: Path, predictions: dict[str, Path]) -> None:
    before = predictions["lte"].read_bytes()
    done = evaluate("predict", "--data", str(data), "--out", str(predictions["lte"]), "--mode", "single")
    assert done.exit_code == 2
    assert "another config" in told(done)
    assert predictions["lte"].read_bytes() == before


def test_two_runs_never_write_one_file(data: Path, predictions: dict[str, Path]) -> None:
    before = predictions["lte"].read_bytes()
    with locked(predictions["lte"], shared=False, message=""):
        for more in ((), ("--again",)):
            done = evaluate("predict", "--data", str(data), "--out", str(predictions["lte"]), *more)
            assert done.exit_code == 2
            assert "Another run is writing" in told(done)
    assert predictions["lte"].read_bytes() == before


def test_shards_and_splits_are_parts(data: Path, predictions: dict[str, Path], tmp_path: Path) -> None:
    parts = []
    for number in (1, 2):
        out = tmp_path / f"{number}.jsonl"
        assert evaluate("predict", "--data", str(data), "--out", str(out), "--shard", f"{number}/2").exit_code == 0
        parts += [record["sample"]["id"] for record in lines(out)]
    assert Counter(parts) == Counter(record["sample"]["id"] for record in lines(predictions["lte"]))
    none = evaluate("predict", "--data", str(data), "--out", str(tmp_path / "x.jsonl"), "--split", "val9")
    assert none.exit_code == 2
    assert evaluate("predict", "--data", str(data), "--out", str(tmp_path / "x.jsonl"), "--shard", "0/2").exit_code == 2
    assert evaluate("predict", "--data", str(tmp_path / "no"), "--out", str(tmp_path / "x.jsonl")).exit_code == 2


def test_what_is_wrong_with_the_data_is_told_and_counted_wrong(data: Path, tmp_path: Path) -> None:
    manifest = (data / "manifest.jsonl").read_text().splitlines(keepends=True)[:3]
    (tmp_path / "manifest.jsonl").write_text(manifest[0] + "no sample\n" + "".join(manifest[1:]))
    images = [json.loads(line)["image"] for line in manifest]
    for name in images[:2]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes((data / name).read_bytes())
    out = tmp_path / "p.jsonl"
    done = evaluate("predict", "--data", str(tmp_path), "--out", str(out))
    assert done.exit_code == 3
    assert "line 2" in done.output
    *_, (truth, failed) = read_predictions(out)
    assert isinstance(failed, Failure)
    assert outcome(truth, failed).final is None
    assert outcome(truth, failed).iou in (0.0, None)
    record = json.loads(evaluate("report", str(out), "--json").stdout)
    assert (record["n"], record["unreadable"]) == (3, pytest.approx(1 / 3))
    before = lines(out)
    (tmp_path / images[2]).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / images[2]).write_bytes((data / images[2]).read_bytes())
    evaluate("predict", "--data", str(tmp_path), "--out", str(out))
    assert lines(out) == before, "what failed counts as done"
    assert evaluate("predict", "--data", str(tmp_path), "--out", str(out), "--again").exit_code == 3, "the bad line"
    after = lines(out)
    assert after[:2] == before[:2]
    assert after[2]["error"] is None


def test_a_report_has_the_pinned_names_and_one_row_a_file(
    predictions: dict[str, Path], data: Path, tmp_path: Path
) -> None:
    files = [str(path) for path in predictions.values()]
    done = evaluate("report", *files, "--json", "--out", str(tmp_path / "report"), "--images", str(data))
    assert done.exit_code == 0, done.output
    record = json.loads(done.stdout)
    pinned = {"acc", "i_acc", "c_acc", "c_cases", "iou", "bleu2", "rouge_l", "unreadable"}
    assert pinned <= record.keys()
    assert [one["name"].partition(", ")[2] for one in record["files"]] == [
        "lte", "single", "explain", "base", "lte, random crops", "lte, largest3 crops", "lte, annotated crops"
    ]  # fmt: skip
    for one in record["files"]:
        gain = one["c_cases"] * (2 * one["c_acc"] - 1) if one["c_acc"] is not None else 0
        if not one["unreadable"]:
            assert one["acc"] == pytest.approx(one["i_acc"] + gain)
        low, high = one["intervals"]["acc"]
        assert low <= one["acc"] <= high
    assert len(record["comparisons"]) == len(files) - 1
    assert json.loads((tmp_path / "report/report.json").read_text()) == record
    page = (tmp_path / "report/report.html").read_text()
    assert "<script" not in page
    assert "data:image/svg+xml" in page
    assert all(one["sha256"][:16] in page for one in record["files"])


def test_the_frozen_predictions_have_the_frozen_numbers() -> None:
    """Golden: any change of a formula shows here. The lines are lte-nano's, made worse by hand (an unreadable reply, a
    failed image, boxes moved)."""
    folder = Path(__file__).parent / "golden"
    record = json.loads(evaluate("report", str(folder / "predictions.jsonl"), "--json").stdout)
    expected = json.loads((folder / "numbers.json").read_text())
    for name, value in expected.items():
        assert record[name] == (None if value is None else pytest.approx(value, abs=1e-9)), name


def test_data_sets_of_other_releases_have_a_row_each(data: Path, tmp_path: Path) -> None:
    """MMFR's and SynthScars' layouts -> collect -> predict -> a row for each data set and generator."""
    images = [data / line.sample.image for line in read_manifest(data / "manifest.jsonl")]
    root = tmp_path / "mmfr/evaluation_sets/gen1"
    for place, image in (("0_real/a.jpg", images[0]), ("1_fake/b.jpg", images[1])):
        (root / place).parent.mkdir(parents=True)
        shutil.copy(image, root / place)
    (root.parent / "gen1_reasoning.json").write_text(json.dumps({"gen1/1_fake/b.jpg": {"hands": "six fingers"}}))
    scars = tmp_path / "scars/test"
    (scars / "images").mkdir(parents=True)
    (scars / "annotations").mkdir()
    shutil.copy(images[2], scars / "images/c.jpg")
    refs = [{"sentence": "hand", "explanation": "melted", "segmentation": [[10, 10, 90, 10, 90, 90]]}]
    entry = {"1": {"img_file_name": "c.jpg", "caption": "", "refs": refs}}
    (scars / "annotations/test.json").write_text(json.dumps([entry]))
    sources = ("--from", f"mmfr:{tmp_path / 'mmfr'}", "--from", f"synthscars:{tmp_path / 'scars'}")
    out = tmp_path / "collected"
    collected = CliRunner().invoke(app, ["trace", "collect", *sources, "--out", str(out)])
    assert collected.exit_code == 0, collected.output
    assert evaluate("predict", "--data", str(out), "--out", str(tmp_path / "p.jsonl")).exit_code == 0
    done = evaluate("report", str(tmp_path / "p.jsonl"))
    assert done.exit_code == 0, done.output
    assert all(row in done.output for row in ("| mmfr: gen1 |", "| mmfr: real |", "| synthscars: generated |"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "at least one prediction"),
        ("no json\n", "line 1: expected a prediction"),
        ('{"sample": {"id": "a"}}\n', "line 1: expected a prediction"),
        ("[1]\n", "line 1: expected a prediction"),
    ],
)
def test_a_file_without_predictions_is_refused(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text(text)
    done = evaluate("report", str(path))
    assert done.exit_code == 2
    assert says in " ".join(done.output.replace("│", " ").split())
    assert evaluate("report", str(tmp_path / "none.jsonl")).exit_code == 2


def changed(record: dict[str, Any], where: str, value: object) -> str:
    """The record as a line, with a value put at a dotted place."""
    copy: dict[str, Any] = json.loads(json.dumps(record))
    place = copy
    *path, last = where.split(".")
    for name in path:
        place = place[name]
    place[last] = value
    return json.dumps(copy)


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("sample.explanation", 5), ("sample.source", ["a"]), ("sample.generator", ["a"]), ("sample.group", [1]),
        ("sample.id", ["a"]), ("sample.sha256", 7), ("examine.explanation", None), ("timings_s.total", "x"),
        ("examine.p_generated", "0.5"), ("examine.p_generated", 1.5), ("examine.p_generated", float("nan")),
        ("image.width", 0), ("image.width", "a"),
    ],
)  # fmt: skip
def test_an_odd_line_is_left_out_and_told(
    predictions: dict[str, Path], tmp_path: Path, where: str, value: object
) -> None:
    whole = predictions["lte"].read_text().splitlines()
    path = tmp_path / "odd.jsonl"
    path.write_text("\n".join([*whole[1:], changed(json.loads(whole[0]), where, value)]) + "\n")
    done = evaluate("report", str(path), "--json")
    assert done.exit_code == 3, done.output
    assert json.loads(done.stdout)["n"] == COUNT - 1
    assert f"line {COUNT}" in done.stderr


def test_doubled_cut_and_unfinished_files_are_told(predictions: dict[str, Path], tmp_path: Path) -> None:
    whole, path = predictions["lte"].read_bytes(), tmp_path / "p.jsonl"
    run = predictions["lte"].with_suffix(".run.json").read_bytes()
    for content, beside, says, count in (
        (whole + whole, run, "predicted twice", COUNT),
        (b"".join(whole.splitlines(keepends=True)[:3]), run, f"3 of {COUNT} samples", 3),
        (whole + '{"é'.encode()[:-1], run, f"line {COUNT + 1}", COUNT),
        (b"\xef\xbb\xbf" + whole, run, None, COUNT),
        (whole, b"[1]", None, COUNT),
        (whole, b'{"x"', None, COUNT),
    ):
        path.write_bytes(content)
        path.with_suffix(".run.json").write_bytes(beside)
        done = evaluate("report", str(path), "--json")
        assert done.exit_code == (0 if says is None else 3), done.output
        assert json.loads(done.stdout)["n"] == count
        assert says is None or says in done.stderr


def test_only_the_same_images_are_compared(predictions: dict[str, Path], tmp_path: Path) -> None:
    other = tmp_path / "other.jsonl"
    records = [json.loads(line) for line in predictions["lte"].read_text().splitlines()]
    other.write_text("\n".join(changed(record, "sample.sha256", "ab" * 32) for record in records) + "\n")
    record = json.loads(evaluate("report", str(predictions["lte"]), str(other), "--json").stdout)
    assert record["comparisons"] == []


def test_foreign_texts_stay_texts(predictions: dict[str, Path], data: Path, tmp_path: Path) -> None:
    """Links, pictures and headings in names, and a picture outside the folder."""
    lines_of = predictions["lte"].read_text().splitlines()
    records = [json.loads(line) for line in lines_of]
    evil = "[click](http://evil.example) ![i](http://evil.example/p.png)\r\r# Fake <script>alert(1)</script> `x`"
    for record in records[1:]:
        record["sample"] |= {"source": evil, "generator": evil, "id": f"../{record['sample']['id']}", "sha256": ""}
    path = tmp_path / "p.jsonl"
    path.write_text("\n".join(map(json.dumps, records)) + "\n")
    done = evaluate("report", str(path), "--out", str(tmp_path / "out"), "--images", str(data))
    assert done.exit_code == 0, done.output
    page, text = ((tmp_path / f"out/report.{kind}").read_text() for kind in ("html", "md"))
    assert "<a href" not in page
    assert 'src="http' not in page
    assert "<script" not in page
    assert "Fake" in text
    assert not any(line.startswith("# Fake") for line in text.splitlines())
    assert "](http" not in text


def test_ties_are_judged_together() -> None:
    from lte_core.evaluation.metrics import Outcome
    from lte_core.evaluation.plots import coverage
    from lte_core.schema import Verdict

    flat = [Outcome(v, Verdict.REAL, Verdict.REAL, p_generated=0.1) for v in (Verdict.REAL, Verdict.GENERATED) * 5]
    assert coverage(flat, "t") == coverage(flat[::-1], "t") == coverage([*flat[::2], *flat[1::2]], "t")


def test_lines_of_another_schema_are_left_out_and_told(predictions: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "mixed.jsonl"
    whole = predictions["lte"].read_text().splitlines()
    old = json.loads(whole[0]) | {"schema": "lte-detection/0"}
    path.write_text("\n".join([*whole[:3], json.dumps(old), "{}", *whole[3:]]) + "\n")
    done = evaluate("report", str(path), "--json")
    assert done.exit_code == 3
    assert json.loads(done.stdout)["n"] == COUNT
    assert "line 4" in done.stderr
    assert "line 5" in done.stderr


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ([Box(0, 0, 50, 100)], [Box(0, 0, 50, 100)], 1),
        ([Box(0, 0, 50, 100)], [Box(25, 0, 75, 100)], 1 / 3),
        ([Box(0, 0, 50, 50), Box(50, 50, 100, 100)], [Box(0, 0, 100, 100)], 1 / 2),
        ([Box(0, 0, 50, 50)], [], 0),
        ([Box(0, 0, 50, 50), Box(0, 0, 50, 50)], [Box(0, 0, 50, 50)], 1),
    ],
)
def test_the_union_of_boxes_is_measured(a: list[Box], b: list[Box], expected: float) -> None:
    assert union_iou(a, b, Size(100, 100)) == pytest.approx(expected)
    big = [Box(*(20 * v for v in box.xyxy)) for box in a], [Box(*(20 * v for v in box.xyxy)) for box in b]
    assert union_iou(*big, Size(2000, 2000)) == pytest.approx(expected, abs=0.01)
