"""What a full disk looks like, and when there is room again."""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import threading
from typing import TYPE_CHECKING, TypeVar

from ftctl_worker.errors import DiskFullError
from ftctl_worker.job import JobError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["EXIT_DISK_FULL", "Disk", "full", "is_full"]

EXIT_DISK_FULL = 75
_FULL = {errno.ENOSPC, errno.EDQUOT}
_WORDS = ("no space left on device", "disk quota exceeded", "os error 28", "disk is full")
_SHARE_OF_A_SMALL_DISK = 20
_GROWTH = 128 * 1024
_RESERVE = "reserve"
_RESERVE_BYTES = 256 * 1024
Result = TypeVar("Result")


class Disk:
    """The room on the disk of a home.

    ``floor`` is the free space in bytes below which no job starts and no upload is taken; on a
    disk of less than twenty times that it is a twentieth of the disk. ``room`` is for tests: it
    returns free and total bytes.
    """

    def __init__(
        self, folder: Path, floor: int, room: Callable[[], tuple[int, int]] | None = None
    ) -> None:
        """Watch the disk that holds ``folder``."""
        self._folder = folder
        self._floor = floor
        self._room = room or self._measure
        self._needed = 0
        self._lock = threading.Lock()

    @property
    def free(self) -> int:
        """Free bytes."""
        return self._room()[0]

    @property
    def floor(self) -> int:
        """Free bytes below which nothing new begins."""
        return min(self._floor, self._room()[1] // _SHARE_OF_A_SMALL_DISK)

    def has_room(self) -> bool:
        """Tell whether a job may start: above the floor, and more free than when one failed."""
        return self.free >= max(self.floor, self._needed)

    def ran_full(self) -> None:
        """Remember that what is free now was not enough; only more will do."""
        with self._lock:
            self._needed = max(self._needed, self.free + _GROWTH)

    def proved_enough(self) -> None:
        """Forget an earlier failure: a job has ended well."""
        self._needed = 0

    def check(self, wanted: int) -> None:
        """Make sure that ``wanted`` bytes can be taken.

        Raises:
            DiskFullError: they would not leave the floor.
        """
        if self.free - wanted < self.floor:
            raise full()

    def keep_reserve(self) -> None:
        """Set some room aside, where it is not yet and there is enough; for :meth:`make_room`."""
        place = self._folder / _RESERVE
        with self._lock, contextlib.suppress(OSError):
            if self.free < self.floor + _RESERVE_BYTES:
                return
            descriptor = os.open(place, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, _RESERVE_BYTES)
            finally:
                os.close(descriptor)

    def make_room(self, action: Callable[[], Result]) -> Result:
        """Do what takes a little room and gives back more, as to delete, also on a full disk.

        The reserve is spent for it: without, nobody could follow the advice to delete something.
        """
        try:
            return action()
        except (OSError, sqlite3.Error) as error:
            if not is_full(error, self._folder):
                raise
            with self._lock:
                (self._folder / _RESERVE).unlink(missing_ok=True)
            return action()

    def why_waiting(self) -> JobError:
        """Return what a job shows that waits for room."""
        return JobError(
            code="disk_full",
            message="The disk is full; the job waits in the queue and goes on once there is room "
            "in the server's home.",
        )

    def _measure(self) -> tuple[int, int]:
        found = os.statvfs(self._folder)
        return found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize


def full() -> DiskFullError:
    """Return the answer to a request that finds no room."""
    return DiskFullError(
        "The disk of the server is full; delete files or models, and try again.", code="disk_full"
    )


def is_full(error: BaseException, folder: Path | None = None) -> bool:
    """Tell whether a full disk is behind ``error`` or behind what caused it.

    SQLite says only "disk I/O error" where it could not grow its journal; with ``folder``, that
    counts where the disk is full indeed.
    """
    return any(_says_full(one, folder) for one in _chain(error))


def _says_full(error: BaseException, folder: Path | None) -> bool:
    if isinstance(error, OSError) and error.errno in _FULL:
        return True
    if isinstance(error, sqlite3.OperationalError):
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_FULL:
            return True
        unclear = code in {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN}
        return unclear and folder is not None and Disk(folder, 0).free < _GROWTH
    text = str(error).lower()
    return any(words in text for words in _WORDS)


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    at: BaseException | None = error
    while at is not None and id(at) not in seen:
        seen.add(id(at))
        yield at
        at = at.__cause__ or at.__context__
