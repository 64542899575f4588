"""The comparisons of a spec, rehearsed before anything is paid for: rows, arms, calls and money."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from orchestrator.domain.canonical import digest, plain_json
from orchestrator.domain.errors import UsageError
from orchestrator.domain.jobs.job import Job, JobStatus
from orchestrator.domain.jobs.pipeline import StepState, changes
from orchestrator.domain.jobs.spec import MIXED
from orchestrator.grading.grader import ModelGrader
from orchestrator.grading.registry import make_grader
from orchestrator.usecases.comparing.answering import Desk, estimate
from orchestrator.usecases.comparing.arms import ArmContext, Host, make_arms
from orchestrator.usecases.comparing.compare import expected_detectable
from orchestrator.usecases.comparing.evaluation import Evaluation, cheapest, chosen_rows, fixed_plan
from orchestrator.usecases.comparing.judging import Bench
from orchestrator.usecases.comparing.samples import read_samples
from orchestrator.usecases.comparing.till import Till

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from orchestrator.domain.chat import ChatAnswer, ChatRequest
    from orchestrator.domain.comparing.comparison import Comparison
    from orchestrator.domain.jobs.pipeline import History
    from orchestrator.domain.jobs.spec import CompareSpec, TaskSpec
    from orchestrator.usecases.jobs.plan import Plan
    from orchestrator.usecases.pipelines.workshop import Workshop

_AUTO, _AUTO_SHOTS = "few-shot:auto", "few-shot:8"


@dataclass(frozen=True, kw_only=True)
class Rehearsal:
    """A comparison as far as it can be said before there is a tuned model.

    Attributes:
        step: compare:TASK for its own adapter, compare:TASK/mixed for the mixed one.
        rows: that are asked; `leaked` and `repeated` are left out.
        arms: names, in order.
        calls: answers that are needed in all.
        usd: for those that cost something and are not known yet; None when a price is not known.
        facts: everything that makes two comparisons the same, but the job.
    """

    step: str
    task: TaskSpec
    compare: CompareSpec
    wanted: Evaluation
    test_digest: str
    rows: int
    leaked: int
    repeated: int
    arms: Sequence[str]
    calls: int
    usd: float | None
    facts: dict[str, Any]

    @property
    def is_mixed(self) -> bool:
        """Whether it is about the adapter over all tasks."""
        return self.step.endswith(f"/{MIXED}")

    @property
    def detectable(self) -> float | None:
        """The smallest difference that so many rows find at 80 % power; None when none is."""
        return expected_detectable(self.rows)

    def facts_for(self, job: Job) -> dict[str, Any]:
        """The facts with the job that is measured."""
        return {**self.facts, "job": job.id}

    def identity_for(self, job: Job) -> str:
        """What makes it the same comparison."""
        return digest(self.facts_for(job))


@dataclass(frozen=True)
class Nobody:
    """Answers nothing: a rehearsal asks nothing."""

    def chat(self, request: ChatRequest) -> ChatAnswer:
        """Refuse."""
        raise UsageError(f"A rehearsal asked {request.model}.")


def rehearse(
    task: TaskSpec,
    plan: Plan,
    test: Path,
    workshop: Workshop,
    *,
    account: str | None,
    seen: Sequence[Path],
    mixed: bool,
) -> Rehearsal:
    """Read the rows and make the arms as if the tuned model was there.

    Raises:
        UsageError: an arm or the grader makes no sense.
        DatasetInvalid: the test rows do.
    """
    assert task.compare is not None
    wanted = Evaluation.of(task.compare, test, training=plan.training.content, seen=tuple(seen))
    training = read_samples(plan.training.content)
    chosen = chosen_rows(wanted, training)
    fixed = fixed_plan(wanted, chosen)
    job = _as_if(plan, account or "")
    context = ArmContext(
        job=job,
        training=training,
        samples=chosen.samples,
        seed=wanted.seed,
        host=partial(_host, workshop),
        retriever=workshop.shop.retriever,
        recordings=workshop.shop.recordings,
        cheapest=partial(cheapest, workshop.shop),
    )
    names = [name.replace(_AUTO, _AUTO_SHOTS) for name in wanted.arm_names]
    arms = make_arms(
        names,
        context,
        source=wanted.source,
        baseline=wanted.baseline,
        candidates=wanted.candidates,
    )
    desk = Desk(
        run=None,
        chat=Nobody(),
        account=account or "",
        store=workshop.shop.comparisons,
        clock=workshop.ledger.clock,
        till=Till(book=workshop.shop.prices, kind=job.kind),
    )
    usd, _ = estimate(desk, arms, chosen.samples, fixed)
    grader = make_grader(fixed.grader)
    if isinstance(grader, ModelGrader) and usd is not None:
        host = _host(workshop, grader.profile) if grader.profile else None
        judging = Bench(grader, host=host).expected(desk, arms, chosen.samples, fixed)
        usd = None if judging is None else usd + judging
    step = f"compare:{task.name}" + (f"/{MIXED}" if mixed else "")
    return Rehearsal(
        step=step,
        task=task,
        compare=task.compare,
        wanted=wanted,
        test_digest=chosen.digest,
        rows=len(chosen.samples),
        leaked=chosen.leaked,
        repeated=chosen.repeated,
        arms=list(wanted.arm_names),
        calls=len(chosen.samples) * len(arms) * fixed.repeats,
        usd=usd,
        facts=wanted.facts(chosen, [(arm.name, arm.note) for arm in arms]),
    )


def state_of(
    rehearsal: Rehearsal, job: Job | None, history: History, workshop: Workshop
) -> tuple[StepState, list[str], Comparison | None]:
    """What applying would do about a comparison, why, and the result if there is one."""
    before = history.latest(rehearsal.step)
    if job is None:
        return (StepState.NEW if before is None else StepState.WAITS), [], None
    known = history.find(rehearsal.step, rehearsal.identity_for(job))
    if known is None or known.comparison_id is None:
        same = adopted(rehearsal, job, workshop)
        if same is not None:
            return StepState.EXISTS, [], same
        if before is None:
            return StepState.NEW, [], None
        return StepState.CHANGED, changes(before.facts, rehearsal.facts_for(job)), None
    found = finished(known.comparison_id, job, workshop)
    return (StepState.EXISTS if found else StepState.UNDER_WAY), [], found


def adopted(rehearsal: Rehearsal, job: Job, workshop: Workshop) -> Comparison | None:
    """The same comparison where `ftctl compare` made it and no pipeline did: it stands, too."""
    wanted = plain_json(rehearsal.facts)
    results = workshop.shop.comparisons.all(job.id)
    return next((found for found in results if found.facts == wanted), None)


def finished(comparison: str, job: Job, workshop: Workshop) -> Comparison | None:
    """A comparison of that job, if it has a result."""
    results = workshop.shop.comparisons.all(job.id)
    return next((found for found in results if found.id == comparison), None)


def _as_if(plan: Plan, account: str) -> Job:
    """The job that the plan would make, as if it had succeeded."""
    request = plan.request
    now = plan.training.dataset.created_at
    return Job(
        id="rehearsal",
        token="",
        provider=request.profile.name,
        kind=request.profile.kind,
        account=account,
        model=request.model,
        method=request.method,
        training=plan.training.dataset.digest,
        status=JobStatus.SUCCEEDED,
        tuned_model=f"ft:{request.model}",
        created_at=now,
        updated_at=now,
    )


def _host(workshop: Workshop, name: str) -> Host:
    """Who would answer at another profile; nothing is opened, so that no key is needed."""
    profile = workshop.profile(name)
    return Host(name, profile.kind, "", Nobody())


def limited(
    wanted: Evaluation, dollars: float | None, *, allow_unpriced: bool = False
) -> Evaluation:
    """The same with a limit of money, and with leave to ask what nobody knows the price of."""
    most = wanted.max_cost if dollars is None else max(dollars, 0.0)
    return replace(wanted, max_cost=most, allow_unpriced=allow_unpriced)
