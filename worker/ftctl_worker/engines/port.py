"""What an engine is: one function that takes a job from its first step to its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from ftctl_worker.home import Home
    from ftctl_worker.job import Job
    from ftctl_worker.models.bases import BaseModel
    from ftctl_worker.training.ledger import Ledger
    from ftctl_worker.training.stopping import StopRequest

__all__ = ["Train"]


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
