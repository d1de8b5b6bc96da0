"""Group relative policy optimisation in two segments, by TRL (LTE, section 4: GRPO).

Segment Locate asks Query 1 and rewards format and IoU; segment Examine asks Query 2 and rewards verdict and BLEU-2.
The rewards are `rewards.py`'s; what Examine is shown in training is located beforehand (`located.py`).

    python -m lte_core train grpo --segment locate --data DIR --model SFT_MODEL --out DIR
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lte_core.inference.checkpoint import Checkpoint
from lte_core.schema import Size
from lte_core.training import record
from lte_core.training.config import GrpoConfig, Segment, TrainingError
from lte_core.training.conversations import Shown, examine_turn, locate_turn
from lte_core.training.lessons import Lesson, TrainingData
from lte_core.training.located import shown_areas
from lte_core.training.plan import check
from lte_core.training.rewards import Rewarded, reward_examine, reward_locate
from lte_core.vlm.frames import Convention, convention_of
from lte_core.vlm.replies import parse_examine

if TYPE_CHECKING:
    from lte_core.training.trainer import Report

Judge = Callable[[str, int, str, float], Rewarded]
"""(reply, row, reference explanation, share of the training done) -> reward."""


class Questions(Sequence[dict[str, Any]]):
    """One question a sample: its pictures, its prompt, its row, and the explanation that Examine is measured by."""

    def __init__(
        self, lessons: Sequence[Lesson], shown: Sequence[Sequence[Shown]] | None, checkpoint: Checkpoint,
        convention: Convention,
    ) -> None:  # fmt: skip
        self._lessons, self._shown, self._checkpoint, self._convention = lessons, shown, checkpoint, convention

    def __len__(self) -> int:
        return len(self._lessons)

    def __getitem__(self, row: int) -> dict[str, Any]:  # type: ignore[override]
        lesson = self._lessons[row]
        image = lesson.picture()
        if self._shown is None:
            turn = locate_turn(lesson.sample, image, self._checkpoint, self._convention)
            reference = lesson.sample.explanation
        else:
            turn = examine_turn(lesson.sample, image, self._shown[row], self._checkpoint, self._convention)
            reference = parse_examine(turn.completion).explanation  # speaks of the crops that are shown, in their order
        question = turn.trl()
        return {"images": question["images"], "prompt": question["prompt"], "row": row, "reference": reference}


def judge(lessons: Sequence[Lesson], checkpoint: Checkpoint, convention: Convention, config: GrpoConfig) -> Judge:
    """The reward of one reply to one question of this segment."""

    def locate(text: str, row: int, reference: str, progress: float) -> Rewarded:
        sample = lessons[row].sample
        size = Size(sample.width, sample.height)
        frame = convention.frame_wh(checkpoint.views.size(size, factor=convention.factor))
        return reward_locate(text, sample.regions, sample.label, frame, size, config.rewards, progress)

    def examine(text: str, row: int, reference: str, progress: float) -> Rewarded:
        return reward_examine(text, reference, lessons[row].sample.label, config.rewards)

    return locate if config.segment == Segment.LOCATE else examine


def reward_function(judged: Judge) -> Callable[..., list[float]]:
    """As TRL calls it: a number for each reply; for the log, means of its parts, and unreadable replies by kind."""

    def reward(
        completions: Sequence[Sequence[Mapping[str, str]]], row: Sequence[int], reference: Sequence[str],
        trainer_state: Any, log_metric: Callable[[str, float], None], **_: Any,
    ) -> list[float]:  # fmt: skip
        progress = trainer_state.global_step / max(1, trainer_state.max_steps)
        texts = (reply[0]["content"] for reply in completions)
        given = [judged(*reply, progress) for reply in zip(texts, row, reference, strict=True)]
        for part in sorted({name for one in given for name in one.parts}):
            log_metric(f"reward/{part}", sum(one.parts.get(part, 0.0) for one in given) / len(given))
        kinds = Counter(one.unreadable for one in given if one.unreadable)
        log_metric("reward/unreadable", sum(kinds.values()) / len(given))
        for kind, count in kinds.items():
            log_metric(f"unreadable/{kind}", count / len(given))
        return [one.total for one in given]

    return reward


def as_questions(rows: Questions) -> Any:
    """A `datasets.Dataset` of row numbers, whose pictures are made when they are asked for. TRL shuffles."""
    from datasets import Dataset

    def make(batch: Mapping[str, list[int]]) -> dict[str, list[Any]]:
        made = [rows[row] for row in batch["row"]]
        return {name: [item[name] for item in made] for name in made[0]}

    return Dataset.from_dict({"row": list(range(len(rows)))}).with_transform(make)


def arguments(out: Path, checkpoint: Checkpoint, config: GrpoConfig) -> dict[str, Any]:
    """TRL's GRPOConfig."""
    from lte_core.training import trainer

    limit = checkpoint.max_new_tokens_locate if config.segment == Segment.LOCATE else checkpoint.max_new_tokens_examine
    server = {"use_vllm": True, "vllm_mode": "server", "vllm_server_base_url": config.vllm_url}
    return {
        **trainer.arguments(out, config),
        "num_generations": config.generations,
        "max_completion_length": limit,
        "max_steps": config.steps or -1,
        "num_train_epochs": 1,
        "beta": config.beta,
        "temperature": config.temperature,
        **(server if config.vllm_url else {}),
    }


