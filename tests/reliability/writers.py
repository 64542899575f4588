"""Eight processes that read a number and write the next one, and backups made meanwhile.

    python -m tests.reliability.writers --each 500 --backups 50

No step may be lost, nobody may hear that the database is locked, and every backup must be whole. The
negative controls are what one would do without thinking: the same over an engine without the recipe of
`orchestrator.store.database`, and copies of the file made as `cp` makes them.
"""

from __future__ import annotations

import argparse
import multiprocessing
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError

from orchestrator.domain.errors import LocalStateError
from orchestrator.store import database
from tests.reliability import world
from tests.reliability.frame import machine, told

PROCESSES = 8


def main() -> int:
    options = _options()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ours = run(folder / "ours.db", options.each, options.backups)
        plain = run(folder / "plain.db", min(100, options.each), 10, plain=True)
    controls = {
        "steps lost without the recipe": plain["steps wanted"] - plain["steps"],
        "copies of the file that are no backup": plain["bad copies"],
    }
    good = ours["steps"] == ours["steps wanted"] and not ours["locked"] and not ours["bad copies"]
    seconds = round(time.monotonic() - started, 1)
    return told(
        {
            "passed": good and controls["steps lost without the recipe"] > 0,
            **ours,
            "negative controls": controls,
            "seconds": seconds,
            "machine": machine(),
        }
    )


def run(file: Path, each: int, backups: int, *, plain: bool = False) -> dict[str, Any]:
    """All of them at once; `plain` leaves the recipe out."""
    url = f"sqlite:///{file}"
    engine = database.connect(url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE counter (n INTEGER, filler TEXT)"))
        connection.execute(text("INSERT INTO counter VALUES (0, '')"))
        connection.execute(
            text("INSERT INTO counter SELECT -1, hex(randomblob(2000)) FROM json_each(:many)"),
            {"many": str(list(range(500)))},
        )
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    with context.Pool(PROCESSES) as pool:
        writing = pool.starmap_async(_steps, [(url, each, plain)] * PROCESSES, chunksize=1)
        copies, bad = 0, 0
        while copies < backups or not writing.ready():
            copies += 1
            bad += not _copied(file, file.with_name(f"copy-{copies}.db"), plain=plain)
        told_ = writing.get()
    with engine.connect() as connection:
        steps = connection.execute(text("SELECT max(n) FROM counter")).scalar()
    engine.dispose()
    waits = sorted(wait for some, _ in told_ for wait in some)
    return {
        "processes": PROCESSES,
        "steps wanted": PROCESSES * each,
        "steps": steps,
        "locked": sum(locked for _, locked in told_),
        "longest wait, seconds": round(waits[-1], 2),
        "99 % waited less than, seconds": round(waits[len(waits) * 99 // 100], 2),
        "copies": copies,
        "bad copies": bad,
    }


def _steps(url: str, each: int, plain: bool) -> tuple[list[float], int]:
    engine = create_engine(url) if plain else database.connect(url)
    waits, locked = [], 0
    for _ in range(each):
        started = time.perf_counter()
        try:
            with engine.begin() as connection:
                number = connection.execute(text("SELECT max(n) FROM counter")).scalar()
                connection.execute(
                    text("UPDATE counter SET n = :n WHERE filler = ''"), {"n": (number or 0) + 1}
                )
        except (LocalStateError, DBAPIError):
            locked += 1
        waits.append(time.perf_counter() - started)
    engine.dispose()
    return waits, locked


def _copied(source: Path, target: Path, *, plain: bool) -> bool:
    """Whether a copy made now is whole and has the number in it."""
    if plain:
        shutil.copyfile(source, target)
        whole = world.is_sound(target) and _counts(target)
    else:
        database.copy(source, target)
        whole = world.is_sound(target) and _counts(target)
    target.unlink()
    return whole


def _counts(file: Path) -> bool:
    connection = database.sqlite_module().connect(file)
    try:
        return bool(connection.execute("SELECT count(*) FROM counter").fetchone()[0] == 501)
    except database.sqlite_module().Error:
        return False
    finally:
        connection.close()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--each", type=int, default=500)
    parser.add_argument("--backups", type=int, default=50)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
