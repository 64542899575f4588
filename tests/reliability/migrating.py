"""`ftctl db upgrade` by several processes at once, and killed at every system call that writes.

    python -m tests.reliability.migrating --rounds 100

A ledger with a job and all that hangs on it is taken back to an older schema. Four commands at once must
all end well; one that is killed must leave the old schema or the new one, never something between; and
whatever happened, every row is there. The negative control is the same over an engine as SQLAlchemy
makes it, without the recipe of `orchestrator.store.database`.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
from collections import Counter
from functools import partial
from typing import Any

from sqlalchemy import Engine, create_engine

from orchestrator.domain.jobs.job import Checkpoint, JobEvent, MetricPoint
from orchestrator.domain.ledger import History
from orchestrator.store import database, migrations
from orchestrator.store.jobs import SqlJobStore
from tests.factories import a_job
from tests.reliability import frame, system_calls, world

AT_ONCE = 4
TABLES = ("jobs", "transitions", "events", "metrics", "checkpoints")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--every", type=int, default=1, help="Kill at every so many-th call only.")
    parser.add_argument("--workers", type=int, default=2)
    return frame.measured(partial(_all, parser.parse_args()))


def _all(options: argparse.Namespace) -> dict[str, Any]:
    found: Counter[str] = Counter()
    for share in frame.shared(partial(_share, options), options.workers):
        found += share
    with world.warm(), world.a_host() as host:
        control = sum(_together(host, "0006", plain=True) for _ in range(10))
    return {
        "passed": not found["failed"] and not found["between"] and control > 0,
        "trials": found["rounds"] + found["kills"],
        **found,
        "bad": found["failed"] + found["between"],
        "rounds of 10 that failed without the recipe, as some must": control,
    }


def _share(options: argparse.Namespace, which: int, many: int) -> Counter[str]:
    found: Counter[str] = Counter()
    olds = itertools.cycle(migrations.revisions()[:-1])
    with world.warm(), world.a_host() as host:
        for number, old in zip(range(options.rounds), olds, strict=False):
            if number % many == which:
                found["rounds"] += 1
                found["commands"] += AT_ONCE
                found["failed"] += _together(host, old)
        for number, (call, n) in enumerate(_calls(host)):
            if number % (many * options.every) == which:
                found["kills"] += 1
                found["between"] += _killed(host, call, n)
    return found


def _together(host: world.Host, old: str, *, plain: bool = False) -> bool:
    """Whether one of four commands at once failed, or a row is gone, or the schema is not the newest."""
    with world.an_installation(host) as ours:
        before = _populated(ours, old)
        ours.planted = _without_the_recipe if plain else None
        readable, writable = os.pipe()
        pids = []
        for _ in range(AT_ONCE):
            pid = os.fork()
            if pid == 0:
                os.close(writable)
                os.read(readable, 1)
                ours.child(("db", "upgrade"), None)
            pids.append(pid)
        os.close(readable)
        os.close(writable)
        codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
        return any(codes) or _state(ours) != (migrations.head(), before, True)


def _calls(host: world.Host) -> list[tuple[str, int]]:
    """Every call of an undisturbed upgrade that writes the database."""
    with world.an_installation(host) as ours:
        _populated(ours, "0001")
        counts = system_calls.counted(ours, ["db", "upgrade"], system_calls.WRITES)
    return [(call, n) for call, count in counts.items() for n in range(1, count + 1)]


def _killed(host: world.Host, call: str, n: int) -> bool:
    """Whether a kill there left anything but the old schema or the new one, or cost a row."""
    with world.an_installation(host) as ours:
        before = _populated(ours, "0001")
        options = [f"--trace={call}", f"--inject={call}:signal=SIGKILL:when={n}"]
        system_calls.traced(ours, ["db", "upgrade"], options, os.devnull, database=True)
        revision, rows, sound = _state(ours)
        whole = revision in {"0001", migrations.head()} and rows == before and sound
        again = ours.run("db", "upgrade")
        return not whole or again != 0 or _state(ours) != (migrations.head(), before, True)


def _populated(ours: world.Installation, old: str) -> list[Any]:
    """A ledger with a job and all that hangs on it, in an older schema; its rows."""
    engine = database.open_database(f"sqlite:///{ours.database}")
    job = a_job(training=None, remote_id="ftjob-1")
    at = job.created_at
    history = History(
        events=[JobEvent(key=str(n), at=at, level="info", message="m") for n in range(50)],
        metrics=[MetricPoint(n, "train_loss", 2.0) for n in range(50)],
        checkpoints=[Checkpoint(remote_id="c", model="m", step=1, created_at=at, metrics={})],
    )
    SqlJobStore(engine).adopt(job, history, "found")
    with engine.begin() as connection:
        # The first schemas want to know each job's data.
        connection.exec_driver_sql(_DATASET)
        connection.exec_driver_sql("UPDATE jobs SET training = 'd'")
    migrations.downgrade(engine, old)
    engine.dispose()
    return _rows(ours)


_DATASET = "INSERT INTO datasets (digest, bytes, rows, source, created_at) VALUES ('d', 1, 1, '', '2026-11-20')"


def _state(ours: world.Installation) -> tuple[str, list[Any], bool]:
    revision = ours.rows("SELECT version_num FROM alembic_version")[0][0]
    return revision, _rows(ours), world.is_sound(ours.database)


def _rows(ours: world.Installation) -> list[Any]:
    return [ours.rows(f"SELECT count(*), min(job_id) FROM {table}") for table in TABLES[1:]] + (
        ours.rows("SELECT id, token, remote_id, status FROM jobs")
    )


def _without_the_recipe() -> None:
    """An engine as one makes it without thinking."""

    def connect(url: str) -> Engine:
        return create_engine(url)

    vars(database)["connect"] = connect


if __name__ == "__main__":
    sys.exit(main())
