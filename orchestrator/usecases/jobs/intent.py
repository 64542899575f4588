"""What someone wants trained, with its files ready."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.domain.jobs.job import Asked

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.domain.jobs.dataset import Dataset
    from orchestrator.domain.money.estimate import Estimate


@dataclass(frozen=True, kw_only=True)
class PreparedFile:
    """A validated file, its bytes exactly as they will be uploaded."""

    dataset: Dataset
    content: Path


@dataclass(frozen=True, kw_only=True)
class Intent(Asked):
    """What someone wants done.

    Attributes:
        estimate: of its bill; None where nobody asked.
        max_cost: the most it may cost, in micro-dollars.
        allow_unpriced: submit it although nobody knows what it may cost.
    """

    provider: str
    kind: str
    account: str
    training: PreparedFile
    validation: PreparedFile | None = None
    estimate: Estimate | None = None
    max_cost: int | None = None
    allow_unpriced: bool = False
