"""The program's commands, each in a module of `commands/`. What is heavy is imported when a command runs."""

from __future__ import annotations

import typer

from lte_core.commands import bench, evaluate, trace, train
from lte_core.commands.detect import detect
from lte_core.terminal import open_closed_streams

app = typer.Typer(
    help="Locate-Then-Examine: is this image a photo or AI-generated? It looks twice and shows the evidence.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("detect", no_args_is_help=True)(detect)

for name, group in (("trace", trace), ("train", train), ("eval", evaluate), ("bench", bench)):
    app.add_typer(group.app, name=name)


if __name__ == "__main__":
    open_closed_streams()
    app(prog_name="python -m lte_core")
