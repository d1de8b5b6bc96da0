"""TRACE-synth: exact, repeatable, and fair: the label shows in the defects and nowhere else."""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Callable
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from typer.testing import CliRunner

from lte_core.boxes import iou
from lte_core.commands.trace import app
from lte_core.dataset.manifest import read_manifest
from lte_core.dataset.synth import (
    SIDE,
    VOCABULARY,
    Kind,
    Scene,
    SceneObject,
    SynthError,
    compose,
    encode,
    explain,
    load_photos,
    make,
    plain,
    read_objects,
    statement,
    write_dataset,
)
from lte_core.dataset.synth.objects import Easel, Light, Look
from lte_core.dataset.synth.scene import LOOKS, _compose
from lte_core.dataset.synth.textures import PALETTES
from lte_core.schema import Box, Verdict

PHOTO = np.random.default_rng(1).integers(0, 255, (90, 120, 3)).astype(np.uint8)
PAIRS = 60


@cache
def scene(seed: int, label: Verdict | None = None) -> Scene:
    rng = np.random.default_rng([seed, 7])
    photos = [PHOTO] if seed % 3 == 0 else []
    return compose(rng, photos) if label is None else _compose(rng, photos, label)


def pixels(image: Image.Image) -> NDArray[np.int16]:
    return np.asarray(image, np.int16)


def inside(box: Box) -> tuple[slice, slice]:
    return slice(int(box.y1), int(box.y2)), slice(int(box.x1), int(box.x2))


@pytest.mark.parametrize("label", list(Verdict))
@pytest.mark.parametrize("seed", range(PAIRS))
def test_a_scene_keeps_its_promises(seed: int, label: Verdict) -> None:
    made = scene(seed, label)
    assert made.image.size == (SIDE, SIDE)
    assert made.image.mode == "RGB"
    assert 2 <= len(made.objects) <= 4
    for item in made.objects:
        assert 0 <= item.box.x1 < item.box.x2 <= SIDE
        assert 0 <= item.box.y1 < item.box.y2 <= SIDE
        assert 68 <= item.box.width <= 132
        assert 68 <= item.box.height <= 132
    for a, b in itertools.combinations(made.objects, 2):
        assert iou(Box(a.box.x1 - 5, a.box.y1 - 5, a.box.x2 + 5, a.box.y2 + 5), b.box) == 0
    corners = [(item.box.y1, item.box.x1) for item in made.objects]
    assert corners == sorted(corners)
    assert any(item.defective for item in made.objects) == (made.label is Verdict.GENERATED)
    assert made.label is label


@pytest.mark.parametrize("seed", range(PAIRS))
def test_the_evidence_is_what_is_wrong_or_what_is_largest(seed: int) -> None:
    generated, real = scene(seed, Verdict.GENERATED), scene(seed, Verdict.REAL)
    assert generated.evidence == tuple(i for i, item in enumerate(generated.objects) if item.defective)
    assert len(real.evidence) == len(generated.evidence)
    assert list(real.evidence) == sorted(real.evidence)
    others = [item.box.area for i, item in enumerate(real.objects) if i not in real.evidence]
    assert min(region.box.area for region in real.regions) >= max(others, default=0)
    assert [r.label for r in real.regions] == [real.objects[i].kind.value for i in real.evidence]


@pytest.mark.parametrize("seed", range(PAIRS))
def test_the_label_changes_the_defective_boxes_and_nothing_else(seed: int) -> None:
    """The proof of fairness: one seed with both labels differs inside the defective objects only."""
    real, generated = scene(seed, Verdict.REAL), scene(seed, Verdict.GENERATED)
    assert [(o.kind, o.box) for o in real.objects] == [(o.kind, o.box) for o in generated.objects]
    assert real.theme == generated.theme
    differs = (pixels(real.image) != pixels(generated.image)).any(axis=2)
    for item in generated.objects:
        changed = int(differs[inside(item.box)].sum())
        assert (changed > 30) if item.defective else (changed == 0), (item.kind, changed)
        differs[inside(item.box)] = False
    assert not differs.any()


def test_labels_and_kinds_are_evenly_drawn() -> None:
    labels = [np.random.default_rng([i, 7]).random() < 0.5 for i in range(2000)]
    assert 0.46 < np.mean(labels) < 0.54
    kinds = [item.kind for seed in range(PAIRS) for item in scene(seed, Verdict.REAL).objects]
    assert set(kinds) == set(Kind)


