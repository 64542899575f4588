"""Statistics and report over many answered samples: seconds and memory, on this machine.

    python bench/compare.py [ROWS]

Answers are invented, stored in a real SQLite file and read back; nobody is asked. Printed are the
seconds of each step and the most memory the process ever held.
"""

from __future__ import annotations

import json
import random
import resource
import sys
import tempfile
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.domain.chat import ChatAnswer, ChatRequest
from orchestrator.domain.clock import ManualClock
from orchestrator.domain.comparing.answerbook import Kept
from orchestrator.domain.comparing.arm import Plan
from orchestrator.domain.comparing.sample import text_of
from orchestrator.domain.jobs.dataset import Dataset
from orchestrator.domain.jobs.job import Job, JobStatus
from orchestrator.store.comparisons import ComparisonStore
from orchestrator.store.database import open_database
from orchestrator.store.datasets import SqlDatasetStore
from orchestrator.store.jobs import SqlJobStore
from orchestrator.usecases.comparing.answering import answer_key
from orchestrator.usecases.comparing.arms import ArmContext, make_arms
from orchestrator.usecases.comparing.compare import compare
from orchestrator.usecases.comparing.samples import read_samples, select
from orchestrator.usecases.deciding.report import make_report, write_report

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from orchestrator.domain.comparing.arm import Arm, Progress
    from orchestrator.domain.comparing.comparison import Comparison
    from orchestrator.domain.comparing.sample import Sample

LABELS = ("billing", "refund", "login", "shipping", "other")
NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


@dataclass
class Host:
    """Answers by rule."""

    texts: bool
    asked: int = 0
    right: dict[str, float] = field(default_factory=lambda: {"tiny": 0.7, "ft:tiny:x": 0.8})

    def chat(self, request: ChatRequest) -> ChatAnswer:
        self.asked += 1
        return self.answer(request)

    def answer(self, request: ChatRequest) -> ChatAnswer:
        number = int(text_of(request.messages[-1]).split()[1])
        rng = random.Random(f"{number} {request.model} {len(request.messages)}")
        right = rng.random() < self.right[request.model]
        said = wanted(number if right else number + 1, texts=self.texts)
        return ChatAnswer(
            text=said,
            finish_reason="stop",
            prompt_tokens=40 * len(request.messages),
            completion_tokens=4,
            latency=rng.expovariate(3.0),
        )


def wanted(number: int, *, texts: bool) -> str:
    if not texts:
        return LABELS[number % len(LABELS)]
    rng = random.Random(number)
    return " ".join(rng.choices(LABELS, k=rng.randint(5, 30)))


def dataset(path: Path, numbers: range, *, texts: bool) -> Path:
    with path.open("w", encoding="utf-8") as lines:
        for number in numbers:
            asked = {"role": "user", "content": f"ticket {number} " + "some words about it " * 8}
            answer = {"role": "assistant", "content": wanted(number, texts=texts)}
            lines.write(json.dumps({"messages": [asked, answer]}) + "\n")
    return path


def fill(
    store: ComparisonStore, host: Host, arms: Sequence[Arm], samples: Sequence[Sample]
) -> None:
    """Keep every arm's answer, so that the comparison asks nobody."""
    for arm in arms:
        for at in range(0, len(samples), 5000):
            kept = []
            for sample in samples[at : at + 5000]:
                request = ChatRequest(
                    model=arm.model, messages=arm.prompt(sample), max_tokens=Plan().max_tokens
                )
                key = answer_key("a", request, 0)
                kept.append(Kept(arm.name, sample.row, key, host.answer(request)))
            store.keep(None, kept, NOW)


def timed(name: str, step: Callable[[], Any]) -> Any:
    started, worked = time.perf_counter(), time.process_time()
    done = step()
    seconds, busy = time.perf_counter() - started, time.process_time() - worked
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{name:<42}{seconds:>8.1f} s{busy:>8.1f} s of a core{memory:>9.0f} MiB at most")
    return done


def main() -> None:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    for texts in (False, True):
        print(f"{rows:,} rows x 3 arms, answers are {'texts' if texts else 'labels'}")
        with tempfile.TemporaryDirectory() as folder:
            measure(Path(folder), rows, texts=texts)


def measure(folder: Path, rows: int, *, texts: bool) -> None:
    engine = open_database(f"sqlite:///{folder / 'ftctl.db'}")
    jobs, datasets = SqlJobStore(engine), SqlDatasetStore(engine, folder / "datasets")
    train = dataset(folder / "train.jsonl", range(10_000_000, 10_001_000), texts=texts)
    datasets.keep(
        Dataset(digest="d" * 64, bytes=1, rows=1000, source="train.jsonl", created_at=NOW), train
    )
    job = Job(
        id="job1", token="t" * 26, provider="local", kind="peft", account="a", model="tiny",
        training="d" * 64, created_at=NOW, updated_at=NOW, status=JobStatus.SUCCEEDED,
        tuned_model="ft:tiny:x",
    )  # fmt: skip
    jobs.add(job)
    test = dataset(folder / "test.jsonl", range(rows), texts=texts)
    store, host = ComparisonStore(engine), Host(texts)
    training = read_samples(train)
    samples = timed("read and check the rows", lambda: select(read_samples(test), training))
    arms = make_arms(
        ["base", "few-shot:4", "tuned"],
        ArmContext(job=job, training=training, samples=samples.samples),
    )

    answered = 0.0

    def seen(now: Progress) -> None:
        nonlocal answered
        if now.done == now.total:
            answered = time.perf_counter()

    def run() -> Comparison:
        return compare(
            job, samples, arms, chat=host, store=store, clock=ManualClock(NOW), progress=seen,
            plan=Plan(grader="token-f1" if texts else "exact"),
        )  # fmt: skip

    timed("keep invented answers", lambda: fill(store, host, arms, samples.samples))
    found = timed("read, grade and compare", run)
    assert host.asked == 0
    print(f"  of it statistics and storing the result {time.perf_counter() - answered:>7.1f} s")
    report = timed(
        "report",
        lambda: make_report(job, jobs=jobs, datasets=datasets, comparison=found, now=NOW),
    )
    timed("three files", lambda: write_report(report, folder / "out", store))
    page = (folder / "out" / "report.html").stat().st_size
    print(f"  verdict {found.verdict}, page {page:,} bytes\n")
    engine.dispose()


if __name__ == "__main__":
    main()
