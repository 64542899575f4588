"""Comparisons, the answers they share, and reports: rows to values and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, select, update

from orchestrator.domain.chat import ChatAnswer
from orchestrator.domain.comparison import Comparison, digest
from orchestrator.domain.errors import UsageError
from orchestrator.domain.ids import new_id
from orchestrator.store.comparison_tables import (
    answer_rows,
    comparison_answer_rows,
    comparison_rows,
    report_rows,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Engine, RowMapping, Select, Table
    from sqlalchemy.engine import Connection

_RUNNING, _DONE = "running", "done"
# SQLite takes no more than 32,766 bound values in one statement; older builds 999.
_MOST_BOUND = 500


class ComparisonStore:
    """The port `Comparisons` over SQLAlchemy Core."""

    def __init__(self, engine: Engine) -> None:
        """Take an engine made by `orchestrator.store.database`."""
        self._engine = engine

    def begin(self, comparison: str, job_id: str, at: datetime, config: Mapping[str, Any]) -> str:
        """Commit the plan before the first call; an unfinished run of the same plan is taken up."""
        plan = digest(config)
        same = select(comparison_rows.c.id).where(
            comparison_rows.c.job_id == job_id,
            comparison_rows.c.config_digest == plan,
            comparison_rows.c.status == _RUNNING,
        )
        with self._engine.begin() as connection:
            unfinished = connection.execute(same.limit(1)).scalar()
            if unfinished is not None:
                return str(unfinished)
            connection.execute(
                insert(comparison_rows).values(
                    id=comparison,
                    job_id=job_id,
                    created_at=at,
                    test=str(config.get("test", "")),
                    config=dict(config),
                    config_digest=plan,
                    status=_RUNNING,
                )
            )
        return comparison

    def cached(self, keys: Iterable[str]) -> Mapping[str, ChatAnswer]:
        """Those answers that are known, by key."""
        found: dict[str, ChatAnswer] = {}
        with self._reading() as connection:
            for some in _chunks(sorted(set(keys))):
                rows = connection.execute(select(answer_rows).where(answer_rows.c.key.in_(some)))
                found.update({row["key"]: _to_answer(row) for row in rows.mappings()})
        return found

    def keep(
        self, comparison: str, answers: Iterable[tuple[str, int, str, ChatAnswer]], at: datetime
    ) -> None:
        """Keep answers as (arm, row, key, answer); a known key is only linked."""
        kept = list(answers)
        links = [
            {"comparison_id": comparison, "arm": arm, "row": row, "answer_key": key}
            for arm, row, key, _ in kept
        ]
        fresh = {key: _to_row(key, answer, at) for _, _, key, answer in kept}
        with self._engine.begin() as connection:
            _insert_new(connection, answer_rows, list(fresh.values()))
            _insert_new(connection, comparison_answer_rows, links)

    def finish(self, comparison: str, result: Mapping[str, Any]) -> None:
        """Store the result."""
        with self._engine.begin() as connection:
            connection.execute(
                update(comparison_rows)
                .where(comparison_rows.c.id == comparison)
                .values(status=_DONE, result=dict(result))
            )

    def find(self, prefix: str) -> Comparison:
        """The one finished comparison whose id starts with `prefix`.

        Raises:
            UsageError: none, or more than one.
        """
        found = self._finished(
            select(comparison_rows.c.result)
            .where(comparison_rows.c.id.startswith(prefix.lower(), autoescape=True))
            .limit(2)
        )
        if not found:
            raise UsageError(
                f"There is no finished comparison '{prefix}'.", hint="ftctl compare JOB --test FILE"
            )
        if len(found) > 1:
            raise UsageError(f"More than one comparison starts with '{prefix}'.")
        return found[0]

    def latest(self, job_id: str) -> Comparison | None:
        """The newest finished comparison of a job."""
        found = self._finished(
            select(comparison_rows.c.result)
            .where(comparison_rows.c.job_id == job_id)
            .order_by(comparison_rows.c.created_at.desc(), comparison_rows.c.id.desc())
            .limit(1)
        )
        return found[0] if found else None

    def answers(
        self, comparison: str, arm: str, rows: Sequence[int] | None = None
    ) -> Mapping[int, ChatAnswer]:
        """The answers of an arm, by row; all of them, or those to `rows`."""
        query = (
            select(comparison_answer_rows.c.row, answer_rows)
            .join(answer_rows, answer_rows.c.key == comparison_answer_rows.c.answer_key)
            .where(
                comparison_answer_rows.c.comparison_id == comparison,
                comparison_answer_rows.c.arm == arm,
            )
        )
        queries = (
            [query]
            if rows is None
            else [query.where(comparison_answer_rows.c.row.in_(some)) for some in _chunks(rows)]
        )
        with self._reading() as connection:
            return {
                found["row"]: _to_answer(found)
                for some in queries
                for found in connection.execute(some).mappings()
            }

    def keep_report(self, report: Mapping[str, Any], comparison: str | None, at: datetime) -> None:
        """Append a report as it was written."""
        with self._engine.begin() as connection:
            connection.execute(
                insert(report_rows).values(
                    id=new_id(),
                    job_id=report["job"]["id"],
                    comparison_id=comparison,
                    created_at=at,
                    verdict=report["verdict"],
                    digest=digest(report),
                    body=dict(report),
                )
            )

    def _finished(self, query: Select[Any]) -> list[Comparison]:
        with self._reading() as connection:
            found = connection.execute(query.where(comparison_rows.c.status == _DONE)).scalars()
            return [Comparison.from_json(result) for result in found]

    def _reading(self) -> Connection:
        return self._engine.connect().execution_options(ftctl_readonly=True)


def _insert_new(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    """Insert the rows whose primary key is not there; portable, for the write lock is ours."""
    keys = [column.name for column in table.primary_key]
    there: set[tuple[Any, ...]] = set()
    first, last = table.c[keys[0]], table.c[keys[-1]]
    for some in _chunks(sorted({row[keys[-1]] for row in rows})):
        query = select(*(table.c[name] for name in keys)).where(last.in_(some))
        if len(keys) > 1:
            query = query.where(first == rows[0][keys[0]])
        there.update(tuple(found) for found in connection.execute(query))
    fresh = {tuple(row[name] for name in keys): row for row in rows}
    new = [row for key, row in fresh.items() if key not in there]
    if new:
        connection.execute(insert(table), new)


def _chunks(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(values), _MOST_BOUND):
        yield values[start : start + _MOST_BOUND]


def _to_row(key: str, answer: ChatAnswer, at: datetime) -> dict[str, Any]:
    return {
        "key": key,
        # A lone surrogate is legal in JSON and cannot be stored as text.
        "text": answer.text.encode("utf-8", "replace").decode("utf-8"),
        "finish_reason": answer.finish_reason,
        "prompt_tokens": answer.prompt_tokens,
        "cached_tokens": answer.cached_tokens,
        "completion_tokens": answer.completion_tokens,
        "reasoning_tokens": answer.reasoning_tokens,
        "latency": answer.latency,
        "tool_calls": [dict(call) for call in answer.tool_calls],
        "raw": dict(answer.raw),
        "created_at": at,
    }


def _to_answer(row: RowMapping) -> ChatAnswer:
    return ChatAnswer(
        text=row["text"],
        finish_reason=row["finish_reason"],
        prompt_tokens=row["prompt_tokens"],
        completion_tokens=row["completion_tokens"],
        latency=row["latency"],
        cached_tokens=row["cached_tokens"],
        reasoning_tokens=row["reasoning_tokens"],
        tool_calls=row["tool_calls"],
        raw=row["raw"],
    )
