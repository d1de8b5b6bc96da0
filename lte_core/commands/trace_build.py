"""`trace annotate | ground | purify | build | merge` as they are typed. The work is in `lte_core.dataset`.

Exit code 0 when all is done, 3 when something failed and is listed, 130 after Ctrl-C; the same command goes on.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:
    from lte_core.dataset.purify import PurifyConfig

EXPLAINER, GROUNDER = "gpt-4o", "Qwen/Qwen2.5-VL-32B-Instruct"
MINILM = "sentence-transformers/all-MiniLM-L6-v2"
SOME_FAILED, INTERRUPTED = 3, 130
STOPPED = 4  # inside: a stage that had to give up; outside it is SOME_FAILED

Data = Annotated[Path, typer.Option(help="The folder that trace collect wrote.")]
Url = Annotated[str | None, typer.Option("--base-url", help="Of an OpenAI-compatible server; it often ends in /v1.")]
Many = Annotated[int, typer.Option(min=1, help="Questions at once, for a server.")]
Part = Annotated[str | None, typer.Option("--shard", help="i/n: this machine's part of the work, by image hash.")]
Limit = Annotated[int | None, typer.Option(min=1, help="Only the first so many samples.")]
Dry = Annotated[bool, typer.Option("--dry-run", help="Ask nobody: show the questions and what they would cost.")]
Again = Annotated[bool, typer.Option("--again", help="Also ask again where a reply could not be read.")]
Prices = Annotated[str | None, typer.Option("--price", help="Dollars for a million tokens read,written: 2.5,10")]
Embed = Annotated[str, typer.Option(help="What measures similarity: a hub id, a directory, or tfidf.")]
MinSimilarity = Annotated[float, typer.Option(min=-1, max=1, help="Of the two explanations (cosine).")]
MinIou = Annotated[float, typer.Option(min=0, max=1, help="Of a box with its partner in the other grounding.")]
MaxArea = Annotated[float, typer.Option(min=0, max=1, help="A box's share of the image (the paper's 50 %).")]
MaxSubject = Annotated[float, typer.Option(min=0, max=1, help="IoU of a box with the whole subject.")]
MaxObjects = Annotated[float, typer.Option(min=0, max=1, help="Share of boxes that only name a thing.")]


def annotate(
    data: Data,
    model: Annotated[str, typer.Option(help="The model that explains.")] = EXPLAINER,
    base_url: Url = None,
    concurrency: Many = 8,
    shard: Part = None,
    limit: Limit = None,
    dry_run: Dry = False,
    again: Again = False,
    price: Prices = None,
) -> None:
    """Ask for two independent explanations of every image. Replies are kept, and no question is paid for twice."""
    from lte_core.commands.trace_run import StageOptions, at_work, run_annotate

    options = StageOptions(data, model, base_url, concurrency, shard, limit, dry_run, again, price)
    with at_work(data, writes=not dry_run):
        _leave(run_annotate(options))


def ground(
    data: Data,
    model: Annotated[str, typer.Option(help="A Qwen-VL: a hub id, a directory, or a server's name for it.")] = GROUNDER,
    base_url: Url = None,
    concurrency: Many = 8,
    shard: Part = None,
    limit: Limit = None,
    dry_run: Dry = False,
    again: Again = False,
    price: Prices = None,
) -> None:
    """Ground every explanation twice: a box for each clue, and one around the main subject.

    A server's key is taken from GROUNDER_API_KEY: OPENAI_API_KEY is for OpenAI's servers alone.
    """
    from lte_core.commands.trace_run import StageOptions, at_work, run_ground

    options = StageOptions(data, model, base_url, concurrency, shard, limit, dry_run, again, price)
    with at_work(data, writes=not dry_run):
        _leave(run_ground(options))


def purify(
    data: Data,
    embedder: Embed = MINILM,
    min_similarity: MinSimilarity = 0.6,
    min_iou: MinIou = 0.5,
    max_area: MaxArea = 0.5,
    max_subject_iou: MaxSubject = 0.8,
    max_object_share: MaxObjects = 0.5,
    sweep: Annotated[bool, typer.Option("--sweep", help="Show what would survive at other thresholds.")] = False,
) -> None:
    """Keep what the experts agree on and what is evidence; asks no model, and every drop has its reason."""
    from lte_core.commands.trace_run import at_work, run_purify, run_sweep

    config = _config(min_similarity, min_iou, max_area, max_subject_iou, max_object_share)
    with at_work(data):
        _leave((run_sweep if sweep else run_purify)(data, embedder, config))


def build(
    out: Annotated[Path, typer.Option(help="Folder for everything; an interrupted build in it goes on.")],
    sources: Annotated[
        list[str] | None, typer.Option("--from", help="KIND:DIR, as for trace collect; none: what is in the folder.")
    ] = None,
    explainer: Annotated[str, typer.Option(help="The model that explains.")] = EXPLAINER,
    explainer_url: Annotated[str | None, typer.Option(help="Its server; OpenAI's when not given.")] = None,
    grounder: Annotated[str, typer.Option(help="The Qwen-VL that grounds.")] = GROUNDER,
    grounder_url: Annotated[str | None, typer.Option(help="Its server; without one it runs here.")] = None,
    concurrency: Many = 8,
    embedder: Embed = MINILM,
    min_similarity: MinSimilarity = 0.6,
    min_iou: MinIou = 0.5,
    max_area: MaxArea = 0.5,
    max_subject_iou: MaxSubject = 0.8,
    max_object_share: MaxObjects = 0.5,
) -> None:
    """Collect, annotate, ground and purify in one go. Kill it anywhere: the same command goes on."""
    from lte_core.commands.trace import run_collect
    from lte_core.commands.trace_run import StageOptions, at_work, run_annotate, run_ground, run_purify

    config = _config(min_similarity, min_iou, max_area, max_subject_iou, max_object_share)
    with at_work(out, alone=True):
        codes = [run_collect(sources, out)] if sources else []
        codes.append(run_annotate(StageOptions(out, explainer, explainer_url, concurrency)))
        if codes[-1] in (0, SOME_FAILED):
            codes.append(run_ground(StageOptions(out, grounder, grounder_url, concurrency)))
        if codes[-1] in (0, SOME_FAILED):
            codes.append(run_purify(out, embedder, config))
        _leave(max(codes))


def merge(
    folders: Annotated[list[Path], typer.Argument(help="Folders in which shards were annotated and grounded.")],
    out: Annotated[Path, typer.Option(help="A new folder for all of it.")],
) -> None:
    """Join the folders of several machines: each sample and each reply once."""
    from lte_core.dataset.build import BuildError
    from lte_core.dataset.merge import merge as join
    from lte_core.dataset.raw import RawError
    from lte_core.terminal import printable

    try:
        merged = join(folders, out)
    except (BuildError, RawError) as problem:
        raise typer.BadParameter(str(problem)) from problem
    except OSError as problem:
        raise typer.BadParameter(f"{out} cannot be written: {problem.strerror or problem}.") from problem
    typer.echo(
        f"{merged.samples} samples, {merged.explanations} explanations and {merged.groundings} groundings in {out}"
    )
    for why in merged.left_out:
        typer.echo(f"  {printable(why)}", err=True)
    _leave(SOME_FAILED if merged.left_out else 0)


def _leave(code: int) -> NoReturn:
    raise typer.Exit(SOME_FAILED if code == STOPPED else code)


def _config(
    min_similarity: float, min_iou: float, max_area: float, max_subject_iou: float, max_object_share: float
) -> PurifyConfig:
    from lte_core.dataset.purify import PurifyConfig

    return PurifyConfig(min_similarity, min_iou, max_area, max_subject_iou, max_object_share)
