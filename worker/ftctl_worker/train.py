"""One training job in its own process, or several: ``python -m ftctl_worker.train JOB_ID ...``."""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import logging
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ftctl_worker import engine_table
from ftctl_worker.database import Database
from ftctl_worker.engines.port import load
from ftctl_worker.errors import (
    GraderFailedError,
    JobSupersededError,
    ModelError,
    TrainingDataError,
)
from ftctl_worker.executors.launching import plain, run_several
from ftctl_worker.home import Home, TrainerLock
from ftctl_worker.job import JobError, JobStatus
from ftctl_worker.models.bases import BaseModel, Catalog
from ftctl_worker.models.loading import use_threads
from ftctl_worker.queue.disk import EXIT_DISK_FULL, is_full
from ftctl_worker.queue.jobs import JobStore
from ftctl_worker.queue.postmortem import EXIT_ONE_BY_ONE
from ftctl_worker.settings import PRECISIONS, process_count, process_rank
from ftctl_worker.training.admission import TooLargeError
from ftctl_worker.training.ledger import Ledger, SilentLedger, watch_over
from ftctl_worker.training.run import TrainingDivergedError
from ftctl_worker.training.stopping import StopRequest
from ftctl_worker.training.together import Member, train_together

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ftctl_worker.job import Job

_LOG = logging.getLogger("ftctl_worker.train")
_PR_SET_PDEATHSIG = 1
_LOST_SECONDS = 3.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one attempt at one job; the outcome is in the database, the exit code only says so."""
    options = _parser().parse_args(arguments)
    options.parent = options.parent or os.getppid()
    if not _die_with(options.parent):
        return 0
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    os.umask(0o077)
    home = Home(options.home)
    if options.gpus > 1 and process_rank() is None:
        return _be_several(options, home, list(sys.argv[1:] if arguments is None else arguments))
    try:
        return _attempt(options, home)
    except Exception as error:
        if is_full(error, home.root):
            _LOG.exception("the disk is full")
            return EXIT_DISK_FULL
        raise


def _be_several(options: argparse.Namespace, home: Home, arguments: list[str]) -> int:
    """Run one process for each card, and end as they do; they die with this one."""
    database = Database(home.database, shared=options.shared_home)
    job = JobStore(database).get(options.job_id)
    database.close()
    shard = job is not None and bool(job.options.get("shard"))
    # The last word on an option counts.
    line = plain(sys.executable, [*arguments, "--parent", str(os.getpid())])
    code = run_several(line, os.environ, count=options.gpus, shard=shard)
    if code < 0:
        os.kill(os.getpid(), -code)
    return code


def _attempt(options: argparse.Namespace, home: Home) -> int:
    database = Database(home.database, shared=options.shared_home)
    named = [(options.job_id, options.attempt), *options.beside]
    jobs = [(JobStore(database).get(job_id), attempt) for job_id, attempt in named]
    running = [
        (job, attempt or job.attempt)
        for job, attempt in jobs
        if job is not None and job.status is JobStatus.RUNNING
    ]
    if not running:
        _LOG.error("the job %s is not running", options.job_id)
        return 1
    use_threads(options.threads)
    options.base = options.base or Catalog(allow_any=True).resolve(running[0][0].model)
    try:
        if options.beside:
            return _train_group(running, options, home, database)
        return _train_one(*running[0], options, home, database)
    finally:
        database.close()


def _train_one(
    job: Job, attempt: int, options: argparse.Namespace, home: Home, database: Database
) -> int:
    speaks = process_rank() in (None, 0)
    ledger = (Ledger if speaks else SilentLedger)(database, home, job, attempt)
    stop = StopRequest()
    watch_over(ledger, options.parent, stop.insist)
    try:
        lock = TrainerLock(home, job.id) if speaks else None
        train = load(job.options.get("engine", engine_table.DEFAULT))
        train(job, options.base, ledger, home, precision=options.precision, stop=stop)
        if lock is not None:
            lock.release()
    except JobSupersededError:
        _LOG.info("stopping: the job is not ours any more")
    except Exception as error:
        if is_full(error, home.root):
            raise
        _LOG.exception("the job failed")
        if process_count() > 1:
            # A process that was lost is an error to all others; whoever watches us ends us first.
            threading.Event().wait(_LOST_SECONDS)
        with contextlib.suppress(JobSupersededError):
            ledger.fail(_job_error(error, job))
        return 1
    return 0


def _train_group(
    running: Sequence[tuple[Job, int]], options: argparse.Namespace, home: Home, database: Database
) -> int:
    stop = StopRequest()
    members = [_member(job, Ledger(database, home, job, attempt), home) for job, attempt in running]
    for member in members:
        watch_over(member.ledger, options.parent, member.is_taken.set)
        with contextlib.suppress(JobSupersededError):
            member.ledger.say(f"Trained together with {len(members) - 1} other jobs")
    try:
        train_together(members, options.base, home, precision=options.precision, stop=stop)
    except Exception as error:
        if is_full(error, home.root):
            raise
        _LOG.exception("the group failed; its jobs go on one by one")
        return EXIT_ONE_BY_ONE
    return 0


def _member(job: Job, ledger: Ledger, home: Home) -> Member:
    lock = TrainerLock(home, job.id)

    def fail(error: Exception) -> None:
        with contextlib.suppress(JobSupersededError):
            ledger.fail(_job_error(error, job))

    return Member(job, ledger, fail, lock.release)


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


def _job_and_attempt(text: str) -> tuple[str, int]:
    job_id, _, attempt = text.rpartition(":")
    return job_id, int(attempt)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ftctl_worker.train", allow_abbrev=False)
    parser.add_argument("job_id")
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--attempt", type=int, default=0)
    parser.add_argument(
        "--beside",
        type=_job_and_attempt,
        action="append",
        default=[],
        metavar="JOB_ID:ATTEMPT",
        help="another job to train in the same passes (repeatable)",
    )
    parser.add_argument("--parent", type=int, default=0)
    parser.add_argument("--base", type=BaseModel.from_json)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--gpus", type=int, default=0)
    parser.add_argument("--shared-home", action="store_true")
    parser.add_argument("--precision", choices=PRECISIONS, default="auto")
    return parser


if __name__ == "__main__":
    sys.exit(main())
