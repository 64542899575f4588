"""A tuned model that may have to leave its provider, and all that is known of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from orchestrator.domain.jobs.job import Job
    from orchestrator.domain.jobs.lifecycle import Ending


class Have(StrEnum):
    """Whether a file's bytes are in the store."""

    KEPT = "kept"
    NOT_FETCHED = "not fetched"
    LOST = "lost"


@dataclass(frozen=True, kw_only=True)
class Data:
    """A split of a job, as far as it is here.

    Attributes:
        path: where the bytes lie; None unless they are kept.
        errors: findings that its own provider's rules refuse.
        note: why it is lost.
    """

    have: Have
    digest: str | None = None
    rows: int | None = None
    path: str | None = None
    errors: int = 0
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Route:
    """Where the same training can still be done.

    Attributes:
        profile: what --to takes; `kind` what drives it.
        until: from that day on no training job is taken there; None when no end is announced.
        serves_until: from that day on what is trained there stops answering.
        same_base: the base model is the same.
    """

    profile: str
    kind: str
    model: str
    until: date | None = None
    serves_until: date | None = None
    same_base: bool = False
    note: str = ""


class Frozen(NamedTuple):
    """A recording of the model's answers."""

    name: str
    rows: int
    test_file: str | None = None


class Successor(NamedTuple):
    """A job made anew from this one.

    Attributes:
        parity: the last verdict of its comparison with a recording; None when there is none.
        passes: whether that verdict shows parity.
        command: what to type for that comparison.
    """

    job_id: str
    status: str
    provider: str
    model: str | None
    parity: str | None
    passes: bool
    command: str


@dataclass(frozen=True, kw_only=True)
class Tenant:
    """A tuned model and all that is known of it; what a departure is planned from.

    Attributes:
        serving: from which day on it stops answering, and who says so; None when nothing is known.
        training: the same of new jobs on its base, at its own provider.
        routes: where it can be trained anew on the day of the plan, best first.
    """

    job: Job
    base: str
    serving: Ending | None
    training: Ending | None
    routes: Sequence[Route]
    data: Data
    validation: Data | None = None
    recording: Frozen | None = None
    successors: Sequence[Successor] = ()

    def answers_on(self, day: date) -> bool:
        """Whether it still answers on that day, as far as is announced."""
        return self.serving is None or not self.serving.is_over(day)
