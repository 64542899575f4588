"""What applying a spec came to: a table of tasks and arms, what tuning won, and one exit code."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from orchestrator.domain.comparing.comparison import Word
from orchestrator.domain.comparing.difference import Pair, compare_scores
from orchestrator.domain.errors import ExitCode, FtctlError
from orchestrator.domain.jobs.job import JobStatus
from orchestrator.domain.jobs.spec import MIXED
from orchestrator.usecases.pipelines.pipeline import winner
from orchestrator.usecases.pipelines.sweep import RULE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from orchestrator.domain.comparing.answerbook import Comparisons
    from orchestrator.domain.comparing.comparison import Comparison, Difference
    from orchestrator.domain.jobs.spec import TaskSpec
    from orchestrator.usecases.pipelines.pipeline import PipelinePlan
    from orchestrator.usecases.pipelines.sweep import Choice
    from orchestrator.usecases.pipelines.trainings import Training

# From the worst: what was found out to be no weighs more than what could not be found out.
_WORST_FIRST = (
    ExitCode.NO,
    ExitCode.CONFIGURATION,
    ExitCode.LOCAL_STATE,
    ExitCode.USAGE,
    ExitCode.TRY_LATER,
    ExitCode.INCONCLUSIVE,
)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A finished comparison, and the folder of its report."""

    comparison: Comparison
    folder: Path


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Everything that was done, by step."""

    plan: PipelinePlan
    trainings: Sequence[Training]
    choices: Mapping[str, Choice]
    measured: Mapping[str, Measured]
    errors: Mapping[str, FtctlError] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The outcome as plain values, as `schemas/apply.schema.json` describes them."""

    plain: Mapping[str, Any]
    exit_code: ExitCode


def summarise(outcome: Outcome, store: Comparisons) -> Summary:
    """The table, the share of tasks that tuning won, and the worst exit code that is true."""
    spec = outcome.plan.spec
    tasks = [_task(task, outcome, store) for task in spec.tasks]
    measured = [task for task in tasks if task["verdict"] is not None]
    won = sum(task["verdict"] == Word.IMPROVED for task in measured)
    code = _worst(
        [*(_code(task, gate=_gates(s)) for task, s in zip(tasks, spec.tasks, strict=True))]
        + [error.exit_code for step, error in outcome.errors.items() if _is_mixed(step)]
    )
    plain = {
        "name": spec.name,
        "source": str(spec.path),
        "model": spec.model,
        "provider": spec.provider,
        "finished": all(task["finished"] for task in tasks),
        "tasks": tasks,
        "mixed": _mixed(outcome) if spec.mixed else None,
        "won": won,
        "measured": len(measured),
        "share": won / len(measured) if measured else None,
        "cost": _costs(outcome),
        "rule": RULE if any(task.sweep for task in spec.tasks) else None,
        "exit_code": int(code),
    }
    return Summary(plain=plain, exit_code=code)


def _task(task: TaskSpec, outcome: Outcome, store: Comparisons) -> dict[str, Any]:
    points = [t for t in outcome.trainings if t.point.task == task.name]
    choice = outcome.choices.get(task.name)
    subject = winner(points, choice)
    own = outcome.measured.get(f"compare:{task.name}")
    mixed = outcome.measured.get(f"compare:{task.name}/{MIXED}")
    found = own.comparison if own else None
    errors = _errors_of(task.name, outcome)
    job = subject.job if subject else None
    return {
        "name": task.name,
        "job": job.id if job else None,
        "status": str(job.status) if job else None,
        "tuned_model": job.tuned_model if job else None,
        "comparison": found.id if found else None,
        "metric": found.metric if found else None,
        "rows": found.arms[0].n if found else None,
        "arms": _arms(found) + _mixed_arm(mixed),
        "best_prompt": found.best_baseline if found else None,
        "difference": _difference(found.best) if found else None,
        "verdict": str(found.verdict) if found else None,
        "reason": found.reason if found else None,
        "gate": _gate(task, found),
        "mixed": _against(mixed, own, store),
        "sweep": [_point(t, choice) for t in points] if task.sweep else [],
        "report": str(own.folder / "report.html") if own else None,
        "errors": [{"step": s, "message": e.message, "hint": e.hint} for s, e in errors.items()],
        "exit_codes": [int(error.exit_code) for error in errors.values()],
        "finished": _is_finished(task, points, found, bool(errors)),
    }


def _is_finished(
    task: TaskSpec, points: Sequence[Training], found: Comparison | None, failed: bool
) -> bool:
    ended = all(t.job is not None and t.job.status.is_final for t in points)
    return failed or (ended and (task.compare is None or found is not None))


