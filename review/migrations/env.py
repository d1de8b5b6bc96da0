"""Alembic's entry: migrations run on the connection that `database.py` (or a test) hands over."""

from __future__ import annotations

from alembic import context

from review.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,  # SQLite cannot alter most of a table
)
context.run_migrations()
