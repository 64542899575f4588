"""One pass of sync over many active jobs, against a plain loop of the SDK, in the same run.

    python bench/sync.py [JOBS]

The host is simulated, in a process of its own, and answers at once; what differs is how it is asked.
First pass: every job is new to the ledger's eyes. Second pass: nothing has changed. Third: one job
in a hundred has ended. The plain loop asks for each job by its id, as the SDK's examples do; the
plain list reads every page and compares nothing.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from orchestrator import config, wiring
from orchestrator.domain.clock import ManualClock
from orchestrator.domain.ids import new_token
from orchestrator.domain.job import JobStatus
from orchestrator.usecases.sync import sync
from providers.simulator import Simulator
from tests.factories import DIGEST, a_dataset, a_job

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ENDED_SHARE = 100


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    tokens = [new_token() for _ in range(count)]
    result: dict[str, Any] = {"jobs": count, "machine": machine()}
    with hosted(tokens) as url, tempfile.TemporaryDirectory() as folder:
        app = installed(Path(folder), url, tokens)
        for name, prepare in (
            ("sync, first pass", lambda: None),
            ("sync, nothing changed", lambda: None),
            ("sync, 1 in 100 ended", lambda: post(url, "advance", looks=3, every=ENDED_SHARE)),
        ):
            prepare()
            app.clock.sleep(600)
            result[name] = measured(lambda: counted(app))
        app.close()
        result["SDK, one question a job"] = measured(lambda: plain_loop(url, count))
        result["SDK, every page"] = measured(lambda: plain_list(url))
    sys.stdout.write(json.dumps(result, indent=2) + "\n")


def counted(app: wiring.App) -> dict[str, Any]:
    done = sync(app.ledger())
    assert not done.unreachable, done.unreachable
    return {"checked": done.checked, "changed": len(done.changes), "requests": done.requests}


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
    return {"requests": -(-seen // 100)}


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


def installed(home: Path, url: str, tokens: list[str]) -> wiring.App:
    """A ledger that knows every job, as it was when it was queued."""
    (home / "ftctl.toml").write_text(
        f'[providers.host]\nkind = "openai"\nbase_url = "{url}"\napi_key_env = "KEY"\n'
    )
    settings = config.load({"FTCTL_HOME": str(home), "KEY": "sk-bench"}, cwd=home)
    app = wiring.App(settings, clock=ManualClock())
    row = home / "row.jsonl"
    row.write_text("{}\n")
    app.datasets.keep(a_dataset(), row)
    from sqlalchemy import insert

    from orchestrator.store.job_values import to_row
    from orchestrator.store.tables import job_rows

    account = app.provider("host").account
    first = a_job(provider="host", account=account, training=DIGEST, status=JobStatus.QUEUED)
    made = first.created_at - timedelta(hours=3)
    rows = [
        to_row(
            replace(
                first, id=f"{number:012d}", token=token, remote_id=f"ftjob-{number:08d}",
                created_at=made + timedelta(seconds=number),
            )
        )
        for number, token in enumerate(tokens)
    ]  # fmt: skip
    with app.engine.begin() as connection:
        connection.execute(insert(job_rows), rows)
    return app


def machine() -> str:
    return f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"


if __name__ == "__main__":
    main()
