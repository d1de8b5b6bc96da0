"""What people see of a long command: how far it is, and what went wrong, in a sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer

INTERRUPTED = 130


@contextmanager
def counting(what: str, total: int) -> Iterator[Callable[[int], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.update(task, completed=done)


@contextmanager
def told() -> Iterator[None]:
    """What can go wrong, in a sentence instead of a traceback."""
    from lte_core.evaluation.baselines import BaselineError
    from lte_core.vlm.base import VLMError

    try:
        yield
    except KeyboardInterrupt:
        typer.echo("Stopped. Predictions that were written are kept; the same command goes on from them.", err=True)
        raise typer.Exit(INTERRUPTED) from None
    except OSError as problem:
        raise typer.BadParameter(in_words(problem)) from problem
    except (BaselineError, VLMError, ValueError) as problem:
        raise typer.BadParameter(str(problem)) from problem


def in_words(problem: OSError) -> str:
    """Which file, and what is wrong with it, without numbers that only programmers read."""
    if problem.filename is None or problem.strerror is None:
        return str(problem)
    return f"{problem.filename} cannot be used: {problem.strerror.lower()}."
