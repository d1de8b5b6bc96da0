"""TRACE data: `python -m lte_core trace synth | collect | audit`, and the commands of the two modules beside this one.

The work is in `lte_core.dataset`.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from lte_core.commands import trace_build, trace_look
from lte_core.commands.telling import in_words

if TYPE_CHECKING:
    from collections.abc import Callable

    from lte_core.dataset.audit import RuleScore
    from lte_core.dataset.purify import Rule

app = typer.Typer(help="Make TRACE data.", no_args_is_help=True)


@app.callback()
def main() -> None:
    """Make TRACE data."""


for command in (
    trace_build.annotate, trace_build.ground, trace_build.purify, trace_build.build, trace_build.merge,
    trace_look.show, trace_look.stats,
):  # fmt: skip
    app.command()(cast("Callable[..., None]", command))


@app.command()
def synth(
    out: Annotated[Path, typer.Option(help="Folder to write; an interrupted run in it is continued.")],
    count: Annotated[int, typer.Option(min=1, help="Number of samples.")],
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same bytes.")] = 0,
    photos: Annotated[Path | None, typer.Option(help="Folder with photos for backgrounds and pictures.")] = None,
    plain_share: Annotated[float, typer.Option(min=0, max=1, help="Share of plain pictures.")] = 0.1,
    workers: Annotated[int, typer.Option(min=1, help="Processes that draw; their number changes no byte.")] = 1,
    only: Annotated[
        list[str] | None, typer.Option(help="Scenes that show this kind of thing alone; again for another kind.")
    ] = None,
) -> None:
    """Generate TRACE-synth: procedural scenes with exact boxes, labels and explanations."""
    from rich.progress import Progress

    from lte_core.dataset.synth import Kind, SynthError, write_dataset

    kinds = [kind for kind in Kind if not only or kind in only]
    if strange := set(only or ()) - set(Kind):
        raise typer.BadParameter(
            f"expected some of {', '.join(Kind)}, got {', '.join(sorted(strange))}", param_hint="--only"
        )
    try:
        with Progress() as bar:
            task = bar.add_task("scenes", total=count)
            manifest = write_dataset(
                out, count, seed, photos, plain_share, lambda done, _: bar.update(task, completed=done), workers, kinds
            )
    except SynthError as problem:
        raise typer.BadParameter(str(problem)) from problem
    except OSError as problem:
        raise typer.BadParameter(f"{in_words(problem)} What is drawn is kept; the same command goes on.") from problem
    typer.echo(f"{count} samples in {manifest}")


@app.command()
def collect(
    sources: Annotated[
        list[str], typer.Option("--from", help="KIND:DIR, as in genimage:/data/GenImage; may be given several times.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for manifest.jsonl and images/; an interrupted run goes on.")],
    near_bits: Annotated[int, typer.Option(min=0, max=16, help="Looks that differ in so few of 64 bits are one.")] = 4,
    copy: Annotated[bool, typer.Option("--copy", help="Copy the images; they are linked otherwise.")] = False,
) -> None:
    """Labelled images of other releases and of plain folders into one manifest, each image once.

    Kinds: real, generated, folders, manifest (a folder such as trace synth writes), genimage, cnnspot, synthscars,
    fakeclue, mmfr, mmtd. Exit code 3 when some entries could not be used; left-out.jsonl lists them, and the copies,
    with their reasons.
    """
    from lte_core.commands.trace_run import at_work

    with at_work(out, alone=True):
        raise typer.Exit(run_collect(sources, out, near_bits, copy))


def run_collect(sources: list[str], out: Path, near_bits: int = 4, copy: bool = False) -> int:
    """Gives the exit code."""
    from itertools import chain

    from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn

    from lte_core.dataset.collect import CollectConfig
    from lte_core.dataset.collect import collect as take
    from lte_core.dataset.sources import SourceError, read_source

    try:
        named = [_kind_and_folder(text) for text in sources]
        entries = chain.from_iterable(read_source(kind, folder) for kind, folder in named)
        with Progress(SpinnerColumn(), "images", MofNCompleteColumn(), transient=True) as bar:
            task = bar.add_task("images", total=None)
            done = take(entries, out, CollectConfig(near_bits, copy), lambda n: bar.update(task, completed=n))
    except SourceError as problem:
        raise typer.BadParameter(str(problem), param_hint="--from") from problem
    except OSError as problem:
        place = f" ({problem.filename})" if problem.filename else ""
        typer.echo(
            f"Collecting into {out} failed: {problem.strerror or problem}{place}. The same command goes on.", err=True
        )
        raise typer.Exit(3) from problem
    counts = done.counts()
    typer.echo(f"{counts.pop('kept')} samples in {out / 'manifest.jsonl'}")
    for reason, number in counts.items():
        typer.echo(f"  {number}  left out: {reason}")
    return 3 if counts.keys() & {"unusable", "unreadable"} else 0


def _kind_and_folder(text: str) -> tuple[str, Path]:
    kind, colon, folder = text.partition(":")
    if not colon or not folder:
        raise typer.BadParameter(f"expected KIND:DIR, got {text!r}", param_hint="--from")
    return kind, Path(folder)


@app.command()
def audit(
    count: Annotated[int, typer.Option(min=8, help="Scenes to plant faults in.")] = 1_000,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same scenes and faults.")] = 0,
    embedder: Annotated[
        str, typer.Option(help="What measures similarity: tfidf, a directory or a hub id.")
    ] = "sentence-transformers/all-MiniLM-L6-v2",
    min_similarity: Annotated[float, typer.Option(min=-1, max=1, help="Less alike explanations are dropped.")] = 0.6,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Plant known faults in TRACE-synth's truth, and say how well each rule of purification finds its own."""
    from lte_core.dataset.audit import as_record, plant, score
    from lte_core.dataset.manifest import read_manifest
    from lte_core.dataset.purify import PurifyConfig
    from lte_core.dataset.similarity import SimilarityError, load_embedder
    from lte_core.dataset.synth import read_objects, write_dataset

    try:
        judge = load_embedder(embedder)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            samples = (line.sample for line in read_manifest(write_dataset(folder, count, seed, plain_share=0.0)))
            scenes = list(zip(samples, read_objects(folder), strict=True))
        scores = score(plant(scenes, seed), judge, PurifyConfig(min_similarity=min_similarity))
    except SimilarityError as problem:
        raise typer.BadParameter(str(problem), param_hint="--embedder") from problem
    if as_json:
        typer.echo(json.dumps(as_record(scores)))
    else:
        _show_scores(scores)


def _show_scores(scores: dict[Rule, RuleScore]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("rule", "precision", "recall", "planted")
    for rule, found in scores.items():
        shares = ("-" if share is None else f"{share:.3f}" for share in (found.precision, found.recall))
        table.add_row(rule.value, *shares, str(found.n))
    Console().print(table)
