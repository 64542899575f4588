"""The worker's queue without its training: how many jobs a day it can start, follow and end.

    python bench/worker_queue.py [JOBS] [CONCURRENCY]

Everything but the trainer is real: the database on disk, validation of files, the supervisor, and
the ledger that a trainer writes to (ten steps, a checkpoint, the result file). The trainer itself is
a thread that ends as soon as it has written, so what is measured is what the queue costs.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "worker"))

from ftctl_worker.database import Database
from ftctl_worker.home import Home
from ftctl_worker.job import JobDraft, JobStatus
from ftctl_worker.models.bases import Catalog
from ftctl_worker.queue.disk import Disk
from ftctl_worker.queue.jobs import JobStore
from ftctl_worker.queue.supervisor import Supervisor
from ftctl_worker.settings import MIB, Settings
from ftctl_worker.training.ledger import Ledger

if TYPE_CHECKING:
    from ftctl_worker.executors.port import Launch

STEPS = 10
ROW = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}


class Instant:
    """An executor whose trainers only write down what a trainer would."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def start(self, launch: Launch) -> Thread:
        attempt = int(launch.arguments[launch.arguments.index("--attempt") + 1])
        return Thread(self._home, launch.arguments[0], attempt)


class Thread:
    """One trainer."""

    def __init__(self, home: Home, job_id: str, attempt: int) -> None:
        self._of = (home, job_id, attempt)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def poll(self) -> int | None:
        return None if self._thread.is_alive() else 0

    def stop(self) -> None:
        self._thread.join()

    def _run(self) -> None:
        home, job_id, attempt = self._of
        database = Database(home.database)
        job = JobStore(database).get(job_id)
        assert job is not None
        ledger = Ledger(database, home, job, attempt)
        metrics = [
            {"step": n, "train_loss": 1 / n, "train_mean_token_accuracy": 0.5}
            for n in range(1, STEPS + 1)
        ]
        started = time.monotonic()
        for number, one in enumerate(metrics, start=1):
            ledger.step(one, total=STEPS, started=started, done=number, todo=STEPS - number)
        ledger.checkpoint(STEPS, metrics[-1])
        ledger.succeed(STEPS, 100, metrics)
        database.close()


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    at_once = int(sys.argv[2]) if len(sys.argv) > 2 else 8
    with tempfile.TemporaryDirectory() as folder:
        created, ended, pages = run(Home(Path(folder)), count, at_once)
    print(
        f"{count} jobs, {at_once} at once: created in {created:.1f} s, all ended after {ended:.1f} s"
        f" = {count / ended * 86_400:,.0f} a day; a page of 100 jobs meanwhile: "
        f"{1000 * sorted(pages)[len(pages) // 2]:.1f} ms (median of {len(pages)})"
    )


def run(home: Home, count: int, at_once: int) -> tuple[float, float, list[float]]:
    """Return the seconds until all jobs were created and had ended, and those of a page each."""
    home.prepare()
    os.umask(0o077)
    home.file("file-1").write_text(f"{json.dumps(ROW)}\n" * 10)
    database = Database(home.database)
    jobs = JobStore(database)
    settings = Settings(home=home.root, token_hashes=(), concurrency=at_once, joint="never")
    supervisor = Supervisor(
        jobs=jobs, home=home, catalog=Catalog(), settings=settings,
        disk=Disk(home.root, MIB), executor=Instant(home),
    )  # fmt: skip
    supervisor.start()
    draft = JobDraft(
        model="tiny", training_file="file-1", validation_file=None, suffix=None, seed=1,
        metadata=None, requested={},
    )  # fmt: skip
    started, pages = time.monotonic(), []
    for _ in range(count):
        jobs.create(draft)
        supervisor.notify()
    created = time.monotonic() - started
    pause = threading.Event()
    while jobs.counts()[JobStatus.SUCCEEDED] < count:
        asked = time.monotonic()
        jobs.page(after=None, limit=100)
        pages.append(time.monotonic() - asked)
        pause.wait(0.1)
    ended = time.monotonic() - started
    supervisor.stop()
    database.close()
    return created, ended, pages


if __name__ == "__main__":
    main()
