"""The rigs of our own providers, and what tests of one request need."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import httpx2

import providers
from orchestrator.domain.ids import new_token
from orchestrator.domain.profile import Profile
from orchestrator.domain.provider import JobRequest, RemoteJob
from providers.openai import build as build_openai
from providers.retry import Retry
from providers.testing import KEY, Rig, profile, write_rows
from providers.testing import simulated as over_simulator
from providers.wire import WireProvider

__all__ = ["KEY", "Rig", "inside", "over", "profile", "request", "simulated", "write_rows"]


def simulated(kind: str, dialect: str, folder: Path, **options: Any) -> AbstractContextManager[Rig]:
    """A provider of ours over real HTTP to a simulated host that speaks its dialect."""
    return over_simulator(providers.build, dialect, folder, kind=kind, **options)


@contextmanager
def inside(folder: Path) -> Iterator[Rig]:
    """The simulator inside the process, which remembers in a file."""
    provider = providers.build(profile("simulator", None, folder))

    def finish(job_id: str) -> RemoteJob:
        for _ in range(10):
            provider.retrieve_job(job_id)
        return provider.retrieve_job(job_id)

    try:
        yield Rig(provider, write_rows(folder), "tiny", finish)
    finally:
        provider.close()


def over(
    handler: Callable[[httpx2.Request], httpx2.Response],
    *,
    key: str = KEY,
    waits: list[float] | None = None,
) -> WireProvider:
    """OpenAI's provider over a function instead of a network; it never really waits."""
    log = [] if waits is None else waits
    return build_openai(
        Profile(
            name="here",
            kind="openai",
            base_url="https://api.invalid/v1",
            api_key=key,
            api_key_env="TEST_KEY",
        ),
        transport=lambda: httpx2.MockTransport(handler),
        retry=Retry(sleep=log.append),
    )


def request(token: str | None = None) -> JobRequest:
    """A request for a job over a file that need not exist."""
    return JobRequest(model="m", training_file="file-1", token=token or new_token())
