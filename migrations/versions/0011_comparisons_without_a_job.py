"""A comparison, and the report about it, may belong to no job; recordings may repeat rows."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_TABLES = ("comparisons", "reports")


def upgrade() -> None:
    """Let the job be left out, and say how often and how warmly each row was asked."""
    with op.batch_alter_table("recordings") as batch:
        batch.add_column(sa.Column("repeats", sa.Integer(), server_default="1", nullable=False))
        batch.add_column(sa.Column("temperature", sa.Float(), server_default="0", nullable=False))
    for table in _TABLES:
        with op.batch_alter_table(table) as batch:
            batch.alter_column("job_id", existing_type=sa.String(length=32), nullable=True)


def downgrade() -> None:
    """Take back what belongs to no job, which the older ledger cannot hold."""
    with op.batch_alter_table("recordings") as batch:
        batch.drop_column("temperature")
        batch.drop_column("repeats")
    for table in reversed(_TABLES):
        bare = sa.table(table, sa.column("job_id"))
        op.execute(sa.delete(bare).where(bare.c.job_id.is_(None)))
    for table in _TABLES:
        with op.batch_alter_table(table) as batch:
            batch.alter_column("job_id", existing_type=sa.String(length=32), nullable=False)
