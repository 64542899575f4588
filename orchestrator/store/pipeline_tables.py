"""The tables of pipelines: spec files that were applied, and what was done for them."""

from __future__ import annotations

from sqlalchemy import JSON, Column, ForeignKey, Integer, String, Table, Text, UniqueConstraint

from orchestrator.store.metadata import UtcDateTime, metadata

pipeline_rows = Table(
    "pipelines",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("source", Text, nullable=False),
    Column("spec", String(64), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
)

pipeline_step_rows = Table(
    "pipeline_steps",
    metadata,
    Column("id", Integer, primary_key=True),
    Column(
        "pipeline",
        String(64),
        ForeignKey("pipelines.name", ondelete="CASCADE"),
        nullable=False,
    ),
    Column("step", String(128), nullable=False),
    Column("identity", String(64), nullable=False),
    Column("facts", JSON, nullable=False),
    Column("job_id", String(32), ForeignKey("jobs.id", ondelete="SET NULL")),
    Column("comparison_id", String(32), ForeignKey("comparisons.id", ondelete="SET NULL")),
    Column("result", JSON(none_as_null=True)),
    Column("updated_at", UtcDateTime, nullable=False),
    UniqueConstraint("pipeline", "step", "identity"),
)
