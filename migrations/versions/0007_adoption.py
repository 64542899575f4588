"""Jobs, files and models that an account had before ftctl, and where a job was moved to."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

# What a job without data points at in the older schema: the empty file.
_EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def upgrade() -> None:
    """Make the tables, and let a job be known whose data is gone."""
    with op.batch_alter_table("jobs", schema=None) as batch_op:
        batch_op.alter_column("training", existing_type=sa.String(length=64), nullable=True)
        batch_op.add_column(
            sa.Column("origin", sa.String(length=16), nullable=False, server_default="ftctl")
        )
    # Where the recorded samples lie, so that a later comparison can be typed as it must be.
    op.add_column("recordings", sa.Column("test_file", sa.Text(), nullable=True))
    op.create_table(
        "remote_files",
        sa.Column("account", sa.String(length=64), nullable=False),
        sa.Column("remote_id", sa.String(length=255), nullable=False),
        sa.Column("purpose", sa.String(length=16), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=True),
        sa.Column("digest", sa.String(length=64), nullable=True),
        sa.Column("errors", sa.BigInteger(), nullable=False),
        sa.Column("warnings", sa.BigInteger(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("account", "remote_id", name=op.f("pk_remote_files")),
    )
    op.create_table(
        "moves",
        sa.Column("job_id", sa.String(length=32), nullable=False),
        sa.Column("source_id", sa.String(length=32), nullable=False),
        sa.Column("recipe", sa.JSON(), nullable=False),
        sa.Column("recording", sa.String(length=128), nullable=True),
        sa.Column("test", sa.String(length=64), nullable=True),
        sa.Column("test_file", sa.Text(), nullable=True),
        sa.Column("margin", sa.Float(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name=op.f("fk_moves_job_id_jobs"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["source_id"], ["jobs.id"], name=op.f("fk_moves_source_id_jobs"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_moves")),
    )
    op.create_index(op.f("ix_moves_source_id"), "moves", ["source_id"])


def downgrade() -> None:
    """Take the tables away; jobs without data stay, and point at the empty file."""
    op.drop_table("moves")
    op.drop_table("remote_files")
    with op.batch_alter_table("recordings", schema=None) as batch_op:
        batch_op.drop_column("test_file")
    connection = op.get_bind()
    bare = connection.scalar(sa.text("SELECT count(*) FROM jobs WHERE training IS NULL"))
    if bare:
        known = connection.scalar(
            sa.text("SELECT count(*) FROM datasets WHERE digest = :empty"), {"empty": _EMPTY}
        )
        if not known:
            connection.execute(
                sa.text(
                    "INSERT INTO datasets (digest, bytes, rows, source, created_at)"
                    " SELECT :empty, 0, 0, 'lost', min(created_at) FROM jobs"
                ),
                {"empty": _EMPTY},
            )
        connection.execute(
            sa.text("UPDATE jobs SET training = :empty WHERE training IS NULL"), {"empty": _EMPTY}
        )
    with op.batch_alter_table("jobs", schema=None) as batch_op:
        batch_op.drop_column("origin")
        batch_op.alter_column("training", existing_type=sa.String(length=64), nullable=False)
