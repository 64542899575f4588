"""One training job in its own process: ``python -m ftctl_worker.train JOB_ID --home DIR``."""

from __future__ import annotations

import argparse
import ctypes
import logging
import math
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ftctl_worker import adapters, resume
from ftctl_worker.admission import TooLargeError
from ftctl_worker.bases import BaseModel, Catalog
from ftctl_worker.batches import epoch_order
from ftctl_worker.database import Database
from ftctl_worker.disk import EXIT_DISK_FULL, is_full
from ftctl_worker.early_stopping import BestEpoch
from ftctl_worker.engines import table as engines
from ftctl_worker.errors import (
    GraderFailedError,
    JobSupersededError,
    ModelError,
    TrainingDataError,
)
from ftctl_worker.home import Home
from ftctl_worker.job import JobError, JobStatus
from ftctl_worker.jobs import JobStore
from ftctl_worker.ledger import Ledger, watch_over
from ftctl_worker.loading import use_threads
from ftctl_worker.preparation import prepare
from ftctl_worker.settings import PRECISIONS
from ftctl_worker.stopping import Alarm, StopRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ftctl_worker.job import Job

_LOG = logging.getLogger("ftctl_worker.train")
_PR_SET_PDEATHSIG = 1
_KEPT_EPOCHS = 3
_STORE_SECONDS = 60.0
_WARMUP = 0.05
_CLIP = 1.0


class TrainingDivergedError(Exception):
    """The loss is not a finite number any more; use a smaller learning_rate_multiplier."""


def train(
    job: Job, base: BaseModel, ledger: Ledger, home: Home, *, precision: Any, stop: StopRequest
) -> None:
    """Train one adapter from the data of ``job`` and leave it where the ledger says.

    Raises:
        TrainingDataError: the data cannot be used.
        ModelError: the base model cannot be used.
        TooLargeError: the machine has not enough memory.
        TrainingDivergedError: the loss left the finite numbers.
        JobSupersededError: the job was cancelled or paused meanwhile.
    """
    torch.manual_seed(job.seed)
    task = prepare(job, base, ledger, home, precision)
    chosen, objective, held_out = task.chosen, task.objective, task.held_out
    parameters = adapters.trainable(task.model)
    optimizer = torch.optim.AdamW(
        parameters.values(), lr=chosen.learning_rate, weight_decay=0.0, fused=True
    )
    state_file = home.job_state(job.id)
    progress = resume.restore(state_file, parameters, optimizer)
    if progress.step:
        ledger.say(f"Resuming after step {progress.step}")
    steps_per_epoch = math.ceil(len(objective.rows) / chosen.batch_size)
    total = steps_per_epoch * chosen.n_epochs
    started, first_step = time.monotonic(), progress.step
    to_store = Alarm(_STORE_SECONDS)
    best = BestEpoch(task.patience, progress)
    stop.listen()
    task.model.train()

    while progress.step < total and not best.is_long_ago:
        epoch, number = divmod(progress.step, steps_per_epoch)
        order = epoch_order(objective.rows, chosen.batch_size, job.seed, epoch)
        torch.manual_seed(job.seed + progress.step)
        result = objective.learn(order[number])
        if not math.isfinite(result.loss):
            raise TrainingDivergedError
        torch.nn.utils.clip_grad_norm_(parameters.values(), _CLIP, foreach=True)
        for group in optimizer.param_groups:
            group["lr"] = chosen.learning_rate * _schedule(progress.step, total)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

        progress.step += 1
        progress.tokens += result.tokens
        metrics = {"step": progress.step, **result.metrics}
        epoch_ends = number == steps_per_epoch - 1
        if epoch_ends and held_out is not None:
            task.model.eval()
            metrics |= held_out.evaluate()
            task.model.train()
        progress.metrics.append(metrics)
        try:
            ledger.step(
                metrics,
                total=total,
                started=started,
                done=progress.step - first_step,
                todo=total - progress.step,
            )
            if epoch_ends:
                best.see(metrics)
                if best.patience or epoch >= chosen.n_epochs - _KEPT_EPOCHS:
                    task.save_checkpoint(ledger, progress.step, metrics)
                    ledger.prune({*best.kept, *_last_epochs(progress.step, steps_per_epoch)})
        except JobSupersededError:
            resume.store(state_file, progress, parameters, optimizer)
            raise
        if epoch_ends or stop.is_set or to_store.rings():
            resume.store(state_file, progress, parameters, optimizer)
        if stop.is_set:
            return

    if best.is_long_ago:
        ledger.say(f"Stopping early: the validation loss was lowest at step {best.step}")
    ledger.succeed(best.step or progress.step, progress.tokens, progress.metrics)


