"""The commands of `trace`, run as they are typed."""

from __future__ import annotations

from typer.testing import CliRunner, Result

from lte_core.commands.trace import app


def trace(*arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments])


def flat(done: Result) -> str:
    """What was printed, without line breaks and the frame around an error."""
    return " ".join(done.output.replace("│", " ").split())
