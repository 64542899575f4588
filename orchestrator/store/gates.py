"""Gates: which accounts may be asked now, shared by every process."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select
from sqlalchemy.exc import IntegrityError

from orchestrator.domain.ledger import Gate
from orchestrator.store.reading import reading
from orchestrator.store.tables import gate_rows

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Engine


class SqlGates:
    """The port `Gates` over SQLAlchemy Core."""

    def __init__(self, engine: Engine) -> None:
        """Take an engine made by `orchestrator.store.database`."""
        self._engine = engine

    def get(self, account: str) -> Gate | None:
        """The account's gate; None when nothing ever went wrong there."""
        query = select(gate_rows).where(gate_rows.c.account == account)
        with reading(self._engine) as connection:
            row = connection.execute(query).mappings().first()
        if row is None:
            return None
        return Gate(**{name: value for name, value in row.items() if name != "updated_at"})

    def put(self, gate: Gate, at: datetime) -> None:
        """Replace it. Of two processes that do so at once, either may win."""
        with contextlib.suppress(IntegrityError), self._engine.begin() as connection:
            connection.execute(delete(gate_rows).where(gate_rows.c.account == gate.account))
            connection.execute(insert(gate_rows).values(**vars(gate), updated_at=at))
