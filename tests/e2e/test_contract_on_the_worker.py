"""The provider contract once more, against the real worker and real training."""

from __future__ import annotations

import itertools
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


_ROWS = itertools.count(12)


@contextmanager
def the_worker(home: Path, rows: Path) -> Iterator[Rig]:
    """A rig over a worker that trains on this machine, one thread, nothing left behind."""
    profile = Profile(name="here", kind="peft", embedded=True, home=home, options={"threads": 1})
    provider = providers.build(profile)

    def finish(remote_id: str) -> RemoteJob:
        job = provider.retrieve_job(remote_id)
        while not (job.status and job.status.is_final):
            SystemClock().sleep(0.2)
            job = provider.retrieve_job(remote_id)
        return job

    try:
        # A file is known by name and size, and the worker still has those of the tests before.
        yield Rig(provider, write_rows(rows, next(_ROWS)), "tiny", finish)
    finally:
        for job in provider.list_jobs():
            if job.status and not job.status.is_final:
                provider.cancel_job(job.id)
        provider.close()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where one worker runs for all promises: it stays while somebody uses it."""
    folder = tmp_path_factory.mktemp("home")
    with the_worker(folder, folder) as user:
        assert user.provider.check().reachable
        yield folder


class TestTheWorker(ProviderContract):
    @pytest.fixture
    def rig(self, home: Path, tmp_path: Path) -> Iterator[Rig]:
        with the_worker(home, tmp_path) as made:
            yield made
