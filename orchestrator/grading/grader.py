"""The ports of graders: from an answer to a score, at once or by asking a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from orchestrator.domain.chat import ChatAnswer
    from orchestrator.domain.comparing.sample import Sample


@dataclass(frozen=True, kw_only=True)
class Score:
    """What an answer earned.

    Attributes:
        value: between 0 and 1; None when the answer could not be graded, which is never a zero.
        passed: for graders that say yes or no.
        reason: one sentence for a person who reads the row.
        flipped: for a judge that looks twice: whether the second look said something else.
        first: verdicts for the answer that came first, `sided` verdicts for either of two.
        sums: what this answer adds to a metric of the whole set; empty where there is none.
    """

    value: float | None
    passed: bool | None = None
    reason: str = ""
    flipped: bool | None = None
    first: int = 0
    sided: int = 0
    sums: Sequence[int] = ()


@dataclass(frozen=True, kw_only=True)
class Item:
    """An answer and the sample it answers."""

    sample: Sample
    answer: ChatAnswer

    @property
    def text(self) -> str:
        """What is graded: the text, or the tool calls as one line of JSON."""
        return self.answer.said


class Grader(Protocol):
    """What scores one answer.

    Attributes:
        name: of the metric, as in reports.
    """

    @property
    def name(self) -> str:
        """Of the metric, as in reports."""
        ...

    def grade(self, answer: str, reference: str) -> Score:
        """The score of one answer."""
        ...


@runtime_checkable
class ItemGrader(Protocol):
    """A grader that looks at more than two texts."""

    def grade_item(self, item: Item) -> Score:
        """The score of one answer to one sample."""
        ...


@runtime_checkable
class CorpusGrader(Protocol):
    """A grader whose scores carry sums, from which follows a metric of the whole set.

    Attributes:
        corpus_name: of that metric, as in reports.
    """

    @property
    def corpus_name(self) -> str:
        """Of the metric of the whole set, as in reports."""
        ...

    def corpus(self, sums: Sequence[float]) -> float:
        """Between 0 and 1, from the sums over all rows."""
        ...


@runtime_checkable
class ModelGrader(Protocol):
    """A grader that asks a model. Its questions go through the same engine as every other call.

    Attributes:
        model: in the provider's words; `profile` who answers, the job's provider when None.
        looks: how many questions it asks about one answer.
    """

    @property
    def model(self) -> str:
        """In the provider's words."""
        ...

    @property
    def profile(self) -> str | None:
        """Who answers; the job's provider when None."""
        ...

    @property
    def looks(self) -> int:
        """How many questions it asks about one answer."""
        ...

    def question(self, item: Item, look: int) -> Sequence[Mapping[str, Any]]:
        """The messages of one question."""
        ...

    def conclude(self, item: Item, replies: Sequence[str]) -> Score:
        """The score that follows from every reply."""
        ...


def scorer(grader: Grader) -> Callable[[Item], Score]:
    """How a grader that asks nobody scores; looked up once, not once an answer."""
    if isinstance(grader, ItemGrader):
        return grader.grade_item
    return lambda item: grader.grade(item.text, item.sample.reference)


def score(grader: Grader, item: Item) -> Score:
    """What a grader that asks nobody gives."""
    return scorer(grader)(item)
