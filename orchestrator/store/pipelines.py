"""Pipelines: what was done for the spec files that were applied."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import insert, select, update

from orchestrator.domain.jobs.pipeline import History, Step
from orchestrator.store.pipeline_tables import pipeline_rows, pipeline_step_rows
from orchestrator.store.reading import reading

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Engine


class PipelineStore:
    """The port `Pipelines` over SQLAlchemy Core."""

    def __init__(self, engine: Engine) -> None:
        """Take an engine made by `orchestrator.store.database`."""
        self._engine = engine

    def open(self, name: str, source: str, spec: str, at: datetime) -> None:
        """Remember that a spec file of that digest is applied under that name."""
        table = pipeline_rows
        values = {"source": source, "spec": spec, "updated_at": at}
        with self._engine.begin() as connection:
            changed = connection.execute(update(table).where(table.c.name == name).values(values))
            if not changed.rowcount:
                connection.execute(insert(table).values(name=name, created_at=at, **values))

    def bind(self, name: str, step: Step) -> None:
        """Keep a step; the same one again replaces what it came to."""
        table = pipeline_step_rows
        values = {
            "facts": dict(step.facts),
            "job_id": step.job_id,
            "comparison_id": step.comparison_id,
            "result": dict(step.result) if step.result is not None else None,
            "updated_at": step.updated_at,
        }
        key = {"pipeline": name, "step": step.name, "identity": step.identity}
        same = [table.c[column] == value for column, value in key.items()]
        with self._engine.begin() as connection:
            changed = connection.execute(update(table).where(*same).values(values))
            if not changed.rowcount:
                connection.execute(insert(table).values(**key, **values))

    def history(self, name: str) -> History:
        """Every step of a pipeline, oldest first; empty when there is none."""
        table = pipeline_step_rows
        query = (
            select(table).where(table.c.pipeline == name).order_by(table.c.updated_at, table.c.id)
        )
        with reading(self._engine) as connection:
            return History(
                steps=tuple(
                    Step(
                        name=row["step"],
                        identity=row["identity"],
                        facts=row["facts"],
                        job_id=row["job_id"],
                        comparison_id=row["comparison_id"],
                        result=row["result"],
                        updated_at=row["updated_at"],
                    )
                    for row in connection.execute(query).mappings()
                )
            )
