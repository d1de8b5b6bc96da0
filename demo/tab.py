"""The Detection tab in Gradio: layout, and the wiring from a file to the page that `view.py` draws.

Handlers adapt and delegate. Every way to give a picture ends in one upload button (`tab.js`); the run streams
into a few HTML parts; a newer picture or Stop ends it on the server (`turns.py`). A result is kept in its session
alone, and only where it can be sent to the review.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import astuple, dataclass, replace
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from demo.examples import Example
from demo.progress import Phase, Progress, advance, opened
from demo.turns import Turns
from demo.view import About, Page, examples_html, render
from lte_core.images import ImageError
from lte_core.inference.detector import Done, LocateThenExamine
from lte_core.inference.report import to_json
from lte_core.inference.report_html import to_html
from lte_core.intake import DEFAULT_INTAKE, Intake
from lte_core.provenance import Provenance
from lte_core.schema import Detection
from lte_core.vlm.base import VLMError

KEPT_S = 3600  # how long a result can be sent to the review
GPU = "gpu"  # one queue for everything that asks the model
_FRAME_S = 0.1  # text is written faster than anyone reads: ten pictures of it a second are enough

TOOLS = (
    '<button type="button" class="lte-tool" data-act="paste">Paste</button> '
    '<button type="button" class="lte-tool" data-act="camera">Camera</button>'
)
NOTICE = '<p class="lte-notice" role="alert" id="lte-notice"></p>'  # `tab.js` writes into it

Update = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that arrived: where it lies now, and what its owner calls it."""

    path: Path
    name: str


Offer = Callable[[bytes, Detection, str], str]  # picture, what was found, who sends it -> what to tell them
UNCHANGED: Update = (gr.skip(),) * 7  # the five parts of the page, the report, and the result


class Detecting:
    """The handlers of the tab around one detector."""

    def __init__(
        self, detector: LocateThenExamine, about: About, offer: Offer | None = None, intake: Intake = DEFAULT_INTAKE
    ) -> None:
        self._detector = detector
        self._intake = intake
        self._about = about
        self._offer = offer
        self._turns = Turns()

    def begin(self, request: gr.Request) -> Update:
        """A picture arrived: end the session's earlier run, and clear the page."""
        turn = self._turns.begin(_session(request))
        page = render(Progress(Phase.WAITING), self._about)
        return turn, *_parts(page), gr.DownloadButton(visible=False), None

    def detect(self, upload: Upload | None, turn: str, request: gr.Request) -> Iterator[Update]:
        """Run the detector, and show what is known at every step."""
        session = _session(request)
        # A run that ends without yielding would empty the page, even that of the run after it.
        yield UNCHANGED
        if upload is None or not self._turns.enter(session, turn):
            return
        try:
            with closing(self._progress(upload)) as known:
                yield from self._show(known, session, turn)
        finally:
            self._turns.leave(session, turn)

    def stop(self, request: gr.Request) -> Update:
        """Stop was pressed: what was found stays on the page. A run that had begun says the same, last."""
        self._turns.stop(_session(request))
        page = render(Progress(Phase.STOPPED), self._about)
        return page.steps, page.verdict

    def trouble(self, turn: str, request: gr.Request) -> Any:
        """The run raised, or found no room in the queue: say so, and what to do."""
        match self._turns.newest(_session(request)):
            case None:
                problem = "Something went wrong on the server. Try the picture again, or another one."
            case newest if newest == turn:
                problem = "Many pictures are waiting right now. Give it a minute, then choose yours again."
            case _:
                return gr.skip()
        return _parts(render(Progress(Phase.FAILED, problem=problem), self._about))

    def detect_for_programs(self, picture: Upload | None) -> str:
        """Judge one picture: is it a photo, or AI-generated?

            record = json.loads(Client(url).predict(handle_file("picture.jpg"), api_name="/detect"))

        Args:
            picture: An image file (JPEG, PNG, WebP, AVIF, TIFF or GIF, as large as the page says).

        Returns:
            JSON text, as `python -m lte_core detect --json` prints it: image, model, locate (explanation, regions,
            verdict, p_generated), examine, verdict, p_generated, flipped, timings_s. Text, since the client library
            takes any object with a "path" for a file that it has to download.
        """
        if picture is None:
            raise gr.Error("Send a picture: client.predict(handle_file('picture.jpg'), api_name='/detect').")
        *_, last = self._progress(picture)
        if last.detection is None:
            raise gr.Error(last.problem, print_exception=False)
        return last.json

    def review_this(self, upload: Upload | None, found: Detection | None, request: gr.Request) -> str:
        """Send the result on the page to the review; gives what to say about it, as HTML."""
        if self._offer is None or upload is None or found is None:
            said = "There is no finished result to send. Choose a picture first."
        elif hashlib.sha256(picture := _bytes_of(upload)).hexdigest() != found.image.sha256:
            said = "The picture is not here any more. Choose it again."
        else:
            said = self._offer(picture, found, request.username or "")
        return f'<p class="lte-said" role="status">{escape(said)}</p>'

    def _show(self, known: Iterable[Progress], session: str, turn: str) -> Iterator[Update]:
        shown: Page | None = None
        phase, drawn_at = Phase.EMPTY, 0.0
        for progress in known:
            newest = self._turns.newest(session)
            if newest is None:
                progress = replace(progress, phase=Phase.STOPPED, detection=None)
            elif newest != turn:
                return
            if progress.phase is phase and time.monotonic() - drawn_at < _FRAME_S:
                continue
            page = render(progress, self._about)
            with tempfile.TemporaryDirectory() as folder:
                kept = progress.detection if self._offer else None
                yield *_parts(page, shown), self._report(progress, Path(folder)), kept
            if progress.phase is Phase.STOPPED:
                return
            shown, phase, drawn_at = page, progress.phase, time.monotonic()

    def _progress(self, upload: Upload) -> Generator[Progress, None, None]:
        """Everything that becomes known about the picture. Ends with a detection, or with a problem."""
        progress = Progress()
        try:
            source = self._intake.read(upload.path.read_bytes())
            provenance = self._intake.provenance(source)
            yield (progress := opened(source, upload.name, provenance))
            with closing(self._detector.stream(source, upload.name)) as events:
                for event in events:
                    if isinstance(event, Done):
                        progress = replace(progress, json=_json(event.detection, provenance))
                    yield (progress := advance(progress, event))
        except (ImageError, VLMError) as problem:
            yield replace(progress, phase=Phase.FAILED, problem=str(problem))

    def _report(self, progress: Progress, folder: Path) -> Any:
        """The report as a file in `folder`; Gradio copies it to a place of its own before the folder goes."""
        if progress.detection is None or progress.source is None:
            return gr.skip()
        html = to_html(progress.detection, progress.source, progress.provenance, self._detector.checkpoint)
        path = folder / f"lte-report-{progress.source.sha256[:12]}.html"
        path.write_text(html, encoding="utf-8")
        return gr.DownloadButton(value=str(path), visible=True)