def asked(lessons: Sequence[Lesson], config: GrpoConfig) -> Sequence[Lesson]:
    """Those that so many steps have room for, drawn by the seed: what is never asked need not be located.

    Raises TrainingError when they are too few for a single step.
    """
    at_once = config.batch_size * config.accumulate * record.processes() // config.generations
    if len(lessons) < at_once:
        raise TrainingError(
            f"A step asks {at_once} questions at once, and the data has {len(lessons)} samples. Take a smaller "
            "batch_size or accumulate, or more samples."
        )
    if config.steps is None:
        return lessons
    room = config.steps * at_once
    return lessons if room >= len(lessons) else random.Random(config.seed).sample(list(lessons), room)


def ready(data: TrainingData, base: Path, out: Path, config: GrpoConfig) -> None:
    """Raises TrainingError for what stands in the way of a training and can be known before it."""
    asked(data.train[: config.samples], config)
    check(base, out, config)


def train_grpo(
    data: TrainingData, base: Path, out: Path, checkpoint: Checkpoint, config: GrpoConfig, report: Report | None = None
) -> record.Record:
    """Train one segment from the model in `base` and save the result in `out`. Gives what `train.json` says.

    An interrupted run in `out` is continued from its last checkpoint; a finished one is left as it is. Raises
    TrainingError when the model cannot be loaded or `out` holds another run.
    """
    from trl import GRPOConfig, GRPOTrainer

    from lte_core.training import trainer

    lessons = asked(data.train[: config.samples], config)
    about = record.about(f"grpo {config.segment}", config, checkpoint, base, data.sha256, len(lessons))
    if done := record.finished(out, about):
        return done
    ready(data, base, out, config)
    record.write_record(out, about)
    shown = None if config.segment == Segment.LOCATE else shown_areas(lessons, data.nothing, base, out, config)
    settings = GRPOConfig(**arguments(out, checkpoint, config))
    # The reference model of the KL term is read from the same directory: `base` must hold what this starts from.
    model, processor = trainer.load_trainable(base, config)
    convention = convention_of(model.config.model_type)
    tuning = trainer.resumable(GRPOTrainer)(
        model=model,
        reward_funcs=reward_function(judge(lessons, checkpoint, convention, config)),
        args=settings,
        train_dataset=as_questions(Questions(lessons, shown, checkpoint, convention)),
        processing_class=processor,
        peft_config=trainer.adapter(config),
        callbacks=trainer.callbacks(report),
    )
    return trainer.run(tuning, processor, checkpoint, out, config, about)