@pytest.mark.parametrize("look", LOOKS, ids=lambda look: look.paint.__name__)
@pytest.mark.parametrize("flawed", [False, True], ids=["sound", "defective"])
def test_a_painting_fills_its_box(look: Look, flawed: bool) -> None:
    for seed, (width, height) in enumerate(((68, 68), (132, 96), (100, 132), (71, 113))):
        flaw = np.random.default_rng(seed) if flawed else None
        easel = Easel(np.random.default_rng(seed), flaw, width, height, Light(-0.6, -0.8), PALETTES[seed], ())
        art = look.paint(easel)
        assert (art.mode, art.size) == ("RGBA", (width, height))
        x1, y1, x2, y2 = art.getchannel("A").getbbox() or (0, 0, 0, 0)
        assert x1 <= 1
        assert y1 <= 1
        assert x2 >= width - 1
        assert y2 >= height - 1


def test_the_same_seed_gives_the_same_bytes() -> None:
    first, second, other = (make(3, i, [PHOTO]) for i in (5, 5, 6))
    assert first.data == second.data
    assert first.sample == second.sample
    assert first.data != other.data


def test_scenes_of_one_kind_are_another_data_set(tmp_path: Path) -> None:
    write_dataset(tmp_path, 6, seed=3, kinds=(Kind.CROWD, Kind.PICTURE))
    shown = {o.kind for contents in read_objects(tmp_path) for o in contents.objects}
    assert shown == {Kind.PICTURE, Kind.CROWD}
    write_dataset(tmp_path, 7, seed=3, kinds=(Kind.PICTURE, Kind.CROWD))
    with pytest.raises(SynthError, match="picture crowd"):
        write_dataset(tmp_path, 8, seed=3)
    wrong = CliRunner().invoke(app, ["synth", "--out", str(tmp_path / "x"), "--count", "1", "--only", "owl"])
    assert wrong.exit_code == 2
    assert "owl" in wrong.output
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("photos", [(), (PHOTO,)], ids=["without photos", "with photos"])
def test_a_plain_picture_is_real_and_empty(photos: tuple[NDArray[np.uint8], ...]) -> None:
    for seed in range(6):
        made = plain(np.random.default_rng(seed), photos)
        assert (made.label, made.objects, made.regions) == (Verdict.REAL, (), ())
        assert made.image.size == (SIDE, SIDE)
        assert np.asarray(made.image).std() > 5


# -- words


@pytest.mark.parametrize("defective", [False, True], ids=["sound", "defective"])
@pytest.mark.parametrize("kind", [*Kind, None], ids=str)
def test_statements_are_short_varied_and_of_the_vocabulary(kind: Kind | None, defective: bool) -> None:
    item = None if kind is None else SceneObject(kind, defective, Box(0, 0, 9, 9))
    said = {statement(item, np.random.default_rng(i)) for i in range(40)}
    assert len(said) >= 3
    for text in said:
        assert 3 <= len(text.split()) <= 6
        assert text == text.lower()
        assert not text.endswith(".")
        assert set(text.split()) <= set(VOCABULARY)


def test_no_statement_serves_for_both_sound_and_defective() -> None:
    for kind in Kind:
        sound, bad = (
            {statement(SceneObject(kind, d, Box(0, 0, 9, 9)), np.random.default_rng(i)) for i in range(40)}
            for d in (False, True)
        )
        assert not sound & bad


def test_the_vocabulary_is_small_and_sorted() -> None:
    assert len(VOCABULARY) <= 120
    assert list(VOCABULARY) == sorted(set(VOCABULARY))


@pytest.mark.parametrize("seed", range(20))
def test_an_explanation_numbers_the_boxes_in_order(seed: int) -> None:
    made = scene(seed)
    items = [made.objects[i] for i in made.evidence]
    parts = explain([*items, None], np.random.default_rng(seed)).split("; ")
    assert len(parts) == len(made.regions) + 1
    for number, (part, item) in enumerate(zip(parts, [*items, None], strict=True), 1):
        tag, text = part.split(" ", 1)
        assert tag == f"[{number}]"
        assert text in {statement(item, np.random.default_rng(i)) for i in range(60)}


