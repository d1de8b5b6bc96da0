"""SFT, then GRPO's segments Locate and Examine, each from the model of the one before (LTE, section 4).

A recipe (`configs/NAME.toml`) says how each is done; one that it leaves out is skipped. Each stage leaves its model,
its `train.json` and its curves in a folder of its own, where it is found again when the chain was interrupted.
Calibrates and measures nothing.

    python -m lte_core train lte --data DIR --model BASE --out DIR --recipe nano
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from lte_core.files import copy_whole
from lte_core.inference.checkpoint import Checkpoint
from lte_core.training import grpo, record, sft
from lte_core.training.config import GrpoConfig, Segment, SftConfig, TrainingError
from lte_core.training.lessons import TrainingData

if TYPE_CHECKING:
    from lte_core.training.trainer import Report

CONFIGS = Path(__file__).parent / "configs"

Tell = Callable[[str], AbstractContextManager["Report"]]
"""A stage's name -> where its progress is told."""


@dataclass(frozen=True)
class LteConfig:
    """The stages, in order; None is skipped. `shape` is the size of model that a plan is made for when none is at
    hand, and `devices` how many devices the recipe is meant for, with `zero3` shared by them (DeepSpeed ZeRO-3)."""

    # Read by pydantic: an unknown key is a typing mistake.
    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    sft: SftConfig | None = None
    locate: GrpoConfig | None = None
    examine: GrpoConfig | None = None
    shape: str | None = None
    devices: int = 1
    zero3: bool = False

    def stages(self) -> list[tuple[str, SftConfig | GrpoConfig]]:
        """Names and settings of the stages that are done."""
        segments = [(segment, getattr(self, segment)) for segment in Segment]
        found: list[tuple[str, SftConfig | GrpoConfig | None]] = [("sft", self.sft)]
        found += [(segment.value, None if c is None else replace(c, segment=segment)) for segment, c in segments]
        return [(name, config) for name, config in found if config is not None]

    def on(self, threads: int | None, device: str | None) -> LteConfig:
        """The same stages, on so many CPU threads or this device."""
        sft = self.sft and replace(self.sft, threads=threads, device=device)
        locate, examine = (s and replace(s, threads=threads, device=device) for s in (self.locate, self.examine))
        return replace(self, sft=sft, locate=locate, examine=examine)


def recipes() -> list[str]:
    """The names of those that ship."""
    return sorted(path.stem for path in CONFIGS.glob("*.toml"))


def read_recipe(name: str) -> LteConfig:
    """A recipe that ships, by its name, or a file. Raises TrainingError when it cannot be read."""
    from pydantic import TypeAdapter, ValidationError

    path = CONFIGS / f"{name}.toml" if name in recipes() else Path(name)
    try:
        return TypeAdapter(LteConfig).validate_python(tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError as problem:
        raise TrainingError(f"There is no recipe {name!r}. Name one of {', '.join(recipes())}, or a file.") from problem
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise TrainingError(f"{path} is no TOML: {problem}") from problem
    except ValidationError as problem:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'the file'}: {e['msg']}" for e in problem.errors())
        raise TrainingError(f"{path} cannot be used: {wrong}") from problem


def train_lte(data: TrainingData, base: Path, out: Path, config: LteConfig, tell: Tell) -> Path:
    """Run the stages that are not done yet; the last one's model comes to lie in `out`. Raises TrainingError."""
    stages = config.stages()
    if not stages:
        raise TrainingError("The recipe has no stage: it needs [sft], [locate] or [examine].")
    if base.resolve() == out.resolve():
        raise TrainingError(f"{out} is what the training starts from: name another --out.")
    checkpoint, model, made = Checkpoint.load(base).for_other_weights(), base, {}
    about = record.of_chain(dict(stages), checkpoint, base, data.sha256)
    if record.finished(out, about):
        return out
    folders = {name: out / "stages" / f"{number}-{name}" for number, (name, _) in enumerate(stages, 1)}
    for name, settings in stages:  # all of them, before the first one takes hours
        if isinstance(settings, SftConfig):
            sft.ready(data, base, folders[name], settings)
        else:
            grpo.ready(data, base, folders[name], settings)
    record.write_record(out, about)
    for name, settings in stages:
        with tell(name) as report:
            if isinstance(settings, SftConfig):
                made[name] = sft.train_sft(data, model, folders[name], checkpoint, settings, report)
            else:
                made[name] = grpo.train_grpo(data, model, folders[name], checkpoint, settings, report)
        model = folders[name]
    if record.is_main():
        for file in sorted(model.iterdir()):
            if file.is_file() and file.name != record.FILE_NAME and not file.name.startswith("located-"):
                copy_whole(file, out / file.name)
    record.write_record(out, about | {"stages": made, "done": True})
    record.wait()
    return out
