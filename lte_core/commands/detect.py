"""`detect` as it is typed.

The work is in `detect_run.py`, which is imported when the command runs: `--help` needs none of it.

    python -m lte_core detect photo.jpg holiday/ 'scans/**/*.png' --json --report report.html
"""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from lte_core.inference.detector import LocateThenExamine
    from lte_core.intake import Intake


def detect(
    paths: Annotated[
        list[str], typer.Argument(metavar="PATH…", help="Files, folders, globs, or - for a list on stdin.")
    ],
    model: Annotated[str | None, typer.Option(help="lte-nano, a directory, a hub id, or http://host/v1#name.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a line on stdout, one line an input.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Write the JSON lines to this file as well.")] = None,
    report: Annotated[Path | None, typer.Option(help="Write one self-contained HTML page.")] = None,
    crops_dir: Annotated[Path | None, typer.Option(help="Write the crops into this folder, as PNG.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads for a local model.")] = None,
) -> None:
    """Judge pictures: photo or AI-generated, and where the evidence is."""
    from lte_core.commands.detect_run import INTERRUPTED, READER_GONE, DetectOptions, run_detect

    def load() -> LocateThenExamine:
        from lte_core.inference.detector import LocateThenExamine
        from lte_core.inference.load import load_config, load_model
        from lte_core.settings import read_settings

        settings = read_settings()
        return LocateThenExamine(*load_model(model or settings.model, load_config(settings, threads)))

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # for terminals that are not UTF-8

    def intake() -> Intake:
        from lte_core.intake import read_intake
        from lte_core.settings import read_settings

        return read_intake(read_settings())

    code = run_detect(load, DetectOptions(paths, as_json, out, report, crops_dir, intake))
    if code == READER_GONE:
        # What is still buffered for the reader would raise once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if code == INTERRUPTED:
        # All files are closed by now; at exit Python would wait for threads that wait for a silent server.
        sys.stdout.flush()
        os._exit(code)
    raise typer.Exit(code)
