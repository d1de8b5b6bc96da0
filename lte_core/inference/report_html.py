"""A detection as one HTML file that needs nothing else: pictures inside, no scripts, nothing fetched.

A number ties a box, its crop and the words about it together: that of the crop, which the model's reply uses.
Provenance has a card of its own, apart from the verdict. Every text from outside passes through `_text`.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from PIL import Image

from lte_core import __version__
from lte_core.images import SourceImage, to_data_url
from lte_core.inference.checkpoint import DEFAULT_CHECKPOINT, UNCALIBRATED, Checkpoint
from lte_core.inference.detector import Failure
from lte_core.inference.examine import cut_crops
from lte_core.inference.references import by_crop, crop_numbers, replace_references
from lte_core.provenance import Provenance
from lte_core.schema import Box, Detection, Size, Verdict

_IMAGE_PX, _CROP_PX = 1600, 640  # longest sides: sharp on a dense screen, and a file that can still be mailed
_SEEMS = {Verdict.REAL: "Looks real", Verdict.GENERATED: "Looks AI-generated"}
_SEEMED = {Verdict.REAL: "looked real", Verdict.GENERATED: "looked AI-generated", None: "unreadable"}
_LEANS = {Verdict.REAL: "leans towards real", Verdict.GENERATED: "leans towards AI-generated"}


def to_html(
    detection: Detection,
    source: SourceImage,
    provenance: Provenance | None = None,
    checkpoint: Checkpoint = DEFAULT_CHECKPOINT,
) -> str:
    """The report on one image. `source` is the image that was judged."""
    return PAGE_START + section(detection, source, provenance, checkpoint) + PAGE_END


def section(detection: Detection, source: SourceImage, provenance: Provenance | None, checkpoint: Checkpoint) -> str:
    """One image's part of a report on several: the page is PAGE_START, sections, PAGE_END."""
    image = detection.image
    sides = _stage(detection, source.pixels) + _crops(detection, source.pixels)
    cards = [
        _verdict(detection, checkpoint),
        _first_impression(detection),
        _origin(provenance) if provenance else "",
        _record(detection),
    ]
    return (
        f'<article><h2 class="path"><bdi>{_text(image.path) or "Picture"}</bdi> '
        f"<small>{image.width} × {image.height}</small></h2>"
        f'<div class="two"><div class="column">{sides}</div><div class="column">{"".join(cards)}</div></div>'
        "</article>\n"
    )


def failure_section(failure: Failure) -> str:
    """The part of an input that gave no result."""
    return (
        f'<article><h2 class="path"><bdi>{_text(failure.path)}</bdi></h2>'
        f'<section class="card"><h3 class="unsure">No result</h3><p>{_text(failure.error)}</p></section></article>\n'
    )


def _stage(detection: Detection, pixels: Image.Image) -> str:
    size = detection.image.size
    outlines = "".join(
        _outlines([detection.locate.regions[index].box for index in crop.regions], size, number, detection)
        for number, crop in enumerate(detection.crops, 1)
    )
    return (
        f'<section class="card"><figure class="stage" style="max-width:calc(80vh*{size.width / size.height:.4f})">'
        f'<img src="{_picture(pixels, _IMAGE_PX)}" alt="The picture under examination" width="{size.width}" '
        f'height="{size.height}"><svg role="img" aria-label="{len(detection.crops)} marked areas">{outlines}</svg>'
        "</figure></section>"
    )


def _outlines(boxes: Sequence[Box], size: Size, number: int, detection: Detection) -> str:
    """The boxes that one crop shows, with its number. Positions are in percent, so that lines and numbers keep
    their size on every screen."""
    rects = "".join(
        f'<rect class="{layer}" x="{100 * box.x1 / size.width:.2f}%" y="{100 * box.y1 / size.height:.2f}%" '
        f'width="{100 * box.width / size.width:.2f}%" height="{100 * box.height / size.height:.2f}%" rx="3"/>'
        for layer in ("under", "line")
        for box in boxes
    )
    left, top = 100 * boxes[0].x1 / size.width, 100 * boxes[0].y1 / size.height
    above_or_inside = "translate(0 -21)" if top > 8 else "translate(2 2)"
    return (
        f'<g id="{_anchor(detection, "box", number)}">{rects}<svg x="{left:.2f}%" y="{top:.2f}%">'
        f'<g transform="{above_or_inside}"><rect class="tag" width="21" height="19" rx="4"/>'
        f'<text x="10.5" y="14">{number}</text></g></svg></g>'
    )


