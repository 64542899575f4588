"""One pass of sync over many active jobs, against a plain loop of the SDK, in the same run.

    python bench/sync.py [JOBS]

The host is simulated, in a process of its own, and answers at once; what differs is how it is asked.
First pass: every job is new to the ledger's eyes. Second pass: nothing has changed. Third: one job
in a hundred has ended. The plain loop asks for each job by its id, as the SDK's examples do; the
plain list reads every page and compares nothing. Several passes at once, without the lock that keeps
them apart, must make each change once (and do not, where compare-and-swap is taken out). A host that
accepts and never answers must delay no other: passes with it and without it, in turn.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sqlalchemy import func, insert, select

from orchestrator import config, wiring
from orchestrator.domain.clock import ManualClock
from orchestrator.domain.ids import new_token
from orchestrator.domain.jobs.job import JobStatus
from orchestrator.store.job_values import to_row
from orchestrator.store.tables import job_rows
from orchestrator.usecases.jobs.sync import sync
from providers.simulator import Simulator
from tests.factories import DIGEST, a_dataset, a_job
from tests.reliability.overlapping import at_once
from tests.reliability.planted import no_compare_and_swap

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from orchestrator.domain.jobs.job import Job

ENDED_SHARE = 100
PASSES = 8
PAGE = 100
TIMES = 5


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    tokens = [new_token() for _ in range(count)]
    result: dict[str, Any] = {"jobs": count, "machine": machine()}
    with hosted(tokens) as url, tempfile.TemporaryDirectory() as folder:
        app = installed(Path(folder), url, tokens)
        for name, prepare in (
            ("sync, first pass", lambda: None),
            ("sync, nothing changed", lambda: None),
            ("sync, nothing changed, 150 ms an answer", lambda: slow_down(url, count)),
            ("sync, 1 in 100 ended", lambda: post(url, "advance", looks=3, every=ENDED_SHARE)),
        ):
            prepare()
            app.clock.sleep(600)
            result[name] = measured(lambda: counted(app))
        app.close()
        result[f"{PASSES} passes at once, no lock"] = overlapping(url, tokens)
        result["the same without compare-and-swap"] = overlapping(url, tokens, no_compare_and_swap)
        result["seconds until the last change"] = beside_dead(url, tokens)
        result["SDK, one question a job"] = measured(lambda: plain_loop(url, count))
        result["SDK, every page"] = measured(lambda: plain_list(url))
    sys.stdout.write(json.dumps(result, indent=2) + "\n")


def counted(app: wiring.App) -> dict[str, Any]:
    done = sync(app.ledger())
    assert not done.unreachable, done.unreachable
    return {"checked": done.checked, "changed": len(done.changes), "requests": done.requests}


def overlapping(
    url: str, tokens: list[str], planted: Callable[[], None] | None = None
) -> dict[str, Any]:
    """Processes that see the same news at the same time; each change must be in the ledger once."""
    with tempfile.TemporaryDirectory() as folder:
        installed(Path(folder), url, tokens).close()
        start = time.perf_counter()
        made = at_once(Path(folder), PASSES, planted)
        took = time.perf_counter() - start
        app = opened(Path(folder))
        written = Counter(len(app.jobs.transitions(job.id)) for job in app.jobs.all())
        app.close()
    return {
        "changes": sum(made),
        "of each pass": made,
        "jobs by transitions": dict(written),
        "seconds": round(took, 2),
    }


def slow_down(url: str, count: int) -> None:
    """Every page of the next pass comes late."""
    post(url, "faults", route="list_jobs", fault="slow", seconds=0.15, times=-(-count // PAGE))


def beside_dead(url: str, tokens: list[str]) -> dict[str, Any]:
    taken: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(TIMES):
        for dead, seconds in taken.items():
            seconds.append(last_change(url, tokens, dead=dead))
    return {
        "alone": taken[False],
        "beside a dead host": taken[True],
        "ratio of the quickest": round(min(taken[True]) / min(taken[False]), 3),
    }


def last_change(url: str, tokens: list[str], *, dead: bool) -> float:
    """Wall seconds until the ledger has the last change of a host that answers."""
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as mute:
        app = installed(Path(folder), url, tokens, dead=mute.getsockname()[1] if dead else None)
        start = time.perf_counter()
        passing = threading.Thread(target=lambda: sync(app.ledger()))
        passing.start()
        running = select(func.count()).where(
            job_rows.c.provider == "host", job_rows.c.status != JobStatus.QUEUED.value
        )
        while passing.is_alive():
            passing.join(0.1)
            with app.engine.connect() as connection:
                if connection.scalar(running) == len(tokens):
                    break
        took = time.perf_counter() - start
        passing.join()
        app.close()
    return round(took, 2)


def plain_loop(url: str, count: int) -> dict[str, Any]:
    from openai import OpenAI

    client = OpenAI(api_key="sk-bench", base_url=url, max_retries=0)
    for number in range(count):
        client.fine_tuning.jobs.retrieve(f"ftjob-{number:08d}")
    return {"requests": count}


def plain_list(url: str) -> dict[str, Any]:
    from openai import OpenAI

    client = OpenAI(api_key="sk-bench", base_url=url, max_retries=0)
    seen = sum(1 for _ in client.fine_tuning.jobs.list(limit=100))
    return {"requests": -(-seen // PAGE)}


def measured(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Wall and CPU seconds of this process, and the most memory it has ever had."""
    wall, cpu = time.perf_counter(), time.process_time()
    found = work()
    return {
        **found,
        "seconds": round(time.perf_counter() - wall, 2),
        "cpu_seconds": round(time.process_time() - cpu, 2),
        "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


@contextmanager
def hosted(tokens: list[str]) -> Iterator[str]:
    """A host with a running job for each token, in a process of its own."""
    readable, writable = os.pipe()
    pid = os.fork()
    if pid == 0:
        simulator = Simulator("openai", moves=False)
        fill(simulator, tokens)
        os.write(writable, simulator.url.encode())
        os.close(writable)
        os.close(readable)
        simulator.serve()
        os._exit(0)
    os.close(writable)
    with os.fdopen(readable) as pipe:
        url = pipe.read()
    try:
        yield url
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)


