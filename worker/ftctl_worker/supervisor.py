"""Runs one trainer process per job, and says how each one ended."""

from __future__ import annotations

import logging
import os
import sqlite3
import subprocess
import sys
import threading
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from ftctl_worker.disk import EXIT_DISK_FULL, is_full
from ftctl_worker.errors import ModelError
from ftctl_worker.job import Job, JobError, JobStatus
from ftctl_worker.postmortem import why_it_died
from ftctl_worker.settings import child_environment
from ftctl_worker.validator import Validator

if TYPE_CHECKING:
    from collections.abc import Callable

    from ftctl_worker.bases import BaseModel, Catalog
    from ftctl_worker.disk import Disk
    from ftctl_worker.home import Home
    from ftctl_worker.jobs import JobStore
    from ftctl_worker.settings import Settings

__all__ = ["Supervisor"]

_LOG = logging.getLogger("ftctl_worker")
_LOOK_SECONDS = 0.2
_LOOK_FOR_ROOM_SECONDS = 2.0
_STOP_SECONDS = 10.0
_STOPPED = "The worker was stopped; the job is queued again"
_RESTARTED = "The worker was restarted; the job is queued again"


@dataclass(frozen=True)
class _Trainer:
    """A trainer process and the attempt it was started for."""

    job_id: str
    attempt: int
    process: subprocess.Popen[bytes]


class Supervisor:
    """Two threads: one checks files, one minds the trainers; neither ends with a full disk."""

    def __init__(
        self, *, jobs: JobStore, home: Home, catalog: Catalog, settings: Settings, disk: Disk
    ) -> None:
        """Prepare; nothing runs before :meth:`start`."""
        self._jobs = jobs
        self._home = home
        self._catalog = catalog
        self._settings = settings
        self._disk = disk
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._waits_for_room = False
        self._trainers: list[_Trainer] = []
        self._left_running: list[Job] = []
        self._validator = Validator(jobs, home, self._wake.set)
        self._thread = threading.Thread(target=self._mind_trainers, name="supervisor")

    def start(self) -> None:
        """Put back what a dead server left running, then begin to work."""
        self._left_running = self._jobs.running()
        self._try(self._put_back)
        self._validator.start()
        self._thread.start()
        self.notify()

    def notify(self) -> None:
        """Say that a job was created, cancelled, paused or resumed."""
        self._validator.notify()
        self._wake.set()

    def stop(self) -> None:
        """Stop the trainers, put their jobs back into the queue, and end both threads."""
        self._stopping.set()
        self._validator.stop()
        self._wake.set()
        self._thread.join()

    def _mind_trainers(self) -> None:
        while not self._stopping.is_set():
            self._wake.wait(self._pause())
            self._wake.clear()
            self._waits_for_room = not self._try(self._round)
        for trainer in self._trainers:
            _end(trainer.process)
            self._try(partial(self._jobs.requeue, trainer.job_id, trainer.attempt, _STOPPED))

    def _pause(self) -> float | None:
        if self._trainers:
            return _LOOK_SECONDS
        return _LOOK_FOR_ROOM_SECONDS if self._waits_for_room else None

    def _try(self, action: Callable[[], object]) -> bool:
        """Do something that the next round repeats where the disk or the database refuses."""
        try:
            return action() is not False
        except (OSError, sqlite3.Error):
            _LOG.exception("the supervisor could not go on; it tries again")
            return False

    def _round(self) -> bool:
        """Do what there is to do; False where a job waits for room on the disk."""
        self._put_back()
        for trainer in list(self._trainers):
            if self._has_ended(trainer):
                self._trainers.remove(trainer)
        while not self._stopping.is_set() and len(self._trainers) < self._settings.concurrency:
            job = self._jobs.oldest(JobStatus.QUEUED)
            if job is None:
                return True
            if not self._disk.has_room():
                self._jobs.hold(job, self._disk.why_waiting())
                return False
            self._start(job)
        return True

    def _put_back(self) -> None:
        while self._left_running:
            job = self._left_running[-1]
            self._jobs.requeue(job.id, job.attempt, _RESTARTED)
            self._left_running.pop()

    def _start(self, job: Job) -> None:
        try:
            base = self._catalog.resolve(job.model)
        except ModelError as error:
            self._jobs.fail(job.id, JobError(code="model_not_found", message=str(error)))
            return
        attempt = self._jobs.start(job)
        if attempt is None:
            return
        try:
            process = self._spawn(job, attempt, base)
        except OSError as error:
            self._refuse(job, attempt, error)
        else:
            self._trainers.append(_Trainer(job.id, attempt, process))

    def _refuse(self, job: Job, attempt: int, error: OSError) -> None:
        if is_full(error):
            self._wait_for_room(job.id, attempt)
            return
        message = f"The trainer could not be started: {error.strerror}"
        self._jobs.fail(job.id, JobError(code="trainer_died", message=message))

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
        if job is None or job.status is not JobStatus.RUNNING:
            _end(trainer.process)
            if job is None or job.status.is_final:
                self._home.job_state(trainer.job_id).unlink(missing_ok=True)
            if job is not None and job.status is JobStatus.SUCCEEDED:
                self._disk.proved_enough()
            return True
        code = trainer.process.poll()
        if code is None:
            return False
        if code == EXIT_DISK_FULL:
            self._wait_for_room(trainer.job_id, trainer.attempt)
            return True
        self._jobs.fail(trainer.job_id, why_it_died(code, trainer.job_id), attempt=trainer.attempt)
        self._home.job_state(trainer.job_id).unlink(missing_ok=True)
        return True

    def _wait_for_room(self, job_id: str, attempt: int) -> None:
        self._disk.ran_full()
        why = self._disk.why_waiting()
        self._jobs.requeue(job_id, attempt, why.message, why)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Give a trainer a moment to end by itself, then kill it."""
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
