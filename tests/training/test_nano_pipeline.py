"""From scenes to a model that judges: base, SFT and prediction on a few samples, interrupted and resumed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from lte_core.__main__ import app
from lte_core.dataset.manifest import read_manifest
from lte_core.dataset.synth import VOCABULARY, Kind, write_dataset
from lte_core.evaluation.metrics import score
from lte_core.evaluation.predict import predict
from lte_core.inference.crop_sources import CropSource
from lte_core.inference.detector import LocateThenExamine
from lte_core.inference.load import load_model
from lte_core.schema import Detection
from lte_core.training import nano, nano_build
from lte_core.training.chain import LteConfig
from lte_core.training.config import SftConfig, TrainingError
from lte_core.training.lessons import read_data
from lte_core.training.nano_build import NanoRecipe, build, checkpoint
from lte_core.training.packing import CLASSES, Packer, SceneData
from lte_core.training.pretrain import PretrainConfig, Pretraining, Progress
from lte_core.training.scenes import examples
from lte_core.training.sft import Lessons, train_sft
from lte_core.training.trainer import Report
from tests.pictures import scene

SMALL = PretrainConfig(see_samples=8, speak_samples=8, see_batch=4, speak_batch=4, threads=1, workers=0, save_every=1)


@contextmanager
def quiet(stage: str) -> Iterator[Report]:
    yield lambda progress: None


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("synth"), 10, seed=3).parent


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return nano.make_tokenizer(VOCABULARY, [kind.value for kind in Kind])


@pytest.fixture(scope="module")
def base(data: Path, tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("base")
    seen: list[Progress] = []
    Pretraining(examples(data), tokenizer, out, SMALL).run(seen.append)
    return out


def test_packed_rows_hold_both_replies_and_keep_the_branches_apart(data: Path, tokenizer: Any) -> None:
    packer = Packer(tokenizer)
    scenes = SceneData(examples(data), packer, seed=0)
    items = [scenes[i] for i in range(4)]
    batch = packer.collate(items)
    for row, item in enumerate(items):
        ids, target = batch.ids[row], batch.target[row]
        first, second = (tokenizer.decode(ids[target == branch]) for branch in (1, 2))
        assert first.startswith("<explanation>")
        assert first.endswith("]</boxes><|im_end|>")
        assert second.startswith("<explanation>")
        assert second.endswith("</explanation><|im_end|>")
        assert "<unk>" not in first + second
        assert (batch.crop_class[: len(item.crop_class)] < CLASSES).all()
        branch = batch.branch[row]
        one, two = (branch == 1).nonzero()[0], (branch == 2).nonzero()[-1]
        assert not batch.mask[row, 0, two, one], "Examine must not see Locate's branch"
        assert batch.mask[row, 0, two, 0], "both see the image"
    assert int(batch.image_tokens()[0].sum()) == 4 * 64
    assert int(batch.image_tokens()[1].sum()) == 16 * len(batch.crops)
    assert int(batch.crop_ends().sum()) == len(batch.crops)


def test_a_killed_pretraining_ends_with_the_same_weights(
    data: Path, tokenizer: Any, base: Path, tmp_path: Path
) -> None:
    class Killed(KeyboardInterrupt):
        pass

    run = Pretraining(examples(data), tokenizer, tmp_path, SMALL)
    save, saves = run._save, []

    def save_then_die(done: int, optimizers: Any) -> None:
        save(done, optimizers)
        saves.append(done)
        if len(saves) == 3:
            raise Killed

    run._save = save_then_die  # type: ignore[method-assign]
    with pytest.raises(Killed):
        run.run(lambda progress: None)
    assert saves == [4, 8, 12]
    with pytest.raises(TrainingError, match="another run, of another seed"):
        Pretraining(examples(data), tokenizer, tmp_path, replace(SMALL, seed=5)).run(lambda progress: None)
    with pytest.raises(TrainingError, match="another run, of another data"):
        Pretraining(examples(data)[1:], tokenizer, tmp_path, SMALL).run(lambda progress: None)
    Pretraining(examples(data), tokenizer, tmp_path, SMALL).run(lambda progress: None)
    assert (tmp_path / "model.safetensors").read_bytes() == (base / "model.safetensors").read_bytes()
    told: list[object] = []
    Pretraining(examples(data), tokenizer, tmp_path, SMALL).run(told.append)
    assert not told, "a finished one is left as it is"


def test_no_scenes_is_an_error(tokenizer: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one scene"):
        Pretraining([], tokenizer, tmp_path, SMALL)


@pytest.mark.slow
def test_sft_teaches_the_form_and_the_result_judges(data: Path, base: Path, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    config = SftConfig(learning_rate=2e-3, epochs=2, batch_size=4, workers=0, threads=1, samples=6)
    trained = train_sft(read_data(data), base, tmp_path, checkpoint(), config)
    logged = json.loads((tmp_path / "train.json").read_text())
    assert logged["metrics"]["train_loss"] == trained["metrics"]["train_loss"] < 6
    vlm, settings = load_model(str(tmp_path))
    assert settings == checkpoint()
    detector = LocateThenExamine(vlm, replace(settings, max_new_tokens_locate=256))
    samples = [line.sample for line in read_manifest(data / "manifest.jsonl")][:3]
    made = list(predict(detector, samples, data, CropSource.ANNOTATED))
    assert [p.sample.id for p in made] == [s.id for s in samples]
    assert all(isinstance(p.result, Detection) for p in made)
    assert score([p.outcome() for p in made]).n == 3
    assert json.loads(json.dumps(made[0].record()))["sample"]["id"] == samples[0].id


def test_training_goes_on_from_an_earlier_nano(data: Path, base: Path, tokenizer: Any, tmp_path: Path) -> None:
    run = Pretraining(examples(data), tokenizer, tmp_path, replace(SMALL, start=str(base)))
    earlier = nano.load_model(str(base), tokenizer).state_dict()
    assert all(torch.equal(value, earlier[name]) for name, value in run.net.model.state_dict().items())


def test_an_earlier_nano_with_other_words_is_refused(data: Path, base: Path, tmp_path: Path) -> None:
    other = nano.make_tokenizer(("owl",), ("weave",))
    with pytest.raises(nano.VocabularyError, match="another vocabulary"):
        Pretraining(examples(data), other, tmp_path, replace(SMALL, start=str(base)))
    with pytest.raises(TrainingError, match="no base in"):
        Pretraining(examples(data), other, tmp_path, replace(SMALL, start=str(tmp_path / "none")))


@pytest.mark.slow
def test_the_control_looks_once_at_every_pixel(data: Path, base: Path, tmp_path: Path) -> None:
    """It may start from weights that learned at the smaller size: coordinates keep their places in the vocabulary."""
    full = replace(SMALL, image_wh=nano.FULL_WH, start=str(base), see_samples=4, speak_samples=4)
    sft = SftConfig(learning_rate=1e-3, batch_size=2, workers=0, threads=1, examine=False, samples=2)
    model = build(tmp_path, None, NanoRecipe(train_scenes=4, base=full, lte=LteConfig(sft)), print, quiet)
    settings = load_model(str(model)).checkpoint
    assert settings.image_wh == (448, 448)
    assert settings.coordinate_step == 16
    batch = Packer(nano.make_tokenizer(VOCABULARY, [k.value for k in Kind], nano.FULL_WH), nano.FULL_WH)
    item = SceneData(examples(data), batch, seed=0)[0]
    assert item.image.shape == (448, 448, 3)
    assert item.cell_box.shape == (256, 4)
    rows = Lessons(read_data(data).train[:3], settings, sft)
    assert len(rows) == 3
    assert all("<boxes>" in rows[i]["completion"][0]["content"][0]["text"] for i in range(3))


@pytest.mark.slow
def test_one_command_builds_and_measures_and_a_second_run_repeats_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command as it is, at the smallest size."""
    sft = SftConfig(learning_rate=1e-3, batch_size=2, workers=0, samples=2)
    monkeypatch.setattr(nano_build, "NanoRecipe", lambda: NanoRecipe(6, base=SMALL, lte=LteConfig(sft)))
    photos, out = tmp_path / "photos", tmp_path / "nano"
    photos.mkdir()
    for number in range(3):
        scene((64 + number, 64)).save(photos / f"{number}.png")
    command = ["train", "nano", "--out", str(out), "--photos", str(photos), "--test-scenes", "2", "--threads", "1"]
    times = []
    for _ in range(2):
        done = CliRunner().invoke(app, command)
        assert done.exit_code == 0, done.output
        assert "not calibrated: the split val has" in done.output
        times.append((out / "lte-nano/model.safetensors").stat().st_mtime_ns)
    assert times[0] == times[1]
    assert [len(list((out / "photos" / part).iterdir())) for part in ("train", "test")] == [2, 1]
    assert json.loads((out / "lte-nano/recipe.json").read_text())["recipe"]["train_scenes"] == 6
    rows = {one["name"]: one["n"] for one in json.loads((out / "ablate/report.json").read_text())["files"]}
    assert rows["base"] == rows["model: lte"] == 2
