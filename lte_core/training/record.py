"""What a training run leaves beside its model: `train.json` and its curves as `curves.png`."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lte_core.files import write_whole
from lte_core.inference.checkpoint import Checkpoint
from lte_core.inference.load import weights_hash
from lte_core.runs import commit
from lte_core.training.config import TrainConfig, TrainingError

if TYPE_CHECKING:
    from lte_core.training.pretrain import PretrainConfig

FILE_NAME = "train.json"
_LIBRARIES = ("torch", "transformers", "trl", "accelerate", "datasets")
_AXES = {"loss": "loss", "eval_loss": "loss, validation", "reward": "reward", "kl": "KL", "learning_rate": "rate"}


Record = dict[str, Any]


def about(
    stage: str, config: TrainConfig | PretrainConfig, checkpoint: Checkpoint | None, base: Path | None,
    data_sha256: str, samples: int,
) -> Record:  # fmt: skip
    """What decides the outcome of a run: another run with the same comes to the same. `base` None: from nothing."""
    return {
        "stage": stage,
        "config": json.loads(json.dumps(asdict(config))),
        "checkpoint": checkpoint and json.loads(json.dumps(asdict(checkpoint))),
        "base_sha256": base and weights_hash(base),
        "data_sha256": data_sha256,
        "samples": samples,
        "processes": processes(),
        "commit": commit(),
        "versions": {name: version(name) for name in _LIBRARIES},
        "device": _device(config),
    }


def of_chain(stages: Mapping[str, TrainConfig], checkpoint: Checkpoint, base: Path, data_sha256: str) -> Record:
    """The same of all stages together; each has its own record, too."""
    config = {f"{name}.{key}": value for name, stage in stages.items() for key, value in asdict(stage).items()}
    return {
        "stage": "lte",
        "config": json.loads(json.dumps(config)),
        "checkpoint": json.loads(json.dumps(asdict(checkpoint))),
        "base_sha256": weights_hash(base),
        "data_sha256": data_sha256,
        "processes": processes(),
        "commit": commit(),
        "versions": {name: version(name) for name in _LIBRARIES},
    }


_DECIDES = ("stage", "checkpoint", "base_sha256", "data_sha256", "samples", "processes")
_INDIFFERENT = {"threads", "device", "workers", "save_steps", "save_every", "log_steps", "report_to", "vllm_url"}
"""Settings that may change when a run goes on."""


def finished(out: Path, wanted: Record) -> Record | None:
    """What `train.json` says of this run when it is done already; None when it is to be begun or gone on with.

    Raises TrainingError when `out` holds another run, done or not.
    """
    path = out / FILE_NAME
    try:
        earlier: Record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as problem:
        raise TrainingError(f"{path} cannot be read ({problem}). Name a new folder, or remove it.") from problem
    differing = [name for name in _DECIDES if earlier.get(name) != wanted.get(name)]
    differing += sorted(_settings(earlier) ^ _settings(wanted))
    if differing:
        names = ", ".join(dict.fromkeys(name.split("=")[0] for name in differing))
        raise TrainingError(f"{out} holds another run, of another {names}. Name a new folder.")
    return earlier if earlier.get("done") else None


def _settings(record: Record) -> set[str]:
    config = record.get("config") or {}
    return {f"{name}={json.dumps(value)}" for name, value in config.items() if name.split(".")[-1] not in _INDIFFERENT}


def write_record(out: Path, made: Record) -> None:
    """At the start, so that the folder belongs to this run; last of all with "done", since then all else is there."""
    if is_main():
        write_whole(out / FILE_NAME, json.dumps(made, indent=2) + "\n")


def add(out: Path, name: str, value: Any) -> None:
    """Something that was found out after the training, such as its calibration."""
    write_record(out, read(out) | {name: value})


def read(out: Path) -> Record:
    """What `train.json` says."""
    record: Record = json.loads((out / FILE_NAME).read_text(encoding="utf-8"))
    return record


def processes() -> int:
    """How many a launcher started."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main() -> bool:
    """Whether this is the process that writes, of those that a launcher started."""
    return int(os.environ.get("RANK", "0")) == 0


def wait() -> None:
    """Until all processes have come here."""
    from accelerate import PartialState

    PartialState().wait_for_everyone()


def _device(config: TrainConfig | PretrainConfig) -> str:
    import torch

    count = processes()
    if torch.cuda.is_available() and config.device != "cpu":
        return f"{count} processes, each {torch.cuda.get_device_name()}"
    return f"CPU, {count} processes of {config.threads or torch.get_num_threads()} threads"


def draw_curves(history: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Loss, reward and its parts over the steps, as far as they were logged."""
    from matplotlib.figure import Figure

    series: dict[str, list[tuple[int, float]]] = {}
    for line in history:
        for name, value in line.items():
            if isinstance(value, int | float) and (name in _AXES or name.startswith("reward/")):
                series.setdefault(name, []).append((line["step"], value))
    if not series:
        return
    columns = min(4, len(series))
    rows = math.ceil(len(series) / columns)
    figure = Figure(figsize=(3.6 * columns, 2.6 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).flat
    for axis in axes[len(series) :]:
        axis.set_axis_off()
    for axis, (name, points) in zip(axes, series.items(), strict=False):
        axis.plot(*zip(*points, strict=True), color="#1f5f8b", linewidth=1.2)
        axis.set_title(_AXES.get(name, name.removeprefix("reward/")), fontsize=10)
        axis.set_xlabel("step", fontsize=9)
    figure.savefig(path, dpi=110)
