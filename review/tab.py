"""The Review tab in Gradio: the desk, and below it how the review goes.

The desk is one component that `desk.js` draws, and one event that carries every wish of the page (`answers.py`).
Each handler asks first who is there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from review import figures, view
from review.accounts import Accounts
from review.answers import Answers
from review.crops import CutAhead
from review.media import Media
from review.records import Filter, Person
from review.stats import gather, sentences
from review.store import ReviewStore

HERE = Path(__file__).parent
SCRIPTS = ("editor.js", "desk.js", "lead.js")


@dataclass(frozen=True, slots=True)
class Review:
    """What the tab works with."""

    store: ReviewStore
    accounts: Accounts
    media: Media
    keys: Mapping[str, str]


def head() -> str:
    """What the page's head needs for this tab."""
    style = (HERE / "style.css").read_text(encoding="utf-8")
    scripts = "".join(f"<script>{(HERE / name).read_text(encoding='utf-8')}</script>" for name in SCRIPTS)
    return f"<style>{style}</style>{scripts}"


def build_tab(review: Review) -> None:
    """Lay the tab out inside the open `gr.Blocks`, and wire it."""
    handlers = Handlers(review)
    quiet: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
    desk = gr.HTML(
        value={"screen": "loading", "keys": dict(review.keys)},
        html_template='<div class="rv-root"></div>',
        js_on_load="window.lteDesk(element, props, trigger, watch)",
        apply_default_css=False,
        elem_id="rv-desk",
        elem_classes="lte-html",
    )
    # A message is data, not HTML. A class of our own would make Gradio write a .pyi file into the source tree.
    desk.preprocess = lambda payload: payload
    desk.postprocess = lambda value: value
    desk.input(handlers.answer, desk, desk, trigger_mode="multiple", **quiet)
    with gr.Accordion("Progress", open=False, elem_id="rv-progress") as progress:
        with gr.Row():
            states = gr.BarPlot(x="state", y="samples", title="Samples by state", height=220)
            hours = gr.LinePlot(x="hour", y="decisions", title="Decisions by hour (UTC)", height=220)
        people = gr.Dataframe(interactive=False, label="By person")
        gr.Button("Look again", size="sm").click(handlers.progress, None, [states, hours, people], **quiet)
    progress.expand(handlers.progress, None, [states, hours, people], **quiet)
    with gr.Accordion("For leads", open=False, elem_id="rv-lead"):
        gr.HTML(
            html_template='<div class="rv-root"></div>', js_on_load="window.lteLead(element)", apply_default_css=False,
            elem_classes="lte-html",
        )  # fmt: skip
        work_out = gr.Button("Work out agreement and audit", size="sm", elem_id="rv-audit")
        said = gr.HTML(js_on_load=None, apply_default_css=False, elem_classes="lte-html", elem_id="rv-audit-said")
        gold = gr.Dataframe(interactive=False, label="On gold items", visible=False)
        curve = gr.LinePlot(
            x="threshold", y="precision", color="figure", title="Kept by people, by purifier threshold", height=240,
            visible=False,
        )  # fmt: skip
        work_out.click(handlers.audit, None, [said, gold, curve], **quiet)


class Handlers:
    """The events of the tab: each asks who is there, and delegates."""

    def __init__(self, review: Review) -> None:
        self._store, self._accounts = review.store, review.accounts
        self._answers = Answers(review.store, review.accounts, CutAhead(review.store, review.media))

    def answer(self, payload: Any, request: gr.Request) -> view.Shown:
        """One wish of the desk."""
        return self._answers.answer(payload, request.username)

    def progress(self, request: gr.Request) -> tuple[Any, Any, Any]:
        """The figures: of everybody for a lead, of oneself for an annotator, of nobody for a stranger."""
        person = self._person(request)
        if person is None:
            return gr.skip(), gr.skip(), gr.skip()
        whose = None if person.leads else person
        now = self._store.clock()
        recent = self._store.activity(now - timedelta(hours=figures.HOURS), whose)
        return (
            figures.states_frame(self._store.counts(Filter(), whose).by_state),
            figures.hours_frame(recent, now),
            figures.people_frame(self._store.tally(whose), recent, now),
        )

    def audit(self, request: gr.Request) -> tuple[Any, Any, Any]:
        """Agreement, gold items and the purifier's audit; for leads."""
        person = self._person(request)
        if person is None or not person.leads:
            return '<p class="soft">Only a lead can see this.</p>', gr.skip(), gr.skip()
        found = gather(self._store)
        lines = sentences(found) or ["Nothing to compare yet: two people have to judge the same sample first."]
        html = "".join(f"<p>{escape(line)}</p>" for line in lines)
        frames = (figures.gold_frame(found), figures.thresholds_frame(found))
        return f'<div class="rv-said">{html}</div>', *(gr.update(value=f, visible=not f.empty) for f in frames)

    def _person(self, request: gr.Request) -> Person | None:
        return self._accounts.named(request.username) if request.username else None
