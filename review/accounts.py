"""Who may review: accounts, passwords and sign-ins.

Passwords are hashed with argon2; a sign-in is a random token, of which the database keeps the SHA-256 only. Failed
sign-ins slow further ones down: soon for a name from one address, late for a name from anywhere, so that a stranger
can keep few people out and guess little. Draws no page (`web.py`), asks nobody (`__main__.py`).
"""

from __future__ import annotations

import hashlib
import re
import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import Engine, delete, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from review.database import reading, writing
from review.records import Person, Role
from review.store import utc_now
from review.tables import AccountRow, FailureRow, SessionRow

FIRST_LEAD = "lead"
MIN_PASSWORD = 10
MAX_PASSWORD = 200  # a longer one would only keep the hash busy
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")


class AccountError(ValueError):
    """An account cannot be made or changed so; the message says what is expected."""


class SignInError(Exception):
    """Nobody was signed in; the message is for the person who tried, and tells no more than they may know."""


@dataclass(frozen=True)
class AccountsConfig:
    """All values are ours. So many failures for a name from one address (`free_failures`), and from anywhere
    (`free_anywhere`), are without delay; each further one doubles it, from `delay_s` up to `max_delay_s`; failures are
    forgotten after `memory_s`. An address alone is never slowed down: behind a proxy everybody has the same one.
    `at_once` passwords are checked at a time: each takes memory and a core."""

    session_s: float = 12 * 3600
    free_failures: int = 5
    free_anywhere: int = 50
    delay_s: float = 2.0
    max_delay_s: float = 60.0
    memory_s: float = 3600.0
    at_once: int = 2


@dataclass(frozen=True, slots=True)
class Account:
    """A person who may sign in, or could until they were disabled."""

    person: Person
    created_at: datetime
    disabled: bool


@dataclass(frozen=True, slots=True)
class NewAccount:
    """An account whose password was made up: it is known here and nowhere else."""

    name: str
    password: str


