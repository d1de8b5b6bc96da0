from __future__ import annotations

from demo import turns
from demo.turns import Turns


def test_a_newer_turn_ends_the_older() -> None:
    known = Turns()
    first, second = known.begin("anna"), known.begin("anna")
    assert first != second
    assert not known.enter("anna", first)
    assert known.enter("anna", second)
    assert known.newest("anna") == second


def test_sessions_do_not_touch_each_other() -> None:
    known = Turns()
    anna, ben = known.begin("anna"), known.begin("ben")
    known.stop("ben")
    assert known.newest("ben") is None
    assert known.enter("anna", anna)
    assert not known.enter("anna", ben)
    assert not known.enter("ben", anna)


def test_a_turn_runs_once() -> None:
    known = Turns()
    turn = known.begin("anna")
    assert known.enter("anna", turn)
    assert not known.enter("anna", turn)
    known.leave("anna", turn)
    assert not known.enter("anna", turn)
    assert known.newest("anna") is None


def test_an_older_run_that_leaves_late_keeps_the_newer_turn() -> None:
    known = Turns()
    old = known.begin("anna")
    known.enter("anna", old)
    new = known.begin("anna")
    known.leave("anna", old)
    assert known.newest("anna") == new


def test_memory_is_bounded() -> None:
    known = Turns()
    first = known.begin("first")
    for n in range(turns._MOST_SESSIONS):
        known.begin(f"visitor {n}")
    assert known.newest("first") is None
    assert not known.enter("first", first)
    assert len(known._newest) == turns._MOST_SESSIONS
