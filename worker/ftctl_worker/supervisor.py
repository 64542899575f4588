"""Validates waiting jobs, runs one trainer process per job, and says how each one ended."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ftctl_worker.dataset import count_examples
from ftctl_worker.errors import ModelError, TrainingDataError
from ftctl_worker.jobs import Job, JobError, JobStatus
from ftctl_worker.settings import child_environment

if TYPE_CHECKING:
    from ftctl_worker.bases import BaseModel, Catalog
    from ftctl_worker.filestore import FileStore
    from ftctl_worker.home import Home
    from ftctl_worker.jobs import JobStore
    from ftctl_worker.settings import Settings

__all__ = ["Supervisor"]

_LOG = logging.getLogger("ftctl_worker")
_LOOK_SECONDS = 0.2
_STOP_SECONDS = 10.0


@dataclass(frozen=True)
class _Trainer:
    """A trainer process and the attempt it was started for."""

    job_id: str
    attempt: int
    process: subprocess.Popen[bytes]


class Supervisor:
    """Two threads: one checks files, one minds the trainers."""

    def __init__(
        self,
        *,
        jobs: JobStore,
        files: FileStore,
        home: Home,
        catalog: Catalog,
        settings: Settings,
    ) -> None:
        """Prepare; nothing runs before :meth:`start`."""
        self._jobs = jobs
        self._files = files
        self._home = home
        self._catalog = catalog
        self._settings = settings
        self._wake = threading.Event()
        self._validate = threading.Event()
        self._stopping = threading.Event()
        self._trainers: list[_Trainer] = []
        self._threads = [
            threading.Thread(target=self._mind_trainers, name="supervisor"),
            threading.Thread(target=self._validate_files, name="validator"),
        ]

    def start(self) -> None:
        """Put back what a dead server left running, then begin to work."""
        for job in self._jobs.running():
            self._jobs.requeue(
                job.id, job.attempt, "The worker was restarted; the job is queued again"
            )
        for thread in self._threads:
            thread.start()
        self.notify()

    def notify(self) -> None:
        """Say that a job was created or cancelled."""
        self._validate.set()
        self._wake.set()

    def stop(self) -> None:
        """Stop the trainers, put their jobs back into the queue, and end both threads."""
        self._stopping.set()
        self.notify()
        for thread in self._threads:
            thread.join()

    def _mind_trainers(self) -> None:
        while not self._stopping.is_set():
            self._wake.wait(_LOOK_SECONDS if self._trainers else None)
            self._wake.clear()
            self._trainers = [one for one in self._trainers if not self._has_ended(one)]
            while not self._stopping.is_set() and self._start_next():
                pass
        for trainer in self._trainers:
            _end(trainer.process)
            self._jobs.requeue(
                trainer.job_id, trainer.attempt, "The worker was stopped; the job is queued again"
            )

    def _start_next(self) -> bool:
        if len(self._trainers) >= self._settings.concurrency:
            return False
        job = self._jobs.oldest(JobStatus.QUEUED)
        if job is None:
            return False
        try:
            base = self._catalog.resolve(job.model)
        except ModelError as error:
            return self._jobs.fail(job.id, JobError(code="model_not_found", message=str(error)))
        attempt = self._jobs.start(job)
        if attempt is None:
            return True
        try:
            process = self._spawn(job, attempt, base)
        except OSError as error:
            message = f"The trainer could not be started: {error.strerror}"
            self._jobs.fail(job.id, JobError(code="trainer_died", message=message))
        else:
            self._trainers.append(_Trainer(job.id, attempt, process))
        return True

    def _spawn(self, job: Job, attempt: int, base: BaseModel) -> subprocess.Popen[bytes]:
        folder = self._home.job(job.id)
        folder.mkdir(mode=0o700, exist_ok=True)
        command = [
            *(sys.executable, "-m", "ftctl_worker.train", job.id),
            *("--home", str(self._home.root), "--attempt", str(attempt)),
            *("--parent", str(os.getpid()), "--base", base.to_json()),
            *("--threads", str(self._settings.threads)),
            *("--precision", self._settings.precision),
        ]
        with (folder / "train.log").open("ab") as log:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=child_environment(offline=base.kind != "hub"),
            )

    def _has_ended(self, trainer: _Trainer) -> bool:
        job = self._jobs.get(trainer.job_id)
        owned = job is not None and job.status is JobStatus.RUNNING
        if not owned:
            _end(trainer.process)
            self._home.job_state(trainer.job_id).unlink(missing_ok=True)
            return True
        code = trainer.process.poll()
        if code is None:
            return False
        error = _why_it_died(code, self._home.job(trainer.job_id).name)
        self._jobs.fail(trainer.job_id, error, attempt=trainer.attempt)
        self._home.job_state(trainer.job_id).unlink(missing_ok=True)
        return True

    def _validate_files(self) -> None:
        while not self._stopping.is_set():
            self._validate.wait()
            self._validate.clear()
            while not self._stopping.is_set():
                job = self._jobs.oldest(JobStatus.VALIDATING_FILES)
                if job is None:
                    break
                self._validate_job(job)
                self._wake.set()

    def _validate_job(self, job: Job) -> None:
        checked = {"training_file": job.training_file, "validation_file": job.validation_file}
        for param, file_id in checked.items():
            if file_id is None:
                continue
            try:
                count_examples(self._home.file(file_id))
            except TrainingDataError as error:
                code = f"invalid_{param}"
                self._jobs.fail(job.id, JobError(code=code, message=str(error), param=param))
                return
            except OSError as error:
                _LOG.exception("%s cannot be read", file_id)
                message = f"The {param} cannot be read: {error.strerror}"
                self._jobs.fail(job.id, JobError(code="server_error", message=message))
                return
        self._jobs.accept(job.id)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Give a trainer a moment to end by itself, then kill it."""
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _why_it_died(code: int, job_id: str) -> JobError:
    if code == -signal.SIGKILL:
        return JobError(
            code="out_of_memory",
            message="The trainer was killed by the system, most likely out of memory; use a "
            "smaller batch_size, shorter examples or a smaller model, and submit again.",
        )
    how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
    return JobError(
        code="trainer_died",
        message=f"The trainer ended {how} without a result; the server's jobs/{job_id}/train.log "
        "says more. Submit the job again.",
    )
