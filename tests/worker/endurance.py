"""Uses one server for a long time, and looks whether anything in it keeps growing.

    python -m tests.worker.endurance --minutes 30 --seed 1

Two projects do their rounds at the same time. Every round uploads files (also in parts, also broken
off half-way), trains a job or more on ``tiny`` by one of three methods, pauses, cancels, asks base
and tuned models in several ways, also with answers left in the middle, sends what is refused, and
deletes all it made. After a round nothing may be left but the job's own record.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import socket
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import openai
from ftctl_worker.home import Home
from ftctl_worker.tokens import TokenFile

from tests.worker import servers
from tests.worker.fuzz import answers_of
from tests.worker.servers import FINAL, TOKEN, Worker, colour_rows, wait_for
from tests.worker.test_constrained import PERSON, WEATHER, of_schema
from tests.worker.test_lifetime import trainers
from tests.worker.test_preferences import preference_rows
from tests.worker.test_rewards import CHECK, prompts

_FEW = {"n_epochs": 2, "batch_size": 8}
_LONG = {"n_epochs": 50, "batch_size": 1}
_REWARDED = {"n_epochs": 1, "batch_size": 4, "compute_multiplier": 2, "max_completion_tokens": 5}
# A server keeps the last 32 adapters in memory, and a round of both projects makes five or six.
_WARM_UP = 7
_MOST_GROWTH = 0.10
_FLAT = ("descriptors", "threads", "children", "left", "log", "open_jobs")


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What a server holds between two rounds; sizes in bytes.

    ``left`` counts files outside of the folders of jobs and the database.
    """

    resident: int
    descriptors: int
    threads: int
    children: int
    left: int
    job_folders: int
    log: int
    database: int
    open_jobs: int


@dataclass
class Endurance:
    """What was done, and the sample after each round."""

    samples: list[Sample] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    orphans: int = 0
    done: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(("uploads", "jobs", "chats", "deletes", "refused"), 0)
    )

    def __post_init__(self) -> None:
        """Let several threads count."""
        self._lock = threading.Lock()

    def count(self, what: str, number: int = 1) -> None:
        """Count something that was done."""
        with self._lock:
            self.done[what] += number

    def wrong(self, warm_up: int = _WARM_UP) -> list[str]:
        """Return what has grown after ``warm_up`` rounds, one sentence each."""
        settled = self.samples[warm_up:]
        if len(settled) < 2:
            return ["too few rounds to tell"]
        half = len(settled) // 2
        early, late = settled[:half], settled[half:]
        found = [
            f"{name} grew from {highest} to {lowest}"
            for name in _FLAT
            if (lowest := min(getattr(one, name) for one in late))
            > (highest := max(getattr(one, name) for one in early))
        ]
        before, after = (statistics.median(one.resident for one in some) for some in (early, late))
        if after > before * (1 + _MOST_GROWTH):
            found.append(f"memory grew from {before / 2**20:.0f} to {after / 2**20:.0f} MiB")
        if broken := {status: n for status, n in self.statuses.items() if status >= 500}:
            found.append(f"server errors: {broken}")
        if self.orphans:
            found.append(f"{self.orphans} trainers outlived the server")
        return found

    def report(self) -> str:
        """Return the figures, a line each."""
        first, last = self.samples[min(_WARM_UP, len(self.samples) - 1)], self.samples[-1]
        jobs = max(1, self.done["jobs"])
        lines = [
            f"{len(self.samples)} rounds: " + ", ".join(f"{n} {w}" for w, n in self.done.items()),
            f"resident MiB: {first.resident / 2**20:.0f} -> {last.resident / 2**20:.0f}, "
            f"by tenths {_tenths([one.resident for one in self.samples])}",
        ]
        counts = (f"{count} x {status}" for status, count in sorted(self.statuses.items()))
        lines.append(f"{self.statuses.total()} answers: {', '.join(counts)}")
        lines += [f"{name}: {getattr(first, name)} -> {getattr(last, name)}" for name in _FLAT]
        lines.append(
            f"kept of a job: {last.database / jobs / 1024:.1f} KiB of the database, "
            f"{last.job_folders / jobs / 1024:.1f} KiB of logs"
        )
        return "\n".join(lines)


def _tenths(sizes: list[int]) -> str:
    """Return the sizes at ten times of the run, in MiB."""
    last = len(sizes) - 1
    return " ".join(f"{sizes[last * tenth // 10] / 2**20:.0f}" for tenth in range(11))


