"""A spec whose data is valid, against what was done before: what applying it would do and spend."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from orchestrator.domain.canonical import digest
from orchestrator.domain.jobs.pipeline import StepState

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from orchestrator.domain.comparing.comparison import Comparison
    from orchestrator.domain.jobs.spec import Spec
    from orchestrator.specs.document import Document
    from orchestrator.usecases.pipelines.measurements import Rehearsal
    from orchestrator.usecases.pipelines.sweep import Choice
    from orchestrator.usecases.pipelines.trainings import Training


@dataclass(frozen=True, kw_only=True)
class PlannedComparison:
    """A comparison, and what applying would do about it."""

    rehearsal: Rehearsal
    state: StepState
    why: Sequence[str] = ()
    result: Comparison | None = None


@dataclass(frozen=True, kw_only=True)
class PipelinePlan:
    """A spec whose data is valid and whose arms can be made, against what was done before.

    Attributes:
        trainings: by task, in the order of the file; the mixed one last.
        comparisons: by task; the mixed adapter's after the task's own.
        choices: of sweeps that were chosen already, by task.
        choosing_usd: dollars for sweeps that choose by asking; None when a price is not known.
    """

    spec: Spec
    account: str | None
    trainings: Sequence[Training]
    comparisons: Sequence[PlannedComparison]
    choices: Mapping[str, Choice] = field(default_factory=dict)
    choosing_usd: float | None = 0.0
    warnings: Sequence[str] = ()

    @property
    def training_usd(self) -> float | None:
        """Dollars for trainings that would start; None when a price is not known."""
        return total(t.plan.estimate_json()["usd"] for t in self.trainings if t.state.is_to_do)

    @property
    def committed_usd(self) -> float | None:
        """Dollars for trainings that were asked for before."""
        asked = [t.job for t in self.trainings if t.job is not None]
        return total(job.estimate_usd for job in asked)

    @property
    def comparing_usd(self) -> float | None:
        """Dollars for comparisons that are not done."""
        return total(c.rehearsal.usd for c in self.comparisons if c.state is not StepState.EXISTS)

    @property
    def usd(self) -> float | None:
        """Everything that applying would spend; None when a price is not known."""
        return total([self.training_usd, self.choosing_usd, self.comparing_usd])

    @property
    def spent_usd(self) -> float | None:
        """Dollars that this file has cost already: trainings by estimate, comparisons by answers."""
        compared = [worth(c.result) for c in self.comparisons if c.result is not None]
        return total([self.committed_usd, *compared])

    def fits(self, limit: float | None, *, allow_unpriced: bool = False) -> bool:
        """Whether everything together stays within so many dollars.

        Args:
            limit: dollars; None for no limit.
            allow_unpriced: what has no price counts as nothing; else it never fits.
        """
        if limit is None:
            return True
        amounts = [
            *(t.job.estimate_usd for t in self.trainings if t.job is not None),
            *(worth(c.result) for c in self.comparisons if c.result is not None),
            *(t.plan.estimate_json()["usd"] for t in self.trainings if t.state.is_to_do),
            *(c.rehearsal.usd for c in self.comparisons if c.state is not StepState.EXISTS),
            self.choosing_usd,
        ]
        if None in amounts and not allow_unpriced:
            return False
        return sum(amount or 0.0 for amount in amounts) <= limit

    @property
    def is_done(self) -> bool:
        """Nothing is to do."""
        states = [t.state for t in self.trainings] + [c.state for c in self.comparisons]
        return all(state is StepState.EXISTS for state in states)

    @property
    def costs_money(self) -> bool:
        """The provider bills something, or may."""
        return self.usd != 0


def worth(comparison: Comparison) -> float:
    """What a comparison's answers cost, as if none had been known before."""
    return sum((arm.usd_per_1000 or 0.0) * arm.answers / 1000 for arm in comparison.arms)


def winner(trainings: Sequence[Training], choice: Choice | None) -> Training | None:
    """The training that stands for its task; None while a sweep has not chosen."""
    if len(trainings) == 1 and trainings[0].point.number is None:
        return trainings[0]
    if choice is None:
        return None
    return next((t for t in trainings if t.step == choice.step), None)


def spec_digest(document: Document) -> str:
    """Of the file's values, whatever its format."""
    return digest(document.value)


def total(amounts: Iterable[float | None]) -> float | None:
    """The sum; None when one of them is not known."""
    known = list(amounts)
    return None if None in known else sum(amount or 0.0 for amount in known)
