"""What the page is answered: every wish of a signed-in person, as the screen to show next.

Who is there is asked first and for every wish: Gradio's `api_visibility` hides events, it protects none. What a
person may see or do is decided in the store.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from review import view
from review.accounts import Accounts
from review.acts import Act, read_act
from review.records import Conflict, ContentError, Filter, Person, Task
from review.store import NoSuchSample, NotAllowed, ReviewStore


class Answers:
    """Answers the page's wishes."""

    def __init__(
        self, store: ReviewStore, accounts: Accounts, decided: Callable[[int], object] = lambda task: None
    ) -> None:
        """`decided` is told each sample on which a decision was saved."""
        self._store, self._accounts, self._decided = store, accounts, decided
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

    def answer(self, payload: Any, name: str | None) -> view.Shown:
        """What the page of the person with this name shall show now.

        Whatever is sent, the answer is a screen or a notice, never an exception.
        """
        serial = payload.get("serial") if isinstance(payload, Mapping) else None
        person = self._accounts.named(name) if name else None
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
        # A decision makes a sample the person's latest. On the way back through their own, the one before is next.
        earlier = self._store.previous(person, act.task, act.wanted) if act.wanted.mine else None
        outcome = self._store.decide(person, act.submission)
        if isinstance(outcome, Conflict):
            return view.conflict(outcome)
        self._decided(act.submission.task_id)
        saved = view.SAVED[act.submission.action]
        upcoming = earlier if act.wanted.mine else self._store.next(person, act.wanted, act.order)
        shown = self._show(person, act, upcoming, saved)
        return shown | {"saved": outcome.at.isoformat()}

    def _undo(self, person: Person, act: Act) -> view.Shown:
        task = self._store.undo(person)
        if task is None:
            return {"screen": "notice", "notice": "There is no decision of yours to take back."}
        return self._show(person, act, task, "Taken back. Decide again, or go on.")

    def _previous(self, person: Person, act: Act) -> view.Shown:
        task = self._store.previous(person, act.task, _of_mine(act))
        if task is None:
            return {"screen": "notice", "notice": "This is the first sample that you decided."}
        return self._show(person, act, task)

    def _following(self, person: Person, act: Act) -> view.Shown:
        task = self._store.following(person, _task(act), _of_mine(act))
        if task is None and act.wanted.mine:
            return {"screen": "notice", "notice": "This is the last sample that you decided."}
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
        upcoming = None if task is None else self._store.upcoming(person, act.wanted, act.order, task.id)
        history = () if task is None else self._store.history(person, task.id)
        choices = self._store.choices()
        return view.desk(person, task, counts, choices, act.wanted, act.order, upcoming, notice, history)


def _of_mine(act: Act) -> Filter:
    """Going back and forth leads through all that a person decided, unless they filter their own."""
    return act.wanted if act.wanted.mine else Filter()


def _task(act: Act) -> int:
    if act.task is None:
        raise ContentError("The page named no sample. Reload it.")
    return act.task