def endure(folder: Path, *, seconds: float, rounds: int = 0, seed: int = 1) -> Endurance:
    """Use a server with its home in ``folder`` for ``seconds``, or for ``rounds`` if given."""
    chance, seen = random.Random(seed), Endurance()
    until = time.monotonic() + seconds
    with (
        servers.running(folder, "--max-batch", "4") as worker,
        _of_other_project(worker) as other,
        ThreadPoolExecutor(2) as pool,
    ):
        while len(seen.samples) < rounds if rounds else time.monotonic() < until:
            number = len(seen.samples)
            chances = [random.Random(chance.random()) for _ in range(2)]
            both = [
                pool.submit(_round, one, own, seen, number + shift)
                for shift, (one, own) in enumerate(zip((worker, other), chances, strict=True))
            ]
            for one in both:
                one.result()
            seen.samples.append(_settled(worker))
        seen.statuses = answers_of(worker)
    seen.orphans = len(trainers(worker))
    return seen


@contextlib.contextmanager
def _of_other_project(worker: Worker) -> Iterator[Worker]:
    token = TokenFile(Home(worker.home).tokens).add("other", "other")
    client = openai.OpenAI(base_url=worker.url, api_key=token, max_retries=0)
    with client:
        yield replace(worker, client=client)


def _round(worker: Worker, chance: random.Random, seen: Endurance, number: int) -> None:
    files = [worker.upload(colour_rows(12)), worker.upload(colour_rows(6)), _in_parts(worker)]
    jobs = [_create(worker, files, chance, _FEW)]
    kind = number % 3
    if kind == 0:
        files += [worker.upload(preference_rows(6)), worker.upload(prompts(4))]
        jobs += [_create_otherwise(worker, files[-2], "dpo", {"hyperparameters": _FEW})]
        rewarded = {"grader": CHECK, "hyperparameters": _REWARDED}
        jobs += [_create_otherwise(worker, files[-1], "reinforcement", rewarded)]
    if kind == 1:
        jobs += [_create(worker, files, chance, _FEW) for _ in range(2)]
    if kind == 2:
        jobs.append(_create(worker, files, chance, _LONG))
        _interrupt(worker, jobs[-1])
    seen.count("uploads", len(files))
    seen.count("jobs", len(jobs))
    _abort_upload(worker)
    seen.count("refused", _send_what_is_refused(worker, files[0]))
    ended = [worker.wait_job(job_id) for job_id in jobs]
    for job in ended:
        seen.count("chats", _chat(worker, job.fine_tuned_model or "tiny"))
        seen.count("deletes", _delete_models(worker, job))
        files += job.result_files
    for file_id in files:
        worker.client.files.delete(file_id)
    seen.count("deletes", len(files))


def _create(worker: Worker, files: list[str], chance: random.Random, few: dict[str, int]) -> str:
    jobs: Any = worker.client.fine_tuning.jobs
    job_id: str = jobs.create(
        model="tiny",
        training_file=chance.choice(files),
        validation_file=files[1],
        seed=chance.randrange(1000),
        method={"type": "supervised", "supervised": {"hyperparameters": few}},
    ).id
    return job_id


def _create_otherwise(worker: Worker, file_id: str, method: str, given: dict[str, Any]) -> str:
    jobs: Any = worker.client.fine_tuning.jobs
    job_id: str = jobs.create(
        model="tiny", training_file=file_id, method={"type": method, method: given}
    ).id
    return job_id


def _interrupt(worker: Worker, job_id: str) -> None:
    """Pause a job that runs, let it go on, and cancel it."""
    jobs = worker.client.fine_tuning.jobs

    def runs() -> bool:
        return jobs.retrieve(job_id).status in {"running", *FINAL}

    wait_for(runs, seconds=120)
    with contextlib.suppress(openai.BadRequestError):
        jobs.pause(job_id)
        jobs.resume(job_id)
        jobs.cancel(job_id)


def _in_parts(worker: Worker) -> str:
    data = "".join(json.dumps(row) + "\n" for row in colour_rows(8)).encode()
    uploads = worker.client.uploads
    abandoned = uploads.create(
        bytes=len(data), filename="a.jsonl", mime_type="text/jsonl", purpose="fine-tune"
    )
    uploads.parts.create(abandoned.id, data=data)
    uploads.cancel(abandoned.id)
    upload = uploads.upload_file_chunked(
        file=data,
        filename="a.jsonl",
        bytes=len(data),
        mime_type="text/jsonl",
        purpose="fine-tune",
        part_size=500,
    )
    assert upload.file is not None
    return upload.file.id


def _abort_upload(worker: Worker) -> None:
    """Break an upload off in the middle of the file."""
    part = '--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nsome'
    _hang_up(worker, "/files", "multipart/form-data; boundary=x", part, 100_000)


