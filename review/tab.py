"""The Review tab in Gradio: one component that draws the desk, one event that carries every wish of the page.

Each wish begins with the question who is there: Gradio's `api_visibility` hides events, it protects none. What a
person may see or do is decided in the store; texts are drawn by `desk.js` as texts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from review import view
from review.accounts import Accounts
from review.acts import Act, read_act
from review.media import Media
from review.records import Conflict, ContentError, Filter, Person, Task
from review.store import NoSuchSample, NotAllowed, ReviewStore

HERE = Path(__file__).parent
SCRIPTS = ("editor.js", "desk.js")
TAB = "review"


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
    desk.input(
        Desk(review).act, desk, desk, queue=False, show_progress="hidden", api_visibility="private",
        trigger_mode="multiple",
    )  # fmt: skip


class Desk:
    """Answers the page's wishes."""

    def __init__(self, review: Review) -> None:
        self._store, self._accounts = review.store, review.accounts
        self._answers: Mapping[str, Callable[[Person, Act], view.Shown]] = {
            "next": self._next,
            "open": self._open,
            "decide": self._decide,
            "undo": self._undo,
            "previous": self._previous,
            "following": self._following,
            "renew": self._renew,
            "release": self._release,
            "history": self._history,
            "gold": self._gold,
        }

    def act(self, payload: Any, request: gr.Request) -> view.Shown:
        """What the page shall show now. Whatever is sent, the answer is a screen or a notice, never an exception."""
        serial = payload.get("serial") if isinstance(payload, Mapping) else None
        person = self._accounts.named(request.username) if request.username else None
        if person is None:
            return view.signed_out() | {"serial": serial}
        try:
            act = read_act(payload)
            return self._answers[act.do](person, act) | {"serial": serial}
        except (ContentError, NoSuchSample, NotAllowed) as problem:
            return {"screen": "notice", "notice": str(problem), "serial": serial}

    def _next(self, person: Person, act: Act) -> view.Shown:
        return self._show(person, act, self._store.next(person, act.wanted, act.order))

    def _open(self, person: Person, act: Act) -> view.Shown:
        return self._show(person, act, self._store.open(person, _task(act)))

    def _decide(self, person: Person, act: Act) -> view.Shown:
        if act.submission is None:
            raise ContentError("The page sent no decision. Reload it.")
        outcome = self._store.decide(person, act.submission)
        if isinstance(outcome, Conflict):
            return view.conflict(outcome)
        saved = view.SAVED[act.submission.action]
        shown = self._show(person, act, self._store.next(person, act.wanted, act.order), saved)
        return shown | {"saved": outcome.at.isoformat()}

    def _undo(self, person: Person, act: Act) -> view.Shown:
        task = self._store.undo(person)
        if task is None:
            return {"screen": "notice", "notice": "There is no decision of yours to take back."}
        return self._show(person, act, task, "Taken back. Decide again, or go on.")

    def _previous(self, person: Person, act: Act) -> view.Shown:
        task = self._store.previous(person, act.task)
        if task is None:
            return {"screen": "notice", "notice": "This is the first sample that you decided."}
        return self._show(person, act, task)

    def _following(self, person: Person, act: Act) -> view.Shown:
        task = self._store.following(person, _task(act))
        return self._show(person, act, task or self._store.next(person, act.wanted, act.order))

    def _renew(self, person: Person, act: Act) -> view.Shown:
        kept = self._store.renew(person, _task(act)) is not None
        return {"screen": "renewed", "held": kept}

    def _release(self, person: Person, act: Act) -> view.Shown:
        self._store.release(person, act.task)
        return {"screen": "released"}

    def _history(self, person: Person, act: Act) -> view.Shown:
        entries = self._store.history(person, _task(act))
        return {"screen": "history", "history": [view.shown_entry(entry) for entry in entries]}

    def _gold(self, person: Person, act: Act) -> view.Shown:
        self._store.mark_gold(person, _task(act), act.gold)
        notice = "This is a gold item now." if act.gold else "This is an ordinary sample again."
        return self._show(person, act, self._store.open(person, _task(act)), notice)

    def _show(self, person: Person, act: Act, task: Task | None, notice: str = "") -> view.Shown:
        counts = self._store.counts(act.wanted, person)
        mine = self._store.counts(Filter(), person)
        upcoming = None if task is None else self._store.upcoming(person, act.wanted, act.order, task.id)
        history = () if task is None else self._store.history(person, task.id)
        choices = self._store.choices()
        return view.desk(person, task, counts, mine, choices, act.wanted, act.order, upcoming, notice, history)


def _task(act: Act) -> int:
    if act.task is None:
        raise ContentError("The page named no sample. Reload it.")
    return act.task
