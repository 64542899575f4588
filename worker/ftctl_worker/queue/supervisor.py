"""Runs trainer processes, each for a job or a group of jobs, and says how each one ended."""

from __future__ import annotations

import logging
import sqlite3
import threading
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from ftctl_worker.errors import BadRequestError, ModelError
from ftctl_worker.executors.port import Launch
from ftctl_worker.graders.parsing import parse_grader
from ftctl_worker.job import Job, JobError, JobStatus
from ftctl_worker.queue.disk import EXIT_DISK_FULL, is_full
from ftctl_worker.queue.grouping import Grouping
from ftctl_worker.queue.leftovers import Leftovers
from ftctl_worker.queue.postmortem import Deaths, out_of_memory_kills, why_it_died
from ftctl_worker.queue.validator import Validator
from ftctl_worker.settings import child_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ftctl_worker.executors.port import Executor, Trainer
    from ftctl_worker.home import Home
    from ftctl_worker.models.bases import BaseModel, Catalog
    from ftctl_worker.queue.disk import Disk
    from ftctl_worker.queue.jobs import JobStore
    from ftctl_worker.settings import Settings

__all__ = ["Supervisor"]

_LOG = logging.getLogger("ftctl_worker")
_LOOK_SECONDS = 0.2
_LOOK_FOR_ROOM_SECONDS = 2.0
_STOPPED = "The worker was stopped; the job is queued again"
_GROUP_ENDED = "The trainer of several jobs ended early; the job is queued again and goes on alone"
_DIED = "The trainer was killed; the job is queued again and goes on after its last stored step"
_RESTARTED = "The worker was restarted; the job is queued again"


@dataclass(frozen=True)
class _Trainer:
    """A trainer process and the attempts it was started for, by job.

    ``kills_before``: how many processes had been killed for want of memory when it started.
    """

    attempts: Mapping[str, int]
    process: Trainer
    kills_before: int


