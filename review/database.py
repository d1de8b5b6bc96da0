"""From a database URL to an engine on a schema that is up to date, and the two ways to use it: reading and writing.

SQLite and PostgreSQL. Knows no table but Alembic's own (`tables.py`, `migrations/`).
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.orm import Session

MIGRATIONS = Path(__file__).parent / "migrations"
# SQLite lets waiting writers in by chance, not in turn: of sixteen on a busy machine one has waited for over 30 s.
BUSY_MS = 60_000
_MIGRATION_LOCK = 7_235_031  # any number that is only ours: PostgreSQL's advisory locks are numbered


class DatabaseError(Exception):
    """The database cannot be used; the message says why and what to do."""


def open_database(url: str) -> Engine:
    """Connect, and bring the schema up to date; two processes may do so at once. Raises DatabaseError."""
    try:
        address = make_url(url)
        if address.get_backend_name() == "sqlite" and address.database:
            Path(address.database).parent.mkdir(parents=True, exist_ok=True)
        engine = create_engine(address)
    except (ArgumentError, NoSuchModuleError, ImportError, OSError) as problem:
        raise DatabaseError(
            f"The database {_shown(url)} cannot be opened ({problem}). Set LTE_DB_URL to something like "
            "sqlite:///data/review.db or postgresql+psycopg://user@host/name."
        ) from problem
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare)
        event.listen(engine, "begin", _begin)
    try:
        with engine.execution_options(writes=True).begin() as connection:
            _migrate(connection)
    except DBAPIError as problem:
        engine.dispose()
        raise DatabaseError(
            f"The database {_shown(url)} cannot be used: {str(problem.orig).strip()}. Check that it is one, that it "
            "can be reached and that this account may write to it."
        ) from problem
    return engine


@contextmanager
def reading(engine: Engine) -> Iterator[Session]:
    """A session that takes no write lock; what it loaded stays usable afterwards."""
    with Session(engine, expire_on_commit=False) as session, session.begin():
        yield session


@contextmanager
def writing(engine: Engine) -> Iterator[Session]:
    """A session whose changes are kept together when the block ends, or not at all when it raises.

    On SQLite it takes the write lock at once (BEGIN IMMEDIATE): a transaction that began with reading and then writes
    fails with "database is locked" whenever another one wrote in between.
    """
    with Session(engine.execution_options(writes=True), expire_on_commit=False) as session, session.begin():
        yield session


def backup(engine: Engine, to: Path) -> None:
    """Copy a SQLite database to a new file while people work. Raises DatabaseError."""
    if engine.dialect.name != "sqlite":
        raise DatabaseError("This database is kept by a PostgreSQL server. Use its own tool: pg_dump.")
    if to.exists():
        raise DatabaseError(f"{to} is already there and is not overwritten. Name another file.")
    part = to.with_name(f"{to.name}.part")
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        part.unlink(missing_ok=True)
        with engine.connect() as connection, closing(sqlite3.connect(part)) as target:
            source: Any = connection.connection.driver_connection
            source.backup(target)
            target.execute("PRAGMA journal_mode=DELETE")  # one file that needs no other
        part.rename(to)
    except (OSError, sqlite3.Error) as problem:
        with suppress(OSError):
            part.unlink()
        raise DatabaseError(f"The backup to {to} failed: {problem}.") from problem


def _prepare(connection: Any, record: object) -> None:
    """In this order: waiting must be set before the journal mode, which needs a lock. The driver's own way of
    beginning transactions is switched off, since it would begin them late and as readers."""
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout={BUSY_MS}")
    keep_wal(connection)
    for pragma in ("synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def keep_wal(connection: Any) -> None:
    """SQLite does not wait for a lock while another connection is the first to switch the file to WAL, or the last to
    leave it: it says "database is locked" at once, whatever the busy timeout."""
    deadline = time.monotonic() + BUSY_MS / 1000
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as problem:
            if problem.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _migrate(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    current = MigrationContext.configure(connection).get_current_revision()
    if current is not None and current not in known:
        raise DatabaseError(
            f"The database was written by a newer version of this program (its schema is {current!r}). Update the "
            "program, or set LTE_DB_URL to another database."
        )
    command.upgrade(config, "head")


def _shown(url: str) -> str:
    """The URL without its password."""
    try:
        return make_url(url).render_as_string(hide_password=True)
    except ArgumentError:
        return repr(url)
