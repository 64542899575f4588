"""The tables of deployments and their history."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from orchestrator.store.metadata import UtcDateTime, metadata

_STANDS = text("state <> 'deleted'")

deployment_rows = Table(
    "deployments",
    metadata,
    Column("id", String(32), primary_key=True),
    # No cascade: what may cost money is not forgotten with its job.
    Column("job_id", String(32), ForeignKey("jobs.id"), nullable=False),
    Column("provider", String(64), nullable=False),
    Column("resource", String(64), nullable=False),
    Column("name", String(128), nullable=False),
    Column("model", Text, nullable=False),
    Column("base_model", Text, nullable=False),
    Column("sku", String(64), nullable=False),
    Column("capacity", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("remote_state", String(64)),
    Column("hour_micros", BigInteger),
    Column("price_note", Text, nullable=False),
    Column("error", JSON(none_as_null=True)),
    Column("operation", Text),
    Column("sent_at", UtcDateTime),
    Column("undeploy_at", UtcDateTime),
    Column("absent_at", UtcDateTime),
    Column("started_at", UtcDateTime),
    Column("ended_at", UtcDateTime),
    Column("ends_at", UtcDateTime),
    Column("checked_at", UtcDateTime),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("version", Integer, nullable=False),
    Column("raw", JSON(none_as_null=True)),
    Index(None, "job_id"),
    Index(None, "state"),
    # A name serves one intent at a time; of those that are over, it may have served many.
    Index(
        "uq_deployments_resource_name_standing",
        "resource",
        "name",
        unique=True,
        sqlite_where=_STANDS,
        postgresql_where=_STANDS,
    ),
)

deployment_transition_rows = Table(
    "deployment_transitions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("deployment_id", String(32), ForeignKey("deployments.id"), nullable=False),
    Column("version", Integer, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("before", String(16)),
    Column("after", String(16), nullable=False),
    Column("reason", Text, nullable=False),
    UniqueConstraint("deployment_id", "version"),
)
