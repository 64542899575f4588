"""The engine ``peft``: our own training loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ftctl_worker.training.preparation import prepare
from ftctl_worker.training.run import Run

if TYPE_CHECKING:
    from ftctl_worker.home import Home
    from ftctl_worker.job import Job
    from ftctl_worker.models.bases import BaseModel
    from ftctl_worker.training.ledger import Ledger
    from ftctl_worker.training.stopping import StopRequest

__all__ = ["train"]


def train(
    job: Job, base: BaseModel, ledger: Ledger, home: Home, *, precision: Any, stop: StopRequest
) -> None:
    """Train one model from the data of ``job``; see :class:`ftctl_worker.engines.port.Train`."""
    run = Run(prepare(job, base, ledger, home, precision), ledger, home)
    stop.listen()
    run.task.model.train()
    while not run.is_over:
        result = run.task.objective.learn(run.next_rows())
        run.take(result)
        if stop.is_set:
            run.store()
            return
    run.succeed()