class Supervisor:
    """Two threads: one checks files, one minds the trainers; neither ends with a full disk."""

    def __init__(
        self,
        *,
        jobs: JobStore,
        home: Home,
        catalog: Catalog,
        settings: Settings,
        disk: Disk,
        executor: Executor,
    ) -> None:
        """Prepare; nothing runs before :meth:`start`."""
        self._jobs = jobs
        self._home = home
        self._catalog = catalog
        self._settings = settings
        self._disk = disk
        self._executor = executor
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._waits_for_room = False
        self._trainers: list[_Trainer] = []
        self._left_running: list[Job] = []
        self._grouping = Grouping(jobs, home, catalog, settings.joint)
        self._deaths = Deaths(home)
        self._leftovers = Leftovers(jobs, home)
        self._gathers = False
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
            trainer.process.stop()
            for job_id, attempt in trainer.attempts.items():
                self._try(partial(self._jobs.requeue, job_id, attempt, _STOPPED))

    def _pause(self) -> float | None:
        if self._trainers or self._gathers:
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
        self._gathers = False
        for trainer in list(self._trainers):
            if self._has_ended(trainer):
                self._trainers.remove(trainer)
        while not self._stopping.is_set() and len(self._trainers) < self._settings.concurrency:
            job = self._jobs.next_queued()
            if job is None:
                return True
            if not self._disk.has_room():
                self._jobs.hold(job, self._disk.why_waiting())
                return False
            if self._grouping.waits(job):
                self._gathers = True
                return True
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
            self._check_grader(job)
        except ModelError as error:
            self._jobs.fail(job.id, JobError(code="model_not_found", message=str(error)))
            return
        except BadRequestError as error:
            code = error.code or "invalid_grader"
            self._jobs.fail(job.id, JobError(code=code, message=str(error), param=error.param))
            return
        places = self._settings.concurrency - len(self._trainers)
        apart = self._deaths.apart
        group = [job, *self._grouping.beside(job, base, places=places, apart=apart)]
        started = [(one.id, self._jobs.start(one)) for one in group]
        attempts = {job_id: attempt for job_id, attempt in started if attempt is not None}
        if not attempts:
            return
        kills_before = out_of_memory_kills()
        try:
            process = self._executor.start(self._launch(attempts, base))
        except OSError as error:
            for job_id, attempt in attempts.items():
                self._refuse(job_id, attempt, error)
        else:
            self._trainers.append(_Trainer(attempts, process, kills_before))

    def _check_grader(self, job: Job) -> None:
        """Make sure that a job's grader may be run today, whatever was allowed at its creation.

        Raises:
            BadRequestError: it may not.
        """
        if "grader" in job.options:
            allowed = self._settings.allow_python_graders
            where = "method.reinforcement.grader"
            parse_grader(job.options["grader"], where, python=allowed)

    def _refuse(self, job_id: str, attempt: int, error: OSError) -> None:
        if is_full(error):
            self._wait_for_room(job_id, attempt)
            return
        message = f"The trainer could not be started: {error.strerror or error}"
        self._jobs.fail(job_id, JobError(code="trainer_died", message=message))

    def _launch(self, attempts: Mapping[str, int], base: BaseModel) -> Launch:
        (first, attempt), *others = attempts.items()
        for job_id in attempts:
            self._home.job(job_id).mkdir(mode=0o700, exist_ok=True)
        job = self._jobs.get(first)
        gpus = 0 if job is None else job.options.get("gpus", self._settings.ray_gpus)
        return Launch(
            name=f"{first}-{attempt}",
            arguments=[
                *(first, "--home", str(self._home.root), "--attempt", str(attempt)),
                *(f"--beside={job_id}:{number}" for job_id, number in others),
                *("--base", base.to_json(), "--threads", str(self._settings.threads)),
                *("--precision", self._settings.precision, "--gpus", str(gpus)),
                *(["--shared-home"] if self._settings.ray_address else []),
            ],
            environment=child_environment(offline=base.kind != "hub"),
            log=self._home.job(first) / "train.log",
            gpus=gpus,
        )

    def _has_ended(self, trainer: _Trainer) -> bool:
        left = {job_id: attempt for job_id, attempt in trainer.attempts.items()
                if not self._has_left(job_id, attempt)}  # fmt: skip
        if not left:
            trainer.process.stop()
            for job_id, attempt in trainer.attempts.items():
                self._has_left(job_id, attempt)
            return True
        code = trainer.process.poll()
        if code is None:
            return False
        for job_id, attempt in left.items():
            self._died(job_id, attempt, code, trainer)
        return True

    def _has_left(self, job_id: str, attempt: int) -> bool:
        """Tell whether a job is not its trainer's any more, and tidy up after one that is final."""
        job = self._jobs.get(job_id)
        if job is not None and job.status is JobStatus.RUNNING and job.attempt == attempt:
            return False
        if job is None or job.status.is_final:
            self._leftovers.clear(job_id)
            self._deaths.forget(job_id)
        if job is not None and job.status is JobStatus.SUCCEEDED:
            self._disk.proved_enough()
        return True

    def _died(self, job_id: str, attempt: int, code: int, trainer: _Trainer) -> None:
        """Put the job of a dead trainer back into the queue, or say that it is hopeless."""
        if code == EXIT_DISK_FULL:
            self._wait_for_room(job_id, attempt)
        elif len(trainer.attempts) > 1:
            self._deaths.set_apart(job_id)
            self._jobs.requeue(job_id, attempt, _GROUP_ENDED)
        elif (
            code < 0
            and out_of_memory_kills() == trainer.kills_before
            and not self._deaths.is_hopeless(job_id)
        ):
            self._jobs.requeue(job_id, attempt, _DIED)
        else:
            self._jobs.fail(job_id, why_it_died(code, job_id), attempt=attempt)
            self._leftovers.clear(job_id)
            self._deaths.forget(job_id)

    def _wait_for_room(self, job_id: str, attempt: int) -> None:
        self._disk.ran_full()
        why = self._disk.why_waiting()
        self._jobs.requeue(job_id, attempt, why.message, why)