def fill(simulator: Simulator, tokens: list[str]) -> None:
    simulator.exchanges = type(simulator.exchanges)(maxlen=10)
    with simulator._memory.change() as state:
        for number, token in enumerate(tokens):
            record = {
                "id": f"ftjob-{number:08d}", "serial": f"{number:032d}", "created_at": 1_790_000_000,
                "model": "gpt-4.1-mini-2025-04-14", "training_file": "file-1",
                "validation_file": None, "suffix": None, "seed": 1, "paused": False,
                "metadata": {"ftctl_token": token}, "method": "supervised", "step": 2,
                "hyperparameters": {}, "status": "running", "fails": False, "events": [],
                "checkpoints": [], "result_files": [], "fine_tuned_model": None,
                "finished_at": None, "trained_tokens": None, "error": None,
            }  # fmt: skip
            state["jobs"][record["id"]] = record
        state["files"]["file-1"] = {"fault": None, "rows": 12}


def post(url: str, verb: str, **body: Any) -> None:
    import urllib.request

    request = urllib.request.Request(
        f"{url.removesuffix('/v1')}/_simulator/{verb}",
        data=json.dumps(body).encode(),
        headers={"authorization": "Bearer sk-bench"},
    )
    with urllib.request.urlopen(request, timeout=60):
        pass


def installed(home: Path, url: str, tokens: list[str], dead: int | None = None) -> wiring.App:
    """A ledger that knows every job, as it was when it was queued.

    Args:
        home: where it is made.
        url: of the host.
        tokens: of its jobs.
        dead: the port of a second host with a hundred jobs, which accepts and never answers.
    """
    profile = '[providers.{}]\nkind = "openai"\nbase_url = "{}"\napi_key_env = "KEY"\ntimeout = 5\n'
    profiles = [
        profile.format("host", url),
        profile.format("dead", f"http://127.0.0.1:{dead or 9}/v1"),
    ]
    (home / "ftctl.toml").write_text("\n".join(profiles))
    app = opened(home)
    row = home / "row.jsonl"
    row.write_text("{}\n")
    app.datasets.keep(a_dataset(), row)
    waiting = [waiting_job(app, "host", number, token) for number, token in enumerate(tokens)]
    if dead:
        waiting += [waiting_job(app, "dead", 10**9 + n, new_token()) for n in range(100)]
    with app.engine.begin() as connection:
        connection.execute(insert(job_rows), [to_row(job) for job in waiting])
    return app


def opened(home: Path) -> wiring.App:
    settings = config.load({"FTCTL_HOME": str(home), "KEY": "sk-bench"}, cwd=home)
    return wiring.App(settings, clock=ManualClock())


def waiting_job(app: wiring.App, host: str, number: int, token: str) -> Job:
    job = a_job(
        id=f"{number:012d}", provider=host, account=app.provider(host).account, training=DIGEST,
        status=JobStatus.QUEUED, token=token, remote_id=f"ftjob-{number:08d}",
    )  # fmt: skip
    return replace(job, created_at=job.created_at + timedelta(seconds=number % 10_000 - 10_800))


def machine() -> str:
    return f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"


if __name__ == "__main__":
    main()
