"""What is known of a job when it is judged: everything the checks of the checklist look at."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date

    from orchestrator.domain.comparing.comparison import Comparison
    from orchestrator.domain.jobs.job import Job, MetricPoint
    from orchestrator.domain.jobs.lifecycle import Retirement
    from orchestrator.domain.money.economics import Costs

_TRAIN_LOSS = ("train_loss", "training_loss", "loss")
_VALID_LOSS = ("full_valid_loss", "valid_loss", "validation_loss", "eval_loss")


@dataclass(frozen=True, kw_only=True)
class DatasetFacts:
    """What was counted in the training split.

    Attributes:
        rows: all of them; `unique` without repetition.
        conflicting: rows whose user text has another answer elsewhere.
        labels: rows of each answer, when the answers are labels.
        tokens: of one pass, as the target counts them.
    """

    digest: str
    rows: int
    unique: int
    conflicting: int
    labels: Mapping[str, int] = field(default_factory=dict)
    tokens: int | None = None


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Everything the automatic checks look at.

    Attributes:
        job: that trained the candidate; None where nothing was trained.
    """

    job: Job | None
    data: DatasetFacts | None
    comparison: Comparison | None
    points: Sequence[MetricPoint]
    costs: Costs
    retirement: Retirement | None
    numbers: Mapping[str, float]
    policy: Mapping[str, float]
    today: date

    @property
    def source(self) -> str:
        """The comparison, for people."""
        return f"comparison {self.comparison.id}" if self.comparison else ""

    @property
    def metric(self) -> str:
        """The primary metric of the comparison."""
        return self.comparison.metric if self.comparison else ""


def curve(points: Sequence[MetricPoint], names: Sequence[str]) -> list[MetricPoint]:
    """The points of the first of those names that has any, by step."""
    for name in names:
        found = sorted(point for point in points if point.name == name)
        if found:
            return found
    return []


def loss_curves(points: Sequence[MetricPoint]) -> tuple[list[MetricPoint], list[MetricPoint]]:
    """Training and validation loss, each by step."""
    return curve(points, _TRAIN_LOSS), curve(points, _VALID_LOSS)
