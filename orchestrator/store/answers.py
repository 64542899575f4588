"""Answers by the content of their request: rows to values and back, shared by every run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite

from orchestrator.domain.chat import ChatAnswer
from orchestrator.store.comparison_tables import answer_rows
from orchestrator.store.reading import reading

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Engine, RowMapping, Table
    from sqlalchemy.engine import Connection

    from orchestrator.domain.comparing.answerbook import Kept

# SQLite takes no more than 32,766 bound values in one statement; older builds 999.
_MOST_BOUND = 500
# The provider's raw answer stays in the database: nothing that reads many answers looks at it.
ANSWER_COLUMNS = tuple(column for column in answer_rows.columns if column.name != "raw")


def cached(engine: Engine, keys: Iterable[str]) -> Mapping[str, ChatAnswer]:
    """Those answers that are known, by key."""
    found: dict[str, ChatAnswer] = {}
    with reading(engine) as connection:
        for some in chunks(sorted(set(keys))):
            rows = connection.execute(select(*ANSWER_COLUMNS).where(answer_rows.c.key.in_(some)))
            found.update({row["key"]: to_answer(row) for row in rows.mappings()})
    return found


def keep_answers(connection: Connection, answers: Sequence[Kept], at: datetime) -> None:
    """Insert the answers that are not there yet."""
    fresh = {kept.key: _to_row(kept.key, kept.answer, at) for kept in answers if not kept.known}
    insert_new(connection, answer_rows, list(fresh.values()))


def insert_new(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    """Insert the rows whose primary key is not there; both databases know how to skip the others."""
    if rows:
        dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
        connection.execute(dialect.insert(table).on_conflict_do_nothing(), rows)


def chunks(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """Values in portions that one statement can bind."""
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


def to_answer(row: RowMapping) -> ChatAnswer:
    """A stored row as the answer it was, without the provider's raw words."""
    return ChatAnswer(
        text=row["text"],
        finish_reason=row["finish_reason"],
        prompt_tokens=row["prompt_tokens"],
        completion_tokens=row["completion_tokens"],
        latency=row["latency"],
        cached_tokens=row["cached_tokens"],
        reasoning_tokens=row["reasoning_tokens"],
        tool_calls=row["tool_calls"],
    )
