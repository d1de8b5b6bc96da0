"""Supervised fine-tuning of the whole model on both queries, by TRL (LTE, section 4: SFT).

Every sample gives two rows, Locate and Examine; crops and jitter are drawn anew for each epoch from the seed, so
any row can be made again and a run can be resumed. Makes conversations through `conversations.py`, no others.

    python -m lte_core train sft --data DIR --model BASE --out DIR
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lte_core.inference.checkpoint import Checkpoint
from lte_core.training import record
from lte_core.training.config import SftConfig, TrainingError
from lte_core.training.conversations import choose_shown, examine_turn, locate_turn
from lte_core.training.lessons import Lesson, TrainingData, check_words
from lte_core.training.plan import check
from lte_core.vlm.frames import QWEN2_5, Convention, convention_of

if TYPE_CHECKING:
    from lte_core.training.trainer import Report


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
        self._names = [region.label for lesson in lessons for region in lesson.sample.regions if region.label]
        self._queries = 2 if config.examine else 1

    def __len__(self) -> int:
        return self._queries * len(self._lessons) * self._config.epochs

    def __getitem__(self, row: int) -> dict[str, Any]:  # type: ignore[override]
        lesson = self._lessons[row // self._queries % len(self._lessons)]
        rng = random.Random(f"{self._config.seed}/{row}")
        image = lesson.picture()
        if row % self._queries == 0:
            return locate_turn(lesson.sample, image, self._checkpoint, self._convention).trl()
        nothing = rng.choice(self._nothing) if self._nothing else None
        shown = choose_shown(rng, lesson.sample, lesson.others, nothing, self._config.crops, self._names)
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


def ready(data: TrainingData, base: Path, out: Path, config: SftConfig) -> None:
    """Raises TrainingError for what stands in the way of a training and can be known before it."""
    if config.patience and not data.val:
        raise TrainingError(
            'Early stopping needs samples whose split is "val", and the data has none: leave patience out.'
        )
    check(base, out, config)


def train_sft(
    data: TrainingData, base: Path, out: Path, checkpoint: Checkpoint, config: SftConfig,
    report: Report | None = None,
) -> record.Record:  # fmt: skip
    """Train `base` and save the result, with the processor and `lte.json`, in `out`. Gives what `train.json` says.

    An interrupted run in `out` is continued from its last checkpoint; a finished one is left as it is. Raises
    TrainingError when there is nothing to train on, the model cannot be loaded, or `out` holds another run.
    """
    from trl import SFTConfig, SFTTrainer

    from lte_core.training import trainer

    lessons = data.train[: config.samples]
    about = record.about("sft", config, checkpoint, base, data.sha256, len(lessons))
    if done := record.finished(out, about):
        return done
    ready(data, base, out, config)
    # Before the model is loaded: DeepSpeed shares out its weights as they come in.
    arguments = SFTConfig(
        **trainer.arguments(out, config) | trainer.stopping(config),
        num_train_epochs=1,  # the rows already run over all epochs
        max_length=None,  # a cut sequence would lose image tokens
        completion_only_loss=True,
    )
    model, processor = trainer.load_trainable(base, config)
    convention = convention_of(model.config.model_type)
    rows = Lessons(lessons, checkpoint, config, data.nothing, convention)
    check_words(lessons, checkpoint, convention, processor.tokenizer)
    record.write_record(out, about)
    unseen = Lessons(data.val, checkpoint, replace(config, epochs=1), data.nothing, convention)
    tuning = trainer.resumable(SFTTrainer)(
        model=model,
        args=arguments,
        train_dataset=as_dataset(rows, config.seed),
        eval_dataset=as_dataset(unseen, config.seed) if config.patience else None,
        processing_class=processor,
        peft_config=trainer.adapter(config),
        callbacks=trainer.callbacks(report, config.patience),
    )
    # transformers lets Qwen2.5-VL's loss be a mean of means over devices and passes; TRL's own counts all tokens alike.
    tuning.model_accepts_loss_kwargs = True
    return trainer.run(tuning, processor, checkpoint, out, config, about)
