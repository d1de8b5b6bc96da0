"""Many people at once, any order of actions, and a server that is killed: nothing is lost, nothing is there twice."""

from __future__ import annotations

import random
import subprocess
import sys
import textwrap
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from lte_core.schema import Verdict
from review.accounts import Accounts
from review.database import open_database, reading
from review.records import Action, Conflict, Person, Reason, Saved, State, Submission, Task
from review.standing import Vote, stand
from review.store import ReviewStore, StoreConfig
from tests.review.conftest import PASSWORD, QUICK, Desk, incoming, make_desk

ACTIONS = (Action.ACCEPT, Action.FIX, Action.REJECT, Action.SKIP)


def submit(store: ReviewStore, person: Person, task: Task, action: Action, token: str) -> Saved | Conflict:
    content = replace(task.content, explanation=f"Seen by {person.name}.") if action is Action.FIX else None
    reason = Reason.OTHER if action is Action.REJECT else None
    return store.decide(person, Submission(task.id, task.version, action, token, content, reason))


@pytest.mark.slow
def test_sixteen_people_at_once(url: str) -> None:
    """16 x 60 decisions: each sample is judged once, every decision that was saved is there, none raises."""
    people, each = 16, 60
    engine = open_database(url)
    store = ReviewStore(engine, StoreConfig(double_share=0, gold_share=0))
    store.add(incoming(people * each))
    accounts = Accounts(engine, hasher=QUICK)
    names = [accounts.add(f"p{i}", PASSWORD) for i in range(people)]

    def work(person: Person) -> list[tuple[int, int]]:
        rng = random.Random(person.id)
        saved = []
        for number in range(each):
            task = store.next(person)
            assert task is not None
            done = submit(store, person, task, rng.choice(ACTIONS[:3]), f"{person.name}-{number}")
            assert isinstance(done, Saved)
            saved.append((done.decision_id, task.id))
        return saved

    with ThreadPoolExecutor(people) as pool:
        saved = [pair for pairs in pool.map(work, names) for pair in pairs]
    assert Counter(task for _, task in saved) == dict.fromkeys(range(1, people * each + 1), 1)
    with reading(engine) as session:
        kept = session.execute(text("SELECT id, sample_id FROM decisions")).all()
    assert sorted(tuple(row) for row in kept) == sorted(saved)
    assert store.counts().by_state.get(State.OPEN, 0) == 0
    assert store.rebuild() == 0
    engine.dispose()


# What one person does next: who, what (None is undo, "reload" is a new program), and how long they take.
steps = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from([*ACTIONS, "undo", "reload", "again"]), st.sampled_from([1, 700])),
    max_size=25,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps, wanted=st.sampled_from([0.0, 1.0]))
def test_any_course_of_work_ends_where_its_history_says(
    tmp_path: Path, steps: list[tuple[int, str, int]], wanted: float
) -> None:
    path = tmp_path / f"{time.monotonic_ns()}.db"
    engine = open_database(f"sqlite:///{path}")
    work = make_desk(engine, StoreConfig(double_share=wanted, gold_share=0))
    work.store.add(incoming(3))
    people = (work.ana, work.bo, work.lead)
    for number, (who, what, seconds) in enumerate(steps):
        person = people[who]
        work.clock.forward(seconds)
        if what == "undo":
            work.store.undo(person)
        elif what == "reload":
            work.store = ReviewStore(engine, work.store.config, work.clock)
        elif what == "again":
            if task := work.store.previous(person):
                submit(work.store, person, task, Action.FIX, f"t{number}")
        elif task := work.store.next(person):
            submit(work.store, person, task, Action(what), f"t{number}")
    _check_against_history(work, reviews=2 if wanted else 1)
    engine.dispose()
    path.unlink()


