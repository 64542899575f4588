"""Alembic's entry: the connection is handed in, already inside its transaction."""

from __future__ import annotations

from alembic import context

from orchestrator.store import (
    comparison_tables,
    deployment_tables,
    notification_tables,
    pipeline_tables,
    spending_tables,
    tables,
)
from orchestrator.store.metadata import metadata

# Imported for what they add to `metadata`.
_TABLES = (
    tables,
    comparison_tables,
    deployment_tables,
    notification_tables,
    pipeline_tables,
    spending_tables,
)

connection = context.config.attributes["connection"]
if connection is None:
    raise SystemExit("Run `ftctl db upgrade`: migrations need ftctl's own connection.")
context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
context.run_migrations()
