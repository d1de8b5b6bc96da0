"""The options that `train sft`, `train grpo` and `train lte` have in common, and how they change a recipe."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

if TYPE_CHECKING:
    from lte_core.training.chain import LteConfig
    from lte_core.training.config import TrainConfig
    from lte_core.training.lessons import TrainingData

Data = Annotated[Path, typer.Option(help="A manifest, or a folder with manifest.jsonl: TRACE, or a review export.")]
Base = Annotated[str, typer.Option("--model", help="What to start from: a directory, lte-nano or a hub id.")]
Out = Annotated[Path, typer.Option(help="Folder for the result; an interrupted run in it goes on.")]
Recipe = Annotated[str, typer.Option(help="nano, qwen2.5-vl-7b, qwen2.5-vl-7b-lora, qwen2.5-vl-32b, or a TOML file.")]
Rate = Annotated[float | None, typer.Option("--learning-rate", help="The paper: 2e-5 for SFT, 1e-5 for GRPO.")]
Batch = Annotated[int | None, typer.Option("--batch-size", min=1, help="Rows a device and pass.")]
Accumulate = Annotated[int | None, typer.Option(min=1, help="Passes a step.")]
Samples = Annotated[int | None, typer.Option(min=1, help="Only the first so many samples.")]
Seed = Annotated[int | None, typer.Option(help="The same seed gives the same weights on one CPU.")]
Threads = Annotated[int | None, typer.Option(min=1, help="CPU threads.")]
Device = Annotated[str | None, typer.Option(help="cpu, even where there is a GPU.")]
Freeze = Annotated[list[str] | None, typer.Option(help="vision, projector or language: not trained. May be repeated.")]
Lora = Annotated[int | None, typer.Option("--lora-rank", min=0, help="Train an adapter of this rank instead.")]
Checkpointing = Annotated[
    bool | None, typer.Option("--gradient-checkpointing/--no-gradient-checkpointing", help="Less memory, more time.")
]
ReportTo = Annotated[str | None, typer.Option("--report-to", help="trackio, tensorboard or none.")]
SaveSteps = Annotated[int | None, typer.Option("--save-steps", min=1, help="A checkpoint every so many steps.")]
Plan = Annotated[bool, typer.Option("--plan", help="Say what memory it takes, and train nothing.")]
Penalty = Annotated[
    float | None, typer.Option(min=0, help="Taken from R_IoU for a superfluous box (ours; the paper: 0).")
]
Devices = Annotated[int | None, typer.Option(min=1, help="For --plan: over so many devices (DeepSpeed ZeRO-3).")]

C = TypeVar("C", bound="TrainConfig")


def changed(config: C, options: dict[str, Any]) -> C:
    """The configuration with the options that were given. Raises TrainingError for a value out of range."""
    from lte_core.training.config import Part, TrainingError

    given = {name: value for name, value in options.items() if value is not None and value != []}
    if "freeze" in given:
        unknown = [name for name in given["freeze"] if name not in set(Part)]
        if unknown:
            raise TrainingError(f"expected {', '.join(Part)} to freeze, got {unknown[0]!r}")
        given["freeze"] = tuple(Part(name) for name in given["freeze"])
    if given.get("report_to") not in (None, "none", "tensorboard", "trackio"):
        raise TrainingError(f"expected trackio, tensorboard or none to report to, got {given['report_to']!r}")
    return replace(config, **given)


@contextmanager
def told() -> Iterator[None]:
    """What can go wrong with a training, in a sentence."""
    from lte_core.commands.telling import INTERRUPTED, in_words
    from lte_core.dataset.manifest import ManifestError
    from lte_core.dataset.synth import SynthError
    from lte_core.files import BusyError
    from lte_core.inference.checkpoint import CheckpointError
    from lte_core.training.config import TrainingError
    from lte_core.training.nano import VocabularyError
    from lte_core.training.record import is_main
    from lte_core.vlm.base import VLMError

    known = (TrainingError, SynthError, ManifestError, CheckpointError, VocabularyError, VLMError, BusyError)

    try:
        yield
    except KeyboardInterrupt:
        typer.echo("Stopped. The same command goes on from the last saved step.", err=True)
        raise typer.Exit(INTERRUPTED) from None
    except (*known, OSError) as problem:
        if not is_main():
            raise typer.Exit(2) from problem  # the first process tells
        text = in_words(problem) if isinstance(problem, OSError) else str(problem)
        # What goes wrong in a process that prepares data comes with that process's traceback in front.
        raise typer.BadParameter(text.rsplit("TrainingError: ", 1)[-1].strip()) from problem


@contextmanager
def claimed(out: Path) -> Iterator[None]:
    """One training at a time in a folder. Raises BusyError."""
    from lte_core.files import locked
    from lte_core.training.record import is_main

    if not is_main():
        yield
        return
    with locked(out / ".lock", shared=False, message=f"Another training is at work in {out}. Name another --out."):
        yield


def data_of(path: Path, seed: int) -> TrainingData:
    """Read it, telling the lines that are no samples."""
    from lte_core.training.lessons import read_data

    data = read_data(path, seed)
    for line in data.bad[:5]:
        say(f"  {path}, line {line.number}: {line.problem}", err=True)
    if len(data.bad) > 5:
        say(f"  … {len(data.bad)} lines cannot be used, and are left out", err=True)
    return data


def say(text: str, *, err: bool = False) -> None:
    """Once, also where a launcher started several processes."""
    from lte_core.training.record import is_main

    if is_main():
        typer.echo(text, err=err)


def show_plan(config: LteConfig, base: str, devices: int | None) -> None:
    """A table of the memory that each stage takes on each device."""
    from rich.console import Console
    from rich.table import Table

    from lte_core.training.plan import plan, read_shape

    shared = devices if devices is not None else config.devices
    shape = read_shape(base, config.shape)
    table = Table(title=f"{shape.name}, {shape.parameters / 1e6:,.0f} M parameters, GiB on each of {shared}")
    rows = {name: plan(shape, stage, shared, zero3=config.zero3 or shared > 1) for name, stage in config.stages()}
    table.add_column("")
    for name in rows:
        table.add_column(name, justify="right")
    first = next(iter(rows.values()))
    for part in first.parts():
        table.add_row(part, *(f"{memory.parts()[part] / 2**30:,.2f}" for memory in rows.values()))
    table.add_row("in all", *(f"{memory.total / 2**30:,.2f}" for memory in rows.values()), style="bold")
    Console().print(table)
