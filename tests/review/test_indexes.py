"""At 100,000 samples nothing that an annotator waits for may read a whole table."""

from __future__ import annotations

import re

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.dialects import sqlite

from review import queue
from review.database import reading
from review.records import Filter, Order
from tests.review.conftest import Desk


@pytest.mark.parametrize(
    ("order", "index"),
    [(Order.HARDEST, "ix_samples_hardest"), (Order.OLDEST, "ix_samples_oldest"), (Order.RANDOM, "ix_samples_random")],
)
@pytest.mark.parametrize("wanted", [Filter(), Filter(source="test"), Filter(generator="g", split="train")])
def test_the_next_sample_is_read_off_an_index(
    work: Desk, engine: Engine, order: Order, index: str, wanted: Filter
) -> None:
    query = queue.fresh(work.ana, wanted, order, work.clock()).limit(1)
    plan = explained(engine, str(query.compile(dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True})))
    assert f"SEARCH samples USING INDEX {index} (state=?)" in plan
    assert "SCAN" not in plan
    assert "TEMP B-TREE" not in plan, "it is sorted after reading"


@pytest.mark.parametrize(
    "query",
    [
        "SELECT id FROM samples WHERE sample_id = 'x'",
        "SELECT suffix FROM samples WHERE sha256 = 'x'",
        "SELECT id FROM samples WHERE lease_account_id = 1 AND lease_until > '2026'",
        "SELECT * FROM revisions WHERE sample_id = 1 ORDER BY number DESC LIMIT 1",
        "SELECT * FROM decisions WHERE sample_id = 1 AND account_id = 1",
        "SELECT * FROM decisions WHERE token = 'x'",
        "SELECT count(*) FROM decisions WHERE account_id = 1 AND on_gold = 1",
        "SELECT count(*) FROM decisions WHERE at > '2026'",
        "SELECT * FROM sessions WHERE token_hash = 'x'",
    ],
)
def test_lookups_use_an_index(work: Desk, engine: Engine, query: str) -> None:
    plan = explained(engine, query)
    assert re.search(r"SEARCH \w+ USING (COVERING )?INDEX", plan), plan
    assert "SCAN" not in plan
    assert "TEMP B-TREE" not in plan


def test_progress_within_a_filter_is_counted_in_an_index_alone(work: Desk, engine: Engine) -> None:
    columns = "state, count(*) FROM samples"
    for where in ("", "WHERE source = 'test'", "WHERE label = 'real' AND split = 'val' AND generator = 'g'"):
        plan = explained(engine, f"SELECT {columns} {where} GROUP BY state")
        assert re.fullmatch(r"SCAN samples USING COVERING INDEX \w+", plan)


def test_gold_items_are_found_in_an_index_of_their_own(work: Desk, engine: Engine) -> None:
    plan = explained(engine, "SELECT id FROM samples WHERE gold IS 1 ORDER BY shuffle LIMIT 1")
    assert plan == "SCAN samples USING INDEX ix_samples_gold"  # which holds gold items alone


def explained(engine: Engine, query: str) -> str:
    with reading(engine) as session:
        return "\n".join(row[3] for row in session.execute(text(f"EXPLAIN QUERY PLAN {query}")))
