"""Submits killed at any time, over a line that loses answers, to a host that nobody here wrote.

    pip install --target /some/folder fakeai pillow tiktoken uvicorn
    FTCTL_FOREIGN=/some/folder python -m tests.reliability.foreign_host --trials 200 --seed 1

FakeAI (Apache-2.0) keeps jobs and lists them, but drops metadata: a token is never seen again. So a request
whose answer is lost cannot be settled by ftctl alone; what it must not do is send it again. Each intent has
a seed of its own, which this host repeats, so that jobs can be held against intents from outside. The host
leaves every file at "uploaded" for ever; that one word is changed. Without FTCTL_FOREIGN nothing is done.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from tests.reliability import bad_line, frame, mangler, planted, trials, world

_SERVER = """
import sys, uvicorn
import importlib
module = importlib.import_module("fakeai.app")
service, upload = module.fakeai_service, module.fakeai_service.upload_file
async def processed():
    file = await upload()
    file.status = "processed"
    return file
service.upload_file = processed
uvicorn.run(module.app, host="127.0.0.1", port=int(sys.argv[1]), log_level="error")
"""
_JOBS = "SELECT id, seed, status, remote_id FROM jobs"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    if "FTCTL_FOREIGN" not in os.environ:
        sys.stdout.write(json.dumps({"skipped": "FTCTL_FOREIGN names no folder"}) + "\n")
        return 0
    return frame.measured(partial(_all, parser.parse_args()))


def _all(options: argparse.Namespace) -> dict[str, Any]:
    with world.warm() as template:
        with a_foreign_host() as url:
            result = _run(options.trials, options.seed, template, url)
        with a_foreign_host() as url:
            control = _run(30, options.seed, template, url, planted.blind_retry)
    passed = result["passed"] and not control["passed"]
    return result | {
        "passed": passed,
        "trials": options.trials,
        "seed": options.seed,
        "negative control (blind retry) failed, as it must": not control["passed"],
    }


def _run(
    count: int, seed: int, template: Path, url: str, plant: Callable[[], None] | None = None
) -> dict[str, Any]:
    chance = random.Random(seed)
    host = world.Host(0, url)
    with (
        world.an_installation(host, kind="compatible", template=template) as ours,
        bad_line.a_bad_line(host, ours.home / "line.log", seed) as (pid, port),
    ):
        file = ours.home / "ftctl.toml"
        text = file.read_text().replace(url, f"http://127.0.0.1:{port}/v1")
        # Slower than ours; a silent line is silent for longer than that.
        file.write_text(text.replace(f"timeout = {world.TIMEOUT}", "timeout = 0.9"))
        ours.planted = plant
        codes = Counter(_submitted(ours, chance, number) for number in range(count))
        time.sleep(4 * mangler.LATE_SECONDS)
        os.kill(pid, signal.SIGUSR1)
        for _ in range(trials.MOST_PASSES):
            ours.run("sync", "--all")
            ours.clock.at += trials.CRON
        doubled = (ours.home / "line.log").read_text().count(mangler.TWICE)
        return {"killed": codes[trials.KILLED], **_judged(ours, list(_listed(url)), doubled)}


def _submitted(ours: world.Installation, chance: random.Random, number: int) -> int:
    pid = os.fork()
    if pid == 0:
        ours.child((*world.submission(ours), "--seed", str(number), "--allow-unpriced"), None)
    if chance.random() < 0.5:
        time.sleep(chance.random() * bad_line.LONGEST)
        os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _judged(ours: world.Installation, there: list[dict[str, Any]], doubled: int) -> dict[str, Any]:
    rows = ours.rows(_JOBS)
    known = {remote_id for _, _, _, remote_id in rows}
    named = " ".join(text for (text,) in ours.rows("SELECT message FROM events"))
    made = Counter(job["seed"] for job in there)
    twice = sum(made[seed] > 1 for _, seed, _, _ in rows)
    forgotten = [job["id"] for job in there if job["id"] not in known and job["id"] not in named]
    wrong = [
        seed for job in there for _, seed, _, r in rows if r == job["id"] and seed != job["seed"]
    ]
    statuses = Counter(status for _, _, status, _ in rows)
    return {
        "passed": twice <= doubled
        and not forgotten
        and not wrong
        and world.is_sound(ours.database),
        "intents": len(rows),
        "jobs at the host": len(there),
        "POSTs that the line delivered twice": doubled,
        "intents with two jobs": twice,
        "jobs that the ledger neither has nor names": len(forgotten),
        "jobs under a wrong intent": len(wrong),
        "intents left to a person": statuses["needs_review"],
        "statuses": dict(statuses),
    }


def _listed(url: str) -> Iterator[dict[str, Any]]:
    after = ""
    while True:
        request = urllib.request.Request(
            f"{url}/fine_tuning/jobs?limit=100{after}", headers={"authorization": "Bearer any"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            page = json.load(answer)
        yield from page["data"]
        if not page["has_more"]:
            return
        after = f"&after={page['data'][-1]['id']}"


@contextlib.contextmanager
def a_foreign_host() -> Iterator[str]:
    """FakeAI on a free port; its base URL."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-c", _SERVER, str(port)],
        env={
            "PYTHONPATH": os.environ["FTCTL_FOREIGN"],
            "HOME": "/nowhere",
            "FAKEAI_RESPONSE_DELAY": "0",
            "FAKEAI_RANDOM_DELAY": "false",
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(600):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.kill()
        server.wait()


if __name__ == "__main__":
    sys.exit(main())
