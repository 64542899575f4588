"""Jobs from submission to the last adapter on a real server: one after another, and together.

    python bench/worker_queue.py [--jobs 4] [--rows 60] [--epochs 4]

CPU seconds of the server and all its trainers, so that other work on the machine counts little.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import openai

TOKEN = "bench"
WORKER = Path(__file__).parents[1] / "worker"


def main() -> None:
    options = _parser().parse_args()
    lines = [
        f"{options.jobs} jobs over tiny, {options.rows} rows, {options.epochs} epochs, one thread",
        f"{'--joint':<10}{'CPU-s':>8}{'wall s':>8}{'first ends':>12}{'last ends':>11}",
    ]
    found = [_measure(how, options) for how in ("never", "auto")]
    lines += [line for line, _ in found]
    lines.append(f"together / one after another: {found[0][1] / found[1][1]:.2f} in CPU seconds")
    print("\n".join(lines))


def _measure(joint: str, options: argparse.Namespace) -> tuple[str, float]:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with tempfile.TemporaryDirectory() as folder:
        process, url = _serve(Path(folder), joint)
        client = openai.OpenAI(base_url=url, api_key=TOKEN)
        started = time.monotonic()
        ids = _submit(client, options)
        ends: dict[str, float] = {}
        while len(ends) < len(ids):
            time.sleep(0.3)
            for job_id in ids:
                if job_id in ends:
                    continue
                job = client.fine_tuning.jobs.retrieve(job_id)
                if job.status in {"succeeded", "failed"}:
                    assert job.status == "succeeded", job.error
                    ends[job_id] = time.monotonic() - started
        process.terminate()
        process.wait()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    wall = max(ends.values())
    line = f"{joint:<10}{spent:>8.1f}{wall:>8.1f}{min(ends.values()):>12.1f}{wall:>11.1f}"
    return line, spent


def _serve(folder: Path, joint: str) -> tuple[subprocess.Popen[bytes], str]:
    ready = folder / "ready.json"
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "ftctl_worker", "serve", "--home", str(folder / "home")),
            *("--token-env", "T", "--ready-file", str(ready), "--threads", "1", "--joint", joint),
        ],
        env={**os.environ, "T": TOKEN, "PYTHONPATH": str(WORKER)},
        stderr=subprocess.DEVNULL,
    )
    while not ready.exists():
        time.sleep(0.1)
    return process, json.loads(ready.read_text())["url"]


def _submit(client: openai.OpenAI, options: argparse.Namespace) -> list[str]:
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"Ticket {n}: the {thing} has not come, what now?"},
                {"role": "assistant", "content": label},
            ]
        }
        for n, (thing, label) in enumerate(
            [("parcel", "delivery"), ("refund", "billing"), ("password", "account")]
            * (options.rows // 3)
        )
    ]
    content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    file = client.files.create(file=("rows.jsonl", content), purpose="fine-tune")
    ways: Any = {"n_epochs": options.epochs}
    return [
        client.fine_tuning.jobs.create(
            model="tiny", training_file=file.id, seed=n, hyperparameters=ways
        ).id
        for n in range(options.jobs)
    ]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Measure a queue of jobs on the worker.")
    parser.add_argument("--jobs", type=int, default=4)
    parser.add_argument("--rows", type=int, default=60)
    parser.add_argument("--epochs", type=int, default=4)
    return parser


if __name__ == "__main__":
    main()
