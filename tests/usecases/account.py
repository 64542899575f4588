"""An account that other tools have used: jobs in every state, files that are there and are not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import select

import providers
from orchestrator.domain.clock import ManualClock
from orchestrator.store.metadata import metadata
from providers.simulator import Simulator, jobs
from providers.simulator.state import InMemory
from tests.conftest import Ftctl
from tests.factories import chat_file
from tests.providers.rig import profile

MODEL = "gpt-4.1-mini-2025-04-14"
KEY = "sk-test-0123456789abcdef"
# Looks at a job of the dialect `openai`: validating, queued, three times running, succeeded.
LOOKS = {"validating": 0, "queued": 1, "running": 3, "succeeded": 5}


@dataclass
class Account:
    """A simulated host that stands still, and its memory."""

    host: Simulator
    memory: InMemory
    files: list[str]
    others: dict[str, Simulator] = field(default_factory=dict)

    def add(
        self,
        looks: int = 5,
        *,
        training: str | None = None,
        validation: str | None = None,
        metadata: dict[str, str] | None = None,
        **changes: Any,
    ) -> str:
        """A job that some tool asked for, so many looks on."""
        body = {
            "model": MODEL,
            "training_file": training or self.files[0],
            "validation_file": validation,
            "metadata": metadata,
            "suffix": "old",
            "seed": 3,
            "method": {
                "type": "supervised",
                "supervised": {"hyperparameters": {"n_epochs": 2, "learning_rate_multiplier": 1.8}},
            },
        }
        with self.memory.change() as state:
            now = 1_760_000_000 + len(state["jobs"])
            serial = f"{len(state['jobs']):08x}" + "0" * 24
            record = jobs.create(state, body, self.host.dialect, serial, now)
            for look in range(looks):
                jobs.advance(state, record, self.host.dialect, now + look)
            record.update(changes)
            return str(record["id"])

    def change(self, job_id: str, **changes: Any) -> None:
        with self.memory.change() as state:
            state["jobs"][job_id].update(changes)

    def lose(self, file_id: str) -> None:
        with self.memory.change() as state:
            del state["files"][file_id]


@contextmanager
def an_account(ftctl: Ftctl, folder: Path, *, profile_name: str = "openai") -> Iterator[Account]:
    """A host that answers, a profile that names it, and two training files."""
    memory = InMemory()
    with Simulator(memory=memory, clock=ManualClock(), moves=False) as host:
        client = providers.build(profile("openai", host.url, folder))
        names = [
            client.upload(chat_file(folder / f"{label}.jsonl", 24, label), f"{label}.jsonl").id
            for label in ("first", "second")
        ]
        client.close()
        ftctl.environment["KEY"] = KEY
        (ftctl.home / "ftctl.toml").write_text(
            f'[providers.{profile_name}]\nkind = "openai"\nbase_url = "{host.url}"\n'
            'api_key_env = "KEY"\ntimeout = 5\n'
        )
        yield Account(host, memory, names)


def whole_database(ftctl: Ftctl) -> dict[str, list[str]]:
    """Every row of every table."""
    app = ftctl.app()
    with app.engine.connect() as connection:
        rows = {
            table.name: sorted(
                json.dumps(dict(row), default=str, sort_keys=True)
                for row in connection.execute(select(table)).mappings()
            )
            for table in metadata.sorted_tables
        }
    app.close()
    return rows
