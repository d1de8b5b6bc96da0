"""The tables of the review: accounts, samples, their revisions, and what people decided.

Revisions and decisions are only ever appended. The columns of `SampleRow` from `state` on follow from them and can be
rebuilt (`ReviewStore.rebuild`); they are there so that the queue is one look into an index. Every change of this file
comes with a migration in `review/migrations/`. Asks nothing (`store.py`).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    MetaData,
    String,
    TypeDecorator,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


class UtcTime(TypeDecorator[datetime]):
    """A moment: aware and in UTC for Python, without a zone in the database, since SQLite has none."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.replace(tzinfo=UTC)


class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map = {datetime: UtcTime, dict[str, Any]: JSON, list[dict[str, Any]]: JSON}  # noqa: RUF012


class AccountRow(Base):
    """A person who signs in. Disabled, never deleted: decisions keep their author."""

    __tablename__ = "accounts"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    role: Mapped[str] = mapped_column(String(16))
    password_hash: Mapped[str] = mapped_column(String(256))
    created_at: Mapped[datetime]
    disabled_at: Mapped[datetime | None]


class SessionRow(Base):
    """A sign-in. The cookie holds a random token, the table only its SHA-256."""

    __tablename__ = "sessions"

    token_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), index=True)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    revoked_at: Mapped[datetime | None]


class FailureRow(Base):
    """A failed sign-in, kept as long as it slows further ones down. `key` is a name or an address."""

    __tablename__ = "sign_in_failures"

    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(String(128))
    at: Mapped[datetime]

    __table_args__ = (Index(None, "key", "at"),)


class SampleRow(Base):
    """A sample under review. The image lies under its hash in the data directory."""

    __tablename__ = "samples"

    id: Mapped[int] = mapped_column(primary_key=True)
    sample_id: Mapped[str] = mapped_column(String(200), unique=True)
    sha256: Mapped[str] = mapped_column(String(64), index=True)
    suffix: Mapped[str] = mapped_column(String(8))  # of the image's file, with the dot
    width: Mapped[int]
    height: Mapped[int]
    source: Mapped[str] = mapped_column(String(200))
    generator: Mapped[str | None] = mapped_column(String(200))
    split: Mapped[str | None] = mapped_column(String(8))
    annotation: Mapped[dict[str, Any]]  # the manifest's block, as it came
    imported_at: Mapped[datetime]
    ease: Mapped[float]  # 0 hard to 1 easy, from the annotation: the queue goes upwards
    shuffle: Mapped[int]  # a fixed random place, from the sample's id
    reviews_wanted: Mapped[int]  # 2 for the share under double review
    gold: Mapped[bool]

    # What follows from the revisions and decisions:
    label: Mapped[str] = mapped_column(String(16))  # of the current revision
    state: Mapped[str] = mapped_column(String(16))
    current: Mapped[int]  # the number of the current revision
    reviews_left: Mapped[int]
    version: Mapped[int]

    # Who holds it now; says nothing once `lease_until` is past.
    lease_account_id: Mapped[int | None] = mapped_column(ForeignKey("accounts.id"), index=True)
    lease_until: Mapped[datetime | None]

    # One for each order of the queue; `id` is the order of import.
    __table_args__ = (
        Index("ix_samples_hardest", "state", "ease", "id"),
        Index("ix_samples_oldest", "state", "id"),
        Index("ix_samples_random", "state", "shuffle", "id"),
        # Covering: progress is counted after every decision, within any filter, without reading a sample.
        Index("ix_samples_counts", "state", "label", "generator", "source", "split"),
        # Partial: a planner that finds "gold" in an index walks over all that is not.
        Index("ix_samples_gold", "shuffle", sqlite_where=text("gold IS 1"), postgresql_where=text("gold IS true")),
    )


class RevisionRow(Base):
    """One version of a sample's content. Never changed."""

    __tablename__ = "revisions"

    id: Mapped[int] = mapped_column(primary_key=True)
    sample_id: Mapped[int] = mapped_column(ForeignKey("samples.id"))
    number: Mapped[int]
    origin: Mapped[str] = mapped_column(String(16))
    account_id: Mapped[int | None] = mapped_column(ForeignKey("accounts.id"))
    at: Mapped[datetime]
    label: Mapped[str] = mapped_column(String(16))
    explanation: Mapped[str]
    regions: Mapped[list[dict[str, Any]]]  # as in a manifest: {"bbox": [x1, y1, x2, y2], "label": "…"}

    __table_args__ = (UniqueConstraint("sample_id", "number"),)


class DecisionRow(Base):
    """One action of a person on a sample. Never changed: an undo is a row that names the one it takes back."""

    __tablename__ = "decisions"

    id: Mapped[int] = mapped_column(primary_key=True)
    sample_id: Mapped[int] = mapped_column(ForeignKey("samples.id"))
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    action: Mapped[str] = mapped_column(String(16))
    at: Mapped[datetime] = mapped_column(index=True)
    revision: Mapped[int]
    reason: Mapped[str | None] = mapped_column(String(32))
    comment: Mapped[str]
    seconds: Mapped[float]
    undoes: Mapped[int | None] = mapped_column(ForeignKey("decisions.id"), unique=True)
    token: Mapped[str] = mapped_column(String(64), unique=True)
    by_lead: Mapped[bool]  # the role at that moment
    on_gold: Mapped[bool]  # an answer to a gold item: says something about the person, nothing about the sample

    __table_args__ = (Index(None, "sample_id", "account_id"), Index(None, "account_id", "on_gold", "id"))
