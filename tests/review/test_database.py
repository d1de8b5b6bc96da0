"""Opening, migrating and backing up, on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError

from review.database import DatabaseError, backup, keep_wal, open_database, reading, writing
from review.tables import AccountRow, Base
from tests.review.conftest import Desk, incoming


def test_migrations_end_at_the_tables(url: str) -> None:
    engine = open_database(url)
    with engine.connect() as connection:
        options = {"compare_type": True, "compare_server_default": True}
        differences = compare_metadata(MigrationContext.configure(connection, opts=options), Base.metadata)
    engine.dispose()
    assert differences == []


def test_a_second_start_changes_nothing_and_two_at_once_do_not_collide(url: str) -> None:
    problems: list[DatabaseError] = []

    def start() -> None:
        try:
            open_database(url).dispose()
        except DatabaseError as problem:
            problems.append(problem)

    starts = [threading.Thread(target=start) for _ in range(4)]
    for thread in starts:
        thread.start()
    for thread in starts:
        thread.join()
    open_database(url).dispose()
    assert problems == []


def test_a_newer_schema_is_left_alone(url: str) -> None:
    engine = open_database(url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(DatabaseError, match=r"newer version of this program \(its schema is '9999'\)"):
        open_database(url)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        pytest.param("nonsense", "LTE_DB_URL", id="no URL"),
        pytest.param("oracle9://x/y", "cannot be opened", id="unknown kind"),
        pytest.param("postgresql+psycopg://lte:secret@127.0.0.1:1/x", "can be reached", id="no server"),
        pytest.param("sqlite:////proc/nowhere/review.db", "cannot be opened", id="no folder can be made"),
    ],
)
def test_what_cannot_be_opened_is_said_without_passwords(url: str, says: str) -> None:
    with pytest.raises(DatabaseError, match=says) as raised:
        open_database(url)
    assert "secret" not in str(raised.value)


def test_another_file_is_not_taken_for_a_database(tmp_path: Path) -> None:
    (tmp_path / "review.db").write_text("these are my notes, not a database" * 100)
    with pytest.raises(DatabaseError, match="file is not a database"):
        open_database(f"sqlite:///{tmp_path / 'review.db'}")


def test_sqlite_is_set_as_it_has_to_be(engine: Engine) -> None:
    with engine.connect() as connection:
        pragmas = {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in
                   ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")}  # fmt: skip
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 60_000}


def test_a_block_that_raises_keeps_nothing(work: Desk, engine: Engine) -> None:
    def add_two(*names: str) -> None:
        with writing(engine) as session:
            for name in names:
                at = work.clock()
                session.add(AccountRow(name=name, role="annotator", password_hash="", created_at=at, disabled_at=None))
                session.flush()

    with pytest.raises(IntegrityError):
        add_two("cy", "ana")
    assert work.accounts.named("cy") is None


def test_a_reader_is_not_kept_waiting_by_a_writer(work: Desk, engine: Engine) -> None:
    with writing(engine) as writer:
        writer.execute(text("UPDATE accounts SET role = 'lead'"))
        with reading(engine) as reader:
            assert reader.execute(text("SELECT count(*) FROM accounts WHERE role = 'lead'")).scalar() == 1


def test_a_backup_is_whole_and_overwrites_nothing(work: Desk, engine: Engine, tmp_path: Path) -> None:
    work.store.add(incoming(3))
    with writing(engine) as session:  # somebody is at work
        session.execute(text("UPDATE samples SET source = 'half done'"))
        backup(engine, tmp_path / "backups" / "review.db")
    with closing(sqlite3.connect(tmp_path / "backups" / "review.db")) as copy:
        assert copy.execute("SELECT count(*), max(source) FROM samples").fetchone() == (3, "test")
    with pytest.raises(DatabaseError, match="already there"):
        backup(engine, tmp_path / "backups" / "review.db")
    assert [p.name for p in (tmp_path / "backups").iterdir()] == ["review.db"]


def test_a_server_is_backed_up_by_its_own_tool(postgres: str) -> None:
    engine = open_database(postgres)
    with pytest.raises(DatabaseError, match="pg_dump"):
        backup(engine, Path("/tmp/never.db"))
    engine.dispose()


class Switching:
    """A connection to a file that others are switching to WAL: SQLite refuses so many times without waiting."""

    def __init__(self, refusals: int, code: int) -> None:
        self._left, self._code = refusals, code
        self.asked: list[str] = []

    def execute(self, statement: str) -> None:
        self.asked.append(statement)
        if self._left:
            self._left -= 1
            problem = sqlite3.OperationalError("database is locked")
            problem.sqlite_errorcode = self._code
            raise problem


def test_a_file_that_is_being_switched_to_wal_is_waited_for() -> None:
    connection = Switching(3, sqlite3.SQLITE_BUSY_RECOVERY)
    keep_wal(connection)
    assert connection.asked == ["PRAGMA journal_mode=WAL"] * 4


def test_another_failure_to_switch_is_told_at_once() -> None:
    connection = Switching(3, sqlite3.SQLITE_READONLY)
    with pytest.raises(sqlite3.OperationalError):
        keep_wal(connection)
    assert len(connection.asked) == 1
