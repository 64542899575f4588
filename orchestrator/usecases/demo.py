"""The whole of ftctl on a small task: data, job, comparison, report. Every number is measured now."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from orchestrator.datasets.checking.validation import validate
from orchestrator.datasets.demo_tasks import TASKS
from orchestrator.domain.comparing.arm import Plan
from orchestrator.domain.errors import DatasetInvalid, JobFailed
from orchestrator.domain.jobs.dataset import Split
from orchestrator.domain.jobs.job import JobStatus
from orchestrator.usecases.comparing import compare as comparing
from orchestrator.usecases.comparing.arms import DEFAULT_ARMS, ArmContext, make_arms
from orchestrator.usecases.comparing.samples import read_samples, select
from orchestrator.usecases.deciding import report as reporting
from orchestrator.usecases.jobs import plan as planning
from orchestrator.usecases.jobs.dated import newest_lifecycle, newest_prices
from orchestrator.usecases.jobs.submit import advance, record

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from orchestrator.domain.comparing.answerbook import Comparisons
    from orchestrator.domain.comparing.arm import Progress
    from orchestrator.domain.comparing.comparison import Comparison
    from orchestrator.domain.jobs.job import Job
    from orchestrator.domain.profile import Profile
    from orchestrator.domain.provider import Provider
    from orchestrator.usecases.jobs.ledger import Ledger


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Where the demo plays.

    Attributes:
        profile: whose worker trains.
        folder: where data and report are written.
        wait: stays with a job to its end.
        show: called with (done, total) answers while arms are asked.
    """

    ledger: Ledger
    comparisons: Comparisons
    profile: Profile
    folder: Path
    wait: Callable[[Job, Provider], Job]
    show: Callable[[Progress], None] | None = None
    version: str = ""


@dataclass(frozen=True, kw_only=True)
class DemoResult:
    """What came out."""

    job: Job
    comparison: Comparison
    report: dict[str, Any]
    seconds: float


def run(stage: Stage, *, task: str, model: str, seed: int) -> DemoResult:
    """Data, job, comparison, report.

    Args:
        stage: where it plays.
        task: a name in `TASKS`.
        model: the base model.
        seed: of data, training and the choice of examples.

    Raises:
        JobFailed: the worker could not train.
    """
    started = stage.ledger.clock.now()
    say = stage.ledger.say
    say(f"1. data: {TASKS[task].title}")
    files = TASKS[task].write(stage.folder / "data", seed)
    for split, path in files.items():
        say(f"   {split}: {_validated(path, split)} rows, valid ({path})")
    say(f"2. job: LoRA on {model}, on this machine")
    job = _trained(stage, files, model, seed, started)
    say(f"   {job.tuned_model}, {job.trained_tokens or 0:,} tokens trained")
    say(f"3. comparison: {', '.join(DEFAULT_ARMS)} on {files[Split.TEST].name}")
    comparison = _compared(stage, job, files[Split.TEST], seed)
    say("4. report")
    report = reporting.write_report(
        reporting.make_report(
            job,
            jobs=stage.ledger.jobs,
            datasets=stage.ledger.datasets,
            comparison=comparison,
            now=stage.ledger.clock.now(),
            version=stage.version,
        ),
        stage.folder,
        stage.comparisons,
    )
    seconds = (stage.ledger.clock.now() - started).total_seconds()
    return DemoResult(job=job, comparison=comparison, report=report, seconds=seconds)


def _validated(path: Path, split: Split) -> int:
    verdict = validate(path, target="peft", split=split)
    if not verdict.ok:
        raise DatasetInvalid(f"{path} has {verdict.errors} errors.", hint=f"ftctl validate {path}")
    return verdict.rows


def _trained(stage: Stage, files: dict[Split, Path], model: str, seed: int, now: datetime) -> Job:
    provider = stage.ledger.provider(stage.profile.name)
    request = planning.Request(
        profile=stage.profile,
        model=model,
        training=files[Split.TRAIN],
        validation=files[Split.VALIDATION],
        suffix="demo",
        seed=seed,
    )
    with planning.plan(
        request,
        provider.capabilities,
        newest_prices(),
        newest_lifecycle(),
        now,
        drafts=stage.ledger.drafts,
    ) as plan:
        job = record(plan.intent(provider.account), stage.ledger, again=True)
    with stage.ledger.claim(job.id):
        job = advance(job, provider, stage.ledger)
    job = stage.wait(job, provider)
    if job.status is not JobStatus.SUCCEEDED:
        why = f": {job.error.message}" if job.error else ""
        raise JobFailed(f"The demo's job ended {job.status}{why}", hint=f"ftctl status {job.id}")
    return job


def _compared(stage: Stage, job: Job, test: Path, seed: int) -> Comparison:
    training = read_samples(stage.ledger.datasets.path(job.data))
    chosen = select(read_samples(test), training)
    context = ArmContext(job=job, training=training, samples=chosen.samples, seed=seed)
    # Answers of an earlier demo are in the store; asking as a new repeat measures them in this run.
    fresh = int(stage.ledger.clock.now().timestamp())
    arms = [replace(arm, repeat=fresh) for arm in make_arms(DEFAULT_ARMS, context)]
    return comparing.compare(
        job,
        chosen,
        arms,
        chat=stage.ledger.provider(job.provider),
        store=stage.comparisons,
        clock=stage.ledger.clock,
        plan=Plan(
            max_tokens=comparing.token_limit([each.reference for each in chosen.samples]),
            seed=seed,
        ),
        progress=stage.show,
    )