def _hang_up(worker: Worker, path: str, kind: str, body: str, length: int = 0) -> None:
    """Send a request, and wait for no answer; ``length`` is announced where it is more."""
    place = urlsplit(worker.url)
    head = (
        f"POST /v1{path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
        f"Content-Type: {kind}\r\nContent-Length: {length or len(body)}\r\n\r\n"
    )
    with socket.create_connection((place.hostname, place.port), timeout=10) as connection:
        connection.sendall((head + body).encode())


def _send_what_is_refused(worker: Worker, file_id: str) -> int:
    jobs: Any = worker.client.fine_tuning.jobs
    wrong: list[dict[str, Any]] = [
        {"model": "nothing", "training_file": file_id},
        {"model": "tiny", "training_file": "file-nothing"},
        {"model": "tiny", "training_file": file_id, "seed": -1},
        {"model": "tiny", "training_file": file_id, "hyperparameters": {"n_epochs": 51}},
    ]
    for body in wrong:
        with contextlib.suppress(openai.BadRequestError, openai.NotFoundError):
            jobs.create(**body)
            raise AssertionError(body)
    return len(wrong)


def _chat(worker: Worker, model: str) -> int:
    chats: Any = worker.client.chat.completions
    said = {"messages": [{"role": "user", "content": "colour of sky 1"}], "max_tokens": 8}
    chats.create(model=model, **said)
    chats.create(model="tiny", **said)
    with chats.create(model=model, stream=True, **said) as whole:
        assert list(whole)
    with chats.create(model="tiny", stream=True, **said) as left:
        next(iter(left))
    long = {"model": "tiny", **said, "max_tokens": 400, "n": 3}
    _hang_up(worker, "/chat/completions", "application/json", json.dumps(long))
    chats.create(model=model, n=3, **said)
    chats.create(model=model, **said, tools=[WEATHER], tool_choice="required")
    with chats.create(model=model, **said, tools=[WEATHER], stream=True) as called:
        assert list(called)
    chats.create(model=model, **said, response_format=of_schema(PERSON))
    responses: Any = worker.client.responses
    responses.create(model=model, input="colour of sky 1", max_output_tokens=8)
    with responses.create(model=model, input="sky", max_output_tokens=8, stream=True) as events:
        assert list(events)[-1].type in {"response.completed", "response.incomplete"}
    return 11


def _delete_models(worker: Worker, job: Any) -> int:
    checkpoints = list(worker.client.fine_tuning.jobs.checkpoints.list(job.id))
    names = {one.fine_tuned_model_checkpoint for one in checkpoints}
    names |= {job.fine_tuned_model} - {None}
    for name in names:
        worker.client.models.delete(name)
    return len(names)


def _settled(worker: Worker) -> Sample:
    """Return a sample once no trainer is left and connections have closed."""
    wait_for(lambda: not _children(worker.process.pid), seconds=120)
    wait_for(lambda: not any((worker.home / "uploads").iterdir()), seconds=60)
    return _sample(worker)


def _sample(worker: Worker) -> Sample:
    process = Path("/proc") / str(worker.process.pid)
    said = dict(
        line.split(":", 1) for line in (process / "status").read_text(encoding="ascii").splitlines()
    )
    files = [file for file in worker.home.rglob("*") if not file.name.startswith("worker.sqlite3")]
    of_jobs = [file for file in files if file.is_relative_to(worker.home / "jobs")]
    database = worker.home / "worker.sqlite3"
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as reader:
        (open_jobs,) = reader.execute(
            "SELECT COUNT(*) FROM jobs WHERE status NOT IN ('succeeded', 'failed', 'cancelled')"
        ).fetchone()
    return Sample(
        resident=int(said["VmRSS"].split()[0]) * 1024,
        descriptors=len(list((process / "fd").iterdir())),
        threads=int(said["Threads"]),
        children=len(_children(worker.process.pid)),
        left=len(files) - len(of_jobs),
        job_folders=sum(file.stat().st_size for file in of_jobs if file.is_file()),
        log=worker.log.stat().st_size,
        database=database.stat().st_size,
        open_jobs=open_jobs,
    )


def _children(pid: int) -> list[int]:
    lists = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for one in lists for child in one.read_text(encoding="ascii").split()]


def main() -> int:
    """Run the rounds that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        seen = endure(Path(folder), seconds=60 * options.minutes, seed=options.seed)
    wrong = seen.wrong()
    sys.stdout.write(seen.report() + "\n" + "".join(f"{one}\n" for one in wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
