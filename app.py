"""The app: settings -> model -> detector -> one page on one FastAPI app -> served until Ctrl-C.

Nothing is loaded on import. Run it with

    python app.py
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import sys
from pathlib import Path

if __name__ == "__main__":  # Ctrl-C during the seconds of importing ends the process without a traceback
    signal.signal(signal.SIGINT, signal.SIG_DFL)

# Before Gradio is imported, which reads them: nothing is reported to anyone, and no other address is asked.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

from demo.direct import without_proxies

with without_proxies():
    import gradio as gr

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.middleware.cors import CORSMiddleware

from demo.examples import FOLDER, list_examples
from demo.pages import card_page
from demo.security import Guard
from demo.tab import build_tab
from demo.uploads import upload_folder
from demo.view import About
from lte_core.inference.checkpoint import Checkpoint, CheckpointError
from lte_core.inference.detector import LocateThenExamine
from lte_core.inference.load import find, load_config, load_model
from lte_core.intake import DEFAULT_INTAKE, MIB, Intake, read_intake
from lte_core.schema import Detection
from lte_core.settings import Settings, SettingsError, read_settings
from lte_core.terminal import open_closed_streams
from lte_core.vlm.base import VLM, VLMError
from review.accounts import Accounts
from review.database import DatabaseError, open_database
from review.importing import ImportProblem
from review.keys import KeysError, read_keys
from review.media import Media
from review.offering import offer
from review.samples import load_samples
from review.store import ReviewStore
from review.tab import Review
from review.tab import build_tab as build_review_tab
from review.tab import head as review_head
from review.web import IMPORT_PATH, MOST_IMPORT_BYTES, person_of
from review.web import routes as review_routes

DEMO = Path(__file__).parent / "demo"
ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32" fill="none" stroke="#0f6b5c" stroke-width="4" '
    'stroke-linecap="round"><circle cx="13" cy="13" r="9"/><path d="m20 20 9 9"/></svg>'
)
HEADER = (
    '<header class="lte-head"><h1>Locate-Then-Examine</h1><p>Is this picture real? Look at the evidence.</p></header>'
)
# A picture takes seconds, so a longer line would keep its last visitor waiting for minutes.
MOST_WAITING = 24
SPACE_FRAMES = "'self' https://huggingface.co https://*.hf.space"
DELETE_EVERY_S, DELETE_OLDER_S = 1800, 3600  # uploads and reports: the page promises "within two hours"


def create_app(
    vlm: VLM,
    checkpoint: Checkpoint,
    card: Path | None = None,
    framed_by: str = "'self'",
    most_waiting: int = MOST_WAITING,
    review: Review | None = None,
    intake: Intake = DEFAULT_INTAKE,
) -> FastAPI:
    """The whole app around one model, ready to be served.

    `card` is the model card's Markdown file, `framed_by` says who may show the app in a frame. Without `review` there
    is no Review tab.
    """
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    # With no origin allowed here, Gradio does not answer for itself, which would allow every origin.
    app.add_middleware(CORSMiddleware, allow_origins=[])
    streams = {IMPORT_PATH: MOST_IMPORT_BYTES} if review else {}
    most_bytes = intake.limits.max_bytes
    app.add_middleware(Guard, max_bytes=most_bytes + 2**20, framed_by=framed_by, streams=streams)
    css, script = ((DEMO / name).read_text(encoding="utf-8") for name in ("style.css", "tab.js"))
    _add_pages(app, card, css)
    page = build_page(LocateThenExamine(vlm, checkpoint), _about(vlm, checkpoint, card, intake), review, intake)
    if review:
        app.include_router(review_routes(review.store, review.accounts, review.media))
    page.queue(max_size=most_waiting, api_open=False)
    gr.mount_gradio_app(
        app, page, path="/",
        app_kwargs={"docs_url": None, "redoc_url": None, "openapi_url": None},
        auth_dependency=lambda request: _name(request, review),
        max_file_size=most_bytes, show_error=False, run_history=False, enable_monitoring=False,
        footer_links=["api"], theme=_theme(),
        head=f'<link rel="icon" type="image/svg+xml" href="favicon.ico"><style>{css}</style>'
        f'<meta name="lte-most-mb" content="{most_bytes / MIB:g}"><script>{script}</script>'
        f"{review_head() if review else ''}",
    )  # fmt: skip
    # Mounting leaves this False, and Gradio then does not check which files a request names: anyone could
    # have this server's files copied to where they can be downloaded.
    page.has_launched = True
    return app


def _name(request: Request, review: Review | None) -> str:
    """Who is signed in, or "" for a visitor: None would lock the page."""
    person = person_of(request, review.accounts) if review else None
    return person.name if person else ""


def build_page(
    detector: LocateThenExamine, model: About, review: Review | None = None, intake: Intake = DEFAULT_INTAKE
) -> gr.Blocks:
    """The page with its tabs."""
    with gr.Blocks(
        title="Locate-Then-Examine", analytics_enabled=False, delete_cache=(DELETE_EVERY_S, DELETE_OLDER_S)
    ) as page:
        gr.HTML(HEADER, apply_default_css=False, js_on_load=None, elem_classes="lte-html")
        if review is None:
            build_tab(detector, model, list_examples(), intake=intake)
            return page
        with gr.Tabs(elem_id="lte-tabs"):
            with gr.Tab("Detection", id="detection"):
                build_tab(detector, model, list_examples(), lambda *sent: _offer(review, *sent), intake)
            with gr.Tab("Review", id="review"):
                build_review_tab(review)
    return page


def _offer(review: Review, picture: bytes, found: Detection, name: str) -> str:
    """Send a detection to the review, if it is a reviewer who wants that; gives what to tell them."""
    person = review.accounts.named(name) if name else None
    if person is None:
        return "Sign in on the Review tab first."
    return offer(picture, found, person, review.store, review.media)


def _about(vlm: VLM, checkpoint: Checkpoint, card: Path | None, intake: Intake) -> About:
    """What the page says about the model."""
    url = "model-card" if card else checkpoint.card if "://" in (checkpoint.card or "") else None
    remote = vlm.info.sha256 is None  # weights that are not here are behind an address
    most_mb = intake.limits.max_bytes / MIB
    return About(vlm.info.name, checkpoint.note, url, checkpoint.uncertain_band, remote, checkpoint.calibrated, most_mb)


def _theme() -> gr.themes.Base:
    """Gradio's own parts in the colours of style.css, with fonts that every system has."""
    return gr.themes.Base(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]).set(
        body_background_fill="#fbfaf7", body_background_fill_dark="#141413",
        body_text_color="#1c1b19", body_text_color_dark="#edeae4",
        button_primary_background_fill="var(--accent)", button_primary_background_fill_dark="var(--accent)",
        button_primary_background_fill_hover="var(--accent)", button_primary_background_fill_hover_dark="var(--accent)",
        button_primary_border_color="var(--accent)", button_primary_border_color_dark="var(--accent)",
        button_primary_text_color="var(--on-accent)", button_primary_text_color_dark="var(--on-accent)",
        button_secondary_background_fill="var(--card)", button_secondary_background_fill_dark="var(--card)",
        button_secondary_text_color="var(--ink)", button_secondary_text_color_dark="var(--ink)",
        button_secondary_border_color="var(--edge)", button_secondary_border_color_dark="var(--edge)",
        button_cancel_background_fill="var(--card)", button_cancel_background_fill_dark="var(--card)",
        button_cancel_text_color="var(--gen)", button_cancel_text_color_dark="var(--gen)",
        button_cancel_border_color="var(--gen)", button_cancel_border_color_dark="var(--gen)",
    )  # fmt: skip


