"""The tables of datasets and jobs. `*_rows` are tables, never domain values."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Date,
    Float,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from orchestrator.store.metadata import UtcDateTime, metadata

dataset_rows = Table(
    "datasets",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("bytes", BigInteger, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("tokens", BigInteger),
    Column("source", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

upload_rows = Table(
    "uploads",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("account", String(64), nullable=False),
    Column("digest", String(64), ForeignKey("datasets.digest"), nullable=False),
    Column("remote_id", String(255), nullable=False),
    Column("status", String(32), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    UniqueConstraint("account", "remote_id"),
    Index(None, "account", "digest"),
)

job_rows = Table(
    "jobs",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("token", String(64), nullable=False, unique=True),
    Column("provider", String(64), nullable=False),
    Column("kind", String(32), nullable=False),
    Column("account", String(64), nullable=False),
    Column("model", Text, nullable=False),
    Column("method", String(32), nullable=False),
    Column("hyperparameters", JSON, nullable=False),
    Column("suffix", String(64)),
    Column("seed", BigInteger),
    Column("training", String(64), ForeignKey("datasets.digest")),
    Column("validation", String(64), ForeignKey("datasets.digest")),
    Column("training_file", String(255)),
    Column("validation_file", String(255)),
    Column("status", String(32), nullable=False),
    Column("remote_id", String(255)),
    Column("remote_status", String(64)),
    Column("tuned_model", Text),
    Column("trained_tokens", BigInteger),
    Column("error", JSON(none_as_null=True)),
    Column("sent_at", UtcDateTime),
    Column("absent_at", UtcDateTime),
    Column("finished_at", UtcDateTime),
    Column("estimated_finish", UtcDateTime),
    Column("estimate_usd", Float),
    Column("next_poll_at", UtcDateTime),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("version", Integer, nullable=False),
    Column("raw", JSON(none_as_null=True)),
    Column("origin", String(16), nullable=False, server_default="ftctl"),
    UniqueConstraint("account", "remote_id"),
    Index(None, "status"),
    Index(None, "created_at"),
)

transition_rows = Table(
    "transitions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("job_id", String(32), ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
    Column("version", Integer, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("before", String(32)),
    Column("after", String(32), nullable=False),
    Column("reason", Text, nullable=False),
    UniqueConstraint("job_id", "version"),
)

event_rows = Table(
    "events",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("job_id", String(32), ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
    Column("key", String(64), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("source", String(16), nullable=False),
    Column("level", String(16), nullable=False),
    Column("message", Text, nullable=False),
    Column("data", JSON(none_as_null=True)),
    UniqueConstraint("job_id", "key"),
)

metric_rows = Table(
    "metrics",
    metadata,
    Column("job_id", String(32), ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("name", String(64), primary_key=True),
    Column("step", Integer, primary_key=True, autoincrement=False),
    Column("value", Float, nullable=False),
)

checkpoint_rows = Table(
    "checkpoints",
    metadata,
    Column("job_id", String(32), ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("remote_id", String(255), primary_key=True),
    Column("model", Text, nullable=False),
    Column("step", Integer, nullable=False),
    Column("metrics", JSON, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

gate_rows = Table(
    "gates",
    metadata,
    Column("account", String(64), primary_key=True),
    Column("not_before", UtcDateTime),
    Column("failures", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
)

remote_file_rows = Table(
    "remote_files",
    metadata,
    Column("account", String(64), primary_key=True),
    Column("remote_id", String(255), primary_key=True),
    Column("purpose", String(16), nullable=False),
    Column("name", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("bytes", BigInteger),
    Column("digest", String(64)),
    Column("errors", BigInteger, nullable=False),
    Column("warnings", BigInteger, nullable=False),
    Column("note", Text, nullable=False),
    Column("at", UtcDateTime, nullable=False),
)

move_rows = Table(
    "moves",
    metadata,
    Column("job_id", String(32), ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column(
        "source_id",
        String(32),
        ForeignKey("jobs.id", ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
    Column("recipe", JSON, nullable=False),
    Column("recording", String(128)),
    Column("test", String(64)),
    Column("test_file", Text),
    Column("margin", Float, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

model_date_rows = Table(
    "model_dates",
    metadata,
    Column("account", String(64), primary_key=True),
    Column("model", Text, primary_key=True),
    Column("provider", String(32), nullable=False),
    Column("serving_ends", Date),
    Column("training_ends", Date),
    Column("changed_at", UtcDateTime, nullable=False),
    Column("seen_at", UtcDateTime, nullable=False),
)

model_poll_rows = Table(
    "model_polls",
    metadata,
    Column("account", String(64), primary_key=True),
    Column("not_before", UtcDateTime, nullable=False),
    Column("error", Text),
)
