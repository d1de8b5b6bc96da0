"""The report as one self-contained page: the tables of the Markdown, plots, and the images whose verdict flipped."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

from lte_core.dataset.draw import draw
from lte_core.evaluation import plots
from lte_core.evaluation.outcomes import Truth
from lte_core.evaluation.tables import Loaded, Row, flips
from lte_core.images import ImageError, read_image, to_data_url
from lte_core.schema import Detection

_THUMB = 320  # pixels of a picture's longer side


def page(text: str, files: Sequence[Loaded], rows: Sequence[Row], images: Path | None = None, curve: str = "") -> str:
    """`text` is the Markdown report; pictures of flips are shown when `images`, the manifest's folder, is given."""
    parts = [curve]
    for loaded, row in zip(files, rows, strict=True):
        parts.append(f"<h2>{escape(loaded.name)}</h2>{_plots(loaded, row)}{''.join(_flips(loaded, images))}")
    return wrapped("Evaluation", text, "".join(parts))


def wrapped(title: str, text: str, more: str) -> str:
    """Markdown, and HTML after it, as a page without a script or a request."""
    from markdown_it import MarkdownIt

    tables = MarkdownIt("commonmark", {"html": False}).enable("table").render(text)
    tables = re.sub(r"(<td[^>]*>[^<\[]+?) (\[[^\]<]*\])</td>", r"\1<small>\2</small></td>", tables)
    tables = tables.replace("<table>", '<div class="wide"><table>').replace("</table>", "</table></div>")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" '
        'content="width=device-width, initial-scale=1"><meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">"
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body><main>{tables}{more}</main></body></html>\n"
    )


def as_image(svg: str) -> str:
    """A plot as an image, so that no style of it reaches another's, and none the page's."""
    return f'<img alt="" src="data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode("ascii")}">'


def _plots(loaded: Loaded, row: Row) -> str:
    drawn = [plots.confusion(loaded.outcomes, "Verdicts")]
    if row.scores.bins:
        drawn.append(plots.reliability(row.scores.bins, "Reliability"))
        drawn.append(plots.coverage(loaded.outcomes, "Accuracy over coverage"))
    return f'<div class="plots">{"".join(map(as_image, drawn))}</div>'


def _flips(loaded: Loaded, images: Path | None) -> Iterator[str]:
    """Galleries of what the second look changed, the better half first."""
    for kind, found in flips(loaded.path).items():
        if not found:
            continue
        cards = "".join(_card(truth, result, images) for truth, result in found)
        yield f'<h3>Changed from {kind}</h3><div class="cards">{cards}</div>'


def _card(truth: Truth, result: Detection, images: Path | None) -> str:
    picture = "" if images is None else _picture(result, images / _place(truth, images))
    return (
        f"<figure>{picture}<figcaption><b>{escape(truth.id)}</b>: {truth.label}, first {result.locate.verdict}, then "
        f"{result.verdict}. {escape(result.examine.explanation[:300])}</figcaption></figure>"
    )


def _place(truth: Truth, images: Path) -> str:
    """Where the picture lies: as collections name it, by its hash."""
    if not re.fullmatch(r"[0-9a-f]{64}", truth.sha256):
        return "unknown"
    found = sorted((images / "images" / truth.sha256[:2]).glob(f"{truth.sha256}.*"))
    return str(found[0].relative_to(images)) if found else "unknown"


def _picture(result: Detection, path: Path) -> str:
    try:
        pixels = draw(read_image(path).pixels, result.locate.regions)
    except ImageError:
        return "<p>(the picture is not there)</p>"
    pixels.thumbnail((_THUMB, _THUMB))
    return f'<img alt="the picture with the boxes that were located" src="{to_data_url(pixels)}">'


_STYLE = (
    ":root{color-scheme:light dark}body{font:15px/1.5 system-ui,sans-serif;margin:0;background:Canvas;color:CanvasText}"
    "main{max-width:92rem;margin:2rem auto;padding:0 1rem}h1{font-size:1.5rem}h2{font-size:1.1rem;margin-top:2.2rem}"
    "h3{font-size:1rem}.wide{overflow-x:auto}table{border-collapse:collapse;font-size:.85rem;white-space:nowrap}"
    "th,td{padding:.3rem .7rem .3rem 0;text-align:right;font-variant-numeric:tabular-nums;"
    "border-bottom:1px solid color-mix(in srgb,CanvasText 15%,transparent)}"
    "td small{display:block;opacity:.75}th:first-child,td:first-child{text-align:left}.plots,.cards{display:flex;"
    "flex-wrap:wrap;gap:1rem}.plots img{background:#fff;border-radius:6px;max-width:100%}figure{margin:0;"
    "width:20rem;max-width:100%}figure img{max-width:100%}figcaption{font-size:.85rem;overflow-wrap:anywhere}"
)
