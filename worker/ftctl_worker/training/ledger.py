"""What a trainer writes into the database; every change asks first whether it still owns the job."""

from __future__ import annotations

import csv
import json
import logging
import os
import shutil
import sqlite3
import threading
import time
from typing import TYPE_CHECKING, Literal

from ftctl_worker.errors import JobSupersededError
from ftctl_worker.ids import new_id, tuned_model_name
from ftctl_worker.job import FINISHED, UPDATED
from ftctl_worker.queue.filestore import StoredFile, insert_file
from ftctl_worker.queue.history import add_event

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from ftctl_worker.database import Database
    from ftctl_worker.home import Home
    from ftctl_worker.hyperparameters import Chosen
    from ftctl_worker.job import Job, JobError

__all__ = ["Ledger", "SilentLedger", "watch_over"]

_LOG = logging.getLogger("ftctl_worker.train")
_FLUSH_SECONDS = 1.0
_MOST_METRIC_EVENTS = 300
_OWNED = "id = :id AND attempt = :attempt AND status = 'running'"
_SAID = {
    "train_loss": "training loss",
    "train_reward_mean": "mean reward",
    "valid_loss": "validation loss",
    "valid_reward_mean": "mean validation reward",
}
_COLUMNS = ("step", "train_loss", "train_accuracy", "valid_loss", "valid_mean_token_accuracy")


