"""`trace show | stats`: look at a manifest. The work is in `lte_core.dataset`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from lte_core.dataset.manifest import BadLine
    from lte_core.schema import TraceSample

SOME_BAD = 3

Manifest = Annotated[Path, typer.Argument(help="A manifest, or the folder of one.")]


def show(
    manifest: Manifest,
    sample: Annotated[str, typer.Argument(help="A sample's id, or its number in the manifest from 1.")] = "1",
    draw: Annotated[Path | None, typer.Option(help="Write the picture with its boxes here, as PNG.")] = None,
) -> None:
    """Print one sample, and draw its boxes."""
    from lte_core.dataset.draw import draw as drawn
    from lte_core.images import ImageError, read_image

    path = _manifest(manifest)
    samples, _ = _read(path)
    found = next((s for number, s in enumerate(samples, 1) if sample in (s.id, str(number))), None)
    if found is None:
        raise typer.BadParameter(f"{path} has {len(samples)} samples, and none is {sample!r}.")
    _print(found)
    if draw is not None:
        try:
            picture = drawn(read_image(path.parent / found.image).pixels, found.regions)
            draw.parent.mkdir(parents=True, exist_ok=True)
            picture.save(draw, "PNG")
        except (ImageError, OSError) as problem:
            raise typer.BadParameter(str(problem), param_hint="--draw") from problem
        typer.echo(f"\nDrawn in {draw}")


def stats(
    manifest: Manifest,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
    html: Annotated[Path | None, typer.Option(help="Write one self-contained page.")] = None,
) -> None:
    """Count the samples and boxes of any manifest. Exit code 3 when some lines were bad."""
    from rich.console import Console

    from lte_core.dataset.stats import figures
    from lte_core.dataset.summary import manifest_tables, rich_table
    from lte_core.dataset.summary_html import page

    path = _manifest(manifest)
    samples, bad = _read(path)
    record = figures(samples).record()
    tables = manifest_tables(record)
    if as_json:
        typer.echo(json.dumps(record | {"bad_lines": [line._asdict() for line in bad]}))
    else:
        for table in tables:
            Console().print(rich_table(table))
    if html is not None:
        try:
            html.parent.mkdir(parents=True, exist_ok=True)
            html.write_text(page(f"{path.parent.name}/{path.name}", tables), encoding="utf-8")
        except OSError as problem:
            raise typer.BadParameter(str(problem), param_hint="--html") from problem
    for line in bad:
        typer.echo(f"{path}, line {line.number}: {line.problem}", err=True)
    raise typer.Exit(SOME_BAD if bad else 0)


def _manifest(path: Path) -> Path:
    found = path / "manifest.jsonl" if path.is_dir() else path
    if not found.is_file():
        raise typer.BadParameter(f"There is no manifest at {found}.")
    return found


def _read(path: Path) -> tuple[list[TraceSample], list[BadLine]]:
    from lte_core.dataset.manifest import BadLine, read_lines

    lines = list(read_lines(path))
    return (
        [line.sample for line in lines if not isinstance(line, BadLine)],
        [line for line in lines if isinstance(line, BadLine)],
    )


def _print(sample: TraceSample) -> None:
    from lte_core.terminal import printable

    generator = f" by {sample.generator}" if sample.generator else ""
    size = f"{sample.width} x {sample.height}"
    lines = [
        f"{sample.id}  {sample.label}{generator}  {sample.source}, {sample.split or 'no split'}  {size}",
        sample.image,
        "",
        sample.explanation or "(no explanation)",
        *(
            f"[{number}] {region.label}  {' '.join(f'{v:.0f}' for v in region.box.xyxy)}"
            for number, region in enumerate(sample.regions, 1)
        ),
    ]
    for name, value in sample.annotation.items():
        lines.append(f"{name}: {json.dumps(value, ensure_ascii=False)}")
    if sample.review:
        lines.append(f"reviewed: {sample.review.decision} by {sample.review.annotator}, {sample.review.at}")
    typer.echo("\n".join(map(printable, lines)))
