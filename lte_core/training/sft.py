"""Supervised fine-tuning of the whole model on both queries, by TRL (LTE, section 4: SFT).

Every sample gives two rows, Locate and Examine; crops and jitter are drawn anew for each epoch from the seed, so
any row can be made again and a run can be resumed. Makes conversations through `conversations.py`, no others.

    python -m lte_core train sft --data DIR --model BASE --out DIR
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from lte_core.inference.checkpoint import Checkpoint
from lte_core.schema import TraceSample
from lte_core.training.conversations import CropShares, Shown, choose_shown, examine_turn, locate_turn
from lte_core.vlm.frames import QWEN2_5, Convention


class TrainingError(ValueError):
    """Training cannot start; the message says what was found and what to do."""


@dataclass(frozen=True)
class SftConfig:
    """`learning_rate` is the paper's; the rest is ours."""

    learning_rate: float = 2e-5
    epochs: int = 1
    batch_size: int = 8
    accumulate: int = 1
    warmup_share: float = 0.03
    weight_decay: float = 0.01
    seed: int = 0
    save_steps: int = 500
    device: str | None = None
    bf16: bool | None = None
    workers: int = 1
    threads: int | None = None
    examine: bool = True  # False: Locate alone, the single round that the paper compares with
    crops: CropShares = field(default_factory=CropShares)


@dataclass(frozen=True)
class Lesson:
    """A sample, where its image is, and the other areas in it that are known not to be evidence."""

    sample: TraceSample
    image: Path
    others: tuple[Shown, ...] = ()


class Lessons(Sequence[dict[str, Any]]):
    """Both queries (or Locate alone) of every sample, over all epochs: row k is made from (seed, k) alone."""

    def __init__(
        self,
        lessons: Sequence[Lesson],
        checkpoint: Checkpoint,
        config: SftConfig,
        nothing: Sequence[str] = (),
        convention: Convention = QWEN2_5,
    ) -> None:
        self._lessons, self._checkpoint, self._config = lessons, checkpoint, config
        self._nothing, self._convention = nothing, convention
        self._queries = 2 if config.examine else 1

    def __len__(self) -> int:
        return self._queries * len(self._lessons) * self._config.epochs

    def __getitem__(self, row: int) -> dict[str, Any]:  # type: ignore[override]
        lesson = self._lessons[row // self._queries % len(self._lessons)]
        rng = random.Random(f"{self._config.seed}/{row}")
        with Image.open(lesson.image) as picture:
            image = picture.convert("RGB")
        if row % self._queries == 0:
            return locate_turn(lesson.sample, image, self._checkpoint, self._convention).trl()
        nothing = rng.choice(self._nothing) if self._nothing else None
        shown = choose_shown(rng, lesson.sample, lesson.others, nothing, self._config.crops)
        return examine_turn(lesson.sample, image, shown, self._checkpoint, self._convention).trl()


def as_dataset(rows: Lessons, seed: int) -> Any:
    """A `datasets.Dataset` of row numbers in random order, whose pictures are made when they are asked for."""
    from datasets import Dataset

    order = list(range(len(rows)))
    random.Random(seed).shuffle(order)

    def make(batch: Mapping[str, list[int]]) -> dict[str, list[Any]]:
        made = [rows[row] for row in batch["row"]]
        return {name: [item[name] for item in made] for name in ("images", "prompt", "completion")}

    return Dataset.from_dict({"row": order}).with_transform(make)


def train_sft(
    lessons: Sequence[Lesson],
    base: Path,
    out: Path,
    checkpoint: Checkpoint,
    config: SftConfig = SftConfig(),
    nothing: Sequence[str] = (),
) -> dict[str, float]:
    """Train `base` and save the result, with the processor and `lte.json`, in `out`. Gives TRL's final metrics.

    An interrupted run in `out` is continued from its last checkpoint. Raises TrainingError when there is nothing to
    train on.
    """
    import torch
    from transformers import AutoModelForImageTextToText
    from transformers.trainer_utils import get_last_checkpoint
    from trl import SFTConfig, SFTTrainer

    from lte_core.vlm.processor import load_processor

    if not lessons:
        raise TrainingError("The data set has no sample to train on. Give a manifest with at least one.")
    if config.threads:
        torch.set_num_threads(config.threads)
    cuda = torch.cuda.is_available() and config.device != "cpu"
    rows = Lessons(lessons, checkpoint, config, nothing)
    saved = out / "checkpoints"
    arguments = SFTConfig(
        output_dir=str(saved),
        per_device_train_batch_size=config.batch_size,
        gradient_accumulation_steps=config.accumulate,
        num_train_epochs=1,  # the rows already run over all epochs
        learning_rate=config.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=config.warmup_share,
        weight_decay=config.weight_decay,
        seed=config.seed,
        save_steps=config.save_steps,
        save_total_limit=2,
        logging_steps=25,
        report_to="none",
        use_cpu=not cuda,
        bf16=cuda if config.bf16 is None else config.bf16,
        dataloader_num_workers=config.workers,
        remove_unused_columns=False,  # TRL would drop the row numbers, of which the pictures are made
        max_length=None,  # a cut sequence would lose image tokens
        completion_only_loss=True,
    )
    model = AutoModelForImageTextToText.from_pretrained(base, dtype=torch.float32)
    processor = load_processor(str(base))
    data = as_dataset(rows, config.seed)
    trainer = SFTTrainer(model=model, args=arguments, train_dataset=data, processing_class=processor)
    result = trainer.train(
        resume_from_checkpoint=get_last_checkpoint(str(out / "checkpoints")) if out.exists() else None
    )
    save_trained(model, processor, checkpoint, out)
    (out / "sft.json").write_text(json.dumps({"config": asdict(config), "metrics": result.metrics}, indent=2) + "\n")
    metrics: dict[str, float] = result.metrics
    return metrics


def save_trained(model: Any, processor: Any, checkpoint: Checkpoint, out: Path) -> None:
    """Weights in bf16, processor and settings: a directory that `load_model` takes."""
    import copy

    import torch

    copy.deepcopy(model).to(torch.bfloat16).save_pretrained(out)
    processor.save_pretrained(out)
    checkpoint.save(out)
