"""What people see of a long command: how far it is, and what went wrong, in a sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from lte_core.training.trainer import Progress as TrainProgress

INTERRUPTED = 130
FIGURES = ("loss", "eval_loss", "reward", "reward/iou", "reward/verdict", "reward/unreadable", "kl")


@contextmanager
def counting(what: str, total: int) -> Iterator[Callable[[int], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.update(task, completed=done)


@contextmanager
def training(stage: str) -> Iterator[Callable[[TrainProgress], None]]:
    """How far a stage of a training is, with what is left in time and its latest figures. A line a report where
    there is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from lte_core.training.record import is_main

    console = Console(stderr=True)
    columns = (
        TextColumn(stage), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.fields[said]}"),
    )  # fmt: skip
    with Progress(*columns, console=console, disable=not (console.is_terminal and is_main())) as bar:
        task = bar.add_task(stage, total=None, said="")

        def show(progress: TrainProgress) -> None:
            said = "  ".join(f"{name} {progress.figures[name]:.3f}" for name in FIGURES if name in progress.figures)
            bar.update(task, completed=progress.step, total=progress.of, said=said)
            if not console.is_terminal and said:
                left = bar.tasks[0].time_remaining
                rest = "" if not left else f", {left / 60:.0f} min left" if left >= 90 else f", {left:.0f} s left"
                typer.echo(f"{stage} {progress.step}/{progress.of}{rest}  {said}", err=True)

        yield show


@contextmanager
def told() -> Iterator[None]:
    """What can go wrong, in a sentence instead of a traceback."""
    from lte_core.evaluation.baselines import BaselineError
    from lte_core.files import BusyError
    from lte_core.vlm.base import VLMError

    try:
        yield
    except KeyboardInterrupt:
        typer.echo("Stopped. Predictions that were written are kept; the same command goes on from them.", err=True)
        raise typer.Exit(INTERRUPTED) from None
    except OSError as problem:
        raise typer.BadParameter(in_words(problem)) from problem
    except (BaselineError, BusyError, VLMError, ValueError) as problem:
        raise typer.BadParameter(str(problem)) from problem


def in_words(problem: OSError) -> str:
    """Which file, and what is wrong with it, without numbers that only programmers read."""
    if problem.strerror is None:
        return str(problem)
    if problem.filename is None:
        return f"{problem.strerror}."
    return f"{problem.filename} cannot be used: {problem.strerror.lower()}."
