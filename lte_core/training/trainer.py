"""What SFT and GRPO share around TRL's trainers: the model as it is trained, settings, resumption, what is kept.

A run in `out` keeps its state in `out/checkpoints` until it is done. Done means that `out/train.json` is there, which
is written last; the checkpoints are then removed. Knows nothing of conversations or rewards.
"""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import EarlyStoppingCallback, PrinterCallback, TrainerCallback
from transformers.integrations.deepspeed import unset_hf_deepspeed_config
from transformers.utils import logging

from lte_core.files import write_whole
from lte_core.inference.checkpoint import Checkpoint
from lte_core.training.config import Part, SftConfig, TrainConfig, TrainingError
from lte_core.training.record import Record, draw_curves, write_record
from lte_core.vlm.processor import ImageOnlyProcessor, load_processor
from lte_core.vlm.weights import DAMAGE, first_line, read_weights

CHECKPOINTS = "checkpoints"
_STATE = "trainer_state.json"
_NO_MEMORY = re.compile("out of memory|not enough memory|(can't|cannot) allocate memory", re.IGNORECASE)
_MERGERS = r"(merger|deepstack_merger_list)\."
_NAMES = {
    Part.PROJECTOR: rf"model\.visual\.{_MERGERS}.*",
    Part.VISION: rf"model\.visual\.(?!{_MERGERS}).*",
    Part.LANGUAGE: r"(model\.language_model\.|lm_head\b).*",
}


@dataclass(frozen=True)
class Progress:
    """A line of the log: the step of how many, and TRL's figures."""

    step: int
    of: int
    figures: dict[str, float]


Report = Callable[[Progress], None]


def part_of(name: str) -> Part:
    """Which part of the model a parameter or layer belongs to, by its name. Raises TrainingError for other models."""
    for part, pattern in _NAMES.items():
        if re.fullmatch(pattern, name):
            return part
    raise TrainingError(f"expected a Qwen2.5-VL or Qwen3-VL to train, got a model with a parameter {name!r}")


def load_trainable(base: Path, config: TrainConfig) -> tuple[Any, ImageOnlyProcessor]:
    """The model with its frozen parts, and its processor. Raises TrainingError when there is none in `base`."""
    if config.threads:
        torch.set_num_threads(config.threads)
    logging.disable_progress_bar()  # of loading and writing: `report` tells what takes time
    warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*")  # TRL's own
    try:
        model = read_weights(base, dtype=getattr(torch, config.weights))
        processor = load_processor(base)
    except DAMAGE as problem:
        raise TrainingError(f"There is no model to train in {base}: {first_line(problem)}") from problem
    for name, parameter in model.named_parameters():
        parameter.requires_grad = part_of(name) not in config.freeze
    return model, processor


def arguments(out: Path, config: TrainConfig) -> dict[str, Any]:
    """What TRL's SFTConfig and GRPOConfig have in common."""
    if config.report_to == "tensorboard":
        os.environ["TENSORBOARD_LOGGING_DIR"] = str(out / "runs")  # not with the checkpoints, which are removed
    cuda = torch.cuda.is_available() and config.device != "cpu"
    return {
        "output_dir": str(out / CHECKPOINTS),
        "per_device_train_batch_size": config.batch_size,
        "gradient_accumulation_steps": config.accumulate,
        "learning_rate": config.learning_rate,
        "lr_scheduler_type": "cosine",
        "warmup_steps": config.warmup_share,
        "weight_decay": config.weight_decay,
        "seed": config.seed,
        "save_steps": config.save_steps,
        "save_total_limit": 2,
        "logging_steps": config.log_steps,
        "logging_nan_inf_filter": False,  # a loss that is none must be seen
        "report_to": config.report_to,
        "project": "locate-then-examine",
        "run_name": out.name,
        "use_cpu": not cuda,
        "bf16": cuda if config.bf16 is None else config.bf16,
        "activation_checkpointing": config.gradient_checkpointing,  # under its old name TRL would switch it on
        "dataloader_num_workers": config.workers,
        "remove_unused_columns": False,  # TRL would drop the row numbers, of which the pictures are made
        "disable_tqdm": True,  # progress goes to `report`
    }


def adapter(config: TrainConfig) -> Any:
    """LoRA on every linear layer, or None."""
    if not config.lora_rank:
        return None
    from peft import LoraConfig

    rank = config.lora_rank
    frozen = "|".join(_NAMES[part] for part in config.freeze)
    return LoraConfig(
        r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type="CAUSAL_LM",
        exclude_modules=frozen or None,
    )  # fmt: skip


class Watch(TrainerCallback):  # type: ignore[misc]
    """Tells progress, and ends a run whose figures are none any more."""

    def __init__(self, report: Report) -> None:
        self._report = report

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        figures = {name: float(value) for name, value in (logs or {}).items() if isinstance(value, int | float)}
        for name in ("loss", "grad_norm", "eval_loss"):
            if not math.isfinite(figures.get(name, 0.0)):
                raise _broken(f"{name} became {figures[name]}", args, state)
        if state.is_world_process_zero:
            self._report(Progress(state.global_step, state.max_steps, figures))

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        """Before the weights take it in, and so before any checkpoint does. (DeepSpeed keeps gradients to itself, and
        skips such steps.)"""
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        if gradients and not torch.nn.utils.get_total_norm(gradients).isfinite():
            raise _broken("the gradient became infinite or no number", args, state)


def _broken(what: str, args: Any, state: Any) -> TrainingError:
    return TrainingError(
        f"{what[0].upper()}{what[1:]} at step {state.global_step}. The last saved step is in {args.output_dir}. "
        "Look for a broken sample, or lower the learning rate and name another --out."
    )


