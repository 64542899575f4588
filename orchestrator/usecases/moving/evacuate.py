"""Every tuned model that is known, with what is needed to leave in time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.domain.archive import FileState
from orchestrator.domain.jobs.evacuation import Departure, by_urgency, depart
from orchestrator.domain.jobs.lifecycle import ANYTHING
from orchestrator.domain.jobs.model_names import base_model, same_model
from orchestrator.domain.jobs.tenant import Data, Frozen, Have, Route, Successor, Tenant
from orchestrator.usecases.jobs.lifetimes import profile_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date

    from orchestrator.domain.archive import Archive, ArchivedFile
    from orchestrator.domain.comparing.answerbook import Comparisons, Recording, Recordings
    from orchestrator.domain.comparing.comparison import Comparison
    from orchestrator.domain.jobs.job import Job
    from orchestrator.domain.jobs.lifecycle import Lifecycle, Retirement
    from orchestrator.domain.jobs.move import Move, Moves
    from orchestrator.domain.ledger import DatasetStore, JobStore

# What the worker brings with it; any folder or Hub id of an open model does as well.
LOCAL_MODEL = "smollm2"


@dataclass(frozen=True, kw_only=True)
class Registry:
    """Where everything that is known of tuned models is read; nothing is written.

    Attributes:
        profiles: the profile that commands name, by kind.
    """

    jobs: JobStore
    datasets: DatasetStore
    archive: Archive
    recordings: Recordings
    comparisons: Comparisons
    moves: Moves
    lifecycle: Lifecycle
    profiles: Mapping[str, str]


def evacuate(registry: Registry, today: date, *, provider: str | None = None) -> list[Departure]:
    """The dated plan of every tuned model, those that stop first first.

    Args:
        registry: what is known.
        today: the day of the plan.
        provider: only models of that profile.
    """
    # Newest first, so that the last one that is written down for a model is the newest.
    found = reversed(registry.recordings.all())
    recordings = {each.model: each for each in found if each.finished}
    archives: dict[str, Mapping[str, ArchivedFile]] = {}
    plans = []
    for job in registry.jobs.all():
        if not job.tuned_model or (provider is not None and job.provider != provider):
            continue
        if job.account not in archives:
            archives[job.account] = registry.archive.files(job.account)
        tenant = _tenant(job, registry, archives[job.account], recordings, today)
        plans.append(depart(tenant, today))
    return by_urgency(plans)


def _tenant(
    job: Job,
    registry: Registry,
    files: Mapping[str, ArchivedFile],
    recordings: Mapping[str, Recording],
    today: date,
) -> Tenant:
    model = str(job.tuned_model)
    # A name that says nothing of its base is asked for by the base that the job was given.
    named = model if base_model(model) != model else job.model
    found = recordings.get(model)
    return Tenant(
        job=job,
        base=base_model(job.model),
        serving=registry.lifecycle.serving_ends(job.kind, named),
        training=registry.lifecycle.training_ends(job.kind, named),
        routes=_routes(job, registry, today),
        data=_data(job.training, job.training_file, files, registry.datasets),
        validation=_data(job.validation, job.validation_file, files, registry.datasets)
        if job.validation or job.validation_file
        else None,
        recording=Frozen(found.name, found.rows, found.test_file) if found else None,
        successors=[_successor(move, registry) for move in registry.moves.from_job(job.id)],
    )


def _data(
    digest: str | None,
    remote_id: str | None,
    files: Mapping[str, ArchivedFile],
    datasets: DatasetStore,
) -> Data:
    if digest is not None:
        path = datasets.path(digest)
        if path.is_file():
            rows = datasets.get(digest).rows
            file = files.get(remote_id) if remote_id else None
            errors = file.errors if file else 0
            return Data(have=Have.KEPT, digest=digest, rows=rows, path=str(path), errors=errors)
        return Data(have=Have.LOST, digest=digest, note="its bytes are no longer in the store")
    file = files.get(remote_id) if remote_id else None
    if file is None:
        return Data(have=Have.NOT_FETCHED)
    return Data(have=Have.LOST, note=_why(file))


def _why(file: ArchivedFile) -> str:
    if file.state is FileState.GONE:
        return f"{file.remote_id} is gone at the provider"
    return f"{file.remote_id} is {file.state}"


def _routes(job: Job, registry: Registry, today: date) -> list[Route]:
    """Where the job can be done again and would outlive what it is to replace."""
    lifecycle, kind = registry.lifecycle, job.kind
    base = base_model(job.model)
    ends = lifecycle.serving_ends(kind, base)
    day = ends.day if ends else None
    here, elsewhere = lifecycle.alternatives(kind, base, today, job.method)
    same = [row for row in elsewhere if row.model != ANYTHING and same_model(row.model, base)]
    own = [row for row in elsewhere if row.model == ANYTHING]
    lasting = [row for row in (*elsewhere, *here) if row not in same and row not in own]
    return [
        _route(row, base, registry)
        for row in (*same, *own, *lasting)
        if row.serving_ends is None or day is None or row.serving_ends > day
    ]


def _route(row: Retirement, base: str, registry: Registry) -> Route:
    return Route(
        profile=registry.profiles.get(row.provider, profile_of(row.provider)),
        kind=row.provider,
        model=LOCAL_MODEL if row.model == ANYTHING else row.model,
        until=row.training_ends,
        serves_until=row.serving_ends,
        same_base=row.model != ANYTHING and same_model(row.model, base),
        note=row.note,
    )


def _successor(move: Move, registry: Registry) -> Successor:
    job = registry.jobs.get(move.job_id)
    verdict = _parity(registry.comparisons.all(job.id))
    return Successor(
        job_id=job.id,
        status=str(job.status),
        provider=job.provider,
        model=job.tuned_model,
        parity=str(verdict.verdict) if verdict else None,
        passes=bool(verdict and verdict.verdict.passes),
        command=move.parity.command(job.id),
    )


def _parity(comparisons: Sequence[Comparison]) -> Comparison | None:
    """The newest comparison with a recording."""
    return next((each for each in comparisons if (each.source or "").startswith("recorded:")), None)
