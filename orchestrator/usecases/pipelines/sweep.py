"""Which point of a sweep is the task's: chosen on validation rows, and never on test rows."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any

from orchestrator.domain import failpoints
from orchestrator.domain.canonical import digest
from orchestrator.domain.comparing.arm import Arm
from orchestrator.domain.deciding.evidence import loss_curves
from orchestrator.domain.errors import AnswerIsNo
from orchestrator.domain.jobs.pipeline import Step
from orchestrator.grading.registry import make_grader
from orchestrator.usecases.comparing.answering import Desk, estimate
from orchestrator.usecases.comparing.arm_specs import parse_arm
from orchestrator.usecases.comparing.arms import ArmContext, make_arm
from orchestrator.usecases.comparing.evaluation import Evaluation, fixed_plan
from orchestrator.usecases.comparing.measuring import measure
from orchestrator.usecases.comparing.samples import SampleSet, read_samples
from orchestrator.usecases.comparing.till import Till
from orchestrator.usecases.pipelines.measurements import Nobody, limited

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from orchestrator.domain.jobs.job import Job
    from orchestrator.domain.jobs.pipeline import History
    from orchestrator.domain.jobs.spec import TaskSpec
    from orchestrator.usecases.jobs.plan import Plan
    from orchestrator.usecases.pipelines.trainings import Training
    from orchestrator.usecases.pipelines.workshop import Workshop

#: Losses are compared to so many decimals: what differs less is a tie.
LOSS_DECIMALS = 4
RULE = (
    "lowest loss (to 4 decimals) or highest score on validation rows; ties: fewer training tokens,"
    " then the smaller rank, then the earlier point"
)


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The point that won.

    Attributes:
        step: of the winning training.
        by: validation_loss or validation_score.
        values: of every point that could be judged, by step.
    """

    step: str
    by: str
    values: Mapping[str, float]
    usd: float | None = 0.0


def known_choice(task: TaskSpec, trainings: Sequence[Training], history: History) -> Choice | None:
    """The choice that was made among exactly these models; None when there is none."""
    facts = _facts(task, trainings)
    known = history.find(f"choose:{task.name}", digest(facts))
    if known is None or known.result is None:
        return None
    return Choice(**known.result)


def choose(
    pipeline: str,
    task: TaskSpec,
    trainings: Sequence[Training],
    workshop: Workshop,
    dollars: float | None,
    *,
    allow_unpriced: bool = False,
) -> Choice:
    """Judge every point that has a model on validation rows, and keep what came out.

    Args:
        pipeline: under whose name the choice is kept.
        task: whose sweep.
        trainings: its points; those without a model are left out.
        workshop: where it is kept, and who is asked.
        dollars: that asking may cost; None for no limit.
        allow_unpriced: ask although nobody knows the price.

    Raises:
        AnswerIsNo: no point has a model, or none can be judged.
    """
    assert task.sweep is not None
    alive = [training for training in trainings if training.model]
    if not alive:
        raise AnswerIsNo(f"No point of the sweep of '{task.name}' has a model.")
    by = task.sweep.choose_by
    usd: float | None = 0.0
    if by == "validation_loss":
        values = {t.step: loss for t in alive if (loss := _loss(t.model, workshop)) is not None}
    else:
        values, usd = _scores(task, alive, workshop, dollars, allow_unpriced)
    if not values:
        raise AnswerIsNo(
            f"No job of the sweep of '{task.name}' tells a validation loss.",
            hint="choose_by: validation_score",
        )
    sign = 1 if by == "validation_loss" else -1
    judged = [training for training in alive if training.step in values]
    best = min(judged, key=lambda t: (sign * round(values[t.step], LOSS_DECIMALS), *t.size))
    choice = Choice(step=best.step, by=by, values=values, usd=usd)
    facts = _facts(task, trainings)
    workshop.pipelines.bind(
        pipeline,
        Step(
            name=f"choose:{task.name}",
            identity=digest(facts),
            facts=facts,
            updated_at=workshop.ledger.clock.now(),
            result={"step": best.step, "by": by, "values": values, "usd": usd},
        ),
    )
    failpoints.reach("apply.chosen")
    return choice


def expected(task: TaskSpec, plan: Plan, workshop: Workshop) -> float | None:
    """Dollars that choosing will cost, roughly; None when a price is not known."""
    sweep = task.sweep
    if sweep is None or sweep.choose_by == "validation_loss" or plan.validation is None:
        return 0.0
    path = plan.validation.content
    rows, wanted = read_samples(path), _wanted(task, path)
    arm = Arm(name="tuned", model=f"ft:{plan.request.model}", prompt=lambda sample: sample.messages)
    fixed = fixed_plan(wanted, SampleSet(samples=rows, digest=""))
    desk = Desk(
        run=None,
        chat=Nobody(),
        account="",
        store=workshop.shop.comparisons,
        clock=workshop.ledger.clock,
        till=Till(book=workshop.shop.prices, kind=plan.request.profile.kind),
    )
    usd, _ = estimate(desk, [arm], rows, fixed)
    return None if usd is None else usd * len(sweep.points)


def _wanted(task: TaskSpec, path: Path) -> Evaluation:
    if task.compare is None:
        return Evaluation(test=path)
    return Evaluation.of(task.compare, path, training=path)


def _facts(task: TaskSpec, trainings: Sequence[Training]) -> dict[str, Any]:
    assert task.sweep is not None
    compare = task.compare
    by_score = task.sweep.choose_by == "validation_score" and compare is not None
    asked = (
        [compare.grader, compare.task, compare.temperature, compare.max_tokens]
        if by_score and compare is not None
        else []
    )
    models = [training.model.id for training in trainings if training.model]
    return {"by": task.sweep.choose_by, "jobs": models, "asked": asked}


def _loss(job: Job | None, workshop: Workshop) -> float | None:
    """The last validation loss that the provider told."""
    if job is None:
        return None
    curve = loss_curves(workshop.ledger.jobs.metrics(job.id))[1]
    return curve[-1].value if curve else None


def _scores(
    task: TaskSpec,
    alive: Sequence[Training],
    workshop: Workshop,
    dollars: float | None,
    allow_unpriced: bool,
) -> tuple[dict[str, float], float | None]:
    """The mean score of every tuned model on the validation rows, and what asking cost."""
    first = alive[0].model
    assert first is not None
    assert first.validation is not None
    path = workshop.shop.datasets.path(first.validation)
    rows = read_samples(path)
    wanted = limited(_wanted(task, path), dollars, allow_unpriced=allow_unpriced)
    plan = fixed_plan(wanted, SampleSet(samples=rows, digest=""))
    shop = workshop.shop
    values = {}
    with shop.till(first, wanted, f"choose {task.name}") as till:
        desk = Desk(
            run=None,
            chat=shop.provider(first.provider),
            account=first.account,
            store=shop.comparisons,
            clock=shop.clock,
            till=till,
        )
        ask = measure(desk, plan, make_grader(plan.grader), workshop.show)
        for training in alive:
            assert training.model is not None
            context = ArmContext(job=training.model, training=rows, samples=rows)
            arm = make_arm(parse_arm("tuned"), context)
            shop.admit(training.model, [arm])
            values[training.step] = fmean(ask(arm, rows))
    return values, till.known
