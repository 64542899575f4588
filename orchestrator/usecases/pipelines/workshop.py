"""What planning and applying a spec work with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from orchestrator.domain.comparing.arm import Progress
    from orchestrator.domain.jobs.deployment import Deployment
    from orchestrator.domain.jobs.job import Job
    from orchestrator.domain.jobs.pipeline import Pipelines
    from orchestrator.domain.profile import Profile
    from orchestrator.domain.provider import Capabilities, Provider
    from orchestrator.usecases.comparing.evaluation import Shop
    from orchestrator.usecases.jobs.ledger import Ledger


@dataclass(frozen=True, kw_only=True)
class Workshop:
    """The parts of the application.

    Attributes:
        profile: the profile of a name; `capabilities` what its provider can do.
        wait: stays with a job to its end.
        show: is told of answers as they come.
        deployments: of a job's model, newest first, for reports.
        costs: numbers of ftctl.toml for reports; `version` of ftctl.
    """

    ledger: Ledger
    pipelines: Pipelines
    shop: Shop
    profile: Callable[[str], Profile]
    capabilities: Callable[[Profile], Capabilities]
    wait: Callable[[Job, Provider], Job]
    show: Callable[[Progress], None] | None = None
    deployments: Callable[[str], Sequence[Deployment]] = lambda _job: ()
    costs: Mapping[str, Any] = field(default_factory=dict)
    version: str = ""