def _crops(detection: Detection, pixels: Image.Image) -> str:
    if not detection.crops:
        return ""
    figures = "".join(
        f'<figure id="{_anchor(detection, "crop", number)}"><img src="{_picture(image, _CROP_PX)}" alt="">'
        f'<figcaption><a class="n" href="#{_anchor(detection, "box", number)}">{number}</a> '
        f"{_text(crop.label) or 'unnamed place'}</figcaption></figure>"
        for number, (crop, image) in enumerate(zip(detection.crops, cut_crops(pixels, detection.crops), strict=True), 1)
    )
    return (
        '<section class="card seen"><header><h3>Under the magnifying glass</h3><span class="soft">the areas that were '
        f'examined again</span></header><div class="crops">{figures}</div></section>'
    )


def _verdict(detection: Detection, checkpoint: Checkpoint) -> str:
    verdict, p = detection.verdict, detection.p_generated
    if verdict is None:
        title, kind, meter = "No verdict", "unsure", ""
    elif checkpoint.is_uncertain(p):
        title, kind, meter = f"Uncertain <small>{_LEANS[verdict]}</small>", "unsure", _meter(p, checkpoint)
    else:
        title, kind, meter = _SEEMS[verdict], verdict.value, _meter(p, checkpoint)
    words = _linked(detection.examine.explanation, detection) or "The model gave no explanation."
    if detection.examine.problem:
        words = "The second reply could not be read, and a first impression is not passed off as a verdict. "
        words += _text(detection.examine.problem)
    flip = '<span class="chip flip">changed after examination</span>' if detection.flipped else ""
    return (
        f'<section class="card verdict"><header><h3 class="{kind}">{title}</h3>{flip}</header>{meter}'
        f'<p class="words">{words}</p>{_model_line(detection, checkpoint)}</section>'
    )


def _model_line(detection: Detection, checkpoint: Checkpoint) -> str:
    name, card = _text(detection.model.name), checkpoint.card or ""
    if card.startswith(("https://", "http://")):
        name = f'<a href="{_text(card)}" rel="noopener">{name}</a>'
    note = f"{checkpoint.note} A verdict is evidence to weigh, not proof.".strip()
    return f'<p class="soft">Model {name}. {_text(note)}</p>'


def _meter(p: float | None, checkpoint: Checkpoint) -> str:
    if p is None:
        return (
            '<p class="soft">This model gives no confidence: its server reports no probabilities for the verdict.</p>'
        )
    low, high = checkpoint.uncertain_band
    middle = "<span>uncertain</span>" if low < high else ""
    uncalibrated = "" if checkpoint.calibrated else f'<p class="soft">{UNCALIBRATED}</p>'
    return (
        f'<div class="meter" role="meter" aria-label="Estimated chance that the picture is AI-generated" '
        f'aria-valuemin="0" aria-valuemax="100" aria-valuenow="{100 * p:.0f}" '
        f'style="--low:{100 * low:.1f}%;--high:{100 * high:.1f}%;--p:{100 * p:.1f}%"><i></i></div>'
        f'<div class="scale" aria-hidden="true"><span>real</span>{middle}<span>generated</span></div>'
        f'<p class="soft">Estimated chance that it is AI-generated: <b>{_percent(p)}</b></p>'
        f"{uncalibrated}"
    )


def _first_impression(detection: Detection) -> str:
    locate = detection.locate
    chance = "" if locate.p_generated is None else f" · {_percent(locate.p_generated)} generated"
    if locate.problem:
        words = f"The first reply could not be read, so the whole picture was examined again. {_text(locate.problem)}"
    else:
        told = by_crop(locate.explanation, crop_numbers(detection.crops, len(locate.regions)))
        words = _linked(told, detection) or "The model gave no explanation."
        words += "" if locate.regions else " <b>It marked no place to look at.</b>"
    return _card("First impression", f'<p class="soft">{words}</p>', f"{_SEEMED[locate.verdict]}{chance}")