def build_tab(
    detector: LocateThenExamine, about: About, examples: Sequence[Example], offer: Offer | None = None,
    intake: Intake = DEFAULT_INTAKE,
) -> None:  # fmt: skip
    """Lay the tab out inside the open `gr.Blocks`, and wire it. With `offer` a result can be sent to the review."""
    empty = render(Progress(), about)
    with gr.Row(elem_id="lte-app"):
        with gr.Column(scale=5):
            with gr.Column(elem_id="lte-look"):
                steps = _html(empty.steps, "lte-steps")
                stage = _html(empty.stage, "lte-stage")
                _html(NOTICE, "lte-notice-place")
                with gr.Row(elem_id="lte-tools"):
                    pick = _picture_input("Choose a picture", variant="primary", elem_id="lte-pick")
                    _html(TOOLS, "lte-more-tools")
                    stop = gr.Button("Stop", variant="stop", elem_id="lte-stop")
            crops = _html(empty.crops, "lte-crops")
            _html(examples_html(examples), "lte-examples")
        with gr.Column(scale=4):
            verdict = _html(empty.verdict, "lte-verdict")
            more = _html(empty.more, "lte-more")
            report = gr.DownloadButton("Download the report", visible=False, elem_id="lte-report")
            # Shown by `desk.js` to who is signed in; whoever else presses it is told to sign in.
            send = gr.Button("Review this", visible=offer is not None, elem_id="lte-review-this")
            said = _html("", "lte-review-said")
    turn, found = gr.Textbox(visible=False), gr.State(time_to_live=KEPT_S)
    handlers = Detecting(detector, about, offer, intake)
    _offer_to_programs(handlers, detector.vlm.concurrency)
    parts = [steps, stage, crops, verdict, more]
    quick: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
    begun = pick.upload(handlers.begin, None, [turn, *parts, report, found], trigger_mode="multiple", **quick)
    run = begun.success(
        handlers.detect, [pick, turn], [*parts, report, found],
        concurrency_id=GPU, concurrency_limit=detector.vlm.concurrency,
        trigger_mode="multiple", show_progress="minimal", show_progress_on=[steps], api_visibility="private",
    )  # fmt: skip
    run.failure(handlers.trouble, turn, parts, trigger_mode="multiple", **quick)
    stop.click(handlers.stop, None, [steps, verdict], **quick)
    begun.then(lambda: "", None, said, **quick)
    if offer:
        send.click(handlers.review_this, [pick, found], said, **quick)


def _offer_to_programs(handlers: Detecting, concurrency: int) -> None:
    """The endpoint /detect, on components that the page never shows."""
    picture, result = _picture_input("picture", visible=False), gr.Textbox(visible=False, label="result")
    gr.Button(visible=False).click(
        handlers.detect_for_programs, picture, result,
        api_name="detect", concurrency_id=GPU, concurrency_limit=concurrency,
    )  # fmt: skip


def _picture_input(label: str, **options: Any) -> gr.UploadButton:
    """An upload button that hands over a file as it came, whatever it is: `read_image` says what is wrong with it.

    The methods of this one instance are replaced, since Gradio writes a .pyi file into the source tree for every
    class derived from a component.
    """
    button = gr.UploadButton(label, **options)
    button.preprocess = lambda file: file and Upload(Path(file.path), file.orig_name or Path(file.path).name)
    button.example_payload = lambda: {"path": "picture.jpg", "meta": {"_type": "gradio.FileData"}}
    return button


def _bytes_of(upload: Upload) -> bytes:
    """The file's bytes; none when it was cleared away since."""
    try:
        return upload.path.read_bytes()
    except OSError:
        return b""


def _html(value: str, elem_id: str) -> gr.HTML:
    return gr.HTML(value, elem_id=elem_id, elem_classes="lte-html", apply_default_css=False, js_on_load=None)


def _session(request: gr.Request) -> str:
    return request.session_hash or ""


def _parts(page: Page, shown: Page | None = None) -> Update:
    """The page's parts as outputs; those that the browser already shows are not sent again."""
    parts = astuple(page)
    return (
        parts
        if shown is None
        else tuple(gr.skip() if new == old else new for new, old in zip(parts, astuple(shown), strict=True))
    )


def _json(detection: Detection, provenance: Provenance) -> str:
    return json.dumps(to_json(detection, provenance), indent=2, ensure_ascii=False)
