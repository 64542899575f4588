"""What the simulated hosts do differently, as data.

`openai` follows the published description, `azure` the v1 surface with the oddities that were
seen of it, `worker` the self-hosted worker.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from orchestrator.domain.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class SimulatedDialect:
    """One host's manners.

    Attributes:
        prefix: what its paths begin with.
        script: the states a job goes through, one per look at it.
        file_script: the states an uploaded file goes through.
        created: HTTP status of an answer that made something.
        min_rows: fewest examples a job takes.
        suffix_limit: longest suffix.
        metadata_filter: the list of jobs obeys `metadata[k]=v`.
        idempotency_key: a repeated key makes no second job.
        changing_event_ids: an event has another id each time it is listed.
        newest_first: order of events.
        deployments: tuned models answer only when deployed.
        methods: how it trains.
        nulls: fields are null that the description says never are.
    """

    name: str
    prefix: str = "/v1"
    script: tuple[str, ...] = (
        "validating_files", "queued", "running", "running", "running", "succeeded",
    )  # fmt: skip
    file_script: tuple[str, ...] = ("processed",)
    created: int = 200
    min_rows: int = 10
    suffix_limit: int = 64
    metadata_filter: bool = False
    idempotency_key: bool = False
    pause: bool = True
    changing_event_ids: bool = False
    newest_first: bool = True
    deployments: bool = False
    methods: tuple[str, ...] = ("supervised", "dpo", "reinforcement")
    nulls: bool = False

    def tuned_model(self, base: str, suffix: str | None, serial: str) -> str:
        """The name of a tuned model, in this host's pattern."""
        if self.deployments:
            return f"{base}.ft-{serial}{f'-{suffix}' if suffix else ''}"
        return f"ft:{base}:simulated:{suffix or ''}:{serial[:8]}"

    def error(self, message: str, code: str | None, param: str | None) -> dict[str, Any]:
        """The body of a refusal."""
        if self.deployments:
            return {"error": {"code": code or "invalidPayload", "message": message}}
        kind = "invalid_request_error"
        return {"error": {"message": message, "type": kind, "param": param, "code": code}}


_DIALECTS = {
    "openai": SimulatedDialect(name="openai", metadata_filter=True),
    "azure": SimulatedDialect(
        name="azure",
        prefix="/openai/v1",
        script=("pending", "pending", "running", "running", "succeeded"),
        file_script=("pending", "running", "processed"),
        created=201,
        suffix_limit=40,
        changing_event_ids=True,
        newest_first=False,
        deployments=True,
        nulls=True,
    ),
    "worker": SimulatedDialect(
        name="worker",
        min_rows=1,
        metadata_filter=True,
        idempotency_key=True,
        methods=("supervised", "dpo"),
    ),
}


def dialect(name: str) -> SimulatedDialect:
    """The dialect of that name.

    Raises:
        UsageError: there is none.
    """
    if name not in _DIALECTS:
        known = ", ".join(sorted(_DIALECTS))
        raise UsageError(f"The simulator speaks {known}, but not '{name}'.")
    return _DIALECTS[name]
