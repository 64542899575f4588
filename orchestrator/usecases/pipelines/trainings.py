"""The trainings of a spec: one for each task or point of its sweep, one for all tasks mixed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from orchestrator.domain.jobs.job import Hyperparameters, Job, JobOptions, JobStatus, Wandb
from orchestrator.domain.jobs.pipeline import (
    StepState,
    TrainingFacts,
    changes,
    facts_of,
    training_facts,
)
from orchestrator.domain.jobs.spec import MIXED, MixedSpec, Spec, TaskSpec, own_options
from orchestrator.grading.submission import read_grader_to_send
from orchestrator.usecases.jobs.dated import newest_request_limits

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from orchestrator.domain.jobs.pipeline import History
    from orchestrator.domain.profile import Profile
    from orchestrator.domain.provider import Capabilities
    from orchestrator.usecases.jobs.ledger import Ledger
    from orchestrator.usecases.jobs.plan import Plan

#: By this metadata a worker knows jobs that belong together, and may train them in one pass.
GROUP_KEY = "ftctl_group"
DEAD = frozenset({JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.REJECTED})


@dataclass(frozen=True, kw_only=True)
class Point:
    """One choice of hyperparameters of one task.

    Attributes:
        step: by which the pipeline knows it: train:TASK, train:TASK#2 in a sweep.
        number: in the sweep, from 1; None without one.
        chosen: what the sweep sets.
    """

    step: str
    task: str
    hyperparameters: Hyperparameters
    own: Mapping[str, Any]
    suffix: str | None
    seed: int | None
    number: int | None = None
    chosen: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Training:
    """A training as it was planned, and the job it has.

    Attributes:
        plan: the request with its valid data.
        state: what applying would do.
        why: what differs from the training that went by this name before.
        job: in the ledger, whoever asked for it; None when there is none.
        uploaded: whether the provider has the training rows; None when nobody can say here.
    """

    point: Point
    plan: Plan
    facts: TrainingFacts
    state: StepState
    why: Sequence[str] = ()
    job: Job | None = None
    uploaded: bool | None = None

    @property
    def step(self) -> str:
        """Its name in the pipeline."""
        return self.point.step

    @property
    def model(self) -> Job | None:
        """Its job, if that has left a tuned model."""
        done = self.job is not None and self.job.status is JobStatus.SUCCEEDED
        return self.job if done else None

    @property
    def size(self) -> tuple[float, int]:
        """What decides between equals: training tokens (rows where uncounted), then the rank."""
        dataset = self.plan.training.dataset
        amount = (dataset.tokens or dataset.rows) * self.plan.epochs
        return amount, int(self.point.own.get("lora", {}).get("r", 0))


def points_of(task: TaskSpec | MixedSpec) -> list[Point]:
    """One point, or those of the sweep."""
    name = task.name if isinstance(task, TaskSpec) else MIXED
    whole = Point(
        step=f"train:{name}",
        task=name,
        hyperparameters=task.hyperparameters,
        own=task.own,
        suffix=task.suffix,
        seed=task.seed,
    )
    sweep = task.sweep if isinstance(task, TaskSpec) else None
    if sweep is None:
        return [whole]
    return [_swept(whole, number, chosen) for number, chosen in enumerate(sweep.points, 1)]


def options_of(spec: Spec, point: Point, profile: Profile, can: Capabilities) -> JobOptions:
    """What the request carries beside the hyperparameters.

    Raises:
        UsageError: the reward is no grader that can be sent.
    """
    limits = newest_request_limits(profile.kind)
    group = {GROUP_KEY: spec.name} if can.metadata and not spec.single else {}
    wandb = dict(spec.wandb)
    return JobOptions(
        grader=read_grader_to_send(spec.reward, limits.grader_source_bytes)
        if spec.reward
        else None,
        metadata={**spec.metadata, **group},
        wandb=Wandb(**{**wandb, "tags": tuple(wandb.get("tags", ()))}) if wandb else None,
        training_type=spec.training_type,
        own=point.own,
    )


def make_training(
    point: Point, plan: Plan, history: History, ledger: Ledger, account: str | None
) -> Training:
    """Look a planned training up in the ledger."""
    request = plan.request
    facts = training_facts(
        provider=request.profile.name,
        model=request.model,
        method=request.method,
        hyperparameters=request.hyperparameters,
        options=request.options,
        suffix=request.suffix,
        seed=request.seed,
        training=plan.training.dataset.digest,
        validation=plan.validation.dataset.digest if plan.validation else None,
    )
    known = history.find(point.step, facts.identity)
    job = find_job(facts, ledger, account, known.job_id if known else None)
    state, why = _state(point.step, facts, job, history)
    return Training(
        point=point,
        plan=plan,
        facts=facts,
        state=state,
        why=why,
        job=job,
        uploaded=_uploaded(facts.training, ledger, account),
    )


def find_job(
    facts: TrainingFacts, ledger: Ledger, account: str | None, bound: str | None
) -> Job | None:
    """The job of a training: the one that is bound, if it lives, else any that does, else the last.

    Args:
        facts: of the training.
        ledger: where jobs are.
        account: who would pay; jobs of other accounts are not ours. None when not known here.
        bound: id of the job that the pipeline remembers.
    """
    same = [
        job
        for job in ledger.jobs.all(training=facts.training)
        if facts_of(job) == facts and account in {None, job.account}
    ]
    order = sorted(
        same,
        key=lambda job: (
            job.status in DEAD,
            job.id != bound,
            job.status is not JobStatus.SUCCEEDED,
        ),
    )
    return order[0] if order else None


def with_job(training: Training, job: Job) -> Training:
    """The training with its job as it stands now."""
    return replace(training, job=job, state=_of_job(job))


def _swept(whole: Point, number: int, chosen: Mapping[str, Any]) -> Point:
    knobs = {name: value for name, value in chosen.items() if name not in {"lora", "worker"}}
    return replace(
        whole,
        step=f"{whole.step}#{number}",
        number=number,
        chosen=chosen,
        hyperparameters=replace(whole.hyperparameters, **knobs),
        own=own_options(whole.own, chosen),
    )


def _state(
    step: str, facts: TrainingFacts, job: Job | None, history: History
) -> tuple[StepState, list[str]]:
    if job is not None:
        return _of_job(job), []
    before = history.latest(step)
    if before is None:
        return StepState.NEW, []
    why = changes(before.facts, facts.as_json())
    return StepState.CHANGED, why or ["another account"]


def _of_job(job: Job) -> StepState:
    if job.status in DEAD:
        return StepState.FAILED
    return StepState.EXISTS if job.status is JobStatus.SUCCEEDED else StepState.UNDER_WAY


def _uploaded(digest: str, ledger: Ledger, account: str | None) -> bool | None:
    if account is None:
        return None
    return ledger.datasets.upload(account, digest) is not None
