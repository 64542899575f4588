"""What an engine is: one function that takes a job from its first step to its end; by its name."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Protocol

from ftctl_worker.engine_table import ENGINES, not_installed
from ftctl_worker.errors import ModelError

if TYPE_CHECKING:
    from ftctl_worker.home import Home
    from ftctl_worker.job import Job
    from ftctl_worker.models.bases import BaseModel
    from ftctl_worker.training.ledger import Ledger
    from ftctl_worker.training.stopping import StopRequest

__all__ = ["Train", "load"]


class Train(Protocol):
    """Trains one job, and leaves its model where the ledger says.

    Whoever implements it: reports every step to the ledger, offers a checkpoint at the end of each
    of the last epochs, looks at ``stop`` after each step, and when it is set leaves a state under
    ``home.job(job.id)`` from which the next call goes on. A name that is not in the ledger any more
    (JobSupersededError) ends it at once.
    """

    def __call__(
        self,
        job: Job,
        base: BaseModel,
        ledger: Ledger,
        home: Home,
        *,
        precision: Any,
        stop: StopRequest,
    ) -> None:
        """Train until the job has succeeded, or until asked to stop.

        Raises:
            TrainingDataError: the data cannot be used.
            ModelError: the base model cannot be used.
            TooLargeError: the machine has not enough memory.
            TrainingDivergedError: the loss left the finite numbers.
            JobSupersededError: the job was cancelled or paused meanwhile.
        """
        ...


def load(name: str) -> Train:
    """Import an engine.

    Raises:
        ModelError: there is none of that name, or something that it needs is not installed.
    """
    engine = ENGINES.get(name)
    if engine is None:
        raise ModelError(f"There is no engine {name!r}; there are {', '.join(ENGINES)}.")
    if engine.missing:
        raise ModelError(not_installed(engine.name, engine.missing, engine.install))
    train: Train = importlib.import_module(engine.place).train
    return train