def _origin(provenance: Provenance) -> str:
    tags = "".join(
        f"<tr><th>{_text(tag.source)} {_text(tag.key)}</th><td>{_text(tag.value)}"
        f"{' <b>(names a generator)</b>' if tag.names_generator else ''}</td></tr>"
        for tag in provenance.metadata
    )
    body = f"<p>{_text(provenance.credentials.summary)}</p>" + (f"<table>{tags}</table>" if tags else "")
    return _card("Where it comes from", body, "not part of the verdict")


def _record(detection: Detection) -> str:
    rows = [
        ("Picture SHA-256", detection.image.sha256),
        ("Model", detection.model.name),
        ("Weights SHA-256", detection.model.sha256 or "unknown: the model is behind a server"),
        ("LTE version", __version__),
    ]
    facts = "".join(f"<tr><th>{name}</th><td><code>{_text(value)}</code></td></tr>" for name, value in rows)
    times = "".join(f"<tr><th>{_text(k)}</th><td>{v:.2f} s</td></tr>" for k, v in detection.timings_s.items())
    return (
        '<section class="card"><details open><summary>What was judged, and by what</summary>'
        f"<table>{facts}</table></details>"
        f"<details><summary>First reply, word for word</summary><pre>{_text(detection.locate.reply)}</pre></details>"
        f"<details><summary>Second reply, word for word</summary><pre>{_text(detection.examine.reply)}</pre></details>"
        f"<details><summary>Timings</summary><table>{times}</table></details></section>"
    )


def _linked(text: str, detection: Detection) -> str:
    """The escaped text, in which references such as [1] or [2, 3] are links to the crops."""

    def links(numbers: Sequence[int]) -> str:
        return " ".join(f'<a class="n" href="#{_anchor(detection, "crop", n)}">{n}</a>' for n in numbers)

    return replace_references(_text(text), range(1, len(detection.crops) + 1), links)


def _anchor(detection: Detection, kind: str, number: int) -> str:
    return f"{kind}-{detection.image.sha256[:12]}-{number}"


def _card(title: str, body: str, chip: str) -> str:
    return f'<section class="card"><header><h3>{title}</h3><span class="chip">{chip}</span></header>{body}</section>'


def _picture(image: Image.Image, longest_px: int) -> str:
    if max(image.size) > longest_px:
        image = image.copy()
        image.thumbnail((longest_px, longest_px), Image.Resampling.LANCZOS)
    return to_data_url(image, quality=88)


def _percent(p: float) -> str:
    return "under 1 %" if p < 0.01 else "over 99 %" if p > 0.99 else f"{100 * p:.0f} %"


def _text(text: str) -> str:
    """Text as HTML. File names may hold bytes that no encoding knows (lone surrogates)."""
    return escape(text.encode("utf-8", "replace").decode())


