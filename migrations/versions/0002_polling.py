"""When to ask about a job again, and which accounts may be asked."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the times and the gates."""
    # A nullable column needs no copy of the table, and so no child row is ever at risk.
    op.add_column("jobs", sa.Column("next_poll_at", sa.DateTime(timezone=True), nullable=True))
    op.create_table(
        "gates",
        sa.Column("account", sa.String(length=64), nullable=False),
        sa.Column("not_before", sa.DateTime(timezone=True), nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("account", name=op.f("pk_gates")),
    )


def downgrade() -> None:
    """Forget them."""
    op.drop_table("gates")
    with op.batch_alter_table("jobs", schema=None) as batch_op:
        batch_op.drop_column("next_poll_at")
