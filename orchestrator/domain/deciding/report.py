"""The decision report: a verdict, the criteria behind it, and every number's origin."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from orchestrator.domain.canonical import plain_json
from orchestrator.domain.deciding.checklist import (
    Answers,
    Checklist,
    Finding,
    Status,
    Verdict,
    find,
    judge,
)
from orchestrator.domain.deciding.checks import measure
from orchestrator.domain.deciding.evidence import DatasetFacts, Evidence, loss_curves
from orchestrator.domain.money.bill import Purse, Serving, training_hours
from orchestrator.domain.money.costs_json import costs_json
from orchestrator.domain.money.economics import Costs, costs_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date, datetime

    from orchestrator.domain.comparing.comparison import Comparison
    from orchestrator.domain.jobs.job import Checkpoint, Job, MetricPoint
    from orchestrator.domain.jobs.lifecycle import Lifecycle, Retirement
    from orchestrator.domain.money.prices import PriceBook

# So many points of a curve are kept: more than a screen has.
_MOST_POINTS = 200


class Action(NamedTuple):
    """What would settle the criteria that decided the verdict."""

    ids: tuple[str, ...]
    text: str


@dataclass(frozen=True, kw_only=True)
class Report:
    """A decision, with everything it rests on.

    Attributes:
        job: that trained the candidate; None where models were compared without a job.
        because: ids of the criteria that decided.
        actions: what to type next, for each of them.
        stage: plan, after_run, migrate or switch.
        training: loss by step; `validation` likewise.
        chosen_step: of training, whose weights were measured; None when that is not known.
    """

    job: Job | None
    created_at: datetime
    verdict: Verdict
    because: Sequence[str]
    findings: Sequence[Finding]
    actions: Sequence[Action]
    costs: Costs
    comparison: Comparison | None
    data: DatasetFacts | None
    answers: Answers
    training: Sequence[MetricPoint] = ()
    validation: Sequence[MetricPoint] = ()
    chosen_step: int | None = None
    stage: str = "after_run"
    policy: Mapping[str, float] = field(default_factory=dict)
    provenance: dict[str, str] = field(default_factory=dict)

    @property
    def subject(self) -> str:
        """What is decided about, in a few words."""
        if self.job is not None:
            return f"fine-tuning {self.job.model}"
        if self.comparison is None:
            return "nothing"
        found = self.comparison.decisive
        return f"{found.candidate} in place of {found.baseline}"

    def as_json(self, files: Sequence[str] = ()) -> dict[str, Any]:
        """Plain values, as `schemas/report.schema.json` describes them."""
        plain: dict[str, Any] = {
            "verdict": self.verdict.value,
            "because": list(self.because),
            "criteria": [_criterion(finding, self.job) for finding in self.findings],
            "actions": [action._asdict() for action in self.actions],
            "costs": costs_json(self.costs),
            "job": _job(self.job) if self.job else None,
            "subject": self.subject,
            "comparison": self.comparison.as_json() if self.comparison else None,
            "data": asdict(self.data) if self.data else None,
            "training": [[point.step, point.value] for point in self.training],
            "validation": [[point.step, point.value] for point in self.validation],
            "chosen_step": self.chosen_step,
            "stage": self.stage,
            "policy": dict(self.policy),
            "policy_changed": sorted(self.answers.policy),
            "numbers": dict(self.answers.numbers),
            "answered_by": self.answers.signature,
            "created_at": self.created_at.isoformat(),
            "provenance": self.provenance,
            "files": list(files),
        }
        return plain_json(plain)


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What a report is built from; nothing else goes in.

    Attributes:
        points: the numbers of training.
        checkpoints: states of the weights that were saved.
        version: of ftctl.
        serving: how the tuned model is deployed, if it is.
    """

    job: Job | None
    points: Sequence[MetricPoint]
    data: DatasetFacts | None
    comparison: Comparison | None
    answers: Answers
    checklist: Checklist
    prices: PriceBook
    lifecycle: Lifecycle
    now: datetime
    version: str = ""
    checkpoints: Sequence[Checkpoint] = ()
    serving: Serving | None = None


