"""A job's checkpoints, and the projects that may use one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.domain.errors import UsageError
from orchestrator.domain.housekeeping import CheckpointSharing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.domain.housekeeping import Permission
    from orchestrator.domain.jobs.job import Checkpoint, Job
    from orchestrator.domain.provider import Provider
    from orchestrator.usecases.jobs.ledger import Ledger


def checkpoints_of(job: Job, provider: Provider, ledger: Ledger) -> Sequence[Checkpoint]:
    """Every checkpoint the provider names now, and those it named before; by step.

    Raises:
        UsageError: the provider does not have the job.
        TryLater: the provider cannot be asked.
    """
    if job.remote_id is None:
        raise UsageError(
            f"Job {job.id} is {job.status}: the provider does not have it.", hint="ftctl sync"
        )
    ledger.jobs.add_checkpoints(job.id, provider.checkpoints(job.remote_id))
    return ledger.jobs.checkpoints(job.id)


def model_at(step: int, known: Sequence[Checkpoint], job: Job) -> str:
    """The deployable name of the checkpoint at a step.

    Raises:
        UsageError: there is none.
    """
    for checkpoint in known:
        if checkpoint.step == step and checkpoint.model:
            return checkpoint.model
    steps = ", ".join(str(checkpoint.step) for checkpoint in known) or "none"
    raise UsageError(
        f"Job {job.id} has no checkpoint at step {step}; it has: {steps}.",
        hint=f"ftctl checkpoints {job.id}",
    )


def sharing(provider: Provider) -> CheckpointSharing:
    """The provider as one whose checkpoints can be shared.

    Raises:
        UsageError: it has nothing of the kind.
    """
    able = isinstance(provider, CheckpointSharing) and provider.capabilities.checkpoint_sharing
    if not able:
        raise UsageError(f"Provider '{provider.name}' shares no checkpoints.")
    assert isinstance(provider, CheckpointSharing)
    return provider


def unshare(checkpoint: str, project: str, provider: Provider) -> Permission:
    """Take back what a project may.

    Raises:
        UsageError: it may not use the checkpoint.
    """
    host = sharing(provider)
    given = host.permissions(checkpoint)
    for permission in given:
        if permission.project == project:
            host.unshare(checkpoint, permission.id)
            return permission
    known = ", ".join(permission.project for permission in given) or "nobody"
    raise UsageError(f"{project} may not use {checkpoint}; who may: {known}.")