def _add_pages(app: FastAPI, card: Path | None, css: str) -> None:
    """What is served beside Gradio's page: the examples, the model card, the icon."""
    if FOLDER.is_dir():
        app.mount("/examples", StaticFiles(directory=FOLDER))
    if card:
        page = card_page(card.read_text(encoding="utf-8"), "Model card", css)
        app.get("/model-card")(lambda: HTMLResponse(page))
    app.get("/favicon.ico")(lambda: Response(ICON, media_type="image/svg+xml"))


class Server(uvicorn.Server):
    """Says where the app is once it can be opened, and goes quietly."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for host, port, *_ in (listener.getsockname() for listener in sockets or [] if self.started):
            shown = f"[{host}]" if ":" in host else host
            with contextlib.suppress(OSError):  # nobody reads it
                print(f"Locate-Then-Examine is ready: http://{shown}:{port}", flush=True)  # noqa: T201

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # Every open page keeps a connection. Cutting them is no error that anyone has to read about.
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        await super().shutdown(sockets)


def main() -> None:
    """Serve until Ctrl-C or a request to end. Every failure is one sentence that says what to do."""
    open_closed_streams()
    # Ended by a service manager as by Ctrl-C: visitors' pictures are deleted on the way out.
    for asked_to_end in (signal.SIGINT, signal.SIGTERM):
        signal.signal(asked_to_end, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt):
        _serve()


def _serve() -> None:
    with contextlib.ExitStack() as stack:
        _serve_with(stack)


def _serve_with(stack: contextlib.ExitStack) -> None:
    """`stack` closes what was opened when the app ends."""
    try:
        settings = read_settings()
        space = "SPACE_ID" in os.environ  # Hugging Face reaches its Spaces from outside, and shows them in a frame
        host = "0.0.0.0" if space else settings.host
        listener = _listen(host, settings.port)
        review = _review(settings, stack)
        intake = read_intake(settings)
        vlm, checkpoint = load_model(settings.model, load_config(settings))
    except (SettingsError, DatabaseError, KeysError, CheckpointError, VLMError, ImportProblem) as problem:
        sys.exit(str(problem))
    except MemoryError:
        sys.exit(f"There is not enough memory for the model {settings.model}. Set LTE_MODEL to a smaller one.")
    os.environ["GRADIO_TEMP_DIR"] = str(stack.enter_context(upload_folder(DELETE_EVERY_S, DELETE_OLDER_S)))
    framed_by = SPACE_FRAMES if space else "'self'"
    app = create_app(vlm, checkpoint, _card(settings.model, checkpoint), framed_by, review=review, intake=intake)
    # Open pages keep a connection each: without a limit Ctrl-C would wait for them to be closed.
    server = Server(uvicorn.Config(app, log_level="warning", server_header=False, timeout_graceful_shutdown=1))
    server.run(sockets=[listener])


def _review(settings: Settings, stack: contextlib.ExitStack) -> Review:
    """The review of these settings. A database without accounts gets samples, where it has none, and then a lead, whose
    password is shown this once: a start that cannot take the samples in is a first start again."""
    keys = read_keys(settings.keys)
    engine = open_database(settings.database_url)
    stack.callback(engine.dispose)  # SQLite then keeps everything in the one file that people copy
    accounts = Accounts(engine)
    review = Review(ReviewStore(engine), accounts, Media(settings.data_dir / "images"), keys)
    if not accounts.all() and not review.store.counts().total:
        load_samples(review.store, review.media)
    if first := accounts.first_lead():
        print(  # noqa: T201
            f"The Review tab has a first account: name {first.name}, password {first.password}\n"
            "It is shown this once. `python -m review users` makes others.",
            flush=True,
        )
    return review


def _card(model: str, checkpoint: Checkpoint) -> Path | None:
    """The model card's file, where the checkpoint names one beside its weights."""
    if not checkpoint.card or "://" in checkpoint.card:
        return None
    path = find(model) / checkpoint.card
    return path if path.is_file() else None


def _listen(host: str, port: int) -> socket.socket:
    """Take the port before the model is loaded, so that a taken one is reported at once."""
    try:
        return socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET,
            dualstack_ipv6=host == "::" and socket.has_dualstack_ipv6(),
        )  # fmt: skip
    except OSError as problem:
        reason = (problem.strerror or str(problem)).partition(" (while attempting")[0]
        sys.exit(f"Cannot listen on {host}:{port} ({reason}). Set LTE_HOST or LTE_PORT to another one.")


if __name__ == "__main__":
    main()
