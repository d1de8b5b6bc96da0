"""Which run counts in each browser session: a newer one, or the Stop button, ends the one before.

Kept on the server because a run that is being computed has to end there; the browser only hears of it.
"""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict

_MOST_SESSIONS = 4096  # a bound on memory: a session's turn is dropped when its run ends, or never ran


class Turns:
    """The newest turn of every session, by an unguessable name."""

    def __init__(self) -> None:
        self._newest: OrderedDict[str, str] = OrderedDict()
        self._running: set[str] = set()
        self._lock = threading.Lock()

    def begin(self, session: str) -> str:
        """A new turn, which ends the session's earlier one."""
        turn = secrets.token_urlsafe(12)
        with self._lock:
            self._newest.pop(session, None)
            self._newest[session] = turn
            while len(self._newest) > _MOST_SESSIONS:
                self._newest.popitem(last=False)
        return turn

    def enter(self, session: str, turn: str) -> bool:
        """True when the turn may run now: it is still the newest, and has not run before."""
        with self._lock:
            allowed = self._newest.get(session) == turn and turn not in self._running
            if allowed:
                self._running.add(turn)
            return allowed

    def newest(self, session: str) -> str | None:
        """The session's turn, running or waiting; None when it has none."""
        with self._lock:
            return self._newest.get(session)

    def leave(self, session: str, turn: str) -> None:
        """The run ended, in whatever way."""
        with self._lock:
            self._running.discard(turn)
            if self._newest.get(session) == turn:
                del self._newest[session]

    def stop(self, session: str) -> None:
        """End the session's turn, if it has one."""
        with self._lock:
            self._newest.pop(session, None)