_STYLE = """
:root{color-scheme:light dark;--paper:light-dark(#fbfaf7,#141413);--card:light-dark(#fff,#1d1c1b);
--ink:light-dark(#1c1b19,#edeae4);--soft:light-dark(#625e57,#aaa59b);--line:light-dark(#e2ded5,#383530);
--edge:light-dark(#8d887e,#7d786f);--accent:light-dark(#0f6b5c,#4fb3a1);--gen:light-dark(#a83c18,#f0946e);
--real:light-dark(#1d6f42,#6cc28f);--unsure:light-dark(#7a5f12,#d9bc68);--glow:#ffd34d}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
main{max-width:1180px;margin:0 auto;padding:20px}
h1{font-size:20px;letter-spacing:-.01em;margin:0}p{margin:0}p+p{margin-top:6px}
.head{display:flex;gap:4px 16px;align-items:baseline;flex-wrap:wrap;border-bottom:1px solid var(--line);
padding-bottom:12px}
.path{font-size:15px;font-weight:650;margin:18px 0 12px;overflow-wrap:anywhere}
.path small,h3 small{font-weight:400;font-size:13.5px;color:var(--soft)}
article+article{border-top:1px solid var(--line);margin-top:26px}
.two,.column{display:grid;gap:18px;align-content:start;min-width:0}
.card{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:16px;min-width:0;
overflow-wrap:anywhere}
.card>header{display:flex;justify-content:space-between;align-items:center;gap:4px 12px;flex-wrap:wrap;
margin-bottom:8px}
h3{font-size:15px;font-weight:650;margin:0}
.soft,.scale{color:var(--soft)}.card header .soft,.verdict .soft{font-size:13.5px}
.chip{border:1px solid var(--edge);border-radius:99px;padding:0 10px;font-size:12.5px;line-height:22px;
color:var(--soft)}
.chip.flip{border-color:currentColor;color:var(--gen)}
a{color:var(--accent);text-underline-offset:2px}
.n{display:inline-grid;place-items:center;min-width:20px;height:20px;padding:0 3px;border-radius:10px;
background:var(--ink);color:var(--paper);font:650 12px/1 system-ui,sans-serif;text-decoration:none;vertical-align:1px}
.stage{position:relative;margin:0 auto;line-height:0}.stage img{width:100%;height:auto;border-radius:6px}
.stage>svg{position:absolute;inset:0;width:100%;height:100%;overflow:visible}.stage svg svg{overflow:visible}
.under{fill:none;stroke:#000;stroke-opacity:.65;stroke-width:4}.line{fill:none;stroke:#fff;stroke-width:2}
.tag{fill:#111;fill-opacity:.85}text{fill:#fff;font:650 12px system-ui,sans-serif;text-anchor:middle}
:target .line{stroke:var(--glow);stroke-width:3}figure:target img{outline:3px solid var(--glow)}
.crops{display:grid;grid-template-columns:repeat(auto-fit,minmax(140px,1fr));gap:12px}
.crops figure{margin:0;max-width:300px}
.crops img{width:100%;aspect-ratio:4/3;object-fit:contain;background:var(--paper);border:1px solid var(--line);
border-radius:6px;display:block}
figcaption{font-size:13px;color:var(--soft);margin-top:5px}
.verdict h3{font-size:26px;letter-spacing:-.02em;line-height:1.25}.words{margin:12px 0}
.generated{color:var(--gen)}.real{color:var(--real)}.unsure{color:var(--unsure)}
.meter{height:8px;border-radius:4px;position:relative;margin:6px 0 4px;background:linear-gradient(90deg,
var(--real) 0 var(--low),var(--unsure) var(--low) var(--high),var(--gen) var(--high))}
.meter i{position:absolute;top:-5px;left:clamp(0px,calc(var(--p) - 2px),calc(100% - 4px));width:4px;height:18px;
border-radius:2px;background:var(--ink);box-shadow:0 0 0 2px var(--card)}
.scale{display:flex;justify-content:space-between;font-size:12.5px}
details+details{border-top:1px solid var(--line);margin-top:8px;padding-top:8px}
summary{cursor:pointer;color:var(--soft);font-size:13.5px}
table{border-collapse:collapse;font-size:13px;margin-top:6px;width:100%}
th{font-weight:400;text-align:left;color:var(--soft);padding:3px 12px 3px 0;vertical-align:top;width:34%}
td{padding:3px 0;overflow-wrap:anywhere}
code,pre{font:12px/1.5 ui-monospace,monospace}pre{white-space:pre-wrap;margin:6px 0 0}
@media(min-width:900px){.two{grid-template-columns:minmax(0,1.35fr) minmax(0,1fr)}}
@media(max-width:899px){.column{display:contents}.card{order:3}.column:first-child .card{order:0}.verdict{order:1}
.column:first-child .seen{order:2}}
@media(max-width:640px){main{padding:14px}}
@media print{.card{break-inside:avoid}}
"""

PAGE_START = (
    '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; style-src '
    "'unsafe-inline'; base-uri 'none'; form-action 'none'\"><title>Locate-Then-Examine report</title>"
    f'<style>{_STYLE}</style></head><body><main><div class="head"><h1>Locate-Then-Examine</h1>'
    '<p class="soft">Report: what was found, and where to look</p></div>\n'
)
PAGE_END = "</main></body></html>\n"
