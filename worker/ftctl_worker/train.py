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
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ftctl_worker import adapters, resume
from ftctl_worker.bases import BaseModel, Catalog
from ftctl_worker.batches import epoch_order, in_passes
from ftctl_worker.database import Database
from ftctl_worker.dataset import read_examples
from ftctl_worker.errors import JobSupersededError, ModelError, TrainingDataError
from ftctl_worker.forward import Forward, Sums, evaluate
from ftctl_worker.home import Home
from ftctl_worker.hyperparameters import choose, read_defaults
from ftctl_worker.jobs import JobError, JobStatus, JobStore
from ftctl_worker.ledger import Ledger, watch_over
from ftctl_worker.loading import load_base, use_threads
from ftctl_worker.rendering import Row, render_rows
from ftctl_worker.settings import PRECISIONS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ftctl_worker.jobs import Job
    from ftctl_worker.loading import LoadedBase

_LOG = logging.getLogger("ftctl_worker.train")
_PR_SET_PDEATHSIG = 1
_KEPT_EPOCHS = 3
_WARMUP = 0.05
_CLIP = 1.0


class TrainingDivergedError(Exception):
    """The loss is not a finite number any more; use a smaller learning_rate_multiplier."""


def train(job: Job, base: BaseModel, ledger: Ledger, home: Home, precision: Any) -> None:
    """Train one adapter from the data of ``job`` and leave it where the ledger says.

    Raises:
        TrainingDataError: the data cannot be used.
        ModelError: the base model cannot be used.
        TrainingDivergedError: the loss left the finite numbers.
        JobSupersededError: the job was cancelled meanwhile.
    """
    torch.manual_seed(job.seed)
    loaded = load_base(base, precision=precision, cache=home.cache, training=True)
    defaults = read_defaults(loaded.folder)
    longest = min(defaults.max_length, loaded.context)
    source = _Source(loaded, longest, home, ledger)
    rows = source.rows(job.training_file, "training_file")
    held_out: list[Row] = []
    if job.validation_file is not None:
        held_out = source.rows(job.validation_file, "validation_file")
    chosen = choose(job.requested, defaults, len(rows))
    ledger.choose(chosen)

    model = adapters.attach(loaded.model, defaults)
    parameters = adapters.trainable(model)
    optimizer = torch.optim.AdamW(
        parameters.values(), lr=chosen.learning_rate, weight_decay=0.0, fused=True
    )
    state_file = home.job_state(job.id)
    progress = resume.restore(state_file, parameters, optimizer)
    if progress.step:
        ledger.say(f"Resuming after step {progress.step}")
    steps_per_epoch = math.ceil(len(rows) / chosen.batch_size)
    total = steps_per_epoch * chosen.n_epochs
    started, first_step = time.monotonic(), progress.step
    forward = Forward(model, half=loaded.is_half)

    for epoch in range(progress.epochs, chosen.n_epochs):
        model.train()
        torch.manual_seed(job.seed + epoch)
        metrics: dict[str, float] = {}
        order = epoch_order(rows, chosen.batch_size, job.seed, epoch)
        for number, numbers in enumerate(order):
            passes = in_passes([rows[i] for i in numbers], longest=longest, pad_id=loaded.pad_id)
            labels = sum(one.labels for one in passes)
            sums = Sums()
            for one in passes:
                loss = forward(one, sums) / labels
                loss.backward()
            if not math.isfinite(sums.loss):
                raise TrainingDivergedError
            torch.nn.utils.clip_grad_norm_(parameters.values(), _CLIP, foreach=True)
            for group in optimizer.param_groups:
                group["lr"] = chosen.learning_rate * _schedule(progress.step, total)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

            progress.step += 1
            progress.tokens += sum(one.tokens for one in passes)
            metrics = {
                "step": progress.step,
                "train_loss": round(sums.mean_loss, 6),
                "train_mean_token_accuracy": round(sums.accuracy, 6),
            }
            if held_out and number == len(order) - 1:
                metrics |= evaluate(forward, held_out, longest=longest, pad_id=loaded.pad_id)
            progress.metrics.append(metrics)
            ledger.step(
                metrics,
                total=total,
                started=started,
                done=progress.step - first_step,
                todo=total - progress.step,
            )

        progress.epochs = epoch + 1
        if epoch >= chosen.n_epochs - _KEPT_EPOCHS:
            adapters.save(
                model,
                ledger.adapter_folder(progress.step),
                base=job.model,
                name=ledger.model_name,
                job_id=job.id,
                step=progress.step,
                loss=metrics["train_loss"],
            )
            ledger.checkpoint(progress.step, metrics)
        resume.store(state_file, progress, parameters, optimizer)

    ledger.succeed(progress.step, progress.tokens, progress.metrics)


def _schedule(step: int, total: int) -> float:
    """Return the share of the learning rate: a linear warmup, then half a cosine to zero."""
    warmup = max(1, round(total * _WARMUP))
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))


@dataclass(frozen=True)
class _Source:
    """Turns files into token rows, and tells the ledger what was lost on the way."""

    loaded: LoadedBase
    longest: int
    home: Home
    ledger: Ledger

    def rows(self, file_id: str, param: str) -> list[Row]:
        try:
            rows, counts = render_rows(
                read_examples(self.home.file(file_id)),
                self.loaded.tokenizer,
                max_length=self.longest,
                eos_ids=set(self.loaded.eos_ids),
            )
        except TrainingDataError as error:
            error.param = param
            raise
        limit = f"{self.longest} tokens"
        if counts.truncated:
            text = f"{param}: {counts.truncated} examples are longer than {limit} and were cut off"
            self.ledger.say(text, level="warn")
        if counts.skipped:
            text = f"{param}: {counts.skipped} examples have no answer within {limit}; left out"
            self.ledger.say(text, level="warn")
        return rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one attempt at one job; the outcome is in the database, the exit code only says so."""
    options = _parser().parse_args(arguments)
    parent = options.parent or os.getppid()
    if not _die_with(parent):
        return 0
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    os.umask(0o077)
    home = Home(options.home)
    database = Database(home.database)
    job = JobStore(database).get(options.job_id)
    if job is None or job.status is not JobStatus.RUNNING:
        _LOG.error("the job %s is not running", options.job_id)
        return 1
    ledger = Ledger(database, home, job, options.attempt or job.attempt)
    watch_over(ledger, parent)
    use_threads(options.threads)
    try:
        base = options.base or Catalog(allow_any=True).resolve(job.model)
        train(job, base, ledger, home, options.precision)
    except JobSupersededError:
        _LOG.info("stopping: the job is not ours any more")
    except Exception as error:  # noqa: BLE001 - whatever happened, the job has to say so
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