def test_an_explanation_of_nothing_has_no_numbers() -> None:
    assert "[" not in explain([], np.random.default_rng(0))


# -- files


def test_a_data_set_is_complete_repeatable_and_resumable(tmp_path: Path) -> None:
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    seen: list[tuple[int, int]] = []
    manifest = write_dataset(whole, 12, 4, progress=lambda done, count: seen.append((done, count)))
    write_dataset(halves, 5, 4)
    with (halves / "manifest.jsonl").open("a", encoding="utf-8") as lines:
        lines.write('{"schema": "trace/1", "id": "syn')  # an interrupted write
    write_dataset(halves, 12, 4)
    assert seen[-1] == (12, 12)
    files = sorted(p.relative_to(whole) for p in whole.rglob("*") if p.is_file())
    assert files == sorted(p.relative_to(halves) for p in halves.rglob("*") if p.is_file())
    for file in files:
        assert (whole / file).read_bytes() == (halves / file).read_bytes()
    samples = [line.sample for line in read_manifest(manifest)]
    assert [s.id for s in samples] == [f"synth-4-{i:06d}" for i in range(12)]
    for sample in samples:
        with Image.open(whole / sample.image) as image:
            assert image.size == (sample.width, sample.height)
        assert (sample.generator is not None) == (sample.label is Verdict.GENERATED)


