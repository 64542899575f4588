"""Comparisons, the answers they share, and reports: rows to values and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, insert, select, update

from orchestrator.domain.canonical import digest
from orchestrator.domain.comparing.answerbook import Earlier, KeptReport, ScoredRow, Scores
from orchestrator.domain.comparing.comparison import Comparison
from orchestrator.domain.errors import UsageError
from orchestrator.domain.ids import new_id
from orchestrator.store.answers import (
    ANSWER_COLUMNS,
    cached,
    chunks,
    keep_answers,
    link,
    to_answer,
)
from orchestrator.store.comparison_tables import (
    answer_rows,
    comparison_answer_rows,
    comparison_rows,
    comparison_sample_rows,
    comparison_score_rows,
    report_rows,
)
from orchestrator.store.reading import reading

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement, Engine, Select

    from orchestrator.domain.chat import ChatAnswer
    from orchestrator.domain.comparing.answerbook import Kept

_RUNNING, _DONE = "running", "done"
_MOST_SAMPLES, _MOST_LETTERS = 500, 4_000_000


class ComparisonStore:
    """The port `Comparisons` over SQLAlchemy Core."""

    def __init__(self, engine: Engine) -> None:
        """Take an engine made by `orchestrator.store.database`."""
        self._engine = engine

    def begin(
        self, comparison: str, job_id: str | None, at: datetime, config: Mapping[str, Any]
    ) -> str:
        """Commit the plan before the first call; an unfinished run of the same plan is taken up."""
        plan = digest(config)
        same = select(comparison_rows.c.id).where(
            _of_job(job_id),
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

    def earlier(self, job_id: str | None, test: str) -> list[Earlier]:
        """Finished comparisons of a job (of none when None) on the same rows, oldest first."""
        query = (
            select(comparison_rows.c.id, comparison_rows.c.config)
            .where(
                _of_job(job_id),
                comparison_rows.c.test == test,
                comparison_rows.c.status == _DONE,
            )
            .order_by(comparison_rows.c.created_at, comparison_rows.c.id)
        )
        with reading(self._engine) as connection:
            return [
                Earlier(
                    identity,
                    config.get("margin"),
                    frozenset((arm[0], arm[1]) for arm in config.get("arms", ())),
                )
                for identity, config in connection.execute(query)
            ]

    def cached(self, keys: Iterable[str]) -> Mapping[str, ChatAnswer]:
        """Those answers that are known, by key."""
        return cached(self._engine, keys)

    def keep(self, run: str | None, answers: Iterable[Kept], at: datetime) -> None:
        """Keep answers and link them to a comparison; a known key is only linked."""
        kept = list(answers)
        with self._engine.begin() as connection:
            keep_answers(connection, kept, at)
            if run is not None:
                names = ("comparison_id", "arm", "row", "answer_key")
                links = [(run, arm, row, key) for arm, row, key, *_ in kept]
                link(connection, comparison_answer_rows, names, links)

    def keep_scores(
        self,
        comparison: str,
        samples: Iterable[ScoredRow],
        scores: Mapping[str, Scores],
    ) -> None:
        """Keep what was graded; a run that is taken up again replaces what it kept before."""
        with self._engine.begin() as connection:
            for table in (comparison_sample_rows, comparison_score_rows):
                connection.execute(delete(table).where(table.c.comparison_id == comparison))
            for some in _portions(samples):
                rows = [{"comparison_id": comparison, **_storable(s)} for s in some]
                connection.execute(insert(comparison_sample_rows), rows)
            for arm, found in scores.items():
                connection.execute(
                    insert(comparison_score_rows).values(
                        comparison_id=comparison,
                        arm=arm,
                        rows=list(found.rows),
                        scores=list(found.values),
                    )
                )

    def samples(self, comparison: str, rows: Sequence[int] | None = None) -> list[ScoredRow]:
        """The samples of a comparison, by row; all of them, or those of `rows`."""
        table = comparison_sample_rows
        query = select(table).where(table.c.comparison_id == comparison).order_by(table.c.row)
        queries = (
            [query] if rows is None else [query.where(table.c.row.in_(s)) for s in chunks(rows)]
        )
        with reading(self._engine) as connection:
            return [
                ScoredRow(found["row"], found["asked"], found["reference"], found["slice"])
                for some in queries
                for found in connection.execute(some).mappings()
            ]

    def scores(self, comparison: str) -> dict[str, dict[int, float]]:
        """The scores of a comparison, by arm and row."""
        table = comparison_score_rows
        query = select(table).where(table.c.comparison_id == comparison)
        with reading(self._engine) as connection:
            return {
                found["arm"]: dict(zip(found["rows"], found["scores"], strict=True))
                for found in connection.execute(query).mappings()
            }

    def finish(self, comparison: str, result: Mapping[str, Any]) -> None:
        """Store the result."""
        with self._engine.begin() as connection:
            connection.execute(
                update(comparison_rows)
                .where(comparison_rows.c.id == comparison)
                .values(status=_DONE, result=dict(result))
            )

    def find(self, prefix: str) -> Comparison:
        """The one finished comparison whose id starts with `prefix`, or the newest of that job.

        Raises:
            UsageError: none, or more than one.
        """
        found = self._finished(
            select(comparison_rows.c.result)
            .where(comparison_rows.c.id.startswith(prefix.lower(), autoescape=True))
            .limit(2)
        ) or self._newest(prefix)
        if not found:
            raise UsageError(
                f"There is no finished comparison '{prefix}'.", hint="ftctl compare JOB --test FILE"
            )
        if len(found) > 1:
            raise UsageError(
                f"More than one comparison or job starts with '{prefix}'.", hint="more of its id"
            )
        return found[0]

    def _newest(self, prefix: str) -> list[Comparison]:
        """The newest of each job whose id starts so; two of them at most."""
        jobs = (
            select(comparison_rows.c.job_id)
            .where(comparison_rows.c.job_id.startswith(prefix.lower(), autoescape=True))
            .where(comparison_rows.c.status == _DONE)
            .distinct()
            .limit(2)
        )
        with reading(self._engine) as connection:
            found = connection.execute(jobs).scalars().all()
        return [newest for job in found if (newest := self.latest(job))]

    def all(self, job_id: str | None = None) -> list[Comparison]:
        """Finished comparisons, newest first."""
        query = select(comparison_rows.c.result).order_by(
            comparison_rows.c.created_at.desc(), comparison_rows.c.id.desc()
        )
        if job_id is not None:
            query = query.where(comparison_rows.c.job_id == job_id)
        return self._finished(query)

    def page(
        self, *, first: int, many: int, job_id: str | None = None
    ) -> tuple[list[Comparison], int]:
        """Some finished comparisons, newest first, and how many there are in all."""
        of_job = () if job_id is None else (comparison_rows.c.job_id == job_id,)
        found = self._finished(
            select(comparison_rows.c.result)
            .where(*of_job)
            .order_by(comparison_rows.c.created_at.desc(), comparison_rows.c.id.desc())
            .offset(first)
            .limit(many)
        )
        count = select(func.count()).where(comparison_rows.c.status == _DONE, *of_job)
        with reading(self._engine) as connection:
            return found, int(connection.execute(count).scalar_one())

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
            select(comparison_answer_rows.c.row, *ANSWER_COLUMNS)
            .join(answer_rows, answer_rows.c.key == comparison_answer_rows.c.answer_key)
            .where(
                comparison_answer_rows.c.comparison_id == comparison,
                comparison_answer_rows.c.arm == arm,
            )
        )
        queries = (
            [query]
            if rows is None
            else [query.where(comparison_answer_rows.c.row.in_(some)) for some in chunks(rows)]
        )
        with reading(self._engine) as connection:
            return {
                row: to_answer(values)
                for some in queries
                for row, *values in connection.execute(some)
            }

    def keep_report(self, report: Mapping[str, Any], comparison: str | None, at: datetime) -> None:
        """Append a report as it was written."""
        with self._engine.begin() as connection:
            connection.execute(
                insert(report_rows).values(
                    id=new_id(),
                    job_id=report["job"]["id"] if report["job"] else None,
                    comparison_id=comparison,
                    created_at=at,
                    verdict=report["verdict"],
                    digest=digest(report),
                    body=dict(report),
                )
            )

    def reports(
        self, *, first: int, many: int, job_id: str | None = None
    ) -> tuple[list[KeptReport], int]:
        """Some reports that were written, newest first, and how many there are in all."""
        of_job = () if job_id is None else (report_rows.c.job_id == job_id,)
        columns = [report_rows.c[name] for name in KeptReport._fields]
        query = (
            select(*columns)
            .where(*of_job)
            .order_by(report_rows.c.created_at.desc(), report_rows.c.id.desc())
            .offset(first)
            .limit(many)
        )
        count = select(func.count()).select_from(report_rows).where(*of_job)
        with reading(self._engine) as connection:
            found = [KeptReport(**row) for row in connection.execute(query).mappings()]
            return found, int(connection.execute(count).scalar_one())

    def report(self, report_id: str) -> Mapping[str, Any]:
        """A report as it was written.

        Raises:
            UsageError: there is none of that id.
        """
        query = select(report_rows.c.body).where(report_rows.c.id == report_id)
        with reading(self._engine) as connection:
            body: Mapping[str, Any] | None = connection.execute(query).scalar()
        if body is None:
            raise UsageError(f"There is no report '{report_id}'.", hint="ftctl report JOB")
        return body

    def _finished(self, query: Select[Any]) -> list[Comparison]:
        with reading(self._engine) as connection:
            found = connection.execute(query.where(comparison_rows.c.status == _DONE)).scalars()
            return [Comparison.from_json(result) for result in found]


def _of_job(job_id: str | None) -> ColumnElement[bool]:
    # SQL knows no equality with nothing; SQLAlchemy writes IS NULL for it.
    return comparison_rows.c.job_id == job_id


def _portions(samples: Iterable[ScoredRow]) -> Iterator[list[ScoredRow]]:
    """A few hundred at once, and fewer where their texts are long."""
    some: list[ScoredRow] = []
    letters = 0
    for sample in samples:
        some.append(sample)
        letters += len(sample.asked) + len(sample.reference)
        if len(some) == _MOST_SAMPLES or letters > _MOST_LETTERS:
            yield some
            some, letters = [], 0
    if some:
        yield some


def _storable(sample: ScoredRow) -> dict[str, Any]:
    # A lone surrogate is legal in JSON and cannot be stored as text.
    return {
        name: value.encode("utf-8", "replace").decode("utf-8") if isinstance(value, str) else value
        for name, value in sample._asdict().items()
    }
