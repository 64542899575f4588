"""Starts the worker as users do, and speaks to it through OpenAI's own client."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import openai

from tests.worker.contract import check_answer

WORKER = Path(__file__).parents[2] / "worker"
TOKEN = "a-token-for-tests"
FINAL = {"succeeded", "failed", "cancelled"}


def wait_for(condition: Callable[[], Any], *, seconds: float = 60) -> Any:
    """Return the first true value of ``condition``; fail after ``seconds``."""
    pause = threading.Event()
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        pause.wait(0.05)
    return value


@dataclass
class Worker:
    """A running server."""

    process: subprocess.Popen[bytes]
    home: Path
    url: str
    client: openai.OpenAI
    http: httpx2.Client
    log: Path

    def upload(self, rows: list[Any], *, name: str = "train.jsonl") -> str:
        """Upload rows for fine-tuning, and return the file's id."""
        content = "".join(json.dumps(row) + "\n" for row in rows).encode()
        return self.client.files.create(file=(name, content), purpose="fine-tune").id

    def wait_job(self, job_id: str, *, seconds: float = 60) -> Any:
        """Wait until a job is final, and return it."""
        jobs = self.client.fine_tuning.jobs

        def final() -> Any:
            job = jobs.retrieve(job_id)
            return job if job.status in FINAL else None

        return wait_for(final, seconds=240)

    def events(self, job_id: str) -> list[Any]:
        """Return all events of a job, newest first."""
        return list(self.client.fine_tuning.jobs.list_events(job_id, limit=100))

    def kill(self) -> None:
        """Kill the server without a warning."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """Ask the server to end, and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "ftctl_worker", *arguments]


def environment(**more: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {**kept, "PYTHONPATH": str(WORKER), "WORKER_TOKEN": TOKEN, **more}


@contextmanager
def running(
    folder: Path,
    *options: str,
    enter: Sequence[str] = (),
    variables: Mapping[str, str] | None = None,
) -> Iterator[Worker]:
    """Start a server with its home in ``folder``, and end it afterwards.

    ``enter`` is a command in front of the server's own, such as ``nsenter``; ``variables`` come
    into its environment.
    """
    ready = folder / "ready.json"
    ready.unlink(missing_ok=True)
    log = folder / "server.log"
    home = folder / "home"
    arguments = command(
        "serve", "--home", str(home), "--token-env", "WORKER_TOKEN", "--ready-file", str(ready),
        "--threads", "1", *options,
    )  # fmt: skip
    with log.open("ab") as stream:
        process = subprocess.Popen(
            [*enter, *arguments],
            env=environment(**(variables or {})),
            stdout=stream,
            stderr=stream,
        )
    try:
        wait_for(lambda: ready.exists() or process.poll() is not None, seconds=30)
        assert process.poll() is None, log.read_text()
        url = json.loads(ready.read_text())["url"]
        hooks: dict[str, list[Callable[..., Any]]] = {"response": [check_answer]}
        with httpx2.Client(event_hooks=hooks, timeout=60, trust_env=False) as http:
            client = openai.OpenAI(base_url=url, api_key=TOKEN, max_retries=0, http_client=http)
            yield Worker(process, home, url, client, http, log)
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def colour_rows(count: int = 24) -> list[Any]:
    """Rows that teach a mini model to name a colour."""
    words = [("sky", "blue"), ("fire", "red"), ("leaf", "green")]
    return [
        {
            "messages": [
                {"role": "user", "content": f"colour of {word} {number}"},
                {"role": "assistant", "content": colour},
            ]
        }
        for number, (word, colour) in ((n, words[n % len(words)]) for n in range(count))
    ]