class Clock(TrainerCallback):  # type: ignore[misc]
    """The seconds that a run took, those before it was interrupted too: kept beside the checkpoints at every save."""

    def __init__(self, folder: Path) -> None:
        self._file, self._started, self._before = folder / "seconds.json", time.perf_counter(), 0.0
        if last_checkpoint(folder) and self._file.is_file():
            self._before = float(json.loads(self._file.read_text(encoding="utf-8")))

    def seconds(self) -> float:
        return self._before + time.perf_counter() - self._started

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.is_world_process_zero:
            write_whole(self._file, json.dumps(self.seconds()))


def stopping(config: SftConfig) -> dict[str, Any]:
    """Arguments for early stopping on the validation split, or none."""
    if config.patience is None:
        return {}
    every = min(config.eval_steps, config.save_steps)  # the best step must be one that was saved
    return {
        "per_device_eval_batch_size": config.batch_size,  # what the plan reckons with; transformers takes 8
        "eval_strategy": "steps",
        "eval_steps": every,
        "save_steps": every,
        "load_best_model_at_end": True,
        "metric_for_best_model": "eval_loss",
        "restore_callback_states_from_checkpoint": True,  # how much of the patience is spent
    }


def callbacks(report: Report | None, patience: int | None = None) -> list[Any]:
    ends = [] if patience is None else [EarlyStoppingCallback(patience)]
    return [Watch(report or (lambda progress: None)), *ends]


def run(trainer: Any, processor: Any, checkpoint: Checkpoint, out: Path, config: TrainConfig, about: Record) -> Record:
    """Train, from the last complete checkpoint in `out` if there is one; then save what came of it."""
    trainer.remove_callback(PrinterCallback)
    clock = Clock(out / CHECKPOINTS)
    trainer.add_callback(clock)
    try:
        result = trainer.train(resume_from_checkpoint=last_checkpoint(out / CHECKPOINTS))
    except (RuntimeError, MemoryError) as problem:
        if not isinstance(problem, MemoryError) and not _NO_MEMORY.search(str(problem)):
            raise
        raise TrainingError(
            f"The training ran out of memory at step {trainer.state.global_step + 1}: {first_line(problem)}. Take a "
            "smaller batch_size with more accumulate, --gradient-checkpointing or an adapter, in a new --out; --plan "
            "tells what each takes."
        ) from problem
    if not trainer.state.global_step:
        raise TrainingError("There was no step to take: the data is less than one batch.")
    history = [*trainer.state.log_history]
    _save(trainer, processor, checkpoint, out, config)
    made = about | {
        "metrics": result.metrics,
        "seconds": clock.seconds(),
        "history": history,
        "done": True,
    }
    if trainer.is_world_process_zero():
        draw_curves(history, out / "curves.png")
        write_record(out, made)
        shutil.rmtree(out / CHECKPOINTS, ignore_errors=True)
    trainer.accelerator.wait_for_everyone()
    unset_hf_deepspeed_config()  # else whatever is loaded next would be shared out over the devices, too
    return made


def resumable(kind: type) -> Any:
    """This kind of trainer, going on from its checkpoints with the weights that are in them.

    transformers writes Qwen2.5-VL's weights under their old names and reads them back, in training, under the new
    ones: nothing fits, it warns, and goes on with the weights of the start (huggingface/transformers#43701).
    `from_pretrained` knows both. Adapters, ZeRO-3 and FSDP have their own ways, which do not rename.
    """

    class Resumable(kind):  # type: ignore[misc]
        def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
            if not self._reload(resume_from_checkpoint):
                super()._load_from_checkpoint(resume_from_checkpoint, model)

        def _load_best_model(self) -> None:
            if not self._reload(self.state.best_model_checkpoint):
                super()._load_best_model()

        def _reload(self, folder: str) -> bool:
            model = self.accelerator.unwrap_model(self.model)
            if self.is_deepspeed_enabled or self.is_fsdp_enabled or not (Path(folder) / "config.json").is_file():
                return False
            model.load_state_dict(type(model).from_pretrained(folder, dtype=model.dtype).state_dict())
            return True

    return Resumable


def last_checkpoint(folder: Path) -> str | None:
    """The newest complete checkpoint; one in whose middle a run was killed lacks its state, and is passed over."""
    found = sorted(folder.glob("checkpoint-*"), key=lambda path: -int(path.name.rpartition("-")[2]))
    return next((str(path) for path in found if _complete(path)), None)


def _complete(checkpoint: Path) -> bool:
    try:
        json.loads((checkpoint / _STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return True


def _save(trainer: Any, processor: Any, checkpoint: Checkpoint, out: Path, config: TrainConfig) -> None:
    """Weights, processor and settings in `out`: a directory that `load_model` takes. The trainer is of no use after."""
    model = trainer.accelerator.unwrap_model(trainer.model)
    if config.lora_rank:
        model = model.merge_and_unload()
    if trainer.is_deepspeed_enabled or trainer.is_fsdp_enabled:
        # transformers' loading under ZeRO-3 keeps a renaming of which saving makes model.model.*, known to nobody else.
        model._weight_conversions = None
        trainer.save_model(str(out))  # gathers what is spread over the devices
        (out / "training_args.bin").unlink(missing_ok=True)  # a pickle, of which train.json has all
    elif trainer.is_world_process_zero():
        model.to(getattr(torch, config.save_as)).save_pretrained(out)
    if trainer.is_world_process_zero():
        processor.tokenizer.backend_tokenizer.no_padding()  # how TRL padded its batches is nobody's affair
        processor.save_pretrained(out)
        checkpoint.save(out)
