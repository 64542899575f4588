"""Nothing: the audit trail of adapters lies with the adapters (docs/decisions/0006)."""

from __future__ import annotations

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """No table is needed."""


def downgrade() -> None:
    """No table was made."""
