"""What submit and sync share: the parts of the application they work with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from orchestrator.domain.money.spending import Budgets

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from orchestrator.domain.clock import Clock
    from orchestrator.domain.ledger import DatasetStore, Gates, JobStore, ModelDates
    from orchestrator.domain.provider import Provider

    Drafts = Callable[[], AbstractContextManager[Path]]


def silent(_line: str) -> None:
    """Say nothing."""


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """Jobs, datasets, time and who works on what.

    Attributes:
        gates: which accounts may be asked now.
        dates: what providers said of their models' last days.
        provider: the provider of a profile's name.
        drafts: a folder for what is made on the way, gone afterwards.
        claim: a lock between processes on one job; yields whether it is ours. It saves work; what
            keeps a job from being paid twice is the compare-and-swap on its row.
        budgets: what may be spent in a month.
        say: a line for the person who waits.
    """

    jobs: JobStore
    datasets: DatasetStore
    gates: Gates
    dates: ModelDates
    clock: Clock
    provider: Callable[[str], Provider]
    drafts: Drafts
    claim: Callable[[str], AbstractContextManager[bool]]
    budgets: Budgets = field(default_factory=Budgets)
    say: Callable[[str], None] = field(default=silent)
