"""What an ended job leaves that nobody will use any more: what it could have gone on from."""

from __future__ import annotations

import contextlib
import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ftctl_worker.home import Home
    from ftctl_worker.queue.jobs import JobStore

__all__ = ["Leftovers"]


class Leftovers:
    """Removes stored states, and weights without a name, of jobs that are final.

    Of a job that the database does not know nothing is removed: it may be an older one, put back
    from a backup.
    """

    def __init__(self, jobs: JobStore, home: Home) -> None:
        """Look in ``home``, and ask ``jobs``."""
        self._jobs = jobs
        self._home = home

    def sweep(self) -> None:
        """Clear every job that is final and still has a stored state."""
        for folder in self._home.jobs.iterdir():
            places = (self._home.job_state(folder.name), self._home.trainer_state(folder.name))
            if any(place.exists() for place in places):
                job = self._jobs.get(folder.name)
                if job is not None and job.status.is_final:
                    self.clear(job.id)

    def clear(self, job_id: str) -> None:
        """Remove what is left of a job that is final; doing it twice changes nothing."""
        self._home.job_state(job_id).unlink(missing_ok=True)
        shutil.rmtree(self._home.trainer_state(job_id), ignore_errors=True)
        models = self._home.models / job_id
        if not models.is_dir():
            return
        named = self._jobs.model_folders(job_id)
        for folder in models.iterdir():
            if str(folder.relative_to(self._home.models)) not in named:
                shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # it holds models that have names
            models.rmdir()
