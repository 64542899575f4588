"""What is made of a trainer that left no result."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING

from ftctl_worker.job import JobError

if TYPE_CHECKING:
    from ftctl_worker.home import Home

__all__ = ["EXIT_ONE_BY_ONE", "Deaths", "out_of_memory_kills", "why_it_died"]

# A trainer of several jobs ends with this where they have to be trained one by one.
EXIT_ONE_BY_ONE = 76
_HOPELESS_AFTER = 5
_COUNTERS = (Path("/sys/fs/cgroup/memory.events"), Path("/proc/vmstat"))


def out_of_memory_kills() -> int:
    """Return how many processes the kernel has killed for want of memory, as far as it says."""
    for file in _COUNTERS:
        try:
            lines = file.read_text(encoding="ascii").splitlines()
        except OSError:
            continue
        counts = [int(line.split()[1]) for line in lines if line.startswith("oom_kill ")]
        if counts:
            return counts[0]
    return 0


class Deaths:
    """How often trainers were killed since their jobs last stored a step.

    Kept in memory: a server that starts anew gives every job its chances again.
    """

    def __init__(self, home: Home) -> None:
        """Look for stored steps in ``home``."""
        self._home = home
        self._seen: dict[str, tuple[int, int]] = {}
        self.apart: set[str] = set()

    def is_hopeless(self, job_id: str) -> bool:
        """Count a death; True where as many in a row as there may be brought the job nowhere."""
        stored = max(_written(self._home.job_state(job_id)), self._trainer_wrote(job_id))
        count, before = self._seen.get(job_id, (0, stored))
        count = count + 1 if stored == before else 1
        self._seen[job_id] = (count, stored)
        return count >= _HOPELESS_AFTER

    def _trainer_wrote(self, job_id: str) -> int:
        places = self._home.trainer_state(job_id).glob("checkpoint-*/trainer_state.json")
        return max(map(_written, places), default=0)

    def set_apart(self, job_id: str) -> None:
        """Have a job trained alone from now on."""
        self.apart.add(job_id)

    def forget(self, job_id: str) -> None:
        """Take note that a job has ended."""
        self._seen.pop(job_id, None)
        self.apart.discard(job_id)


def _written(file: Path) -> int:
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return 0


def why_it_died(code: int, job_id: str) -> JobError:
    """Return the error of a job whose trainer ended without a word, from its exit code."""
    if code == -signal.SIGKILL:
        return JobError(
            code="out_of_memory",
            message="The trainer was killed by the system, most likely out of memory; use a "
            "smaller batch_size, shorter examples or a smaller model, and submit again.",
        )
    how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
    return JobError(
        code="trainer_died",
        message=f"The trainer ended {how} without a result; the server's jobs/{job_id}/train.log "
        "says more. Submit the job again.",
    )
