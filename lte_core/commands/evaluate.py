"""`eval predict | report` as they are typed. The work is in `lte_core.evaluation`.

Predictions come first, as a file; tables are made from files, without a model.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, cast

import typer

from lte_core.commands import evaluate_more as more
from lte_core.commands.telling import counting, told
from lte_core.evaluation.modes import Mode
from lte_core.inference.crop_sources import CropSource
from lte_core.terminal import printable

app = typer.Typer(help="Measure a model.", no_args_is_help=True)
for command in (
    more.calibrate, more.ablate, more.robustness, more.faithfulness, more.baseline, more.floor,
):  # fmt: skip
    app.command()(cast("Callable[..., None]", command))

SOME_FAILED = 3


@app.command()
def predict(
    data: Annotated[Path, typer.Option(help="A manifest, or the folder of one.")],
    out: Annotated[Path, typer.Option(help="F.jsonl; an interrupted run in it goes on.")],
    model: Annotated[str | None, typer.Option(help="lte-nano, a directory, a hub id, or http://host/v1#name.")] = None,
    mode: Annotated[
        Mode, typer.Option(help="Both looks, one that grounds, one that explains, the bare question.")
    ] = Mode.LTE,
    crops: Annotated[CropSource, typer.Option(help="Whose regions the second look is shown.")] = CropSource.OWN,
    split: Annotated[str | None, typer.Option(help="Only this split: train, val or test.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many samples.")] = None,
    shard: Annotated[str | None, typer.Option(help="i/n: this process's part, by image hash.")] = None,
    seed: Annotated[int, typer.Option(help="Of random crops.")] = 0,
    again: Annotated[bool, typer.Option("--again", help="Predict once more what failed, in a finished file.")] = False,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads for a local model.")] = None,
) -> None:
    """Run a model over a manifest: one line a sample. Exit code 3 when some images or lines failed."""
    from lte_core.evaluation.run import RunConfig, predict_again, predict_file, read_samples

    config = RunConfig(mode, crops, seed, split, limit, _shard(shard))
    with told():
        samples, detector = read_samples(data, config), more.load_detector(model, threads)
        ticks: list[int] = []  # one an image that this run predicts, not those of an earlier one
        started = time.perf_counter()
        with counting("predict", len(samples.samples)) as show:

            def tell(done: int) -> None:
                ticks.append(done)
                show(done)

            failed = (predict_again if again else predict_file)(detector, samples, out, config, tell)
    speed = f", {len(ticks) / (time.perf_counter() - started):.2f} images/s" if ticks else ""
    typer.echo(f"{len(samples.samples)} predictions in {out}{speed}")
    for failure in failed[:5]:
        typer.echo(f"  {failure.path}: {failure.error}", err=True)
    if len(failed) > 5:
        typer.echo(f"  … {len(failed)} images failed in all; their lines say why, and count as wrong", err=True)
    for line in samples.bad:
        typer.echo(f"  {data}, line {line.number}: {line.problem}", err=True)
    raise typer.Exit(SOME_FAILED if failed or samples.bad else 0)


@app.command()
def report(
    files: Annotated[list[Path], typer.Argument(help="Predictions; the first is compared with the others.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
    out: Annotated[Path | None, typer.Option(help="Folder for report.md, report.html and report.json.")] = None,
    images: Annotated[Path | None, typer.Option(help="The manifest's folder, for pictures of flips.")] = None,
    levels: Annotated[Path | None, typer.Option(help="A folder of eval robustness, to be part of the report.")] = None,
) -> None:
    """Tables from predictions, without a model. Exit code 3 when some lines are no predictions and were left out."""
    from lte_core.evaluation.report import markdown
    from lte_core.evaluation.tables import as_record, by_source, comparisons, load, row, write_report

    with told():
        loaded = [load(path) for path in files]
        rows = [row(one.name, one.outcomes) for one in loaded]
        if out is not None:
            write_report(loaded, rows, out, images, levels)
        compared = comparisons(loaded)
        if as_json:
            text = json.dumps(as_record(loaded, rows, compared))
        else:
            text = markdown(loaded, rows, compared, [(one.name, by_source(one.outcomes)) for one in loaded])
    typer.echo(text)
    if out is not None:
        typer.echo(f"The report is in {out}", err=True)
    bad = [line for one in loaded for line in one.bad]
    for line in bad:
        typer.echo(f"  left out: {printable(line)}", err=True)
    raise typer.Exit(SOME_FAILED if bad else 0)


def _shard(text: str | None) -> tuple[int, int]:
    if text is None:
        return (1, 1)
    found = re.fullmatch(r"(\d+)/(\d+)", text)
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise typer.BadParameter(f"expected i/n with i from 1 to n, got {text!r}", param_hint="--shard")
    return int(found[1]), int(found[2])