class Ledger:
    """One attempt at one job; a step it may not take raises JobSupersededError."""

    def __init__(self, database: Database, home: Home, job: Job, attempt: int) -> None:
        """Write for ``attempt`` of ``job``."""
        self._database = database
        self._home = home
        self._job = job
        self._owner = {"id": job.id, "attempt": attempt}
        self._waiting: list[tuple[str, Mapping[str, float]]] = []
        self._flushed_at = time.monotonic()
        self.model_name = tuned_model_name(job.model, job.suffix, job.id)

    def say(self, message: str, *, level: Literal["info", "warn"] = "info") -> None:
        """Append an event."""
        with self._database.write() as connection:
            self._touch(connection)
            add_event(connection, self._job.id, message, level=level)

    def choose(self, chosen: Chosen) -> None:
        """Report the hyperparameters the job is trained with."""
        with self._database.write() as connection:
            self._touch(connection, UPDATED, chosen=json.dumps(chosen.reported()))
            add_event(connection, self._job.id, chosen.why)

    def step(
        self, metrics: Mapping[str, float], *, total: int, started: float, done: int, todo: int
    ) -> None:
        """Keep the metrics of a step, and write what has gathered about once a second.

        Args:
            metrics: values by the names of the API; ``step`` among them.
            total: steps of the whole job.
            started: monotonic time in seconds when this attempt took its first step.
            done: steps this attempt has taken.
            todo: steps still to take.
        """
        step = int(metrics["step"])
        if step % max(1, total // _MOST_METRIC_EVENTS) == 0 or todo == 0 or "valid_loss" in metrics:
            said = [
                f"{words}={metrics[name]:.4f}" for name, words in _SAID.items() if name in metrics
            ]
            text = f"Step {step}/{total}: {', '.join(said)}"
            self._waiting.append((text, {**metrics, "total_steps": total}))
        if todo == 0 or time.monotonic() - self._flushed_at > _FLUSH_SECONDS:
            left = (time.monotonic() - started) / done * todo
            self._flush(estimated_finish=int(time.time() + left))

    def checkpoint(self, step: int, metrics: Mapping[str, float]) -> None:
        """Offer the adapter of ``step`` under its own name; doing it twice changes nothing."""
        name = f"{self.model_name}:ckpt-step-{step}"
        with self._database.write() as connection:
            self._touch(connection)
            row = (new_id("ftckpt_"), self._job.id, int(time.time()), step, name)
            new = connection.execute(
                "INSERT OR IGNORE INTO checkpoints (id, job_id, created_at, step, model, metrics)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (*row, json.dumps(dict(metrics))),
            ).rowcount
            self._name(connection, name, step)
            if new:
                text = f"Checkpoint created at step {step}"
                add_event(connection, self._job.id, text, data={"step": step})

    def prune(self, keep: set[int]) -> None:
        """Forget the checkpoints of all steps but those in ``keep``, and remove their weights."""
        with self._database.write() as connection:
            self._touch(connection)
            rows = connection.execute(
                "SELECT step, model FROM checkpoints WHERE job_id = ?", (self._job.id,)
            ).fetchall()
            gone = [row for row in rows if row["step"] not in keep]
            for row in gone:
                where = (self._job.id, row["step"])
                connection.execute("DELETE FROM checkpoints WHERE job_id = ? AND step = ?", where)
                connection.execute("DELETE FROM models WHERE name = ?", (row["model"],))
        for row in gone:
            shutil.rmtree(self.adapter_folder(row["step"]), ignore_errors=True)

    def succeed(self, step: int, tokens: int, metrics: Sequence[Mapping[str, float]]) -> None:
        """End the job well: the tuned model, the result file and the state, all at once."""
        self._flush()
        result = self._result_file(metrics)
        with self._database.write() as connection:
            self._touch(
                connection,
                UPDATED,
                FINISHED,
                status="succeeded",
                fine_tuned_model=self.model_name,
                trained_tokens=tokens,
                result_file=result.id,
                estimated_finish=None,
            )
            insert_file(connection, result)
            self._name(connection, self.model_name, step)
            text = f"New fine-tuned model created: {self.model_name}"
            add_event(connection, self._job.id, text)
            add_event(connection, self._job.id, "The job has successfully completed")

    def fail(self, error: JobError) -> None:
        """End the job badly."""
        with self._database.write() as connection:
            self._touch(
                connection,
                UPDATED,
                FINISHED,
                status="failed",
                error=json.dumps(vars(error)),
                estimated_finish=None,
            )
            data = {"error_code": error.code}
            add_event(connection, self._job.id, error.message, level="error", data=data)

    def beat(self) -> None:
        """Show that the trainer is alive."""
        with self._database.write() as connection:
            self._touch(connection)

    def adapter_folder(self, step: int) -> Path:
        """Return where the adapter of a step is kept."""
        return self._home.models / self._job.id / f"step-{step}"

    def _flush(self, estimated_finish: int | None = None) -> None:
        waiting, self._waiting = self._waiting, []
        self._flushed_at = time.monotonic()
        with self._database.write() as connection:
            self._touch(connection, estimated_finish=estimated_finish)
            for text, data in waiting:
                add_event(connection, self._job.id, text, type="metrics", data=data)

    def _touch(self, connection: sqlite3.Connection, *also: str, **changes: object) -> None:
        """Change the job's row, if the job is still ours; ``also`` are assignments as SQL."""
        own = [f"{name} = :{name}" for name in changes]
        assignments = ", ".join(["heartbeat_at = :now", *also, *own])
        changed = connection.execute(
            f"UPDATE jobs SET {assignments} WHERE {_OWNED}",  # noqa: S608
            {**changes, **self._owner, "now": time.time()},
        ).rowcount
        if not changed:
            raise JobSupersededError("The job was cancelled or given to another attempt.")

    def _name(self, connection: sqlite3.Connection, name: str, step: int) -> None:
        folder = self.adapter_folder(step).relative_to(self._home.models)
        connection.execute(
            "INSERT OR IGNORE INTO models (name, job_id, base, folder, created_at)"
            " VALUES (?, ?, ?, ?, ?)",
            (name, self._job.id, self._job.model, str(folder), int(time.time())),
        )

    def _result_file(self, metrics: Sequence[Mapping[str, float]]) -> StoredFile:
        # One name for all attempts: what one that was killed had written is written over.
        file_id = f"file-{self._job.id.removeprefix('ftjob-')}"
        place = self._home.file(file_id)
        try:
            _write_table(place, metrics)
        except OSError:
            place.unlink(missing_ok=True)
            raise
        return StoredFile(
            id=file_id,
            filename="step_metrics.csv",
            purpose="fine-tune-results",
            bytes=place.stat().st_size,
            created_at=int(time.time()),
            expires_at=None,
            project=self._job.project,
        )


class SilentLedger(Ledger):
    """The ledger of the processes of a job that leave the writing to another one.

    Why it failed each says itself: the others only see that it is gone.
    """

    def say(self, message: str, *, level: Literal["info", "warn"] = "info") -> None:
        """Say nothing."""

    def choose(self, chosen: Chosen) -> None:
        """Report nothing."""

    def step(
        self, metrics: Mapping[str, float], *, total: int, started: float, done: int, todo: int
    ) -> None:
        """Keep nothing."""

    def checkpoint(self, step: int, metrics: Mapping[str, float]) -> None:
        """Offer nothing."""

    def prune(self, keep: set[int]) -> None:
        """Remove nothing."""

    def succeed(self, step: int, tokens: int, metrics: Sequence[Mapping[str, float]]) -> None:
        """End nothing."""


def _write_table(place: Path, metrics: Sequence[Mapping[str, float]]) -> None:
    with place.open("w", newline="", encoding="ascii") as stream:
        table = csv.writer(stream, lineterminator="\n")
        columns = _columns(metrics)
        table.writerow(columns)
        for one in metrics:
            named = {**one, "train_accuracy": one.get("train_mean_token_accuracy", "")}
            table.writerow([named.get(column, "") for column in columns])
        stream.flush()
        os.fsync(stream.fileno())


def _columns(metrics: Sequence[Mapping[str, float]]) -> tuple[str, ...]:
    """Return the usual columns; those of rewards instead of accuracies where there are rewards."""
    seen = dict.fromkeys(name for one in metrics for name in one)
    if "train_reward_mean" not in seen:
        return _COLUMNS
    return tuple(name for name in seen if not name.startswith("full_"))


def watch_over(
    ledger: Ledger, parent: int, superseded: Callable[[], None], every: float = 3.0
) -> None:
    """Beat in a thread; end the process where the server is gone.

    ``superseded`` is called where the job was paused, cancelled or given to another attempt.
    """

    def watch() -> None:
        while True:
            pause.wait(every)
            try:
                if os.getppid() != parent:
                    os._exit(0)
                ledger.beat()
            except JobSupersededError:
                superseded()
                return
            except sqlite3.Error:
                _LOG.warning("the heartbeat could not be written", exc_info=True)

    pause = threading.Event()
    threading.Thread(target=watch, name="heartbeat", daemon=True).start()
