"""Recordings: a model's answers, frozen on a sample set."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from sqlalchemy import insert, select, update

from orchestrator.domain.comparing.answerbook import Recording
from orchestrator.domain.errors import UsageError
from orchestrator.store.answers import (
    ANSWER_COLUMNS,
    cached,
    keep_answers,
    link,
    to_answer,
)
from orchestrator.store.comparison_tables import (
    answer_rows,
    recorded_answer_rows,
    recording_rows,
)
from orchestrator.store.reading import reading

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from sqlalchemy import Engine

    from orchestrator.domain.chat import ChatAnswer
    from orchestrator.domain.comparing.answerbook import Kept


class RecordingStore:
    """The port `Recordings` over SQLAlchemy Core."""

    def __init__(self, engine: Engine) -> None:
        """Take an engine made by `orchestrator.store.database`."""
        self._engine = engine

    def open(self, recording: Recording) -> Recording:
        """Begin a recording, or take up the one of that name.

        Raises:
            UsageError: the name belongs to another model, provider or sample set.
        """
        with self._engine.begin() as connection:
            query = select(recording_rows).where(recording_rows.c.name == recording.name)
            found = connection.execute(query).mappings().first()
            if found is None:
                connection.execute(insert(recording_rows).values(**asdict(recording)))
                return recording
        known = Recording(**found)
        same = replace(
            recording,
            created_at=known.created_at,
            finished=known.finished,
            test_file=known.test_file,
        )
        if replace(same, rows=known.rows, missing=known.missing) != known:
            raise UsageError(
                f"The recording '{known.name}' holds {known.model} of {known.provider} on other "
                "rows or settings.",
                hint="choose another --name",
            )
        return known

    def close(self, name: str, rows: int, missing: int) -> Recording:
        """Every sample was asked."""
        with self._engine.begin() as connection:
            connection.execute(
                update(recording_rows)
                .where(recording_rows.c.name == name)
                .values(rows=rows, missing=missing, finished=True)
            )
        return self.get(name)

    def get(self, name: str) -> Recording:
        """A recording by its name.

        Raises:
            UsageError: there is none.
        """
        for recording in self.all():
            if recording.name == name:
                return recording
        known = ", ".join(recording.name for recording in self.all()) or "none yet"
        raise UsageError(
            f"There is no recording '{name}'; known are: {known}.",
            hint="ftctl record MODEL --provider P --test test.jsonl --name NAME",
        )

    def all(self) -> list[Recording]:
        """Newest first."""
        query = select(recording_rows).order_by(
            recording_rows.c.created_at.desc(), recording_rows.c.name
        )
        with reading(self._engine) as connection:
            return [Recording(**row) for row in connection.execute(query).mappings()]

    def frozen(self, name: str) -> dict[str, ChatAnswer]:
        """The answers, by the digest of what was asked."""
        query = (
            select(recorded_answer_rows.c.asked, *ANSWER_COLUMNS)
            .join(answer_rows, answer_rows.c.key == recorded_answer_rows.c.answer_key)
            .where(recorded_answer_rows.c.recording == name)
        )
        with reading(self._engine) as connection:
            return {asked: to_answer(values) for asked, *values in connection.execute(query)}

    def cached(self, keys: Iterable[str]) -> Mapping[str, ChatAnswer]:
        """Those answers that are known, by key."""
        return cached(self._engine, keys)

    def keep(self, run: str | None, answers: Iterable[Kept], at: datetime) -> None:
        """Keep answers and link them to a recording, by the conversation that was asked."""
        kept = list(answers)
        with self._engine.begin() as connection:
            keep_answers(connection, kept, at)
            if run is not None:
                names = ("recording", "asked", "answer_key")
                links = [(run, each.asked, each.key) for each in kept]
                link(connection, recorded_answer_rows, names, links)
