"""The table of spendings."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Column, ForeignKey, Index, String, Table, Text

from orchestrator.store.metadata import UtcDateTime, metadata

# Amounts are whole micro-dollars. `counted` is what a spending takes of its month's budgets.
spending_rows = Table(
    "spendings",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("purpose", String(16), nullable=False),
    Column("profile", String(64), nullable=False),
    Column("month", String(7), nullable=False),
    Column("job_id", String(32), ForeignKey("jobs.id", ondelete="SET NULL")),
    Column("subject", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("reserved", BigInteger),
    Column("estimate", BigInteger),
    Column("actual", BigInteger),
    Column("under_way", BigInteger, nullable=False),
    Column("counted", BigInteger, nullable=False),
    Column("rate", JSON(none_as_null=True)),
    Column("note", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Index(None, "month", "profile"),
    Index(None, "job_id"),
    Index(None, "state"),
)
