"""Progress of a detection in, HTML out: the parts that the page swaps in as they change.

Pure: no Gradio, no model, no files. Every text that a visitor or a model wrote passes through `escape`.
A number ties together a box, its crop and the words about it: all three carry it as `data-n`, which
`style.css` uses to light up the others.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from demo.examples import Example
from demo.progress import Phase, Progress
from lte_core.inference.checkpoint import UNCALIBRATED
from lte_core.inference.references import by_crop, crop_numbers, replace_references
from lte_core.provenance import Provenance
from lte_core.schema import Box, Detection, LocateResult, Size, Verdict

_WORDS = {Verdict.REAL: "Looks real", Verdict.GENERATED: "Looks AI-generated"}
_LEANS = {Verdict.REAL: "leans towards a real photo", Verdict.GENERATED: "leans towards AI-generated"}
_FIRST = {Verdict.REAL: "looked real", Verdict.GENERATED: "looked AI-generated"}
_ICONS = {Verdict.REAL: "●", Verdict.GENERATED: "◆", None: "?"}
_CAUTION = "A verdict is evidence to weigh, not proof."
_TAGS = re.compile(r"</?\s*(?:explanation|boxes|verdict)\s*>?|</?[a-z]{0,11}$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class About:
    """What the page says about the model: its name, the checkpoint's own words about what it is good for,
    where its card is, the range of P(generated) in which it is not to be relied upon, whether it runs on another
    server, and whether its confidence was calibrated; and how large a file may be that it is shown, in MB."""

    name: str
    note: str
    card_url: str | None = None
    uncertain: tuple[float, float] = (0.5, 0.5)
    remote: bool = False
    calibrated: bool = True
    most_megabytes: float = 25


@dataclass(frozen=True, slots=True)
class Page:
    """The parts of the page, as HTML."""

    steps: str
    stage: str
    crops: str
    verdict: str
    more: str


def render(progress: Progress, about: About) -> Page:
    """The page for what is known so far."""
    return Page(
        _steps(progress),
        _stage(progress, about.most_megabytes),
        _crops(progress),
        _verdict_card(progress, about),
        _more(progress),
    )


def _steps(progress: Progress) -> str:
    order = [Phase.SCAN, Phase.ZOOM, Phase.EXAMINE, Phase.DONE]
    # A run that was stopped or failed shows how far it came by what it left behind.
    reached = order.index(progress.phase) if progress.phase in order else 2 if progress.crops else -1
    crops = f" ({len(progress.crops)})" if progress.crops else ""
    busy = " data-busy" if progress.phase.busy else ""
    items = []
    for index, (title, done_at) in enumerate([("Scan", 1), (f"Zoom in{crops}", 2), ("Verdict", 3)]):
        state = "done" if reached >= done_at else "now" if reached == done_at - 1 and progress.phase.busy else ""
        current = ' aria-current="step"' if state == "now" else ""
        mark = "✓" if state == "done" else str(index + 1)
        items.append(f'<li class="{state}"{current}><i aria-hidden="true">{mark}</i>{title}</li>')
    return (
        f'<div class="lte-steps" data-phase="{progress.phase}"{busy}><ol aria-label="Steps">{"".join(items)}</ol>'
        f'<p role="status">{escape(_status(progress))}</p></div>'
    )


def _status(progress: Progress) -> str:
    places = len(progress.locate.regions) if progress.locate else 0
    match progress.phase:
        case Phase.EMPTY:
            return "Ready for a picture."
        case Phase.WAITING:
            return "Your picture is in line."
        case Phase.SCAN:
            return "Scanning the whole picture…"
        case Phase.ZOOM:
            return f"Found {_count(places, 'place')} to look at. Zooming in…" if places else "Looking again…"
        case Phase.EXAMINE:
            crops = len(progress.crops)
            return f"Examining {_count(crops, 'crop')}…" if crops else "Looking at the whole picture again…"
        case Phase.DONE:
            return f"Done in {_seconds(progress.detection)}." if progress.detection else "Done."
        case Phase.STOPPED:
            return "Stopped. Choose a picture to start again."
        case Phase.FAILED:
            return "No answer for this picture."


def _stage(progress: Progress, most_megabytes: float) -> str:
    if not progress.picture or progress.size is None:
        waiting = " waiting" if progress.phase is Phase.WAITING else ""
        return (
            f'<button type="button" class="lte-drop{waiting}" data-act="choose">'
            '<svg viewBox="0 0 48 48" aria-hidden="true"><rect x="5" y="9" width="30" height="26" rx="3"/>'
            '<path d="m8 31 9-9 7 7 4-4 7 6"/><circle cx="26" cy="17" r="3"/><circle cx="34" cy="32" r="7"/>'
            '<path d="m39.2 37.2 5 5"/></svg><b class="mouse">Drop a picture here</b>'
            '<span class="mouse">or paste it, or click to choose a file</span>'
            '<b class="touch">Tap to choose a picture</b>'
            f"<small>JPEG, PNG, WebP, AVIF, TIFF or GIF, up to {most_megabytes:g} MB</small></button>"
        )
    size, name = progress.size, escape(progress.name or "your picture")
    boxes = ""
    if progress.locate:
        regions, numbers = progress.locate.regions, _numbers(progress)
        boxes = "".join(
            _box(region.box, _label(n, region.label, progress), n, size, first=numbers.index(n) == i)
            for i, (region, n) in enumerate(zip(regions, numbers, strict=True))
        )
    scanning = " scanning" if progress.phase is Phase.SCAN else ""
    return (
        f'<figure class="lte-stage{scanning}" style="--w:{size.width};--h:{size.height}">'
        f'<img src="{progress.picture}" alt="The picture under examination: {name}" '
        f'width="{size.width}" height="{size.height}">{boxes}</figure>'
    )


def _box(box: Box, label: str, number: int, size: Size, *, first: bool) -> str:
    """A numbered outline. Its tag moves below or inside, and to the left, where it would leave the picture.

    Boxes whose crops were merged share a number; the `first` of them is the one that is led to.
    """
    left, top = 100 * max(0.0, box.x1) / size.width, 100 * max(0.0, box.y1) / size.height
    right, bottom = 100 * min(1.0, box.x2 / size.width), 100 * min(1.0, box.y2 / size.height)
    vertical = "" if top > 8 else " below" if bottom < 92 else " tucked"
    side = " end" if left > 60 else ""
    text = escape(label or "unnamed place")
    anchor = f' id="lte-box-{number}"' if first else ""
    return (
        f'<button type="button" class="lte-box{vertical}{side}"{anchor} data-n="{number}" '
        f'data-goto="lte-crop-{number}" aria-label="Box {number}: {text}. Show its crop." '
        f'style="left:{left:.2f}%;top:{top:.2f}%;width:{right - left:.2f}%;height:{bottom - top:.2f}%">'
        f"<b>{number}<span> {text}</span></b></button>"
    )


def _label(number: int, own: str, progress: Progress) -> str:
    """What a box is called: as its crop, once there is one, since boxes that share a crop lie on each other."""
    return progress.crops[number - 1].label if number <= len(progress.crops) else own


def _numbers(progress: Progress) -> tuple[int, ...]:
    """The number of each region: that of the crop that shows it."""
    return crop_numbers(progress.crops, len(progress.locate.regions) if progress.locate else 0)


def _crops(progress: Progress) -> str:
    if not progress.crops or progress.size is None:
        return ""
    figures = []
    for number, (crop, url) in enumerate(zip(progress.crops, progress.crop_urls, strict=True), 1):
        label = escape(crop.label or "unnamed place")
        figures.append(
            f'<button type="button" class="lte-crop" id="lte-crop-{number}" data-n="{number}" '
            f'data-goto="lte-box-{number}" aria-label="Crop {number}: {label}. Show its box.">'
            f'<span class="lens"><img src="{url}" alt=""></span>'
            f'<span class="caption"><i class="lte-n">{number}</i>{label}</span></button>'
        )
    return (
        '<section class="lte-card"><header><h2>Under the magnifying glass</h2>'
        '<span class="soft">each area, as it was cut out for the second look</span></header>'
        f'<div class="lte-crops">{"".join(figures)}</div></section>'
    )


def _more(progress: Progress) -> str:
    cards = []
    if progress.locate or progress.locate_text:
        cards.append(_first_card(progress))
    if progress.provenance:
        cards.append(_provenance_card(progress.provenance))
    if progress.detection:
        cards.append(_folded(progress.detection, progress.json))
    return f'<div class="lte-more">{"".join(cards)}</div>' if cards else ""


def _verdict_card(progress: Progress, about: About) -> str:
    if progress.phase is Phase.EMPTY:
        return _how_it_works(about)
    if progress.phase is Phase.FAILED:
        heading = '<h2 class="unsure"><i aria-hidden="true">!</i>No answer</h2>'
        body = f'{heading}<p role="alert">{escape(progress.problem)}</p>'
    elif progress.phase is Phase.STOPPED:
        body = '<h2 class="soft">Stopped</h2><p>There is no verdict for this picture.</p>'
    elif progress.detection:
        body = _verdict(progress.detection, progress, about)
    elif spoken := _spoken(progress.examine_text):
        body = f'<h2 class="soft">Examining…</h2><p class="words">{_linked(spoken, progress)}</p>'
    else:
        body = '<h2 class="soft">Looking…</h2><p class="soft">The verdict comes after the second look.</p>'
    return f'<section class="lte-card lte-verdict">{body}{_model_line(about)}</section>'


def _verdict(detection: Detection, progress: Progress, about: About) -> str:
    verdict, p = detection.verdict, detection.p_generated
    if verdict is None:
        return (
            f'<h2 class="unsure"><i aria-hidden="true">{_ICONS[None]}</i>No verdict</h2>'
            "<p>The model's second reply could not be read, and a first impression is not passed off as a verdict. "
            f"Try another picture.</p>{_problem(detection.examine.problem)}"
        )
    low, high = about.uncertain
    unsure = p is not None and low < p < high
    title = f"Uncertain <small>{_LEANS[verdict]}</small>" if unsure else _WORDS[verdict]
    kind, icon = ("unsure", _ICONS[None]) if unsure else (verdict.value, _ICONS[verdict])
    flip = '<span class="chip flip">changed after examination</span>' if detection.flipped else ""
    words = _linked(detection.examine.explanation, progress) or "The model gave no explanation."
    return (
        f'<div class="title"><h2 class="{kind}"><i aria-hidden="true">{icon}</i>{title}</h2>{flip}</div>'
        f'{_meter(p, low, high)}{_uncalibrated(p, about)}<p class="words">{words}</p>'
    )


def _meter(p: float | None, low: float, high: float) -> str:
    if p is None:
        return (
            '<p class="soft">This model gives no confidence: its server reports no probabilities for the verdict.</p>'
        )
    percent = _percent(p)
    middle = f'<span style="left:{50 * (low + high):.1f}%">uncertain</span>' if low < high else ""
    return (
        f'<div class="lte-meter" role="meter" aria-label="Estimated chance that the picture is AI-generated" '
        f'aria-valuemin="0" aria-valuemax="100" aria-valuenow="{100 * p:.0f}" aria-valuetext="{percent}" '
        f'style="--low:{100 * low:.1f}%;--high:{100 * high:.1f}%;--p:{100 * min(max(p, 0.0), 1.0):.1f}%"><i></i></div>'
        f'<div class="lte-scale" aria-hidden="true"><span>real</span>{middle}<span>generated</span></div>'
        f'<p class="chance">Estimated chance that it is AI-generated: <b>{percent}</b></p>'
    )


def _uncalibrated(p: float | None, about: About) -> str:
    return "" if p is None or about.calibrated else f'<p class="soft">{UNCALIBRATED}</p>'


def _model_line(about: About) -> str:
    name = escape(about.name)
    if about.card_url:
        name = f'<a href="{escape(about.card_url)}" target="_blank" rel="noopener">{name}</a>'
    return f'<p class="lte-model">Model {name}. {escape(f"{about.note} {_CAUTION}".strip())}</p>'


def _how_it_works(about: About) -> str:
    steps = [
        ("Scan", "The model looks at the whole picture, and marks the places that seem odd."),
        ("Zoom in", "Each marked place is cut out, and a small one is enlarged."),
        ("Verdict", "It looks again, with the crops beside the picture, and may change its mind."),
    ]
    sent = " It is also sent to the server that runs the model." if about.remote else ""
    items = "".join(f"<li><b>{title}</b><span>{text}</span></li>" for title, text in steps)
    return (
        f'<section class="lte-card lte-how"><h2>Two looks, and the evidence</h2><ol>{items}</ol>'
        f"{_model_line(about)}"
        '<p class="lte-model">Your picture is used for this answer only; its copy here is deleted within two hours.'
        f"{sent}</p>"
        "</section>"
    )


def _first_card(progress: Progress) -> str:
    locate = progress.locate
    if locate is None:
        return _card("First impression", _spoken_html(progress.locate_text), "")
    if locate.problem:
        text = (
            "<p>The first reply could not be read, so the model looked at the whole picture again, without crops.</p>"
        )
        return _card("First impression", text + _problem(locate.problem), _chip("unreadable"))
    text = _linked(by_crop(locate.explanation, _numbers(progress)), progress) or "The model gave no explanation."
    if not locate.regions:
        text += " <b>It marked no place to look at</b>, and looked at the whole picture again."
    return _card("First impression", f'<p class="soft">{text}</p>', _first_chip(locate))


def _first_chip(locate: LocateResult) -> str:
    if locate.verdict is None:
        return ""
    percent = "" if locate.p_generated is None else f" · {_percent(locate.p_generated)} generated"
    return _chip(f"{_FIRST[locate.verdict]}{percent}")


def _provenance_card(provenance: Provenance) -> str:
    credentials = provenance.credentials
    tool = f" Made with: {escape(credentials.claim_generator)}." if credentials.claim_generator else ""
    rows = [f"<p>{escape(credentials.summary)}{tool}</p>"]
    named = [tag for tag in provenance.metadata if tag.names_generator]
    if named:
        rows.append("<p>The metadata names a generator. Anyone can write such a tag:</p>")
    rows += [
        f'<p class="soft tag">{escape(tag.source)} {escape(tag.key)}: {escape(tag.value)}</p>'
        for tag in named or provenance.metadata
    ]
    return _card("Where it comes from", "".join(rows), _chip("not part of the verdict"))


def _folded(detection: Detection, json: str) -> str:
    replies = (
        f"<h3>First look</h3><pre>{escape(detection.locate.reply)}</pre>"
        f"<h3>Second look</h3><pre>{escape(detection.examine.reply)}</pre>"
    )
    times = "".join(
        f"<tr><th>{escape(name)}</th><td>{seconds:.2f} s</td></tr>" for name, seconds in detection.timings_s.items()
    )
    return (
        '<section class="lte-card lte-folded">'
        f"<details><summary>Both replies, word for word</summary>{replies}</details>"
        f"<details><summary>Timings</summary><table>{times}</table></details>"
        f"<details><summary>The result as JSON</summary><pre>{escape(json)}</pre></details></section>"
    )


def _card(title: str, body: str, chip: str) -> str:
    return f'<section class="lte-card"><header><h2>{title}</h2>{chip}</header>{body}</section>'


def _chip(text: str) -> str:
    return f'<span class="chip">{escape(text)}</span>'


def _problem(problem: str | None) -> str:
    return f'<p class="soft">What was wrong with it: {escape(problem)}</p>' if problem else ""


def _spoken(reply: str) -> str:
    """The explanation in a reply that is still being written: the words before the next block, without tags."""
    return _TAGS.sub("", re.split(r"</explanation|<boxes|<verdict", reply, maxsplit=1)[0]).strip()


def _spoken_html(reply: str) -> str:
    return f'<p class="soft">{escape(_spoken(reply))}</p>'


def _linked(text: str, progress: Progress) -> str:
    """The escaped text, in which references such as [1] or [2, 3] become buttons that lead to the box."""

    def buttons(numbers: Sequence[int]) -> str:
        return " ".join(
            f'<button type="button" class="lte-n" data-n="{n}" data-goto="lte-box-{n}" aria-label="Box {n}">'
            f"{n}</button>"
            for n in numbers
        )

    return replace_references(escape(text), _numbers(progress), buttons)


def _percent(p: float) -> str:
    return "under 1\xa0%" if p < 0.01 else "over 99\xa0%" if p > 0.99 else f"{100 * p:.0f}\xa0%"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _seconds(detection: Detection | None) -> str:
    timings = detection.timings_s if detection else {}
    return f"{timings.get('total', sum(timings.values())):.1f} s"


def examples_html(examples: Sequence[Example]) -> str:
    """Thumbnails that are themselves the examples; `tab.js` gives the chosen one to the page like any file."""
    if not examples:
        return ""
    buttons = "".join(
        f'<button type="button" data-example="examples/{escape(example.path.name)}">'
        f'<img src="examples/{escape(example.path.name)}" alt="" loading="lazy">'
        f"<span>{escape(example.caption)}</span> <small>{'flawed' if example.flawed else 'clean'}</small></button>"
        for example in examples
    )
    title = "Or try a synthetic scene, drawn with or without a flaw"
    return f'<section class="lte-examples"><h2>{title}</h2><div>{buttons}</div></section>'
