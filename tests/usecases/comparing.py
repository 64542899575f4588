"""What comparisons are tried on: a job in the ledger, label rows, and a host that answers by rule."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

from orchestrator.domain.chat import ChatAnswer, ChatRequest
from orchestrator.domain.comparing.sample import text_of
from orchestrator.domain.jobs.job import Job, JobStatus, MetricPoint
from orchestrator.domain.provider import Provider
from tests.conftest import Ftctl
from tests.factories import a_dataset, a_job

LABELS = ("billing", "refund")


@dataclass
class Host:
    """A provider of which only the answers matter; `right` is each model's share in percent."""

    right: dict[str, int] = field(default_factory=lambda: {"tiny": 55, "ft:tiny:x": 95})
    say: Callable[[ChatRequest], str] | None = None
    name: str = "local"
    kind: str = "peft"
    account: str = "account-1"
    asked: list[ChatRequest] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def chat(self, request: ChatRequest) -> ChatAnswer:
        with self.lock:
            self.asked.append(request)
        return ChatAnswer(
            text=self.say(request) if self.say else self._label(request),
            finish_reason="stop",
            prompt_tokens=12 * len(request.messages),
            completion_tokens=2,
            latency=0.05,
        )

    def _label(self, request: ChatRequest) -> str:
        said = text_of(request.messages[-1]).split()
        number = int(said[said.index("ticket") + 1])
        right = number * 7919 % 100 < self.right[request.model]
        return LABELS[number % 2] if right else LABELS[(number + 1) % 2]

    def close(self) -> None:
        pass


def elsewhere(**changes: Any) -> Host:
    """A host of another kind and account."""
    return Host(name="openai", kind="openai", account="account-2", **changes)


def answered_by(ftctl: Ftctl, *hosts: Host) -> dict[str, Host]:
    """Let those hosts answer, each for the profile of its name."""
    made = {host.name: host for host in hosts}
    ftctl.build_provider = lambda profile: cast(Provider, made[profile.name])
    return made


def row(number: int, **more: Any) -> dict[str, Any]:
    return {
        "messages": [
            {"role": "user", "content": f"ticket {number} please"},
            {"role": "assistant", "content": LABELS[number % 2]},
        ],
        **more,
    }


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(each) + "\n" for each in rows), encoding="utf-8")
    return path


def tuned_job(ftctl: Ftctl, training: list[dict[str, Any]] | None = None, **changes: Any) -> Job:
    app = ftctl.app()
    path = write(ftctl.home / "train.jsonl", training or [row(n) for n in range(1000, 1080)])
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    app.datasets.keep(a_dataset(digest=digest, rows=80, tokens=4000), path)
    now = app.clock.now()
    values: dict[str, Any] = {
        "provider": "local",
        "kind": "peft",
        "model": "tiny",
        "training": digest,
        "status": JobStatus.SUCCEEDED,
        "tuned_model": "ft:tiny:x",
        "sent_at": now - timedelta(seconds=90),
        "finished_at": now,
        "trained_tokens": 12_000,
    }
    job = a_job(**{**values, **changes})
    app.jobs.add(job)
    app.jobs.add_metrics(job.id, [MetricPoint(s, "train_loss", 2.0 / s) for s in range(1, 20)])
    app.close()
    return job
