"""SFT of the checkpoint that ships, a few steps long: what is trained, what is kept, and what a kill costs."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from lte_core.inference.checkpoint import Checkpoint
from lte_core.inference.load import load_model
from lte_core.training.config import Part, SftConfig, TrainingError
from lte_core.training.lessons import TrainingData
from lte_core.training.sft import train_sft
from lte_core.training.trainer import Progress, last_checkpoint, part_of
from tests.training.small_runs import NANO_DIR, Killed, Log, same, weights

FEW = SftConfig(
    learning_rate=1e-3, batch_size=4, samples=12, workers=0, threads=1, device="cpu", save_steps=2, log_steps=1,
    save_as="float32",
)  # fmt: skip


@pytest.fixture(scope="module")
def whole(taught: TrainingData, settings: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Log]:
    """An undisturbed run of six steps."""
    out, log = tmp_path_factory.mktemp("whole"), Log()
    train_sft(taught, NANO_DIR, out, settings, FEW, log)
    return out, log


def test_a_run_leaves_a_model_its_record_and_its_curves(whole: tuple[Path, Log], settings: Checkpoint) -> None:
    out, log = whole
    record = json.loads((out / "train.json").read_text())
    assert record["stage"] == "sft"
    assert record["config"]["learning_rate"] == 1e-3
    assert {"base_sha256", "data_sha256", "commit", "versions", "device", "seconds", "history"} <= record.keys()
    assert sorted(log.of("loss")) == [1, 2, 3, 4, 5, 6]
    assert (out / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert not (out / "checkpoints").exists()
    assert load_model(str(out)).checkpoint == settings


def test_one_seed_gives_the_same_weights_and_another_does_not(
    whole: tuple[Path, Log], taught: TrainingData, settings: Checkpoint, tmp_path: Path
) -> None:
    for seed, equal in ((0, True), (1, False)):
        train_sft(taught, NANO_DIR, tmp_path / str(seed), settings, replace(FEW, seed=seed))
        assert same(whole[0], tmp_path / str(seed)) is equal


@pytest.mark.parametrize("step", [1, 3])
def test_a_killed_run_goes_on_to_the_same_weights(
    whole: tuple[Path, Log], taught: TrainingData, settings: Checkpoint, tmp_path: Path, step: int
) -> None:
    with pytest.raises(Killed):
        train_sft(taught, NANO_DIR, tmp_path, settings, FEW, Log(dies_at=step))
    assert "done" not in json.loads((tmp_path / "train.json").read_text())
    with pytest.raises(TrainingError, match="of another learning_rate"):
        train_sft(taught, NANO_DIR, tmp_path, settings, replace(FEW, learning_rate=1e-5))
    # The kill came in the middle of writing a checkpoint: it lacks its state.
    torn = tmp_path / "checkpoints" / "checkpoint-99"
    torn.mkdir(parents=True)
    (torn / "model.safetensors").write_bytes(b"half")
    (tmp_path / "checkpoints" / "seconds.json").write_text("1000.0")
    log = Log()
    made = train_sft(taught, NANO_DIR, tmp_path, settings, FEW, log)
    saved = step - 1 - (step - 1) % 2
    assert (made["seconds"] > 1000) is (saved > 0), "what was done before the kill took time, too"
    assert sorted(log.of("loss")) == list(range(saved + 1, 7)), "no step is skipped or done twice"
    undisturbed = whole[1].of("loss")
    assert all(value == pytest.approx(undisturbed[at], abs=1e-4) for at, value in log.of("loss").items())
    assert same(whole[0], tmp_path)


def test_a_finished_run_is_left_alone_and_another_one_in_its_folder_refused(
    whole: tuple[Path, Log], taught: TrainingData, settings: Checkpoint
) -> None:
    log = Log()
    made = train_sft(taught, NANO_DIR, whole[0], settings, FEW, log)
    assert (log.lines, made["stage"]) == ([], "sft")
    assert train_sft(taught, NANO_DIR, whole[0], settings, replace(FEW, threads=2, save_steps=9)) == made
    with pytest.raises(TrainingError, match="holds another run, of another learning_rate, seed"):
        train_sft(taught, NANO_DIR, whole[0], settings, replace(FEW, seed=7, learning_rate=1e-5))
    with pytest.raises(TrainingError, match="holds another run, of another data_sha256"):
        train_sft(replace(taught, sha256="0" * 64), NANO_DIR, whole[0], settings, FEW)


def test_curves_go_to_tensorboard(taught: TrainingData, settings: Checkpoint, tmp_path: Path) -> None:
    train_sft(taught, NANO_DIR, tmp_path, settings, replace(FEW, samples=4, report_to="tensorboard"))
    [events] = (tmp_path / "runs").rglob("events.out.tfevents.*")
    assert b"train/loss" in events.read_bytes()


@pytest.mark.parametrize("frozen", [(Part.VISION,), (Part.VISION, Part.PROJECTOR), (Part.LANGUAGE,)])
def test_frozen_parts_stay_and_the_others_move(
    taught: TrainingData, settings: Checkpoint, tmp_path: Path, frozen: tuple[Part, ...]
) -> None:
    train_sft(taught, NANO_DIR, tmp_path, settings, replace(FEW, samples=4, freeze=frozen))
    before, after = weights(NANO_DIR), weights(tmp_path)
    moved = {part_of(name) for name, value in after.items() if not torch.equal(value, before[name])}
    assert moved == set(Part) - set(frozen)


@pytest.mark.parametrize("frozen", [(), (Part.VISION,)])
def test_an_adapter_is_merged_into_a_model_that_loads(
    taught: TrainingData, settings: Checkpoint, tmp_path: Path, frozen: tuple[Part, ...]
) -> None:
    train_sft(taught, NANO_DIR, tmp_path, settings, replace(FEW, samples=4, lora_rank=4, freeze=frozen))
    before, after = weights(NANO_DIR), weights(tmp_path)
    assert before.keys() == after.keys()
    moved = {part_of(name) for name, value in after.items() if not torch.equal(value, before[name])}
    assert Part.LANGUAGE in moved
    assert (Part.VISION in moved) is not bool(frozen)
    load_model(str(tmp_path))


@pytest.mark.parametrize("patience", [None, 5])
def test_a_killed_adapter_goes_on_to_the_same_weights(
    taught: TrainingData, settings: Checkpoint, tmp_path: Path, patience: int | None
) -> None:
    """As the one-GPU recipe trains: an adapter over weights in bfloat16."""
    data = replace(taught, val=taught.train[-2:])
    small = replace(FEW, lora_rank=4, weights="bfloat16", samples=8, patience=patience)
    train_sft(data, NANO_DIR, tmp_path / "whole", settings, small)
    with pytest.raises(Killed):
        train_sft(data, NANO_DIR, tmp_path / "killed", settings, small, Log(dies_at=3))
    assert last_checkpoint(tmp_path / "killed" / "checkpoints")
    log = Log()
    train_sft(data, NANO_DIR, tmp_path / "killed", settings, small, log)
    assert sorted(log.of("loss")) == [3, 4]
    assert same(tmp_path / "whole", tmp_path / "killed")
    assert not same(tmp_path / "whole", NANO_DIR)


def test_checkpointing_changes_memory_and_not_the_loss(
    whole: tuple[Path, Log], taught: TrainingData, settings: Checkpoint, tmp_path: Path
) -> None:
    log = Log()
    train_sft(taught, NANO_DIR, tmp_path, settings, replace(FEW, gradient_checkpointing=True), log)
    assert log.of("loss") == pytest.approx(whole[1].of("loss"), abs=1e-4)


def test_training_ends_early_when_the_validation_loss_stops_falling(
    taught: TrainingData, settings: Checkpoint, tmp_path: Path
) -> None:
    data = replace(taught, val=taught.train[-2:])
    hopeless = replace(FEW, learning_rate=3e-2, samples=20, patience=2, eval_steps=1, warmup_share=0.0)

    class Keeping(Log):
        def __call__(self, progress: Progress) -> None:
            super().__call__(progress)
            for folder in (tmp_path / "out" / "checkpoints").glob("checkpoint-*"):
                shutil.copytree(folder, tmp_path / folder.name, dirs_exist_ok=True)

    log = Keeping()
    train_sft(data, NANO_DIR, tmp_path / "out", settings, hopeless, log)
    seen = log.of("eval_loss")
    assert len(seen) < 10, "20 samples are ten steps"
    best = min(seen, key=seen.__getitem__)
    assert best < max(seen)
    assert same(tmp_path / f"checkpoint-{best}", tmp_path / "out"), "the best weights are kept"
    with pytest.raises(Killed):
        train_sft(data, NANO_DIR, tmp_path / "killed", settings, hopeless, Log(dies_at=max(seen)))
    again = Log()
    train_sft(data, NANO_DIR, tmp_path / "killed", settings, hopeless, again)
    assert max(again.of("eval_loss")) == max(seen), "its patience is as spent as it was"
    assert same(tmp_path / "killed", tmp_path / "out")
    with pytest.raises(TrainingError, match="none"):
        train_sft(replace(data, val=()), NANO_DIR, tmp_path / "x", settings, hopeless)


@pytest.mark.parametrize(
    "problem",
    [
        MemoryError("no room"),
        RuntimeError("CUDA out of memory."),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"),
    ],
)
def test_memory_that_gives_out_ends_the_run_with_what_to_do(
    taught: TrainingData, settings: Checkpoint, tmp_path: Path, problem: Exception
) -> None:
    def fill(progress: Progress) -> None:
        raise problem

    with pytest.raises(TrainingError, match=r"ran out of memory at step 2: .*--gradient-checkpointing"):
        train_sft(taught, NANO_DIR, tmp_path, settings, FEW, fill)


def test_a_loss_that_is_none_ends_the_run_with_what_to_do(
    taught: TrainingData, settings: Checkpoint, tmp_path: Path
) -> None:
    wild = replace(FEW, learning_rate=1e18, warmup_share=0.0, save_steps=1, log_steps=100)
    with pytest.raises(TrainingError, match=r"became infinite or no number at step \d+\. .*lower the learning rate"):
        train_sft(taught, NANO_DIR, tmp_path, settings, wild)
    saved = last_checkpoint(tmp_path / "checkpoints")
    assert saved is not None
    assert all(value.isfinite().all() for value in load_file(f"{saved}/model.safetensors").values())


def test_the_newest_complete_checkpoint_is_taken(tmp_path: Path) -> None:
    assert last_checkpoint(tmp_path) is None
    for step, state in ((2, "{}"), (10, "{}"), (12, '{"cut'), (14, None)):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        if state is not None:
            (folder / "trainer_state.json").write_text(state)
    assert last_checkpoint(tmp_path) == str(tmp_path / "checkpoint-10")
