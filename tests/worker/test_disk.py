"""A disk that fills: nothing is lost, the reason is shown, and work goes on once there is room."""

from __future__ import annotations

import errno
import os
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import openai
import pytest
from ftctl_worker.errors import DiskFullError
from ftctl_worker.queue.disk import Disk, is_full

from tests.worker import servers
from tests.worker.servers import colour_rows, wait_for

BALLAST = "ballast"


@contextmanager
def small_disk(folder: Path, kib: int) -> Iterator[tuple[list[str], Path]]:
    """Mount a small tmpfs on ``folder`` in a namespace of its own, which needs no root.

    Yields what enters the namespace, and the folder as seen from outside of it.
    """
    mount = f"mount -t tmpfs -o size={kib}k tmpfs '{folder}' && echo ready && exec cat"
    holder = subprocess.Popen(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    try:
        if holder.stdout.readline().strip() != b"ready":
            pytest.skip("this system gives no mount namespace to a user")
        enter = ["nsenter", "--user", "--mount", "--preserve-credentials", "-t", str(holder.pid)]
        yield enter, Path(f"/proc/{holder.pid}/root{folder}")
    finally:
        holder.stdin.close()
        holder.wait()
        holder.stdout.close()


def fill(home: Path, leave_kib: int) -> None:
    found = os.statvfs(home)
    size = found.f_bavail * found.f_frsize - leave_kib * 1024
    with (home / BALLAST).open("ab") as stream:
        stream.write(bytes(max(0, size)))


def test_a_job_on_a_full_disk_waits_with_the_reason_and_goes_on_when_there_is_room(
    tmp_path: Path, models_dir: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    options = ("--models-dir", str(models_dir), "--disk-floor-mib", "0")
    with small_disk(home, 3000) as (enter, seen):
        with servers.running(tmp_path, *options, enter=enter) as worker:
            jobs = worker.client.fine_tuning.jobs
            file_id = worker.upload(colour_rows())
            spare = worker.upload(colour_rows(2))
            wait_for((seen / "reserve").exists)
            fill(seen, 250)
            first = jobs.create(model="mini", training_file=file_id, seed=1)
            second = jobs.create(model="mini", training_file=file_id, seed=2)

            def waits() -> Any:
                job = jobs.retrieve(first.id)
                assert job.status in {"validating_files", "queued", "running"}, job
                return job if job.error and job.status == "queued" else None

            waiting = wait_for(waits, seconds=90)
            assert waiting.error.code == "disk_full"
            assert waiting.error.message.startswith("The disk is full")
            fill(seen, 0)
            with pytest.raises(openai.InternalServerError) as refused:
                worker.client.files.create(file=("a", bytes(300_000)), purpose="fine-tune")
            assert (refused.value.status_code, refused.value.code) == (507, "disk_full")
            fill(seen, 0)
            assert worker.client.files.delete(spare).deleted
            (seen / BALLAST).unlink()
            assert worker.wait_job(first.id).status == "succeeded"
            assert jobs.retrieve(first.id).error is None
            fill(seen, 150)
            worker.kill()
        (seen / BALLAST).unlink()
        with servers.running(tmp_path, *options, enter=enter) as worker:
            assert worker.wait_job(second.id).status == "succeeded"


def test_room_means_the_floor_and_more_than_was_not_enough(tmp_path: Path) -> None:
    free = 10_000_000
    disk = Disk(tmp_path, floor=1_000_000, room=lambda: (free, 1_000_000_000))
    assert disk.has_room()
    disk.ran_full()
    assert not disk.has_room()
    free += 200_000
    assert disk.has_room()
    free = 900_000
    assert not Disk(tmp_path, floor=1_000_000, room=lambda: (free, 1_000_000_000)).has_room()
    small = Disk(tmp_path, floor=64 * 2**20, room=lambda: (300_000, 400_000))
    assert small.floor == 20_000
    small.check(100_000)
    with pytest.raises(DiskFullError):
        small.check(290_000)


def test_a_full_disk_is_known_by_any_of_its_names() -> None:
    plain = OSError(errno.ENOSPC, "No space left on device")
    wrapped = RuntimeError("saving failed")
    wrapped.__cause__ = plain
    assert is_full(plain)
    assert is_full(wrapped)
    assert is_full(RuntimeError("I/O error: No space left on device (os error 28)"))
    assert not is_full(OSError(errno.EACCES, "denied"))
    connection = sqlite3.connect(":memory:")
    connection.execute("PRAGMA page_size = 512")
    connection.execute("PRAGMA max_page_count = 3")
    connection.execute("CREATE TABLE t (x)")
    with pytest.raises(sqlite3.OperationalError) as caught:
        connection.execute("INSERT INTO t VALUES (zeroblob(100000))")
    assert is_full(caught.value)
    connection.close()


def test_a_queue_has_an_end(tmp_path: Path, models_dir: Path) -> None:
    with servers.running(tmp_path, "--models-dir", str(models_dir), "--max-queue", "1") as worker:
        jobs = worker.client.fine_tuning.jobs
        file_id = worker.upload(colour_rows())
        long = jobs.create(
            model="mini", training_file=file_id, hyperparameters={"n_epochs": 50, "batch_size": 1}
        )
        with pytest.raises(openai.RateLimitError) as refused:
            jobs.create(model="mini", training_file=file_id)
        assert refused.value.code == "queue_full"
        jobs.cancel(long.id)
        jobs.cancel(jobs.create(model="mini", training_file=file_id).id)
