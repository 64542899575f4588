"""Moves: which job was made anew from which, and the parity that was fixed for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, select

from orchestrator.domain.jobs.move import Move, ParityPlan
from orchestrator.store.reading import reading
from orchestrator.store.tables import move_rows

if TYPE_CHECKING:
    from sqlalchemy import Engine, RowMapping, Select
    from sqlalchemy.engine import Connection


class SqlMoves:
    """The port `Moves` over SQLAlchemy Core."""

    def __init__(self, engine: Engine) -> None:
        """Take an engine made by `orchestrator.store.database`."""
        self._engine = engine

    def of(self, job_id: str) -> Move | None:
        """The move that made a job; None when it was made from nothing."""
        found = self._read(select(move_rows).where(move_rows.c.job_id == job_id))
        return found[0] if found else None

    def from_job(self, source_id: str) -> list[Move]:
        """The moves that a job was the source of, newest first."""
        return self._read(
            select(move_rows)
            .where(move_rows.c.source_id == source_id)
            .order_by(move_rows.c.created_at.desc(), move_rows.c.job_id)
        )

    def _read(self, query: Select[Any]) -> list[Move]:
        with reading(self._engine) as connection:
            return [_from_row(row) for row in connection.execute(query).mappings()]


def insert_move(connection: Connection, move: Move) -> None:
    """Write a move beside its new job, in the job's own transaction."""
    parity = move.parity
    connection.execute(
        insert(move_rows).values(
            job_id=move.job_id,
            source_id=move.source_id,
            recipe=dict(move.recipe),
            recording=parity.recording,
            test=parity.test,
            test_file=parity.test_file,
            margin=parity.margin,
            digest=parity.digest,
            created_at=move.created_at,
        )
    )


def _from_row(row: RowMapping) -> Move:
    names = ("margin", "recording", "test", "test_file")
    return Move(
        job_id=row["job_id"],
        source_id=row["source_id"],
        recipe=row["recipe"],
        parity=ParityPlan(**{name: row[name] for name in names}),
        created_at=row["created_at"],
    )
