"""A plan in words and as JSON: what would be done, what is done, and what it would cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.domain.jobs.job import knobs
from orchestrator.domain.jobs.pipeline import StepState
from orchestrator.domain.jobs.spec import own_tables

if TYPE_CHECKING:
    from orchestrator.usecases.pipelines.pipeline import PipelinePlan, PlannedComparison
    from orchestrator.usecases.pipelines.trainings import Training


def plan_json(plan: PipelinePlan) -> dict[str, Any]:
    """As `schemas/plan.schema.json` describes it."""
    return {
        "ok": True,
        "name": plan.spec.name,
        "provider": plan.spec.provider,
        "model": plan.spec.model,
        "done": plan.is_done,
        "trainings": [_training(training) for training in plan.trainings],
        "comparisons": [_comparison(planned) for planned in plan.comparisons],
        "cost": {
            "training_usd": plan.training_usd,
            "choosing_usd": plan.choosing_usd,
            "comparing_usd": plan.comparing_usd,
            "usd": plan.usd,
            "committed_usd": plan.committed_usd,
            "max_cost": plan.spec.max_cost,
            "fits": plan.fits(plan.spec.max_cost),
        },
        "warnings": list(plan.warnings),
        "mistakes": [],
    }


def plan_lines(plan: PipelinePlan) -> list[str]:
    """For a person."""
    lines = [f"{plan.spec.name}: {plan.spec.model} on {plan.spec.provider} ({plan.spec.method})"]
    for training in plan.trainings:
        lines += _training_lines(training)
    for planned in plan.comparisons:
        lines += _comparison_lines(planned)
    lines += [f"note: {warning}" for warning in plan.warnings]
    if plan.is_done:
        return [*lines, "everything exists; nothing to do"]
    lines.append(
        f"cost: training {_usd(plan.training_usd)}, comparisons {_usd(plan.comparing_usd)}"
        + ("" if plan.choosing_usd == 0 else f", choosing {_usd(plan.choosing_usd)}")
        + (f", budget ${plan.spec.max_cost:g}" if plan.spec.max_cost is not None else "")
    )
    if not plan.fits(plan.spec.max_cost):
        lines.append("more than the budget allows: apply will send nothing")
    return lines


def _training(training: Training) -> dict[str, Any]:
    dataset, validation = training.plan.training.dataset, training.plan.validation
    return {
        "step": training.step,
        "task": training.point.task,
        "state": str(training.state),
        "why": list(training.why),
        "job": training.job.id if training.job else None,
        "status": str(training.job.status) if training.job else None,
        "identity": training.facts.identity,
        "rows": dataset.rows,
        "validation_rows": validation.dataset.rows if validation else None,
        "uploaded": training.uploaded,
        "hyperparameters": training.plan.request.hyperparameters.as_wire(),
        **own_tables(training.point.own),
        "estimate": training.plan.estimate_json(),
    }


def _comparison(planned: PlannedComparison) -> dict[str, Any]:
    rehearsal, compare = planned.rehearsal, planned.rehearsal.compare
    return {
        "step": rehearsal.step,
        "task": rehearsal.task.name,
        "state": str(planned.state),
        "why": list(planned.why),
        "comparison": planned.result.id if planned.result else None,
        "rows": rehearsal.rows,
        "leaked": rehearsal.leaked,
        "repeated": rehearsal.repeated,
        "arms": list(rehearsal.arms),
        "calls": rehearsal.calls,
        "usd": rehearsal.usd,
        "detectable": rehearsal.detectable,
        "gate": _gate(planned),
        "margin": compare.margin,
    }


def _gate(planned: PlannedComparison) -> str:
    compare = planned.rehearsal.compare
    if not compare.gate or planned.rehearsal.is_mixed:
        return "none"
    return "parity" if compare.margin is not None else "improvement"


def _training_lines(training: Training) -> list[str]:
    plan = training.plan
    chosen = ", ".join(knobs({**plan.request.hyperparameters.as_wire(), **training.point.own}))
    job = f" (job {training.job.id}, {training.job.status})" if training.job else ""
    lines = [f"  {training.step:<24} {training.state}{job}"]
    if training.state is StepState.EXISTS:
        return lines
    validation = f", {plan.validation.dataset.rows} to validate" if plan.validation else ""
    there = ", uploaded already" if training.uploaded else ""
    lines.append(
        f"    {plan.training.dataset.rows} rows{validation}{there}; {chosen or 'all auto'}"
    )
    lines += [f"    {reason}" for reason in training.why]
    if training.state is StepState.FAILED:
        lines.append("    tried again only with: ftctl apply FILE --retry-failed")
    if training.state.is_to_do:
        estimate = plan.estimate_json()
        lines.append(f"    cost: {_usd(estimate['usd'])} ({estimate['note']})")
    return lines


def _comparison_lines(planned: PlannedComparison) -> list[str]:
    rehearsal = planned.rehearsal
    result = f" (comparison {planned.result.id})" if planned.result else ""
    lines = [f"  {rehearsal.step:<24} {planned.state}{result}"]
    if planned.state is StepState.EXISTS:
        return lines
    found = rehearsal.detectable
    power = f"; finds {100 * found:.1f} points at 80 % power" if found else ""
    lines.append(
        f"    {rehearsal.rows} samples x {', '.join(rehearsal.arms)}: {rehearsal.calls} calls{power}"
    )
    left = [
        f"{count} {what}"
        for count, what in (
            (rehearsal.leaked, "that training has"),
            (rehearsal.repeated, "that repeat an earlier one"),
        )
        if count
    ]
    if left:
        lines.append(f"    left out: {' and '.join(left)}")
    lines += [f"    {reason}" for reason in planned.why]
    return [*lines, f"    gate: {_gate(planned)}; cost: {_usd(rehearsal.usd)}"]


def _usd(amount: float | None) -> str:
    if amount is None:
        return "unpriced"
    return "no bill" if amount == 0 else f"about ${amount:,.4g}"
