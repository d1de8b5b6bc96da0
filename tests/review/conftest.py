"""A review on a new database: SQLite in a file, and a real PostgreSQL server where one can be started."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from sqlalchemy import Engine, create_engine, text

from lte_core.schema import Box, Region, TraceSample, Verdict
from review.accounts import Accounts
from review.database import open_database
from review.incoming import Incoming
from review.records import Person, Role
from review.store import ReviewStore, StoreConfig

PASSWORD = "correct horse"


@dataclass
class Clock:
    """Stands still until it is told to go on."""

    now: datetime = field(default_factory=lambda: datetime(2026, 11, 24, 12, tzinfo=UTC))

    def __call__(self) -> datetime:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@dataclass
class Desk:
    """A review with three people, and time that goes on when the test says so."""

    store: ReviewStore
    accounts: Accounts
    clock: Clock
    ana: Person
    bo: Person
    lead: Person


def sample(number: int, label: Verdict = Verdict.GENERATED, source: str = "test") -> TraceSample:
    region = Region(Box(10, 20, 60, 80), "hand")
    return TraceSample(
        f"sample-{number:05d}", f"images/{number}.jpg", f"{number:064x}", 200, 100, label, f"The hand of {number}.",
        (region,), source, "gpt-image-1" if label is Verdict.GENERATED else None, "train",
    )  # fmt: skip


def incoming(count: int, **annotation: object) -> list[Incoming]:
    return [Incoming(sample(i), ".jpg", annotation) for i in range(count)]


PLAIN = StoreConfig(double_share=0, gold_share=0)
QUICK = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)  # real hashes take 50 ms each on purpose


def make_desk(engine: Engine, config: StoreConfig = PLAIN) -> Desk:
    clock = Clock()
    accounts = Accounts(engine, clock=clock, hasher=QUICK)
    ana, bo = (accounts.add(name, PASSWORD) for name in ("ana", "bo"))
    return Desk(ReviewStore(engine, config, clock), accounts, clock, ana, bo, accounts.add("lea", PASSWORD, Role.LEAD))


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_database(f"sqlite:///{tmp_path / 'review.db'}")
    yield engine
    engine.dispose()


@pytest.fixture
def work(engine: Engine) -> Desk:
    return make_desk(engine)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server: the one in LTE_TEST_POSTGRES, or one that is started here with Debian's programs."""
    if given := os.environ.get("LTE_TEST_POSTGRES"):
        yield given
        return
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not programs:
        pytest.skip("needs PostgreSQL: apt-get install postgresql, or set LTE_TEST_POSTGRES to a server's URL")
    home = tmp_path_factory.mktemp("postgres")
    as_user: list[str] = []
    if getpass.getuser() == "root":  # the server refuses to run as root
        own = [folder for folder in (home, *home.parents) if folder.is_relative_to(tempfile.gettempdir())]
        for folder in own[:-1]:  # pytest makes them for its own user alone
            folder.chmod(0o755)
        shutil.chown(home, "postgres")
        as_user = ["runuser", "-u", "postgres", "--"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def run(program: str, *arguments: str) -> None:
        subprocess.run([*as_user, str(programs[-1] / program), *arguments], check=True, capture_output=True, cwd="/")

    run("initdb", "-D", f"{home}/data", "-U", "lte", "-A", "trust", "--no-sync")
    options = f"-p {port} -k {home} -c listen_addresses=127.0.0.1 -c fsync=off -c max_connections=60"
    run("pg_ctl", "-D", f"{home}/data", "-l", f"{home}/log", "-o", options, "-w", "start")
    yield f"postgresql+psycopg://lte@127.0.0.1:{port}/postgres"
    run("pg_ctl", "-D", f"{home}/data", "-m", "immediate", "stop")


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A new database on each of the two."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'both.db'}"
    server: str = request.getfixturevalue("postgres")
    name = f"review_{uuid.uuid4().hex[:12]}"
    admin = create_engine(server, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    admin.dispose()
    return f"{server.rsplit('/', 1)[0]}/{name}"
