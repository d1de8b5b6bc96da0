"""How long an annotator waits for all that the page is answered, with few and with many samples.

python -m tests.bench.review_store [COUNT …]
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from review.accounts import Accounts
from review.answers import Answers
from review.database import open_database
from review.incoming import Incoming
from review.records import Order
from review.store import ReviewStore
from review.view import Shown
from tests.review.conftest import PASSWORD, sample

ROUNDS = 200


def main(counts: list[int]) -> None:
    table = Table("samples", "import /s", "next p50 ms", "next p95 ms", "decide p50 ms", "decide p95 ms", "rows /s")
    for count in counts:
        with tempfile.TemporaryDirectory() as folder:
            table.add_row(*measure(count, Path(folder)))
    Console().print(table)


def measure(count: int, folder: Path) -> list[str]:
    """One line of the table: the first sample (`next`), then decisions, each with the next sample in its answer."""
    engine = open_database(f"sqlite:///{folder / 'review.db'}")
    store, accounts = ReviewStore(engine), Accounts(engine)
    person = accounts.add("ana", PASSWORD)
    started = time.perf_counter()
    for start in range(0, count, 1000):
        store.add([Incoming(sample(i), ".jpg", {"similarity": i % 997 / 997}) for i in range(start, start + 1000)])
    imported = count / (time.perf_counter() - started)
    waits: dict[str, list[float]] = {"next": [], "decide": []}

    def timed(name: str, work: Callable[[], Shown]) -> Shown:
        started = time.perf_counter()
        result = work()
        waits[name].append(time.perf_counter() - started)
        return result

    answers = Answers(store, accounts)
    for number in range(ROUNDS):
        wish = {"order": list(Order)[number % 3], "filter": {"source": "test"} if number % 2 else None}
        task = timed("next", lambda w=wish: answers.answer({"do": "next", **w}, "ana"))["task"]  # type: ignore[misc]
        act = wish | {"do": "decide", "task": task["id"], "version": task["version"], "action": "accept"}
        answer = timed("decide", lambda a=act, n=number: answers.answer({**a, "token": f"token-{n:04d}"}, "ana"))  # type: ignore[misc]
        assert answer["saved"]
        store.release(person)
    started = time.perf_counter()
    exported = sum(1 for _ in store.rows())
    rows = exported / (time.perf_counter() - started)
    engine.dispose()
    figures = [f"{f(waits[name]) * 1000:.1f}" for name in waits for f in (statistics.median, p95)]
    return [f"{count:,}", f"{imported:,.0f}", *figures, f"{rows:,.0f}"]


def p95(values: list[float]) -> float:
    return statistics.quantiles(values, n=20)[-1]


if __name__ == "__main__":
    main([int(argument) for argument in sys.argv[1:]] or [10_000, 100_000])
