"""Locks between processes. They save work; what keeps the ledger right is compare-and-swap."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from typing import TYPE_CHECKING

from orchestrator.store.disks import private_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Engine


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[bool]:
    """Hold a file lock if nobody else does; the kernel frees it however the process ends.

    Yields:
        Whether the lock is ours.
    """
    private_folder(path.parent)
    handle = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    ours = False
    try:
        ours = _locked(handle, path)
        yield ours
    finally:
        if ours:
            path.unlink(missing_ok=True)
        os.close(handle)


def _locked(handle: int, path: Path) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    # The holder before us may have removed the file between our open and our lock; a lock on a
    # file that has no name any more keeps nobody out.
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_ino == os.fstat(handle).st_ino
    return False


@contextlib.contextmanager
def advisory(engine: Engine, name: str) -> Iterator[bool]:
    """The same among the machines that share a PostgreSQL; it ends with the connection.

    Yields:
        Whether the lock is ours.
    """
    from sqlalchemy import func, select

    number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        ours = bool(connection.scalar(select(func.pg_try_advisory_lock(number))))
        try:
            yield ours
        finally:
            if ours:
                connection.execute(select(func.pg_advisory_unlock(number)))
