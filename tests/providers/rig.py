"""A provider, what it talks to, and how to bring a job to its end."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx2

import providers
from orchestrator.domain.ids import new_token
from orchestrator.domain.profile import Profile
from orchestrator.domain.provider import JobRequest, Provider, RemoteFile, RemoteJob
from providers.openai import build as build_openai
from providers.retry import Retry
from providers.simulator import Simulator
from providers.wire import WireProvider

KEY = "sk-test-0123456789abcdef"


@dataclass
class Rig:
    """What the contract suite needs; a real host fills it in as well as a simulated one."""

    provider: Provider
    rows: Path
    model: str
    finish: Callable[[str], RemoteJob]
    sim: Simulator | None = None
    answers_as: Callable[[str], str] = field(default=lambda model: model)
    training_file: str | None = None

    def uploaded(self) -> RemoteFile:
        """The training file, ready for a job."""
        file = self.provider.upload(self.rows, "train.jsonl")
        for _ in range(10):
            if file.processed:
                return file
            file = self.provider.retrieve_file(file.id)
        raise AssertionError(file)

    def job(self, *, suffix: str | None = None, token: str | None = None) -> RemoteJob:
        """A job that was just asked for."""
        self.training_file = self.training_file or self.uploaded().id
        return self.provider.create_job(
            JobRequest(
                model=self.model,
                training_file=self.training_file,
                token=token or new_token(),
                suffix=suffix,
            )
        )


def write_rows(folder: Path, count: int = 12) -> Path:
    """A training file of that many examples."""
    row = {
        "messages": [
            {"role": "user", "content": "The invoice is wrong."},
            {"role": "assistant", "content": "billing"},
        ]
    }
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for _ in range(count)), encoding="utf-8")
    return path


def profile(kind: str, url: str | None, home: Path, **more: object) -> Profile:
    """A profile with a key, patient for five seconds."""
    fields = {"name": "here", "api_key": KEY, "api_key_env": "TEST_KEY", "timeout": 5.0, **more}
    return Profile(kind=kind, base_url=url, home=home, **fields)  # type: ignore[arg-type]


@contextmanager
def simulated(kind: str, dialect: str, folder: Path) -> Iterator[Rig]:
    """A provider over real HTTP to a simulated host that speaks its dialect."""
    with Simulator(dialect) as sim:
        provider = providers.build(profile(kind, sim.url, folder))

        def finish(job_id: str) -> RemoteJob:
            sim.advance(10)
            return provider.retrieve_job(job_id)

        rig = Rig(provider, write_rows(folder), "gpt-4.1-mini-2025-04-14", finish, sim)
        if sim.dialect.deployments:
            rig.answers_as = lambda model: _deployed(sim, model)
        try:
            yield rig
        finally:
            provider.close()


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


def _deployed(sim: Simulator, model: str) -> str:
    sim.deploy("tuned-deployment", model)
    return "tuned-deployment"
