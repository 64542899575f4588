"""What an exit code says about a trainer that left no result."""

from __future__ import annotations

import signal

from ftctl_worker.job import JobError

__all__ = ["why_it_died"]


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
