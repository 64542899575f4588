"""A provider, what it talks to, and how to bring a job to its end."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from orchestrator.domain.ids import new_token
from orchestrator.domain.profile import Profile
from orchestrator.domain.provider import JobRequest, TokenCarrier
from providers.simulator import Simulator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from orchestrator.domain.provider import Provider, RemoteFile, RemoteJob

KEY = "sk-test-0123456789abcdef"
MODEL = "gpt-4.1-mini-2025-04-14"
LOOKS = 10


@dataclass
class Rig:
    """What the contract suite needs; a real host fills it in as well as a simulated one.

    Attributes:
        provider: who is tested.
        rows: a training file of at least the fewest examples.
        model: a base model.
        finish: brings a job to its end, by its remote id.
        sim: the simulated host, if it is one.
        has_checkpoints: the host lists some.
        answers_as: what a tuned model is asked as, where it must be deployed first.
    """

    provider: Provider
    rows: Path
    model: str
    finish: Callable[[str], RemoteJob]
    sim: Simulator | None = None
    answers_as: Callable[[str], str] = field(default=lambda model: model)
    has_checkpoints: bool = True
    training_file: str | None = None

    def uploaded(self, name: str = "train.jsonl") -> RemoteFile:
        """The training file, ready for a job."""
        file = self.provider.upload(self.rows, name)
        for _ in range(LOOKS):
            if file.processed:
                return file
            file = self.provider.retrieve_file(file.id)
        raise AssertionError(f"{file} is not processed after {LOOKS} looks")

    def job(self, *, suffix: str | None = None, token: str | None = None) -> RemoteJob:
        """A job that was just asked for."""
        token = token or new_token()
        if self.provider.capabilities.token_in is TokenCarrier.FILE:
            self.training_file = self.uploaded(f"ftctl-{token}.jsonl").id
        else:
            self.training_file = self.training_file or self.uploaded().id
        return self.provider.create_job(
            JobRequest(
                model=self.model, training_file=self.training_file, token=token, suffix=suffix
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


def profile(kind: str, url: str | None, home: Path, **more: Any) -> Profile:
    """A profile with a key, patient for five seconds."""
    fields = {"name": "here", "api_key": KEY, "api_key_env": "TEST_KEY", "timeout": 5.0, **more}
    return Profile(kind=kind, base_url=url, home=home, **fields)


@contextmanager
def simulated(
    build: Callable[[Profile], Provider],
    dialect: str,
    folder: Path,
    *,
    kind: str = "acme",
    **options: Any,
) -> Iterator[Rig]:
    """A provider over real HTTP to a simulated host.

    Args:
        build: what the entry point names.
        dialect: whose manners the host has; see `providers.simulator.dialects`.
        folder: for the training file and the provider's own state.
        kind: the kind that the profile names.
        options: what else the profile says.
    """
    with Simulator(dialect) as sim:
        provider = build(profile(kind, sim.url, folder, options=options))

        def finish(job_id: str) -> RemoteJob:
            sim.advance(LOOKS)
            return provider.retrieve_job(job_id)

        rig = Rig(provider, write_rows(folder), MODEL, finish, sim)
        rig.has_checkpoints = sim.dialect.checkpoints
        if sim.dialect.deployments:
            rig.answers_as = lambda model: _deployed(sim, model)
        try:
            yield rig
        finally:
            provider.close()


def _deployed(sim: Simulator, model: str) -> str:
    sim.deploy("tuned-deployment", model)
    return "tuned-deployment"
