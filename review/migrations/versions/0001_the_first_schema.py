"""The first schema: accounts, samples, revisions, decisions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0001'
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('accounts',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('name', sa.String(length=64), nullable=False),
    sa.Column('role', sa.String(length=16), nullable=False),
    sa.Column('password_hash', sa.String(length=256), nullable=False),
    sa.Column('created_at', sa.DateTime(), nullable=False),
    sa.Column('disabled_at', sa.DateTime(), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_accounts')),
    sa.UniqueConstraint('name', name=op.f('uq_accounts_name'))
    )
    op.create_table('sign_in_failures',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('key', sa.String(length=128), nullable=False),
    sa.Column('at', sa.DateTime(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_sign_in_failures'))
    )
    with op.batch_alter_table('sign_in_failures', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_sign_in_failures_key_at'), ['key', 'at'], unique=False)

    op.create_table('samples',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('sample_id', sa.String(length=200), nullable=False),
    sa.Column('sha256', sa.String(length=64), nullable=False),
    sa.Column('suffix', sa.String(length=8), nullable=False),
    sa.Column('width', sa.Integer(), nullable=False),
    sa.Column('height', sa.Integer(), nullable=False),
    sa.Column('source', sa.String(length=200), nullable=False),
    sa.Column('generator', sa.String(length=200), nullable=True),
    sa.Column('split', sa.String(length=8), nullable=True),
    sa.Column('annotation', sa.JSON(), nullable=False),
    sa.Column('imported_at', sa.DateTime(), nullable=False),
    sa.Column('ease', sa.Double(), nullable=False),
    sa.Column('shuffle', sa.Integer(), nullable=False),
    sa.Column('reviews_wanted', sa.Integer(), nullable=False),
    sa.Column('gold', sa.Boolean(), nullable=False),
    sa.Column('label', sa.String(length=16), nullable=False),
    sa.Column('state', sa.String(length=16), nullable=False),
    sa.Column('current', sa.Integer(), nullable=False),
    sa.Column('reviews_left', sa.Integer(), nullable=False),
    sa.Column('version', sa.Integer(), nullable=False),
    sa.Column('lease_account_id', sa.Integer(), nullable=True),
    sa.Column('lease_until', sa.DateTime(), nullable=True),
    sa.ForeignKeyConstraint(['lease_account_id'], ['accounts.id'], name=op.f('fk_samples_lease_account_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_samples')),
    sa.UniqueConstraint('sample_id', name=op.f('uq_samples_sample_id'))
    )
    with op.batch_alter_table('samples', schema=None) as batch_op:
        batch_op.create_index('ix_samples_gold', ['shuffle'], unique=False, sqlite_where=sa.text('gold IS 1'), postgresql_where=sa.text('gold IS true'))
        batch_op.create_index('ix_samples_hardest', ['state', 'ease', 'id'], unique=False)
        batch_op.create_index(batch_op.f('ix_samples_lease_account_id'), ['lease_account_id'], unique=False)
        batch_op.create_index('ix_samples_oldest', ['state', 'id'], unique=False)
        batch_op.create_index('ix_samples_random', ['state', 'shuffle', 'id'], unique=False)
        batch_op.create_index(batch_op.f('ix_samples_sha256'), ['sha256'], unique=False)

    op.create_table('sessions',
    sa.Column('token_hash', sa.String(length=64), nullable=False),
    sa.Column('account_id', sa.Integer(), nullable=False),
    sa.Column('created_at', sa.DateTime(), nullable=False),
    sa.Column('expires_at', sa.DateTime(), nullable=False),
    sa.Column('revoked_at', sa.DateTime(), nullable=True),
    sa.ForeignKeyConstraint(['account_id'], ['accounts.id'], name=op.f('fk_sessions_account_id')),
    sa.PrimaryKeyConstraint('token_hash', name=op.f('pk_sessions'))
    )
    with op.batch_alter_table('sessions', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_sessions_account_id'), ['account_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_sessions_expires_at'), ['expires_at'], unique=False)

    op.create_table('decisions',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('sample_id', sa.Integer(), nullable=False),
    sa.Column('account_id', sa.Integer(), nullable=False),
    sa.Column('action', sa.String(length=16), nullable=False),
    sa.Column('at', sa.DateTime(), nullable=False),
    sa.Column('revision', sa.Integer(), nullable=False),
    sa.Column('reason', sa.String(length=32), nullable=True),
    sa.Column('comment', sa.String(), nullable=False),
    sa.Column('seconds', sa.Double(), nullable=False),
    sa.Column('undoes', sa.Integer(), nullable=True),
    sa.Column('token', sa.String(length=64), nullable=False),
    sa.Column('by_lead', sa.Boolean(), nullable=False),
    sa.Column('on_gold', sa.Boolean(), nullable=False),
    sa.ForeignKeyConstraint(['account_id'], ['accounts.id'], name=op.f('fk_decisions_account_id')),
    sa.ForeignKeyConstraint(['sample_id'], ['samples.id'], name=op.f('fk_decisions_sample_id')),
    sa.ForeignKeyConstraint(['undoes'], ['decisions.id'], name=op.f('fk_decisions_undoes')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_decisions')),
    sa.UniqueConstraint('token', name=op.f('uq_decisions_token')),
    sa.UniqueConstraint('undoes', name=op.f('uq_decisions_undoes'))
    )
    with op.batch_alter_table('decisions', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_decisions_account_id_on_gold_id'), ['account_id', 'on_gold', 'id'], unique=False)
        batch_op.create_index(batch_op.f('ix_decisions_at'), ['at'], unique=False)
        batch_op.create_index(batch_op.f('ix_decisions_sample_id_account_id'), ['sample_id', 'account_id'], unique=False)

    op.create_table('revisions',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('sample_id', sa.Integer(), nullable=False),
    sa.Column('number', sa.Integer(), nullable=False),
    sa.Column('origin', sa.String(length=16), nullable=False),
    sa.Column('account_id', sa.Integer(), nullable=True),
    sa.Column('at', sa.DateTime(), nullable=False),
    sa.Column('label', sa.String(length=16), nullable=False),
    sa.Column('explanation', sa.String(), nullable=False),
    sa.Column('regions', sa.JSON(), nullable=False),
    sa.ForeignKeyConstraint(['account_id'], ['accounts.id'], name=op.f('fk_revisions_account_id')),
    sa.ForeignKeyConstraint(['sample_id'], ['samples.id'], name=op.f('fk_revisions_sample_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_revisions')),
    sa.UniqueConstraint('sample_id', 'number', name=op.f('uq_revisions_sample_id_number'))
    )


def downgrade() -> None:
    op.drop_table('revisions')
    with op.batch_alter_table('decisions', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_decisions_sample_id_account_id'))
        batch_op.drop_index(batch_op.f('ix_decisions_at'))
        batch_op.drop_index(batch_op.f('ix_decisions_account_id_on_gold_id'))

    op.drop_table('decisions')
    with op.batch_alter_table('sessions', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_sessions_expires_at'))
        batch_op.drop_index(batch_op.f('ix_sessions_account_id'))

    op.drop_table('sessions')
    with op.batch_alter_table('samples', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_samples_sha256'))
        batch_op.drop_index('ix_samples_random')
        batch_op.drop_index('ix_samples_oldest')
        batch_op.drop_index(batch_op.f('ix_samples_lease_account_id'))
        batch_op.drop_index('ix_samples_hardest')
        batch_op.drop_index('ix_samples_gold', sqlite_where=sa.text('gold IS 1'), postgresql_where=sa.text('gold IS true'))

    op.drop_table('samples')
    with op.batch_alter_table('sign_in_failures', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_sign_in_failures_key_at'))

    op.drop_table('sign_in_failures')
    op.drop_table('accounts')
