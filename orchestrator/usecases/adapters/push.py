"""From the files of an adapter to a version in the repository."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from orchestrator.domain.adapters.manifest import Manifest
from orchestrator.domain.adapters.names import CARD, CONFIG, MANIFEST, WEIGHTS, check_task
from orchestrator.domain.errors import Conflict, UsageError
from orchestrator.usecases.adapters import cards as adapter_cards
from orchestrator.usecases.adapters.files import check_files, facts_of
from orchestrator.usecases.adapters.registry import content_digest, read_manifest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from orchestrator.domain.adapters.adapter import History
    from orchestrator.domain.adapters.manifest import Probe
    from orchestrator.domain.adapters.ports import AdapterRepo
    from orchestrator.domain.comparing.comparison import Comparison
    from orchestrator.domain.jobs.job import Job
    from orchestrator.usecases.adapters.registry import Registry

_TRIES = 8


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What is known of an adapter besides its files."""

    base_model: Mapping[str, str | None]
    job: Job | None = None
    comparison: Comparison | None = None
    licence: str | None = None


class Pushed(NamedTuple):
    """A version; `new` where this push made it."""

    manifest: Manifest
    new: bool


def take_in(folder: Path, stage: Path, base: str | None) -> None:
    """Copy a local adapter into a stage, with another base model in its configuration if asked.

    Raises:
        AdapterRefused: it is no adapter, or holds what is refused.
    """
    check_files(folder)
    for name in (WEIGHTS, CONFIG, CARD):
        if (folder / name).is_file():
            shutil.copyfile(folder / name, stage / name, follow_symlinks=False)
    if base is not None:
        put_base(stage, base)


def put_base(stage: Path, base: str) -> None:
    """Name another base model in the configuration of a staged adapter."""
    config = json.loads((stage / CONFIG).read_bytes())
    config["base_model_name_or_path"] = base
    (stage / CONFIG).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def push(
    registry: Registry,
    stage: Path,
    task: str,
    origin: Origin,
    *,
    probes: Callable[[], Sequence[Probe]] = tuple,
) -> Pushed:
    """Make a version of the adapter in a stage; the same weights again are the same version.

    Args:
        registry: where to.
        stage: a folder with weights and configuration; card and manifest are written here.
        task: which adapter it is a version of.
        origin: what is known of it.
        probes: asks it; called only where there is something new.

    Raises:
        AdapterRefused: the files are no adapter.
    """
    check_task(task)
    facts = check_files(stage)
    content = content_digest(stage)
    history = registry.repo.history(task)
    if (same := _same(registry.repo, history, content)) is not None:
        return Pushed(same, new=False)
    base = {**origin.base_model, "name": origin.base_model.get("name") or facts.base}
    if not base["name"]:
        raise UsageError("The adapter names no base model.", hint="--base NAME")
    draft = _draft(registry, task, replace(origin, base_model=base), facts.recipe, content)
    draft = replace(draft, probes=tuple(probes()))
    own = stage / CARD
    card = own.read_text(encoding="utf-8", errors="replace") if own.is_file() else ""
    for _ in range(_TRIES):
        manifest = _written(draft, history, stage, card if origin.job is None else "")
        try:
            registry.repo.add_version(history, manifest.version, stage)
        except Conflict:
            history = registry.repo.history(task)
            if (same := _same(registry.repo, history, content)) is not None:
                return Pushed(same, new=False)
            continue
        return Pushed(manifest, new=True)
    raise Conflict(f"Others keep adding versions to '{task}'.", hint="try again")


def metrics_of(comparison: Comparison) -> dict[str, Any]:
    """What of a comparison belongs into a manifest."""
    decisive = comparison.decisive
    return {
        "comparison": comparison.id,
        "job": comparison.job_id,
        "test": comparison.test,
        "metric": comparison.metric,
        "verdict": comparison.verdict.value,
        "diff": decisive.diff,
        "low": decisive.low,
        "high": decisive.high,
        "arms": [
            {"name": arm.name, "model": arm.model, "metrics": dict(arm.metrics), "n": arm.n}
            for arm in comparison.arms
        ],
    }


def _same(repo: AdapterRepo, history: History, content: str) -> Manifest | None:
    for version in reversed(history.versions):
        manifest = read_manifest(repo.manifest(history, version))
        if manifest.digest == content:
            return manifest
    return None


def _draft(
    registry: Registry, task: str, origin: Origin, recipe: Mapping[str, Any], content: str
) -> Manifest:
    job = origin.job
    chosen = (job.raw or {}).get("hyperparameters") if job else None
    trained = {**chosen} if isinstance(chosen, dict) else {}
    if job is not None and job.seed is not None:
        trained["seed"] = job.seed
    return Manifest(
        task=task,
        version="v0",
        digest=content,
        files={},
        base_model=origin.base_model,
        created_at=registry.clock.now(),
        by=registry.by,
        licence=origin.licence,
        method=job.method.value if job else None,
        recipe={**recipe, **trained},
        dataset={"training": job.training, "validation": job.validation} if job else {},
        job=_of_job(job) if job else None,
        metrics=metrics_of(origin.comparison) if origin.comparison else None,
    )


def _of_job(job: Job) -> dict[str, str | None]:
    return {
        "id": job.id,
        "provider": job.provider,
        "remote_id": job.remote_id,
        "tuned_model": job.tuned_model,
    }


def _written(draft: Manifest, history: History, stage: Path, own: str) -> Manifest:
    manifest = replace(draft, version=history.next_version)
    (stage / CARD).write_text(adapter_cards.card(manifest, own=own), encoding="utf-8")
    manifest = replace(manifest, files=facts_of(stage))
    (stage / MANIFEST).write_bytes(manifest.to_bytes())
    return manifest
