"""Reading without standing in a writer's way."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.engine import Connection


def reading(engine: Engine) -> Connection:
    """A connection that takes no write lock."""
    return engine.connect().execution_options(ftctl_readonly=True)
