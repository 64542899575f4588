"""Answers by the content of their request: rows to values and back, shared by every run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sqlalchemy import Text, cast, select
from sqlalchemy.dialects import postgresql, sqlite

from orchestrator.domain.chat import ChatAnswer
from orchestrator.store.comparison_tables import answer_rows
from orchestrator.store.reading import reading

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Engine, Table
    from sqlalchemy.engine import Connection

    from orchestrator.domain.comparing.answerbook import Kept

# SQLite takes no more than 32,766 bound values in one statement; older builds 999.
_MOST_BOUND = 500
# What an answer is made of, in the order of `to_answer`. The provider's raw words stay in the
# database: nothing that reads many answers looks at them. Calls come as text, which mostly is "[]".
ANSWER_COLUMNS = (
    answer_rows.c.text,
    answer_rows.c.finish_reason,
    answer_rows.c.prompt_tokens,
    answer_rows.c.completion_tokens,
    answer_rows.c.latency,
    answer_rows.c.cached_tokens,
    answer_rows.c.reasoning_tokens,
    cast(answer_rows.c.tool_calls, Text).label("tool_calls"),
)


def cached(engine: Engine, keys: Iterable[str]) -> Mapping[str, ChatAnswer]:
    """Those answers that are known, by key."""
    found: dict[str, ChatAnswer] = {}
    with reading(engine) as connection:
        for some in chunks(sorted(set(keys))):
            query = select(answer_rows.c.key, *ANSWER_COLUMNS).where(answer_rows.c.key.in_(some))
            found.update({key: to_answer(values) for key, *values in connection.execute(query)})
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


def link(
    connection: Connection, table: Table, names: Sequence[str], rows: Sequence[tuple[Any, ...]]
) -> None:
    """Insert rows of plain values whose primary key is not there: a fifth of `insert_new`'s time.

    Args:
        connection: in a transaction.
        table: none of these columns is JSON or a time.
        names: of the columns.
        rows: values in that order.
    """
    if connection.dialect.name != "sqlite":
        insert_new(connection, table, [dict(zip(names, row, strict=True)) for row in rows])
    elif rows:
        columns, places = ", ".join(f'"{name}"' for name in names), ", ".join("?" for _ in names)
        connection.exec_driver_sql(
            f"INSERT OR IGNORE INTO {table.name} ({columns}) VALUES ({places})",  # noqa: S608
            list(rows),
        )


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


def to_answer(values: Sequence[Any]) -> ChatAnswer:
    """The values of `ANSWER_COLUMNS` as the answer they were, without the provider's raw words."""
    text, reason, prompt, completion, latency, known, reasoning, calls = values
    return ChatAnswer(
        text=text,
        finish_reason=reason,
        prompt_tokens=prompt,
        completion_tokens=completion,
        latency=latency,
        cached_tokens=known,
        reasoning_tokens=reasoning,
        tool_calls=() if calls == "[]" else json.loads(calls),
    )
