"""The worker's server against ``transformers serve``: the same model, the same requests by HTTP."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers.utils.import_utils import is_serve_available
from worker_shared import CUDA, UNIT, WORDS, Measured, endless, in_turn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ftctl_worker.models.bases import BaseModel

REQUESTS, TOKENS = 32, 24
PATIENCE_SECONDS = 180
WORKER = Path(__file__).resolve().parents[1] / "worker"
# Without bounds its cache takes whatever memory there is.
_BATCHING = ("--continuous-batching", "--cb-num-blocks", "256", "--cb-max-batch-tokens", "1024")
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Server:
    """A running server; ``model`` is its name for the model."""

    pid: int
    url: str
    model: str

    def ask(self, number: int) -> tuple[str, int]:
        """Return an answer and its number of tokens."""
        content = f"ticket {number}: " + " ".join(WORDS[: 5 + number % 11])
        body = {
            "model": self.model, "messages": [{"role": "user", "content": content}],
            "max_tokens": TOKENS, "temperature": 0,
        }  # fmt: skip
        request = urllib.request.Request(
            f"{self.url}/v1/chat/completions",
            json.dumps(body).encode(),
            {"Content-Type": "application/json", "Authorization": "Bearer t"},
        )
        with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as response:
            answer: dict[str, Any] = json.load(response)
        text = answer["choices"][0]["message"]["content"] or ""
        return text, answer["usage"]["completion_tokens"]

    def seconds(self) -> float:
        """Return the CPU seconds of the process, or seconds of the wall with a card."""
        if CUDA:
            return time.perf_counter()
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS


def serve_table(base: BaseModel, place: Path, repeats: int) -> list[str]:
    """Ask two servers the same, one request after another and all at once."""
    title = f"Servers with {base.name}: {REQUESTS} requests, {TOKENS} new tokens each, {UNIT}"
    if not is_serve_available():
        return [f"{title}: not measured, pip install 'transformers[serving]'"]
    if base.kind != "folder":
        return [f"{title}: not measured, the model is no folder"]
    model = endless(base, place / "served")
    ours = [
        *("-m", "ftctl_worker", "serve", "--home", str(place / "home"), "--threads", "1"),
        *("--models-dir", str(place / "served"), "--token-env", "BENCH_TOKEN", "--port"),
    ]
    theirs = ["-m", "transformers.cli.transformers", "serve", model.location, "--dtype", "float32"]
    theirs += ["--host", "127.0.0.1"]
    commands = {
        "ftctl-worker": (ours, Path(model.location).name),
        "transformers serve": ([*theirs, "--port"], model.location),
        "... continuous batching": ([*theirs, *_BATCHING, "--port"], model.location),
    }
    lines = [
        title,
        f"{'server':<26}{'one by one':>12}{'at once':>10}{'ratio to ours':>15}{'equal':>10}",
    ]
    with contextlib.ExitStack() as running:
        found: dict[str, Server] = {}
        for name, (command, own_name) in commands.items():
            print(f"starting {name} ...", flush=True)
            try:
                found[name] = running.enter_context(_running(command, own_name, place))
            except TimeoutError as error:
                lines.append(f"{name:<26} not measured: {error}")
        best = in_turn(
            {
                f"{name}/{many}": partial(_ask_all, server, many)
                for name, server in found.items()
                for many in (1, REQUESTS)
            },
            repeats,
        )
    first = best[f"ftctl-worker/{REQUESTS}"]
    for name in found:
        alone, together = best[f"{name}/1"], best[f"{name}/{REQUESTS}"]
        equal = sum(a == b for a, b in zip(together.texts, first.texts, strict=True))
        lines.append(
            f"{name:<26}{alone.rate:>12,.0f}{together.rate:>10,.0f}"
            f"{together.rate / first.rate:>15.2f}{equal:>4} of {REQUESTS}"
        )
    return lines


def _ask_all(server: Server, at_once: int) -> Measured:
    started = server.seconds()
    with ThreadPoolExecutor(at_once) as pool:
        answers = list(pool.map(server.ask, range(REQUESTS)))
    seconds = server.seconds() - started
    tokens = sum(count for _, count in answers)
    return Measured("", tokens, seconds, texts=[text for text, _ in answers])


@contextlib.contextmanager
def _running(command: list[str], model: str, place: Path) -> Iterator[Server]:
    """Start a server on a free port, and wait until it has answered once."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    paths = os.pathsep.join([str(WORKER), *sys.path[1:]])
    threads = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_OFFLINE": "1"}
    environment = {**os.environ, **threads, "BENCH_TOKEN": "t", "PYTHONPATH": paths}
    log = place / f"{port}.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, *command, str(port)], env=environment, stdout=stream, stderr=stream
        )
    try:
        server = Server(process.pid, f"http://127.0.0.1:{port}", model)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not _answers(server):
            if process.poll() is not None or time.monotonic() > deadline:
                last = log.read_text(errors="replace").strip().splitlines() or ["no word"]
                raise TimeoutError(f"it does not answer ({last[-1][:160]})")
            time.sleep(0.5)
        yield server
    finally:
        process.kill()
        process.wait()


def _answers(server: Server) -> bool:
    with contextlib.suppress(OSError, urllib.error.URLError):
        return bool(server.ask(0)[1])
    return False