def _arms(found: Comparison | None) -> list[dict[str, Any]]:
    if found is None:
        return []
    return [
        {
            "name": arm.name,
            "candidate": arm.candidate,
            "score": arm.metrics[found.metric],
            "low": arm.intervals[found.metric][0],
            "high": arm.intervals[found.metric][1],
        }
        for arm in found.arms
        if arm.again is None
    ]


def _mixed_arm(mixed: Measured | None) -> list[dict[str, Any]]:
    if mixed is None:
        return []
    tuned = next(arm for arm in _arms(mixed.comparison) if arm["candidate"])
    return [{**tuned, "name": MIXED}]


def _difference(found: Difference) -> dict[str, Any]:
    return {
        "candidate": found.candidate,
        "baseline": found.baseline,
        "diff": found.diff,
        "low": found.low,
        "high": found.high,
        "p": found.p_holm,
        "verdict": str(found.verdict),
    }


def _gate(task: TaskSpec, found: Comparison | None) -> str:
    if task.compare is None or not task.compare.gate:
        return "none"
    if found is None or found.verdict.passes is None:
        return "undecided"
    return "passed" if found.verdict.passes else "failed"


def _against(
    mixed: Measured | None, own: Measured | None, store: Comparisons
) -> dict[str, Any] | None:
    """The mixed adapter: against the best prompt, and against the task's own adapter."""
    if mixed is None:
        return None
    found = mixed.comparison
    return {
        "comparison": found.id,
        "verdict": str(found.verdict),
        "difference": _difference(found.best),
        "own_against_mixed": _own_against(own.comparison, found, store) if own else None,
    }


def _own_against(own: Comparison, mixed: Comparison, store: Comparisons) -> dict[str, Any] | None:
    """Own adapter less mixed adapter, on the rows that both answered."""
    mine = store.scores(own.id).get(own.best.candidate, {})
    theirs = store.scores(mixed.id).get(mixed.best.candidate, {})
    rows = sorted(mine.keys() & theirs.keys())
    if own.test != mixed.test or not rows:
        return None
    pair = Pair(
        candidate="tuned",
        baseline=MIXED,
        metric=own.metric,
        new=[mine[row] for row in rows],
        old=[theirs[row] for row in rows],
    )
    return _difference(compare_scores(pair, alpha=float(own.plan["alpha"])))


def _point(training: Training, choice: Choice | None) -> dict[str, Any]:
    job = training.job
    return {
        "point": training.point.number,
        "hyperparameters": dict(training.point.chosen),
        "job": job.id if job else None,
        "status": str(job.status) if job else None,
        "value": choice.values.get(training.step) if choice else None,
        "by": choice.by if choice else None,
        "usd": job.estimate_usd if job else None,
        "trained_tokens": job.trained_tokens if job else None,
        "chosen": bool(choice and choice.step == training.step),
    }


def _mixed(outcome: Outcome) -> dict[str, Any]:
    training = next(t for t in outcome.trainings if t.point.task == MIXED)
    job = training.job
    return {
        "job": job.id if job else None,
        "status": str(job.status) if job else None,
        "tuned_model": job.tuned_model if job else None,
        "errors": [error.message for step, error in outcome.errors.items() if _is_mixed(step)],
    }


def _costs(outcome: Outcome) -> dict[str, Any]:
    """Dollars: what trainings were estimated at, and what this run paid for answers."""
    jobs = [t.job for t in outcome.trainings if t.job is not None]
    estimates = [job.estimate_usd for job in jobs]
    known = [amount for amount in estimates if amount is not None]
    return {
        "training_usd": sum(known) if len(known) == len(estimates) else None,
        "trained_tokens": sum(job.trained_tokens or 0 for job in jobs),
    }


def _errors_of(name: str, outcome: Outcome) -> dict[str, FtctlError]:
    """The errors of a task; a point of a sweep that failed is none while another one won."""
    mine = {
        step: error
        for step, error in outcome.errors.items()
        if not _is_mixed(step) and step.split(":", 1)[1].split("#")[0] == name
    }
    if name in outcome.choices:
        return {step: error for step, error in mine.items() if not step.startswith("train:")}
    return mine


def _is_mixed(step: str) -> bool:
    return step == f"train:{MIXED}" or step.endswith(f"/{MIXED}")


def _gates(task: TaskSpec) -> bool:
    return task.compare is not None and task.compare.gate


def _code(task: Mapping[str, Any], *, gate: bool) -> ExitCode:
    codes = [ExitCode(code) for code in task["exit_codes"]]
    if task["status"] == JobStatus.NEEDS_REVIEW:
        codes.append(ExitCode.NO)
    if gate:
        codes.append(
            {"passed": ExitCode.DONE, "failed": ExitCode.NO}.get(
                task["gate"], ExitCode.INCONCLUSIVE
            )
        )
    return _worst(codes)


def _worst(codes: Sequence[ExitCode]) -> ExitCode:
    return next((code for code in _WORST_FIRST if code in codes), ExitCode.DONE)
