"""Recordings, and what a comparison graded: samples and scores."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "recordings",
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("provider", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("account", sa.String(length=64), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("test", sa.String(length=64), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("missing", sa.BigInteger(), nullable=False),
        sa.Column("max_tokens", sa.BigInteger(), nullable=False),
        sa.Column("finished", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_recordings")),
    )
    op.create_table(
        "recorded_answers",
        sa.Column("recording", sa.String(length=128), nullable=False),
        sa.Column("asked", sa.String(length=64), nullable=False),
        sa.Column("answer_key", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(
            ["answer_key"], ["answers.key"], name=op.f("fk_recorded_answers_answer_key_answers")
        ),
        sa.ForeignKeyConstraint(
            ["recording"],
            ["recordings.name"],
            name=op.f("fk_recorded_answers_recording_recordings"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("recording", "asked", name=op.f("pk_recorded_answers")),
    )
    op.create_table(
        "comparison_samples",
        sa.Column("comparison_id", sa.String(length=32), nullable=False),
        sa.Column("row", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("asked", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("slice", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["comparison_id"],
            ["comparisons.id"],
            name=op.f("fk_comparison_samples_comparison_id_comparisons"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("comparison_id", "row", name=op.f("pk_comparison_samples")),
    )
    op.create_table(
        "comparison_scores",
        sa.Column("comparison_id", sa.String(length=32), nullable=False),
        sa.Column("arm", sa.String(length=255), nullable=False),
        sa.Column("rows", sa.JSON(), nullable=False),
        sa.Column("scores", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["comparison_id"],
            ["comparisons.id"],
            name=op.f("fk_comparison_scores_comparison_id_comparisons"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("comparison_id", "arm", name=op.f("pk_comparison_scores")),
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_table("comparison_scores")
    op.drop_table("comparison_samples")
    op.drop_table("recorded_answers")
    op.drop_table("recordings")
