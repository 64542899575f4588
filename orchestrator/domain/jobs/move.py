"""A move: a job that was made anew at another provider, and how parity is to be shown."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from orchestrator.domain.canonical import digest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime


@dataclass(frozen=True, kw_only=True)
class ParityPlan:
    """How the new model is compared with the old one; fixed before there is an answer of the new.

    Attributes:
        recording: name of the old model's frozen answers; None while there is none.
        test: digest of the recorded samples; None without a recording.
        test_file: where those samples lie, as it was typed.
        margin: the largest loss that does not matter, as a proportion.
    """

    margin: float
    recording: str | None = None
    test: str | None = None
    test_file: str | None = None

    @property
    def digest(self) -> str:
        """SHA-256 over what is fixed; where the file lies is not."""
        return digest({"margin": self.margin, "recording": self.recording, "test": self.test})

    def command(self, job_id: str) -> str:
        """What to type once the new model answers."""
        test = shlex.quote(self.test_file) if self.test_file else "TEST.jsonl"
        source = f"recorded:{self.recording or 'NAME'}"
        return (
            f"ftctl compare {job_id} --test {test} --arm base --arm tuned"
            f" --source {source} --margin {100 * self.margin:g}"
        )


@dataclass(frozen=True, kw_only=True)
class Move:
    """One job made anew from another.

    Attributes:
        job_id: the new job; `source_id` the one whose model it is to replace.
        recipe: what became of each setting, as `domain.recipe` tells it.
    """

    job_id: str
    source_id: str
    recipe: Mapping[str, Any]
    parity: ParityPlan
    created_at: datetime


class Moves(Protocol):
    """Where moves are read; one is written together with its new job."""

    def of(self, job_id: str) -> Move | None:
        """The move that made a job; None when it was made from nothing."""
        ...

    def from_job(self, source_id: str) -> Sequence[Move]:
        """The moves that a job was the source of, newest first."""
        ...
