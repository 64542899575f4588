"""What an executor is: it starts a trainer somewhere, and tells whether it still runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = ["Executor", "Launch", "Trainer"]


@dataclass(frozen=True, kw_only=True)
class Launch:
    """A trainer to be started.

    ``name`` is unique for every attempt at a job, ``arguments`` are those of
    ``ftctl_worker.train``, ``environment`` is whole, ``gpus`` counts the cards it wants.
    """

    name: str
    arguments: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    gpus: int = 0


class Trainer(Protocol):
    """A trainer that was started."""

    def poll(self) -> int | None:
        """Return the exit code, negative where something killed it; None while it runs."""
        ...

    def stop(self) -> None:
        """Give it a moment to store its last step, then end it; return when it is gone."""
        ...


class Executor(Protocol):
    """Starts trainers."""

    def start(self, launch: Launch) -> Trainer:
        """Start one.

        Raises:
            OSError: it cannot be started.
        """
        ...
