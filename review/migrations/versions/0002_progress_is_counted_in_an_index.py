"""Progress is counted in an index, not by reading every sample."""

from __future__ import annotations

from alembic import op

revision = '0002'
down_revision = '0001'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index('ix_samples_counts', 'samples', ['state', 'label', 'generator', 'source', 'split'], unique=False)


def downgrade() -> None:
    op.drop_index('ix_samples_counts', table_name='samples')
