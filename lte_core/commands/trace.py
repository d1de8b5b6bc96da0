"""TRACE data: `python -m lte_core trace synth`. The work is in `lte_core.dataset`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Make TRACE data.", no_args_is_help=True)


@app.callback()
def main() -> None:
    """Make TRACE data."""


@app.command()
def synth(
    out: Annotated[Path, typer.Option(help="Folder to write; an interrupted run in it is continued.")],
    count: Annotated[int, typer.Option(min=1, help="Number of samples.")],
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same bytes.")] = 0,
    photos: Annotated[Path | None, typer.Option(help="Folder with photos for backgrounds and pictures.")] = None,
    plain_share: Annotated[float, typer.Option(min=0, max=1, help="Share of plain pictures.")] = 0.1,
    workers: Annotated[int, typer.Option(min=1, help="Processes that draw; their number changes no byte.")] = 1,
) -> None:
    """Generate TRACE-synth: procedural scenes with exact boxes, labels and explanations."""
    from rich.progress import Progress

    from lte_core.dataset.synth import SynthError, write_dataset

    try:
        with Progress() as bar:
            task = bar.add_task("scenes", total=count)
            manifest = write_dataset(
                out, count, seed, photos, plain_share, lambda done, _: bar.update(task, completed=done), workers
            )
    except SynthError as problem:
        raise typer.BadParameter(str(problem)) from problem
    typer.echo(f"{count} samples in {manifest}")
