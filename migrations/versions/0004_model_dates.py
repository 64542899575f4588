"""What a provider says about its models' dates."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "model_dates",
        sa.Column("account", sa.String(length=64), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("provider", sa.String(length=32), nullable=False),
        sa.Column("serving_ends", sa.Date(), nullable=True),
        sa.Column("training_ends", sa.Date(), nullable=True),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("account", "model", name=op.f("pk_model_dates")),
    )
    op.create_table(
        "model_polls",
        sa.Column("account", sa.String(length=64), nullable=False),
        sa.Column("not_before", sa.DateTime(timezone=True), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("account", name=op.f("pk_model_polls")),
    )


def downgrade() -> None:
    """Take the tables away."""
    op.drop_table("model_polls")
    op.drop_table("model_dates")
