"""Checks the files of new jobs, one job after another, in a thread of its own."""

from __future__ import annotations

import logging
import sqlite3
import threading
from typing import TYPE_CHECKING

from ftctl_worker.errors import TrainingDataError
from ftctl_worker.job import Job, JobError, JobStatus
from ftctl_worker.queue.dataset import count_examples

if TYPE_CHECKING:
    from collections.abc import Callable

    from ftctl_worker.home import Home
    from ftctl_worker.queue.jobs import JobStore

__all__ = ["Validator"]

_LOG = logging.getLogger("ftctl_worker")
_AGAIN_SECONDS = 2.0


class Validator:
    """Moves jobs from ``validating_files`` to ``queued`` or ``failed``."""

    def __init__(self, jobs: JobStore, home: Home, accepted: Callable[[], None]) -> None:
        """Read files from ``home``, and call ``accepted`` after each job."""
        self._jobs = jobs
        self._home = home
        self._accepted = accepted
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="validator")

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def notify(self) -> None:
        """Say that a job was created."""
        self._wake.set()

    def stop(self) -> None:
        """End the thread after the job at hand."""
        self._stopping.set()
        self._wake.set()
        self._thread.join()

    def _run(self) -> None:
        again = False
        while not self._stopping.is_set():
            self._wake.wait(_AGAIN_SECONDS if again else None)
            self._wake.clear()
            try:
                again = False
                self._check_all()
            except sqlite3.Error:
                _LOG.exception("the validator could not go on; it tries again")
                again = True

    def _check_all(self) -> None:
        while not self._stopping.is_set():
            job = self._jobs.oldest(JobStatus.VALIDATING_FILES)
            if job is None:
                return
            error = self._fault(job)
            if error is None:
                self._jobs.accept(job.id)
            else:
                self._jobs.fail(job.id, error)
            self._accepted()

    def _fault(self, job: Job) -> JobError | None:
        checked = {"training_file": job.training_file, "validation_file": job.validation_file}
        for param, file_id in checked.items():
            if file_id is None:
                continue
            try:
                count_examples(self._home.file(file_id), job.method)
            except TrainingDataError as error:
                return JobError(code=f"invalid_{param}", message=str(error), param=param)
            except OSError as error:
                _LOG.exception("%s cannot be read", file_id)
                message = f"The {param} cannot be read: {error.strerror}"
                return JobError(code="server_error", message=message)
        return None
