"""New ledgers without a row: migrated once a process, and copied from then on.

Migrating takes longer than most of what tests do with a ledger. That migrations make what they
should is for tests/store to prove.
"""

from __future__ import annotations

import functools
import tempfile
from functools import cached_property
from pathlib import Path

from sqlalchemy import Engine

from orchestrator import wiring
from orchestrator.store import database


class App(wiring.App):
    """The application, over a copy where there is no ledger yet."""

    @cached_property
    def engine(self) -> Engine:
        path = database.sqlite_file(self.settings.database_url)
        if path is not None and not path.exists():
            lay(path)
        return super().engine


def lay(path: Path) -> str:
    """Lay a new ledger there, and tell its URL."""
    database.create_private(path)
    path.write_bytes(_blank())
    return f"sqlite:///{path}"


@functools.cache
def _blank() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ftctl.db"
        database.open_database(f"sqlite:///{path}").dispose()
        return path.read_bytes()
