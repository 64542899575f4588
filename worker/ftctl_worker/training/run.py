"""One job on its way: what it learns next, and what is written down after each step."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import torch

from ftctl_worker.errors import JobSupersededError
from ftctl_worker.training import resume
from ftctl_worker.training.batches import epoch_order
from ftctl_worker.training.early_stopping import BestEpoch
from ftctl_worker.training.stopping import Alarm

if TYPE_CHECKING:
    from ftctl_worker.home import Home
    from ftctl_worker.training.ledger import Ledger
    from ftctl_worker.training.objective import StepResult
    from ftctl_worker.training.preparation import Task

__all__ = ["Run", "TrainingDivergedError"]

_KEPT_EPOCHS = 3
_STORE_SECONDS = 60.0
_WARMUP = 0.05
_CLIP = 1.0
_NOTHING_TO_PREFER = (
    "All answers of every step got the same reward, so nothing was learned; try the grader on some "
    "answers, and let it tell better from worse"
)


class TrainingDivergedError(Exception):
    """The loss is not a finite number any more; use a smaller learning_rate_multiplier."""


class Run:
    """Takes the steps of one job, whoever computes their gradients."""

    def __init__(self, task: Task, ledger: Ledger, home: Home) -> None:
        """Go on after the last stored step."""
        chosen = task.chosen
        self.task = task
        self.ledger = ledger
        self._state_file = home.job_state(task.job.id)
        self._leaves = task.leaves()
        self._optimizer = torch.optim.AdamW(
            self._leaves, lr=chosen.learning_rate, weight_decay=0.0, fused=True
        )
        self._state = resume.State(task.parameters(), self._optimizer, task.flat)
        self._progress = self._state.restore(self._state_file)
        if self._progress.step:
            ledger.say(f"Resuming after step {self._progress.step}")
        self._steps_per_epoch = math.ceil(len(task.objective.rows) / chosen.batch_size)
        self._total = self._steps_per_epoch * chosen.n_epochs
        self._started, self._first_step = time.monotonic(), self._progress.step
        self._to_store = Alarm(_STORE_SECONDS)
        self._best = BestEpoch(task.patience, self._progress, every=self._steps_per_epoch)

    @property
    def is_over(self) -> bool:
        """Whether no step is left to take."""
        return self._progress.step >= self._total or self._best.is_long_ago

    def next_rows(self) -> list[int]:
        """Return the numbers of the rows of the next step, and seed what is random in it."""
        job, step = self.task.job, self._progress.step
        epoch, number = divmod(step, self._steps_per_epoch)
        order = epoch_order(self.task.objective.rows, self.task.chosen.batch_size, job.seed, epoch)
        torch.manual_seed(job.seed + step)
        return order[number]

    def take(self, result: StepResult) -> None:
        """Take a step with the gradients that are there, and write down what is due.

        Raises:
            TrainingDivergedError: the loss left the finite numbers.
            JobSupersededError: the job was cancelled or paused meanwhile; the step is stored.
        """
        if not math.isfinite(result.loss):
            raise TrainingDivergedError
        self._learn()
        progress = self._progress
        progress.step += 1
        progress.tokens += result.tokens
        epoch_ends = progress.step % self._steps_per_epoch == 0
        metrics = {"step": progress.step, **result.metrics}
        if self.task.held_out is not None and self._is_evaluated(epoch_ends=epoch_ends):
            self.task.model.eval()
            metrics |= self.task.held_out.evaluate()
            self.task.model.train()
        progress.metrics.append(metrics)
        try:
            self._write_down(metrics, epoch_ends=epoch_ends)
        except JobSupersededError:
            self.store()
            raise
        if epoch_ends or self._to_store.rings():
            self.store()

    def store(self) -> None:
        """Keep the last step, so that the job can go on after it."""
        if self._progress.step:
            self._state.store(self._state_file, self._progress)

    def succeed(self) -> None:
        """End the job well."""
        best, progress = self._best, self._progress
        if best.is_long_ago:
            self.ledger.say(f"Stopping early: the validation loss was lowest at step {best.step}")
        if all(one.get("train_reward_std") == 0 for one in progress.metrics):
            self.ledger.say(_NOTHING_TO_PREFER, level="warn")
        self.ledger.succeed(best.step or progress.step, progress.tokens, progress.metrics)

    def _is_evaluated(self, *, epoch_ends: bool) -> bool:
        exploration = self.task.chosen.exploration
        interval = None if exploration is None else exploration.eval_interval
        return epoch_ends or (interval is not None and self._progress.step % interval == 0)

    def _learn(self) -> None:
        torch.nn.utils.clip_grad_norm_(self._leaves, _CLIP, foreach=True)
        for group in self._optimizer.param_groups:
            group["lr"] = self.task.chosen.learning_rate * _schedule(
                self._progress.step, self._total
            )
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)

    def _write_down(self, metrics: dict[str, float], *, epoch_ends: bool) -> None:
        step = self._progress.step
        self.ledger.step(
            metrics,
            total=self._total,
            started=self._started,
            done=step - self._first_step,
            todo=self._total - step,
        )
        if not epoch_ends:
            return
        self._best.see(metrics)
        if self._best.patience or step > self._total - _KEPT_EPOCHS * self._steps_per_epoch:
            self.task.save_checkpoint(self.ledger, step, metrics)
            last = {step - back * self._steps_per_epoch for back in range(_KEPT_EPOCHS)}
            self.ledger.prune({*self._best.kept, *last})


def _schedule(step: int, total: int) -> float:
    """Return the share of the learning rate: a linear warmup, then half a cosine to zero."""
    warmup = max(1, round(total * _WARMUP))
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))
