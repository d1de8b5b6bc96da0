"""The tables of a build as one small page, without a script or a request: bars, and a plot for each curve."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from lte_core.dataset.summary import Curve, Table


def page(title: str, tables: Sequence[Table], curves: Sequence[Curve] = ()) -> str:
    """One page without a script or a request: tables with bars, and a plot for each curve."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" '
        'content="width=device-width, initial-scale=1"><meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body><main><h1>{escape(title)}</h1>"
        f"{''.join(map(_section, tables))}{''.join(map(_plot, curves))}</main></body></html>\n"
    )


def _section(table: Table) -> str:
    rows = "".join(
        f'<tr><th scope="row">{escape(row.name)}</th><td>{escape(row.value)}</td>'
        f'<td class="share">{_bar(row.share)}</td></tr>'
        for row in table.rows
    )
    return f"<section><h2>{escape(table.title)}</h2><table>{rows}</table></section>"


def _bar(share: float | None) -> str:
    if share is None:
        return ""
    return f'<span class="bar"><i style="width:{100 * min(1.0, share):.1f}%"></i></span>{share:.1%}'


_WIDE, _HIGH, _EDGE = 560, 200, 40


def _plot(curve: Curve) -> str:
    """Samples and boxes that survive, each as a share of the most, over the threshold."""
    low, high = min(curve.thresholds), max(curve.thresholds)

    def x(value: float) -> float:
        return _EDGE + (_WIDE - 2 * _EDGE) * ((value - low) / (high - low) if high > low else 0.5)

    def line(values: Sequence[int], kind: str) -> str:
        most = max(values) or 1
        points = " ".join(
            f"{x(t):.1f},{_HIGH - _EDGE - (_HIGH - 2 * _EDGE) * v / most:.1f}"
            for t, v in zip(curve.thresholds, values, strict=True)
        )
        return f'<polyline class="{kind}" points="{points}"/>'

    ticks = "".join(
        f'<text x="{x(t):.1f}" y="{_HIGH - _EDGE + 18}" text-anchor="middle">{t:g}</text>'
        for t in curve.thresholds[:: max(1, len(curve.thresholds) // 8)]
    )
    here = f"{x(curve.chosen):.1f}"
    chosen = f'<line class="chosen" x1="{here}" x2="{here}" y1="{_EDGE / 2}" y2="{_HIGH - _EDGE}"/>'
    rows = "".join(
        f"<tr><td>{t:g}</td><td>{s:,}</td><td>{b:,}</td></tr>"
        for t, s, b in zip(curve.thresholds, curve.samples, curve.boxes, strict=True)
    )
    return (
        f"<section><h2>{escape(curve.name)}</h2><p>Solid: samples that survive. Dashed: boxes. Each as a share of "
        f"its most; the upright line is the threshold in use, {curve.chosen:g}.</p>"
        f'<svg viewBox="0 0 {_WIDE} {_HIGH}" role="img" aria-label="What survives over {escape(curve.name)}">'
        f'<line class="axis" x1="{_EDGE}" x2="{_WIDE - _EDGE}" y1="{_HIGH - _EDGE}" y2="{_HIGH - _EDGE}"/>'
        f"{chosen}{line(curve.samples, 'samples')}{line(curve.boxes, 'boxes')}{ticks}</svg>"
        '<table><tr><th scope="col">threshold</th><th scope="col">samples</th><th scope="col">boxes</th></tr>'
        f"{rows}</table>"
        "</section>"
    )


_STYLE = (
    ":root{color-scheme:light dark}body{font:15px/1.5 system-ui,sans-serif;margin:0;background:Canvas;color:CanvasText}"
    "main{max-width:44rem;margin:2rem auto;padding:0 1rem}h1{font-size:1.4rem}h2{font-size:1rem;margin:2rem 0 .4rem}"
    "table{border-collapse:collapse;width:100%}th,td{padding:.25rem .6rem .25rem 0;text-align:left;font-weight:400;"
    "border-bottom:1px solid color-mix(in srgb,CanvasText 12%,transparent)}td{font-variant-numeric:tabular-nums}"
    ".share{width:11rem;white-space:nowrap}.bar{display:inline-block;width:6rem;height:.5rem;margin-right:.5rem;"
    "background:color-mix(in srgb,CanvasText 10%,transparent)}.bar i{display:block;height:100%;background:#2f6f8f}"
    "svg{width:100%;height:auto}svg text{fill:CanvasText;font-size:11px}"
    "polyline{fill:none;stroke:#2f6f8f;stroke-width:2}.boxes{stroke:#b4572b;stroke-dasharray:5 4}"
    ".axis{stroke:CanvasText;opacity:.4}.chosen{stroke:CanvasText;opacity:.5}"
)