def _check_against_history(work: Desk, reviews: int) -> None:
    assert work.store.rebuild() == 0
    ids = {person.name: person for person in (work.ana, work.bo, work.lead)}
    for task_id, row in enumerate(work.store.rows(), 1):
        labels = {revision.number: revision.content.label for revision in work.store.revisions(task_id)}
        assert sorted(labels) == list(range(1, len(labels) + 1))
        taken_back = {decision.undoes for decision in row.decisions}
        assert {d.id for d in row.decisions if d.undone} == taken_back - {None}
        votes = [
            Vote(d.id, ids[d.person].id, ids[d.person].leads, d.action, d.revision, labels[d.revision])
            for d in row.decisions
            if d.id not in taken_back and d.action in ACTIONS[:3]
        ]
        standing = stand(votes, 1, reviews)
        assert (row.state, row.current.number) == (standing.state, standing.revision)


@pytest.mark.parametrize(
    ("votes", "wanted", "expected"),
    [
        pytest.param("", 1, (State.OPEN, 1, 1), id="nobody yet"),
        pytest.param("a", 2, (State.OPEN, 1, 1), id="one of two"),
        pytest.param("aa", 2, (State.ACCEPTED, 1, 0), id="both accept"),
        pytest.param("af", 2, (State.FIXED, 3, 0), id="one fixed"),
        pytest.param("ff", 2, (State.FIXED, 3, 0), id="both fixed: the later"),
        pytest.param("ar", 2, (State.DISPUTED, 1, 0), id="one rejects"),
        pytest.param("ag", 2, (State.DISPUTED, 1, 0), id="another label"),
        pytest.param("arR", 2, (State.REJECTED, 1, 0), id="a lead settles it"),
        pytest.param("Rra", 2, (State.DISPUTED, 1, 0), id="not before it arose"),
        pytest.param("ar", 1, (State.REJECTED, 1, 0), id="overruled where one review is wanted"),
    ],
)
def test_standing(votes: str, wanted: int, expected: tuple[State, int, int]) -> None:
    """a: accept, f: fix, g: fix with the other label, r: reject; a capital is a lead's. Vote i made revision i + 2."""
    kinds = {"a": Action.ACCEPT, "f": Action.FIX, "g": Action.FIX, "r": Action.REJECT}
    made = [
        Vote(
            i, i, v.isupper(), kinds[v.lower()], 1 if v.lower() in "ar" else i + 2,
            Verdict.REAL if v == "g" else Verdict.GENERATED,
        )
        for i, v in enumerate(votes)
    ]  # fmt: skip
    found = stand(made, 1, wanted)
    assert (found.state, found.revision, found.reviews_left) == expected


SERVER = """
import sys
from review.accounts import Accounts
from review.database import open_database
from review.records import Action, Submission
from review.store import ReviewStore, StoreConfig

engine = open_database(sys.argv[1])
store = ReviewStore(engine, StoreConfig(gold_share=0, double_share=0))
person = Accounts(engine).named("ana")
number = 0
while task := store.next(person):
    number += 1
    saved = store.decide(person, Submission(task.id, task.version, Action.ACCEPT, f"{sys.argv[2]}-{number}"))
    print(task.id, saved.decision_id, flush=True)  # "saved" is shown
"""


@pytest.mark.slow
def test_a_killed_server_loses_nothing_that_it_said_was_saved(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'review.db'}"
    engine = open_database(url)
    work = make_desk(engine)
    work.store.add(incoming(400))
    shown: list[tuple[int, int]] = []
    rng = random.Random(0)
    lives = 0
    while lives < 4 or len(shown) < 100:
        lives += 1
        with subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(SERVER), url, str(lives)], stdout=subprocess.PIPE, text=True
        ) as server:
            assert server.stdout is not None
            lines = [server.stdout.readline()]  # it is at work
            time.sleep(rng.uniform(0.0, 0.4))
            server.kill()
            lines += server.stdout.readlines()
        shown += [(int(a), int(b)) for a, b in (line.split() for line in lines if line.endswith("\n"))]
    with reading(engine) as session:
        kept = [tuple(row) for row in session.execute(text("SELECT sample_id, id FROM decisions"))]
    assert set(shown) <= set(kept)
    assert max(Counter(sample for sample, _ in kept).values()) == 1
    assert len(kept) <= len(shown) + lives  # at most one each time was kept and not shown any more
    assert work.store.rebuild() == 0
    engine.dispose()
