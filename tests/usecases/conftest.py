"""What comparisons begin with: a tuned model in the ledger, and rows it has not seen."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.domain.jobs.job import Job
from tests.conftest import Ftctl
from tests.usecases.comparing import row, tuned_job, write


@pytest.fixture
def job(ftctl: Ftctl) -> Job:
    return tuned_job(ftctl)


@pytest.fixture
def held_out(ftctl: Ftctl) -> Path:
    return write(ftctl.home / "test.jsonl", [row(n) for n in range(120)])
