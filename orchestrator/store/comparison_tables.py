"""The tables of comparisons, answers, recordings and reports."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
)

from orchestrator.store.metadata import UtcDateTime, metadata

comparison_rows = Table(
    "comparisons",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("job_id", String(32), ForeignKey("jobs.id", ondelete="CASCADE")),
    Column("created_at", UtcDateTime, nullable=False),
    Column("test", String(64), nullable=False),
    Column("config", JSON, nullable=False),
    Column("config_digest", String(64), nullable=False),
    Column("status", String(16), nullable=False),
    Column("result", JSON(none_as_null=True)),
    Index(None, "job_id", "created_at"),
)

answer_rows = Table(
    "answers",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("text", Text, nullable=False),
    Column("finish_reason", String(64)),
    Column("prompt_tokens", Integer, nullable=False),
    Column("cached_tokens", Integer, nullable=False),
    Column("completion_tokens", Integer, nullable=False),
    Column("reasoning_tokens", Integer, nullable=False),
    Column("latency", Float, nullable=False),
    Column("tool_calls", JSON, nullable=False),
    Column("raw", JSON, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

comparison_answer_rows = Table(
    "comparison_answers",
    metadata,
    Column(
        "comparison_id",
        String(32),
        ForeignKey("comparisons.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("arm", String(255), primary_key=True),
    Column("row", Integer, primary_key=True, autoincrement=False),
    Column("answer_key", String(64), ForeignKey("answers.key"), nullable=False),
)

comparison_sample_rows = Table(
    "comparison_samples",
    metadata,
    Column(
        "comparison_id",
        String(32),
        ForeignKey("comparisons.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("row", BigInteger, primary_key=True, autoincrement=False),
    Column("asked", Text, nullable=False),
    Column("reference", Text, nullable=False),
    Column("slice", Text),
)

# One row an arm: a hundred thousand scores are one value, not a hundred thousand inserts.
comparison_score_rows = Table(
    "comparison_scores",
    metadata,
    Column(
        "comparison_id",
        String(32),
        ForeignKey("comparisons.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("arm", String(255), primary_key=True),
    Column("rows", JSON, nullable=False),
    Column("scores", JSON, nullable=False),
)

recording_rows = Table(
    "recordings",
    metadata,
    Column("name", String(128), primary_key=True),
    Column("provider", String(64), nullable=False),
    Column("kind", String(32), nullable=False),
    Column("account", String(64), nullable=False),
    Column("model", Text, nullable=False),
    Column("test", String(64), nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("missing", BigInteger, nullable=False),
    Column("max_tokens", BigInteger, nullable=False),
    Column("finished", Boolean, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("test_file", Text),
    Column("repeats", Integer, nullable=False, server_default="1"),
    Column("temperature", Float, nullable=False, server_default="0"),
)

recorded_answer_rows = Table(
    "recorded_answers",
    metadata,
    Column(
        "recording",
        String(128),
        ForeignKey("recordings.name", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("asked", String(64), primary_key=True),
    Column("answer_key", String(64), ForeignKey("answers.key"), nullable=False),
)

report_rows = Table(
    "reports",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("job_id", String(32), ForeignKey("jobs.id", ondelete="CASCADE")),
    Column(
        "comparison_id",
        String(32),
        ForeignKey("comparisons.id", ondelete="SET NULL"),
        nullable=True,
    ),
    Column("created_at", UtcDateTime, nullable=False),
    Column("verdict", String(32), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("body", JSON, nullable=False),
    Index(None, "job_id", "created_at"),
)