def _last_epochs(step: int, steps_per_epoch: int) -> set[int]:
    return {step - back * steps_per_epoch for back in range(_KEPT_EPOCHS)}


def _schedule(step: int, total: int) -> float:
    """Return the share of the learning rate: a linear warmup, then half a cosine to zero."""
    warmup = max(1, round(total * _WARMUP))
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one attempt at one job; the outcome is in the database, the exit code only says so."""
    options = _parser().parse_args(arguments)
    parent = options.parent or os.getppid()
    if not _die_with(parent):
        return 0
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    os.umask(0o077)
    home = Home(options.home)
    try:
        return _attempt(options, home, parent)
    except Exception as error:
        if is_full(error, home.root):
            _LOG.exception("the disk is full")
            return EXIT_DISK_FULL
        raise


def _attempt(options: argparse.Namespace, home: Home, parent: int) -> int:
    database = Database(home.database)
    job = JobStore(database).get(options.job_id)
    if job is None or job.status is not JobStatus.RUNNING:
        _LOG.error("the job %s is not running", options.job_id)
        return 1
    ledger = Ledger(database, home, job, options.attempt or job.attempt)
    stop = StopRequest()
    watch_over(ledger, parent, stop.insist)
    use_threads(options.threads)
    try:
        base = options.base or Catalog(allow_any=True).resolve(job.model)
        way = engines.load(job.options.get("engine", engines.DEFAULT))
        way(job, base, ledger, home, precision=options.precision, stop=stop)
    except JobSupersededError:
        _LOG.info("stopping: the job is not ours any more")
    except Exception as error:
        if is_full(error, home.root):
            raise
        _LOG.exception("the job failed")
        ledger.fail(_job_error(error, job))
        return 1
    finally:
        database.close()
    return 0


def _job_error(error: Exception, job: Job) -> JobError:
    if isinstance(error, TrainingDataError):
        return JobError(code=f"invalid_{error.param}", message=str(error), param=error.param)
    if isinstance(error, ModelError):
        return JobError(code="model_not_usable", message=str(error), param="model")
    if isinstance(error, TrainingDivergedError):
        return JobError(code="diverged", message=str(TrainingDivergedError.__doc__))
    if isinstance(error, GraderFailedError):
        return JobError(code="grader_failed", message=str(error))
    if isinstance(error, TooLargeError):
        return JobError(code="out_of_memory", message=str(error))
    if isinstance(error, torch.OutOfMemoryError | MemoryError) or "allocate memory" in str(error):
        return JobError(
            code="out_of_memory",
            message="The machine ran out of memory; use a smaller batch_size, shorter examples or "
            "a smaller model.",
        )
    first = (str(error).splitlines() or [""])[0][:300]
    message = f"The trainer failed ({type(error).__name__}: {first}); jobs/{job.id}/train.log in "
    return JobError(code="server_error", message=message + "the server's home says more.")


def _die_with(parent: int) -> bool:
    """Ask the kernel to end this process with the server; False where that is gone already."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    return os.getppid() == parent


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ftctl_worker.train", allow_abbrev=False)
    parser.add_argument("job_id")
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--attempt", type=int, default=0)
    parser.add_argument("--parent", type=int, default=0)
    parser.add_argument("--base", type=BaseModel.from_json)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--precision", choices=PRECISIONS, default="auto")
    return parser


if __name__ == "__main__":
    sys.exit(main())
