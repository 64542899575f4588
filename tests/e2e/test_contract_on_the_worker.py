"""The provider contract once more, against the real worker and real training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import providers
from orchestrator.domain.clock import SystemClock
from orchestrator.domain.profile import Profile
from orchestrator.domain.provider import RemoteJob
from providers.testing import ProviderContract, Rig, write_rows

pytest.importorskip("ftctl_worker")


@contextmanager
def the_worker(folder: Path) -> Iterator[Rig]:
    """A rig over a worker that trains on this machine, one thread, nothing left behind."""
    profile = Profile(name="here", kind="peft", embedded=True, home=folder, options={"threads": 1})
    provider = providers.build(profile)

    def finish(remote_id: str) -> RemoteJob:
        job = provider.retrieve_job(remote_id)
        while not (job.status and job.status.is_final):
            SystemClock().sleep(0.2)
            job = provider.retrieve_job(remote_id)
        return job

    try:
        yield Rig(provider, write_rows(folder), "tiny", finish)
    finally:
        for job in provider.list_jobs():
            if job.status and not job.status.is_final:
                provider.cancel_job(job.id)
        provider.close()


class TestTheWorker(ProviderContract):
    @pytest.fixture
    def rig(self, tmp_path: Path) -> Iterator[Rig]:
        with the_worker(tmp_path) as made:
            yield made
