"""Robustness, faithfulness, calibration and ablations with lte-nano: files first, tables from them."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image
from typer.testing import CliRunner, Result

from lte_core.__main__ import app
from lte_core.boxes import iou
from lte_core.dataset.manifest import read_manifest
from lte_core.dataset.synth import write_dataset
from lte_core.evaluation.calibration import uncertain_band
from lte_core.evaluation.faithfulness import hidden, other_boxes, references
from lte_core.evaluation.perturb import KINDS, LEVELS, Level, changed, moved
from lte_core.images import read_image
from lte_core.inference.checkpoint import Checkpoint
from lte_core.inference.load import MODELS, NANO
from lte_core.schema import (
    Box,
    Crop,
    Detection,
    ExamineResult,
    ImageInfo,
    LocateResult,
    ModelInfo,
    Region,
    Size,
    Verdict,
)

COUNT = 6


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    write_dataset(folder, COUNT, 78, plain_share=0.0)
    return folder


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("many")
    write_dataset(folder, 24, 80, plain_share=0.0)
    return folder


def evaluate(*arguments: str) -> Result:
    torch.set_num_threads(1)
    return CliRunner().invoke(app, ["eval", *arguments])


def test_every_change_gives_an_image_whose_boxes_fit(data: Path) -> None:
    sample = next(line.sample for line in read_manifest(data / "manifest.jsonl") if line.sample.regions)
    source = read_image(data / sample.image)
    for level in LEVELS:
        new = changed(source, level)
        size = Size(*new.pixels.size)
        there = moved(sample, level, size)
        assert (there.width, there.height) == size
        assert there.label is sample.label
        for region in there.regions:
            x1, y1, x2, y2 = region.box.xyxy
            assert 0 <= x1 < x2 <= size.width
            assert 0 <= y1 < y2 <= size.height
        if level.kind in ("JPEG", "WebP", "blur", "noise", "metadata stripped"):
            assert [region.box for region in there.regions] == [region.box for region in sample.regions]


@pytest.mark.parametrize(
    "level", [Level("resize", 0.5), Level("crop", 0.7), Level("screenshot", 0.6), Level("resize", 1.5)]
)
def test_a_box_goes_with_what_it_frames(tmp_path: Path, level: Level) -> None:
    """A red square is still inside its box, and its box no larger than it must be."""
    pixels = np.full((400, 400, 3), 128, np.uint8)
    pixels[150:250, 180:280] = (255, 0, 0)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    source = read_image(tmp_path / "a.png")
    new = np.asarray(changed(source, level).pixels).astype(int)
    from lte_core.schema import TraceSample

    square = Region(Box(180, 150, 280, 250), "square")
    sample = TraceSample("s", "a.png", source.sha256, 400, 400, Verdict.REAL, "", (square,), "test")
    (region,) = moved(sample, level, Size(new.shape[1], new.shape[0])).regions
    y, x = np.nonzero((new[..., 0] > 200) & (new[..., 1] < 80))
    found = Box(float(x.min()), float(y.min()), float(x.max() + 1), float(y.max() + 1))
    assert iou(region.box, found) > 0.93


def test_stripping_metadata_changes_no_pixel_and_stronger_levels_change_more(data: Path) -> None:
    source = read_image(next((data / "images").rglob("*.*")))
    before = np.asarray(source.pixels).astype(int)
    assert (np.asarray(changed(source, Level("metadata stripped", 0)).pixels) == before).all()
    for kind in ("JPEG", "WebP", "blur", "noise"):
        harm = [np.abs(np.asarray(changed(source, Level(kind, v)).pixels) - before).mean() for v in KINDS[kind].values]
        assert harm == sorted(harm)
        assert harm[0] < harm[-1]


def test_robustness_is_measured_from_files(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = (Level("JPEG", 90), Level("blur", 4), Level("crop", 0.7))
    monkeypatch.setattr("lte_core.evaluation.robustness.LEVELS", few)
    from lte_core.evaluation import robustness

    monkeypatch.setattr(robustness.predict_levels, "__defaults__", (few, lambda done: None))
    monkeypatch.setattr(robustness.measure, "__defaults__", (few,))
    out = tmp_path / "rob"
    done = evaluate("robustness", "--data", str(data), "--out", str(out))
    assert done.exit_code == 0, done.output
    record = json.loads((out / "robustness.json").read_text())
    assert [row["level"] for row in record["rows"]] == ["untouched", "JPEG 90", "blur 4", "crop 0.7"]
    untouched = record["rows"][0]
    assert (untouched["change"], untouched["flips"]) == (0, 0)
    assert all(row["n"] == COUNT for row in record["rows"])
    assert 0 <= record["stability"]["always"] <= record["stability"]["agreement"] <= 1
    files = {path.name: path.stat().st_mtime_ns for path in out.glob("*.jsonl")}
    (out / "blur-4.jsonl").unlink()
    assert evaluate("robustness", "--data", str(data), "--out", str(out)).exit_code == 0
    again = {path.name: path.stat().st_mtime_ns for path in out.glob("*.jsonl")}
    assert {name for name in files if files[name] != again[name]} == {"blur-4.jsonl"}, "the others are kept"
    assert json.loads((out / "robustness.json").read_text()) == record
    report = tmp_path / "report"
    done = evaluate("report", str(out / "untouched.jsonl"), "--out", str(report), "--levels", str(out))
    assert done.exit_code == 0, done.output
    assert "| blur 4 |" in (report / "report.md").read_text()
    assert (report / "report.html").read_text().count("data:image/svg+xml") == 4, "verdicts, two of P, the levels"
    other = evaluate("robustness", "--data", str(data), "--out", str(out), "--limit", "2")
    assert other.exit_code == 2
    assert "holds another run" in " ".join(other.output.replace("│", " ").split())


def test_faithfulness_is_measured_from_files(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "faith"
    done = evaluate("faithfulness", "--data", str(data), "--out", str(out))
    assert done.exit_code == 0, done.output
    record = json.loads((out / "faithfulness.json").read_text())
    own, other, score = (record[name] for name in ("own_drop", "random_drop", "score"))
    assert score["value"] == pytest.approx(own["value"] - other["value"])
    assert score["interval"]["low"] <= score["value"] <= score["interval"]["high"]
    assert 1 <= record["n"] <= COUNT
    assert 0 <= record["named"] <= 1


def test_what_is_hidden_is_gone_and_the_rest_is_as_it_was() -> None:
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 255, (200, 300, 3), np.uint8))
    box = Box(50.5, 40, 120, 90.2)
    before, after = np.asarray(image).astype(int), np.asarray(hidden(image, [box])).astype(int)
    inside = np.zeros((200, 300), bool)
    inside[40:91, 50:120] = True
    assert (after[~inside] == before[~inside]).all()
    assert after[inside].std() < before[inside].std() / 5


@given(
    st.lists(
        st.tuples(st.floats(0, 150), st.floats(0, 150), st.floats(5, 100), st.floats(5, 100)), min_size=1, max_size=4
    ),
    st.integers(0, 99),
)
def test_other_boxes_are_as_many_and_as_large(corners: list[tuple[float, ...]], seed: int) -> None:
    boxes = [Box(x, y, x + w, y + h) for x, y, w, h in corners]
    found = other_boxes(boxes, Size(300, 300), random.Random(seed))
    assert [(b.width, b.height) for b in found] == [pytest.approx((b.width, b.height)) for b in boxes]
    assert all(b.x1 >= 0 and b.x2 <= 300.001 and b.y1 >= 0 and b.y2 <= 300.001 for b in found)


def detection(words: str, labels: list[str]) -> Detection:
    crops = tuple(Crop(Box(0, 0, 9, 9), label, (i,)) for i, label in enumerate(labels))
    first = LocateResult("", (), Verdict.REAL, 0.2, "")
    return Detection(
        ImageInfo("a", "0", 9, 9), ModelInfo("m"), first, crops, ExamineResult(words, Verdict.REAL, 0.2, "")
    )


@pytest.mark.parametrize(
    ("words", "labels", "expected"),
    [
        ("[1] the left hand has six fingers; [2] the sign is legible", ["left hand", "sign"], (1, 0, 1)),
        ("[1] six fingers", ["left hand", "sign"], (0.5, 0, 0)),
        ("[3] a seam", ["left hand"], (0, 1, None)),
        ("nothing", ["left hand"], (0, None, None)),
        ("nothing", [], (None, None, None)),
    ],
)
def test_references_are_counted(words: str, labels: list[str], expected: tuple[float | None, ...]) -> None:
    assert references([detection(words, labels)]) == expected


def test_calibration_is_kept_beside_the_model(many: Path, data: Path, tmp_path: Path) -> None:
    model = tmp_path / "nano"
    shutil.copytree(MODELS / NANO, model)
    before = (model / "lte.json").read_bytes()
    few = evaluate("calibrate", "--data", str(data), "--model", str(model))
    assert few.exit_code == 2
    assert "at least 20 images" in " ".join(few.output.replace("│", " ").split())
    arguments = ("calibrate", "--data", str(many), "--model", str(model))
    assert evaluate(*arguments, "--dry-run").exit_code == 0
    assert (model / "lte.json").read_bytes() == before
    done = evaluate(*arguments)
    assert done.exit_code == 0, done.output
    fitted = Checkpoint.load(model)
    assert f"{fitted.temperature_examine:.3f}" in done.output
    assert fitted.prompts == Checkpoint.load(MODELS / NANO).prompts
    assert evaluate(*arguments).output == done.output, "fitted on plain probabilities, whatever was there before"
    assert evaluate("calibrate", "--data", str(data), "--model", "lte-nano").exit_code == 2


@given(st.lists(st.tuples(st.floats(0, 1), st.sampled_from(list(Verdict))), min_size=1, max_size=80), st.floats(0, 0.5))
@example([(0.0, Verdict.REAL)] * 4 + [(0.0, Verdict.GENERATED)] * 3 + [(3e-180, Verdict.GENERATED)], 0.4375)
@example([(1.0, Verdict.GENERATED)] * 4 + [(1.0, Verdict.REAL)] * 3 + [(1 - 1e-16, Verdict.REAL)], 0.4375)
def test_outside_the_band_few_are_wrong(scored: list[tuple[float, Verdict]], error: float) -> None:
    low, high = uncertain_band([p for p, _ in scored], [y for _, y in scored], error, least=5)
    assert 0 <= low <= 0.5 <= high <= 1
    outside = [(p >= 0.5) == (y is Verdict.GENERATED) for p, y in scored if not low < p < high]
    if len(outside) >= 5 and (low, high) != (0, 1):
        assert outside.count(False) <= error * len(outside) + 1e-9


def test_ablations_come_as_one_table(data: Path, tmp_path: Path) -> None:
    others, out, trained = tmp_path / "others", tmp_path / "ablate", tmp_path / "trained"
    write_dataset(others, 6, 79, plain_share=0.0)
    shutil.copytree(MODELS / NANO, trained)
    for stage in ("1-sft", "2-locate"):
        shutil.copytree(MODELS / NANO, trained / "stages" / stage)
    options = {
        "--data": data, "--out": out, "--base": NANO, "--limit": 4, "--floor-train": others,
    }  # fmt: skip
    models = ("--model", NANO, "--model", str(trained), "--extra", f"again={NANO}", "--single", f"E+G={NANO}")
    arguments = ("ablate", *(str(part) for option in options.items() for part in option), *models)
    done = evaluate(*arguments)
    assert done.exit_code == 0, done.output
    record = json.loads((out / "report.json").read_text())
    assert [one["name"] for one in record["files"]] == [
        "base", "model: explain", "model: single", "model: lte", "model: random crops", "model: largest3 crops",
        "model: annotated crops", "model: none crops", "after 1-sft", "extra: again", "one look: E+G", "shortcut floor",
    ]  # fmt: skip
    by_name = {one["name"]: one for one in record["files"]}
    lte = by_name["model: lte"]
    assert (lte["n"], [one["n"] for one in lte["seeds"]], lte["acc"]) == (8, [4, 4], by_name["extra: again"]["acc"])
    assert lte["intervals"]["acc"] == by_name["extra: again"]["intervals"]["acc"], "two seeds alike know no more images"
    assert by_name["one look: E+G"]["acc"] == by_name["model: single"]["acc"]
    assert {one["a"] for one in record["comparisons"]} == {"model: lte"}
    assert "Seed by seed" in (out / "report.html").read_text()
    before = {path.name: path.read_bytes() for path in out.glob("*.jsonl")}
    assert "model-lte-seed2.jsonl" in before
    assert evaluate(*arguments).exit_code == 0
    assert {path.name: path.read_bytes() for path in out.glob("*.jsonl")} == before
    for wrong in ("again", "=lte-nano", "again="):
        assert evaluate("ablate", "--data", str(data), "--out", str(out), "--extra", wrong).exit_code == 2


@pytest.mark.parametrize("doubt", [0.1, 1e-3, 1e-9, 1e-40])
def test_a_model_that_is_always_right_is_never_uncertain(doubt: float) -> None:
    scored = [(doubt, Verdict.REAL), (1 - doubt, Verdict.GENERATED)] * 50
    low, high = uncertain_band([p for p, _ in scored], [y for _, y in scored], 0.1)
    checkpoint = Checkpoint(uncertain_band=(low, high))
    assert not any(checkpoint.is_uncertain(p) for p, _ in scored)


def test_a_folder_is_of_one_model_one_setting_and_one_set_of_samples(data: Path, many: Path, tmp_path: Path) -> None:
    model, out = tmp_path / "nano", tmp_path / "faith"
    shutil.copytree(MODELS / NANO, model)
    arguments = ("faithfulness", "--out", str(out), "--model", str(model))
    assert evaluate(*arguments, "--data", str(many), "--split", "train", "--limit", "2").exit_code == 0
    for data_of in (("--data", str(many), "--limit", "2", "--split", "test"), ("--data", str(data), "--limit", "2")):
        assert evaluate(*arguments, *data_of).exit_code == 2
    settings = json.loads((model / "lte.json").read_text()) | {"temperature_examine": 1.5}
    (model / "lte.json").write_text(json.dumps(settings))
    again = evaluate(*arguments, "--data", str(many), "--split", "train", "--limit", "2")
    assert again.exit_code == 2
    assert "holds another run" in " ".join(again.output.replace("│", " ").split())


def outcomes(path: Path, finals: list[Verdict | None]) -> None:
    """A file of predictions with these final verdicts, all of real images."""
    from lte_core.evaluation.predict import Prediction
    from lte_core.inference.detector import Failure
    from lte_core.schema import TraceSample

    with path.open("w") as lines:
        for number, final in enumerate(finals):
            sample = TraceSample(f"s{number}", "a", "0" * 64, 9, 9, Verdict.REAL, "", (), "t")
            made = detection("", [])
            answer = ExamineResult("", final, None, "")
            result = (
                Failure(sample.id, "broken")
                if final is None
                else Detection(made.image, made.model, made.locate, (), answer)
            )
            lines.write(json.dumps(Prediction(sample, result).record()) + "\n")


def test_images_without_a_verdict_are_not_stable(tmp_path: Path) -> None:
    from lte_core.evaluation.robustness import measure

    real, generated = Verdict.REAL, Verdict.GENERATED
    outcomes(tmp_path / "untouched.jsonl", [None, None, real, real])
    outcomes(tmp_path / "blur-4.jsonl", [None, None, generated, real])
    rows, stability = measure(tmp_path, [Level("blur", 4)])
    assert (stability.n, stability.always, stability.agreement) == (2, 0.5, 0.75)
    assert rows[1].flips == 0.5
    outcomes(tmp_path / "untouched.jsonl", [None, None])
    outcomes(tmp_path / "blur-4.jsonl", [None, None])
    with pytest.raises(ValueError, match="nothing to hold"):
        measure(tmp_path, [Level("blur", 4)])


def test_a_change_that_a_picture_does_not_take_is_an_error_about_it() -> None:
    wide = Image.new("RGB", (16_800, 400))
    from lte_core.images import ImageError, SourceImage

    with pytest.raises(ImageError, match="WebP 90 cannot be made"):
        changed(SourceImage(wide, "0", "PNG", b""), Level("WebP", 90))
