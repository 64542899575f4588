"""The spec of a job that exists: planning it says that there is nothing to do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.datasets.checking.preparation import normalised_digest
from orchestrator.domain.jobs.job import Method
from orchestrator.domain.jobs.spec import own_tables

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orchestrator.domain.comparing.comparison import Comparison
    from orchestrator.domain.jobs.job import Job
    from orchestrator.domain.ledger import DatasetStore


def spec_of(job: Job, datasets: DatasetStore, reward: Path | None = None) -> dict[str, Any]:
    """The values of the spec, in the order in which a person would write them.

    Args:
        job: in the ledger.
        datasets: where its rows are kept.
        reward: the file that holds its grader, if it has one.
    """
    options = job.options
    data = {"train": _rows(job.data, datasets)}
    if job.validation is not None:
        data["validation"] = _rows(job.validation, datasets)
    metadata = {k: v for k, v in options.metadata.items() if not k.startswith("ftctl_")}
    wandb = dict(options.wandb.as_wire()["wandb"]) if options.wandb else {}
    values: dict[str, Any] = {
        "name": f"job-{job.id[:12]}",
        "notes": f"Job {job.id} of {job.created_at:%Y-%m-%d}.",
        "provider": job.provider,
        "model": job.model,
        "method": None if job.method is Method.SUPERVISED else str(job.method),
        "suffix": job.suffix,
        "seed": job.seed,
        "data": data,
        "hyperparameters": job.hyperparameters.as_wire(),
        **own_tables(options.own),
        "reward": str(reward) if reward else None,
        "metadata": metadata,
        "wandb": wandb,
        "training_type": options.training_type,
    }
    return {name: value for name, value in values.items() if value not in (None, {})}


def measured_by(comparison: Comparison | None) -> dict[str, Any]:
    """How the job was measured, as values of a spec: `compare`, and `data` with the test rows.

    Empty where nothing was measured, or nobody knows any more on which file.
    """
    asked = dict(comparison.asked_for) if comparison else {}
    test = Path(asked.pop("test", ""))
    files = [test, *([Path(asked["human"])] if "human" in asked else [])]
    if not all(file.is_file() for file in files):
        return {}
    return {"data": {"test": str(test)}, "compare": asked or {"grader": "exact"}}


def compare_comment(comparison: Comparison | None) -> str:
    """What to add so that the job is measured, where its test file is not known any more."""
    arms = [arm.name for arm in comparison.arms if arm.again is None] if comparison else []
    lines = [
        "# compare:                   # add data.test and take the # away to measure it as well",
        f"#   grader: {comparison.plan['grader'] if comparison else 'exact'}",
        f"#   arms: [{', '.join(arms or ['base', 'few-shot:6', 'tuned'])}]",
    ]
    margin = _margin(comparison.plan) if comparison else None
    return "\n".join([*lines, *([f"#   margin: {margin:g}"] if margin else [])]) + "\n"


def _margin(plan: Mapping[str, Any]) -> float | None:
    margin = plan.get("margin")
    return None if margin is None else 100 * float(margin)


def _rows(digest: str, datasets: DatasetStore) -> str:
    """The file the rows were read from, if it holds them still; else the store's own copy."""
    source = Path(datasets.get(digest).source)
    if source.is_file() and normalised_digest(source) == digest:
        return str(source.resolve())
    return str(datasets.path(digest).resolve())
