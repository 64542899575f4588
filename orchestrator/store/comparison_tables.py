"""The tables of comparisons, answers and reports."""

from __future__ import annotations

from sqlalchemy import JSON, Column, Float, ForeignKey, Index, Integer, String, Table, Text

from orchestrator.store.metadata import UtcDateTime, metadata

comparison_rows = Table(
    "comparisons",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("job_id", String(32), ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
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

report_rows = Table(
    "reports",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("job_id", String(32), ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
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
