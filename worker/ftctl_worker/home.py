"""The worker's home folder: where everything lies, who may read it, and who owns it now."""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ftctl_worker.errors import LocalStateError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Home", "ServerLock", "TrainerLock"]


@dataclass(frozen=True)
class Home:
    """Paths below one folder. Folders are made 0700 and files 0600."""

    root: Path

    @property
    def database(self) -> Path:
        """The SQLite database."""
        return self.root / "worker.sqlite3"

    @property
    def files(self) -> Path:
        """Uploaded and result files, one file per id."""
        return self.root / "files"

    @property
    def uploads(self) -> Path:
        """Uploads under way; emptied at every start."""
        return self.root / "uploads"

    @property
    def parts(self) -> Path:
        """Parts of uploads that are not complete yet; they outlive the server."""
        return self.root / "parts"

    @property
    def tokens(self) -> Path:
        """The digests of named tokens."""
        return self.root / "tokens.json"

    @property
    def jobs(self) -> Path:
        """One folder per job: the trainer's log and what it needs to resume."""
        return self.root / "jobs"

    @property
    def models(self) -> Path:
        """One folder per trained adapter."""
        return self.root / "models"

    @property
    def cache(self) -> Path:
        """Converted base models; safe to delete."""
        return self.root / "cache"

    def file(self, file_id: str) -> Path:
        """Return where the content of an uploaded file lies."""
        return self.files / file_id

    def job(self, job_id: str) -> Path:
        """Return the folder of one job."""
        return self.jobs / job_id

    def job_state(self, job_id: str) -> Path:
        """Return the file from which a trainer goes on; it exists while a job is open."""
        return self.job(job_id) / "state.safetensors"

    def trainer_state(self, job_id: str) -> Path:
        """Return the folder from which a trainer of transformers goes on."""
        return self.job(job_id) / "trainer"

    def prepare(self) -> None:
        """Make all folders.

        Raises:
            LocalStateError: the home cannot be made or written.
        """
        try:
            for folder in (
                *(self.root, self.files, self.uploads, self.parts),
                *(self.jobs, self.models, self.cache),
            ):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                folder.chmod(0o700)
        except OSError as error:
            raise LocalStateError(f"The home {self.root} cannot be used: {error}") from error


class ServerLock:
    """An exclusive lock on a home, held as long as the process lives."""

    def __init__(self, home: Home) -> None:
        """Take the lock.

        Raises:
            LocalStateError: another server uses this home.
        """
        self._descriptor = os.open(home.root / "server.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._descriptor)
            raise LocalStateError(
                f"Another ftctl-worker already serves the home {home.root}; stop it or give "
                "another --home."
            ) from error

    def release(self) -> None:
        """Let another server start in this home."""
        os.close(self._descriptor)


class TrainerLock:
    """A lock on one job's folder, held by the process that trains it as long as it does."""

    def __init__(self, home: Home, job_id: str) -> None:
        """Wait until an earlier attempt has let go, and take the lock."""
        home.job(job_id).mkdir(parents=True, exist_ok=True, mode=0o700)
        self._descriptor = os.open(home.job(job_id) / "trainer.lock", os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)

    def release(self) -> None:
        """Let another process train the job."""
        os.close(self._descriptor)
