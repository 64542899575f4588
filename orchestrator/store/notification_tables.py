"""The tables of what is told to others, and of webhooks that came."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Index, Integer, String, Table, Text

from orchestrator.store.metadata import UtcDateTime, metadata

subscriber_rows = Table(
    "notification_subscribers",
    metadata,
    Column("name", String(64), primary_key=True),
    # Every transition up to this one is either told or older than the subscription.
    Column("after_transition", Integer, nullable=False),
    # The receiver asked to be left alone until then.
    Column("not_before", UtcDateTime),
)

notification_rows = Table(
    "notifications",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("subscriber", String(64), nullable=False),
    Column("job_id", String(32), ForeignKey("jobs.id", ondelete="CASCADE")),
    Column("topic", String(32), nullable=False),
    Column("body", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_at", UtcDateTime),
    Column("delivered_at", UtcDateTime),
    Column("last", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Index(None, "state", "subscriber"),
    Index(None, "created_at"),
)

webhook_rows = Table(
    "webhooks",
    metadata,
    Column("account", String(64), primary_key=True),
    Column("id", String(255), primary_key=True),
    Column("type", String(64), nullable=False),
    Column("remote_id", String(255), nullable=False),
    Column("received_at", UtcDateTime, nullable=False),
    Index(None, "received_at"),
)
