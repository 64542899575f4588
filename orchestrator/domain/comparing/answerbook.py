"""The ports behind a comparison: where answers, comparisons, recordings and reports are kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from orchestrator.domain.chat import ChatAnswer
    from orchestrator.domain.comparing.comparison import Comparison


class Kept(NamedTuple):
    """An answer on its way into the store.

    Attributes:
        arm: what was asked, by name; `row` the sample.
        key: digest of the whole request, under which the answer is found again.
        asked: digest of the sample's own conversation and the repeat, whoever is asked.
        known: it was found in the store, so that it is only linked.
    """

    arm: str
    row: int
    key: str
    answer: ChatAnswer
    asked: str = ""
    known: bool = False


class AnswerStore(Protocol):
    """Where answers are kept by the content of their request. Every method is one transaction."""

    def cached(self, keys: Iterable[str]) -> Mapping[str, ChatAnswer]:
        """Those answers that are known, by key."""
        ...

    def keep(self, run: str | None, answers: Iterable[Kept], at: datetime) -> None:
        """Keep answers and link them to a run; a known key is only linked."""
        ...


class ScoredRow(NamedTuple):
    """A sample as it was graded, to be read later when the file may be gone."""

    row: int
    asked: str
    reference: str
    slice: str | None


class Scores(NamedTuple):
    """What one arm earned: row numbers, and the score of each."""

    rows: Sequence[int]
    values: Sequence[float]


class Earlier(NamedTuple):
    """A finished comparison of the same rows, and the margin it was given.

    Attributes:
        arms: name and model of each of its arms.
    """

    id: str
    margin: float | None
    arms: frozenset[tuple[str, str]]


class KeptReport(NamedTuple):
    """A report that was written, without its body."""

    id: str
    job_id: str | None
    created_at: datetime
    verdict: str


class Comparisons(AnswerStore, Protocol):
    """Where comparisons and reports are kept. Every method is one transaction."""

    def begin(
        self, comparison: str, job_id: str | None, at: datetime, config: Mapping[str, Any]
    ) -> str:
        """Commit the plan before the first call; an unfinished run of the same plan is taken up.

        Args:
            comparison: its id, should it be a new one.
            job_id: whose tuned model is measured; None when no job is.
            at: when it begins.
            config: the whole plan.

        Returns:
            The id of the comparison: the one given, or that of the unfinished run.
        """
        ...

    def earlier(self, job_id: str | None, test: str) -> Sequence[Earlier]:
        """Finished comparisons of a job (of none when None) on the same rows, oldest first."""
        ...

    def keep_scores(
        self,
        comparison: str,
        samples: Iterable[ScoredRow],
        scores: Mapping[str, Scores],
    ) -> None:
        """Keep what was graded: the samples, and each arm's scores by row."""
        ...

    def samples(self, comparison: str, rows: Sequence[int] | None = None) -> Sequence[ScoredRow]:
        """The samples of a comparison, by row; all of them, or those of `rows`."""
        ...

    def scores(self, comparison: str) -> Mapping[str, Mapping[int, float]]:
        """The scores of a comparison, by arm and row."""
        ...

    def finish(self, comparison: str, result: Mapping[str, Any]) -> None:
        """Store the result."""
        ...

    def find(self, prefix: str) -> Comparison:
        """The one finished comparison whose id starts with `prefix`.

        Raises:
            UsageError: none, or more than one.
        """
        ...

    def all(self, job_id: str | None = None) -> Sequence[Comparison]:
        """Finished comparisons, newest first."""
        ...

    def latest(self, job_id: str) -> Comparison | None:
        """The newest finished comparison of a job."""
        ...

    def answers(
        self, comparison: str, arm: str, rows: Sequence[int] | None = None
    ) -> Mapping[int, ChatAnswer]:
        """The answers of an arm, by row; all of them, or those to `rows`."""
        ...

    def keep_report(self, report: Mapping[str, Any], comparison: str | None, at: datetime) -> None:
        """Append a report as it was written."""
        ...


@dataclass(frozen=True, kw_only=True)
class Recording:
    """A model's answers, frozen on a sample set.

    Attributes:
        name: by which `recorded:NAME` finds it.
        provider: profile that answered; `kind` what drives it, by which prices are found.
        test: digest of the samples.
        rows: samples that were answered; `missing` those that were not.
        finished: whether every sample was asked.
        repeats: how often each sample was asked, at that `temperature`.
        test_file: where the samples lay when they were asked.
    """

    name: str
    provider: str
    kind: str
    account: str
    model: str
    test: str
    rows: int
    missing: int
    created_at: datetime
    max_tokens: int
    finished: bool = False
    repeats: int = 1
    temperature: float = 0.0
    test_file: str | None = None


class Recordings(AnswerStore, Protocol):
    """Where recordings are kept. Every method is one transaction."""

    def open(self, recording: Recording) -> Recording:
        """Begin a recording, or take up the one of that name.

        Raises:
            UsageError: the name belongs to another model, provider or sample set.
        """
        ...

    def close(self, name: str, rows: int, missing: int) -> Recording:
        """Every sample was asked."""
        ...

    def get(self, name: str) -> Recording:
        """A recording by its name.

        Raises:
            UsageError: there is none.
        """
        ...

    def all(self) -> Sequence[Recording]:
        """Newest first."""
        ...

    def frozen(self, name: str) -> Mapping[str, ChatAnswer]:
        """The answers, by the digest of what was asked."""
        ...