def build(inputs: Inputs) -> Report:
    """The report; the same inputs give the same report."""
    job, today = inputs.job, inputs.now.date()
    checklist = inputs.checklist.with_policy(inputs.answers.policy)
    retirement = inputs.lifecycle.of_job(job) if job else None
    costs = costs_of(
        Purse(
            job=job,
            comparison=inputs.comparison,
            tokens=inputs.data.tokens if inputs.data else None,
            book=inputs.prices,
            retires=_retires(inputs, retirement),
            numbers=inputs.answers.numbers,
            policy=checklist.policy,
            today=today,
            serving=inputs.serving,
        )
    )
    evidence = Evidence(
        job=job,
        data=inputs.data,
        comparison=inputs.comparison,
        points=inputs.points,
        costs=costs,
        retirement=retirement,
        numbers=inputs.answers.numbers,
        policy=checklist.policy,
        today=today,
    )
    findings = find(checklist, measure(evidence), inputs.answers)
    verdict, because = judge(findings, checklist.required_gates)
    training, validation = loss_curves(inputs.points)
    return Report(
        job=job,
        created_at=inputs.now,
        verdict=verdict,
        because=because,
        findings=findings,
        actions=_actions(findings, because, verdict, job),
        costs=costs,
        comparison=inputs.comparison,
        data=inputs.data,
        answers=inputs.answers,
        training=thinned(training),
        validation=thinned(validation),
        chosen_step=_chosen_step(inputs, training),
        stage=checklist.stage,
        policy=checklist.policy,
        provenance=_provenance(inputs),
    )


def _actions(
    findings: Sequence[Finding], because: Sequence[str], verdict: Verdict, job: Job | None
) -> list[Action]:
    if verdict is Verdict.GO:
        return []
    by_id = {finding.criterion.id: finding.criterion for finding in findings}
    settles: dict[str, list[str]] = {}
    for name in because:
        settles.setdefault(_typed(by_id[name].next, job), []).append(name)
    return [Action(tuple(names), text) for text, names in settles.items()]


def _typed(text: str, job: Job | None) -> str:
    return text.replace("{job}", job.id) if job else text.replace("{job} ", "")


def _retires(inputs: Inputs, retirement: Retirement | None) -> date | None:
    """The day from which on the candidate no longer answers."""
    if inputs.job is not None:
        return retirement.serving_ends if retirement else None
    if inputs.comparison is None:
        return None
    arm = inputs.comparison.arm(inputs.comparison.best.candidate)
    ending = inputs.lifecycle.answers_until(arm.kind, arm.model)
    return ending.day if ending else None


def _chosen_step(inputs: Inputs, training: Sequence[MetricPoint]) -> int | None:
    """The step whose weights answered: of the checkpoint that was compared, else the last one."""
    compared = inputs.comparison.decisive.candidate if inputs.comparison else None
    model = inputs.comparison.arm(compared).model if inputs.comparison and compared else None
    steps = {checkpoint.model: checkpoint.step for checkpoint in inputs.checkpoints}
    if model in steps:
        return steps[model]
    if inputs.job is None or inputs.job.tuned_model is None or not training:
        return None
    return steps.get(inputs.job.tuned_model, training[-1].step)


def _provenance(inputs: Inputs) -> dict[str, str]:
    comparison, job = inputs.comparison, inputs.job
    known = {
        "ftctl": inputs.version,
        "training": job.training if job else "",
        "validation": (job.validation or "") if job else "",
        "base model": job.model if job else "",
        "tuned model": (job.tuned_model or "") if job else "",
        "test rows": comparison.test if comparison else "",
        "plan": comparison.plan_digest if comparison else "",
        "prices": f"{inputs.prices.compiled} {inputs.prices.digest}".strip(),
        "lifecycle": f"{inputs.lifecycle.compiled} {inputs.lifecycle.digest}".strip(),
        "checklist": inputs.checklist.digest,
    }
    return {name: value for name, value in known.items() if value}


def thinned(points: Sequence[MetricPoint]) -> list[MetricPoint]:
    if len(points) <= _MOST_POINTS:
        return list(points)
    last = len(points) - 1
    return [points[round(i * last / (_MOST_POINTS - 1))] for i in range(_MOST_POINTS)]


def _criterion(finding: Finding, job: Job | None) -> dict[str, Any]:
    criterion = finding.criterion
    met = finding.status in {Status.PASS, Status.NOT_APPLICABLE}
    return {
        "id": criterion.id,
        "status": finding.status.value,
        "evidence": finding.evidence,
        "source": finding.source,
        "group": criterion.group,
        "kind": criterion.kind.value,
        "by": criterion.by,
        "title": criterion.title,
        "rule": criterion.rule,
        "next": "" if met else _typed(criterion.next, job),
    }


def _job(job: Job) -> dict[str, Any]:
    hours = training_hours(job)
    return {
        "id": job.id,
        "provider": job.provider,
        "kind": job.kind,
        "model": job.model,
        "tuned_model": job.tuned_model,
        "method": job.method.value,
        "status": job.status.value,
        "hyperparameters": job.hyperparameters.as_wire(),
        "suffix": job.suffix,
        "trained_tokens": job.trained_tokens,
        "created_at": job.created_at.isoformat(),
        "finished_at": job.finished_at.isoformat() if job.finished_at else None,
        "training_seconds": None if hours is None else round(3600 * hours, 3),
    }