def test_several_workers_write_the_same_bytes(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.linear_gradient("L").convert("RGB").save(photos / "slope.png")
    alone = write_dataset(tmp_path / "one", 9, 5, photos)
    together = write_dataset(tmp_path / "two", 9, 5, photos, workers=2)
    assert alone.read_bytes() == together.read_bytes()
    assert (tmp_path / "one/objects.jsonl").read_bytes() == (tmp_path / "two/objects.jsonl").read_bytes()
    for sample in (line.sample for line in read_manifest(together)):
        assert (tmp_path / "one" / sample.image).read_bytes() == (tmp_path / "two" / sample.image).read_bytes()


def test_a_folder_of_other_settings_is_left_alone(tmp_path: Path) -> None:
    write_dataset(tmp_path, 1, 1)
    with pytest.raises(SynthError, match="choose another folder"):
        write_dataset(tmp_path, 2, 2)
    (tmp_path / "synth.json").unlink()
    with pytest.raises(SynthError, match="another origin"):
        write_dataset(tmp_path, 2, 1)


def test_photos_are_reduced_and_bad_files_skipped(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    Image.fromarray(PHOTO).resize((1200, 900)).save(tmp_path / "more" / "a.jpg")
    (tmp_path / "b.png").write_bytes(b"not a picture")
    (photo,) = load_photos(tmp_path)
    assert photo.shape == (450, 600, 3)


@pytest.mark.parametrize("name", ["missing", "empty"])
def test_a_folder_without_photos_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(SynthError, match="photos"):
        load_photos(tmp_path / name)


def test_the_settings_are_recorded(tmp_path: Path) -> None:
    write_dataset(tmp_path, 1, 9, plain_share=0.5)
    assert json.loads((tmp_path / "synth.json").read_text()) == {"seed": 9, "plain_share": 0.5, "photos": None}


@pytest.mark.parametrize(
    ("photos", "code"), [pytest.param(None, 0, id="written"), pytest.param("nowhere", 2, id="photos missing")]
)
def test_the_command_writes_or_says_what_is_wrong(tmp_path: Path, photos: str | None, code: int) -> None:
    extra = [] if photos is None else ["--photos", str(tmp_path / photos)]
    result = CliRunner().invoke(app, ["synth", "--out", str(tmp_path / "out"), "--count", "2", "--seed", "5", *extra])
    assert result.exit_code == code, result.output
    assert (tmp_path / "out" / "manifest.jsonl").exists() == (code == 0)


# -- no shortcut

Features = NDArray[np.float64]


def _size(data: bytes) -> Features:
    return np.array([len(data)], float)


@lru_cache(maxsize=1)  # every feature looks at the same picture
def _decoded(data: bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def _histogram(data: bytes) -> Features:
    a = _decoded(data)
    coarse = (a[..., 0] >> 6) * 16 + (a[..., 1] >> 6) * 4 + (a[..., 2] >> 6)
    parts = [np.bincount(a[..., c].ravel() >> 3, minlength=32) for c in range(3)]
    return np.concatenate([*parts, np.bincount(coarse.ravel(), minlength=64)]) / SIDE**2


WINDOW = np.outer(np.hanning(SIDE), np.hanning(SIDE))
RADIUS = np.hypot(np.fft.fftfreq(SIDE)[:, None], np.fft.rfftfreq(SIDE)[None])
BINS = np.minimum((RADIUS * 80).astype(int), 56).ravel()


def _spectrum(data: bytes) -> Features:
    grey = _decoded(data).mean(axis=2)
    power = np.abs(np.fft.rfft2((grey - grey.mean()) * WINDOW)) ** 2
    return np.log1p(np.bincount(BINS, power.ravel(), minlength=57))


def _thumbnail(data: bytes) -> Features:
    image = Image.fromarray(_decoded(data))
    grey = np.asarray(image.convert("L").resize((56, 56), Image.Resampling.BOX))
    color = np.asarray(image.resize((14, 14), Image.Resampling.BOX))
    return np.concatenate([grey.ravel(), color.ravel()]) / 255


def _layout(made: Scene) -> Features:
    rows = [(*region.box.xyxy, list(Kind).index(Kind(region.label))) for region in made.regions]
    return np.array([len(made.objects), len(rows), *np.ravel(rows), *[0.0] * (5 * (3 - len(rows)))])


def test_a_defect_hardly_moves_what_a_shortcut_would_see() -> None:
    """Over pairs of one seed, each global statistic shifts by less than a tenth of its spread over scenes."""

    def statistics(made: Scene, seed: int) -> Features:
        data = encode(made, np.random.default_rng(seed))
        a = _decoded(data).astype(float)
        return np.array([len(data), *a.mean(axis=(0, 1)), *a.std(axis=(0, 1)), *_spectrum(data)[1::6]])

    real, generated = (np.array([statistics(scene(s, v), s) for s in range(PAIRS)]) for v in Verdict)
    shift = np.abs((generated - real).mean(axis=0)) / real.std(axis=0)
    assert shift.max() < 0.1, shift.round(3)


@pytest.mark.slow
def test_no_classifier_tells_the_label_from_global_features() -> None:
    """Size, colours, spectrum, thumbnail and layout: below 0.60 on held-out, balanced scenes."""
    count = 1600
    views: dict[str, Callable[[bytes], Features]] = {
        "size": _size,
        "histogram": _histogram,
        "spectrum": _spectrum,
        "thumbnail": _thumbnail,
    }
    features: dict[str, list[Features]] = {name: [] for name in (*views, "layout")}
    for index in range(count):
        rng = np.random.default_rng([77, index])
        made = _compose(rng, (), Verdict.GENERATED if index % 2 else Verdict.REAL)
        data = encode(made, rng)
        for name, feature in views.items():
            features[name].append(feature(data))
        features["layout"].append(_layout(made))
    labels = np.arange(count) % 2
    cut = count * 2 // 3
    for name, rows in features.items():
        x = np.array(rows)
        models: tuple[Any, ...] = (
            make_pipeline(StandardScaler(), LogisticRegression(C=0.05, max_iter=300)),
            ExtraTreesClassifier(200, min_samples_leaf=3, random_state=0),
        )
        for model in models:
            accuracy = model.fit(x[:cut], labels[:cut]).score(x[cut:], labels[cut:])
            assert accuracy < 0.60, (name, type(model).__name__, accuracy)


def test_objects_are_written_beside_the_manifest_and_survive_a_resumed_run(tmp_path: Path) -> None:
    write_dataset(tmp_path, 3, seed=4)
    with (tmp_path / "objects.jsonl").open("a") as lines:
        lines.write('{"id": "torn')
    write_dataset(tmp_path, 5, seed=4)
    samples = [line.sample for line in read_manifest(tmp_path / "manifest.jsonl")]
    contents = list(read_objects(tmp_path))
    assert [c.id for c in contents] == [s.id for s in samples]
    for content, sample in zip(contents, samples, strict=True):
        assert [content.objects[i].box for i in content.evidence] == [region.box for region in sample.regions]


def test_a_folder_that_cannot_be_written_is_told_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = CliRunner().invoke(app, ["synth", "--out", str(tmp_path / "file" / "x"), "--count", "1"])
    assert done.exit_code == 2
    assert "not a directory" in done.output