class Accounts:
    """The accounts over one database."""

    def __init__(
        self,
        engine: Engine,
        config: AccountsConfig = AccountsConfig(),
        clock: Callable[[], datetime] = utc_now,
        hasher: PasswordHasher | None = None,
    ) -> None:
        self._engine, self._config, self._clock = engine, config, clock
        self._hasher = hasher or PasswordHasher()
        self._nobody = self._hasher.hash(secrets.token_hex(16))
        self._checking = threading.BoundedSemaphore(config.at_once)

    def first_lead(self) -> NewAccount | None:
        """Make a lead with a random password when there is no account at all; of two starts at once only one does."""
        password = secrets.token_urlsafe(12)
        try:
            with writing(self._engine) as session:
                if session.scalar(select(func.count()).select_from(AccountRow)):
                    return None
                session.add(self._row(FIRST_LEAD, password, Role.LEAD))
        except IntegrityError:  # PostgreSQL lets both starts count; names are unique
            return None
        return NewAccount(FIRST_LEAD, password)

    def add(self, name: str, password: str, role: Role = Role.ANNOTATOR) -> Person:
        """Names are 1 to 32 letters, digits, dots, dashes and underscores; case does not tell two apart."""
        if not NAME.fullmatch(name):
            raise AccountError(
                f"{name!r} is no name for an account: use 1 to 32 letters, digits, dots, dashes or underscores, and "
                "begin with a letter or a digit."
            )
        _check_password(password)
        with writing(self._engine) as session:
            if session.scalar(select(AccountRow.id).where(AccountRow.name == name.lower())):
                raise AccountError(f"There is an account {name.lower()!r} already.")
            row = self._row(name.lower(), password, role)
            session.add(row)
            session.flush()
            return _person(row)

    def all(self) -> tuple[Account, ...]:
        """Every account by name."""
        with reading(self._engine) as session:
            rows = session.scalars(select(AccountRow).order_by(AccountRow.name))
            return tuple(Account(_person(row), row.created_at, row.disabled_at is not None) for row in rows)

    def named(self, name: str) -> Person | None:
        """The person with this name, if their account is not disabled."""
        with reading(self._engine) as session:
            query = select(AccountRow).where(AccountRow.name == name, AccountRow.disabled_at.is_(None))
            row = session.scalars(query).one_or_none()
            return None if row is None else _person(row)

    def disable(self, name: str) -> None:
        """End the account's sign-ins and allow no more. Raises AccountError for the last lead."""
        with writing(self._engine) as session:
            row = _find(session, name)
            _keep_a_lead(session, row)
            row.disabled_at = self._clock()
            self._revoke(session, row.id)

    def enable(self, name: str) -> None:
        with writing(self._engine) as session:
            _find(session, name).disabled_at = None

    def set_password(self, name: str, password: str) -> None:
        """Ends the account's sign-ins, too."""
        _check_password(password)
        with writing(self._engine) as session:
            row = _find(session, name)
            row.password_hash = self._hasher.hash(password)
            self._revoke(session, row.id)

    def set_role(self, name: str, role: Role) -> None:
        """Raises AccountError when no lead would be left."""
        with writing(self._engine) as session:
            row = _find(session, name)
            if role is not Role.LEAD:
                _keep_a_lead(session, row)
            row.role = role

    def sign_in(self, name: str, password: str, address: str) -> str:
        """The token of a new sign-in, for a cookie. Raises SignInError.

        An unknown name takes as long as a wrong password, and both get the same answer.
        """
        name = name.lower() if NAME.fullmatch(name) else ""
        keys = {f"{name} from {address[:60]}": self._config.free_failures, f"name {name}": self._config.free_anywhere}
        self._take_attempt(keys)
        with reading(self._engine) as session:
            row = session.scalars(select(AccountRow).where(AccountRow.name == name)).one_or_none()
        with self._checking:
            right = self._verify(row.password_hash if row else self._nobody, password[: MAX_PASSWORD + 1])
        if row is None or not right or row.disabled_at is not None:
            raise SignInError("The name or the password is wrong. Try again, or ask a lead for a new password.")
        token = secrets.token_urlsafe(32)
        with writing(self._engine) as session:
            now = self._clock()
            if self._hasher.check_needs_rehash(row.password_hash):
                hashed = self._hasher.hash(password)
                session.execute(update(AccountRow).where(AccountRow.id == row.id).values(password_hash=hashed))
            session.execute(delete(FailureRow).where(FailureRow.key.in_(keys)))
            session.execute(delete(SessionRow).where(SessionRow.expires_at < now))
            session.add(
                SessionRow(
                    token_hash=_digest(token), account_id=row.id, created_at=now, revoked_at=None,
                    expires_at=now + timedelta(seconds=self._config.session_s),
                )
            )  # fmt: skip
        return token

    def person(self, token: str | None) -> Person | None:
        """Whose sign-in this is; None for one that is unknown, over or revoked, and for a disabled account.

        A sign-in lasts 12 hours from its start, whatever is done in that time: a cookie that leaks dies by itself.
        """
        if not token:
            return None
        with reading(self._engine) as session:
            row = session.scalars(
                select(AccountRow)
                .join(SessionRow, SessionRow.account_id == AccountRow.id)
                .where(SessionRow.token_hash == _digest(token), SessionRow.revoked_at.is_(None))
                .where(SessionRow.expires_at > self._clock(), AccountRow.disabled_at.is_(None))
            ).one_or_none()
            return None if row is None else _person(row)

    def sign_out(self, token: str) -> None:
        with writing(self._engine) as session:
            ended = update(SessionRow).where(SessionRow.token_hash == _digest(token), SessionRow.revoked_at.is_(None))
            session.execute(ended.values(revoked_at=self._clock()))

    def _row(self, name: str, password: str, role: Role) -> AccountRow:
        hashed = self._hasher.hash(password)
        return AccountRow(name=name, role=role, password_hash=hashed, created_at=self._clock(), disabled_at=None)

    def _verify(self, hashed: str, password: str) -> bool:
        try:
            return self._hasher.verify(hashed, password)
        except (VerificationError, InvalidHashError, UnicodeEncodeError):  # half a character is in no password
            return False

    def _revoke(self, session: Session, account: int) -> None:
        alive = update(SessionRow).where(SessionRow.account_id == account, SessionRow.revoked_at.is_(None))
        session.execute(alive.values(revoked_at=self._clock()))

    def _take_attempt(self, keys: Mapping[str, int]) -> None:
        """Note a failure for every key (a success takes them back), so that tries at the same time count, too.

        Raises SignInError, and notes nothing, while the last failure of a key with more than its free ones is too
        recent. The server never sleeps for anyone.
        """
        now, config = self._clock(), self._config
        with writing(self._engine) as session:
            session.execute(delete(FailureRow).where(FailureRow.at < now - timedelta(seconds=config.memory_s)))
            recent = select(FailureRow.key, func.count(), func.max(FailureRow.at)).where(FailureRow.key.in_(keys))
            for key, count, last in session.execute(recent.group_by(FailureRow.key)).all():
                over = count - keys[key]
                if over < 0:
                    continue
                wait = min(config.max_delay_s, config.delay_s * 2 ** min(over, 30))
                left = (last + timedelta(seconds=wait) - now).total_seconds()
                if left > 0:
                    raise SignInError(f"Too many failed attempts. Try again in {left:.0f} s.")
            session.add_all(FailureRow(key=key, at=now) for key in keys)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _person(row: AccountRow) -> Person:
    return Person(row.id, row.name, Role(row.role))


def _find(session: Session, name: str) -> AccountRow:
    row = session.scalars(select(AccountRow).where(AccountRow.name == name.lower()).with_for_update()).one_or_none()
    if row is None:
        raise AccountError(f"There is no account {name!r}. `python -m review users list` shows all.")
    return row


def _keep_a_lead(session: Session, row: AccountRow) -> None:
    others = select(func.count()).where(
        AccountRow.role == Role.LEAD, AccountRow.disabled_at.is_(None), AccountRow.id != row.id
    )
    if row.role == Role.LEAD and row.disabled_at is None and not session.scalar(others):
        raise AccountError(f"{row.name!r} is the only lead. Make another account a lead first.")


def _check_password(password: str) -> None:
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        raise AccountError(f"A password has {MIN_PASSWORD} to {MAX_PASSWORD} characters; this one has {len(password)}.")
