"""What the simulated hosts do differently, as data.

`openai` follows the published description, `azure` the v1 surface with the oddities that were
seen of it, `azure-dated` the authoring API of 2024-10-21, `bare` what little a compatible host may offer,
`forgetful` what drops the metadata it takes, `worker` the self-hosted worker.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from orchestrator.domain.errors import UsageError
from orchestrator.domain.jobs.job import WORKER_OPTIONS


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
        metadata: jobs take metadata.
        echoes: what they take is told again; some hosts, or proxies, drop it.
        checkpoints: there is a list of them.
        changing_event_ids: an event has another id each time it is listed.
        newest_first: order of events.
        deployments: tuned models answer only when deployed.
        methods: how it trains.
        largest_request: bytes of a file that one request carries.
        base64_results: the content of a result file is encoded.
        dated: Azure's older surface: api-version, api-key, no metadata, no method.
        nulls: fields are null that the description says never are.
        own_options: hyperparameters that OpenAI's API does not have; their values are not looked at.
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
    metadata: bool = True
    echoes: bool = True
    checkpoints: bool = True
    changing_event_ids: bool = False
    newest_first: bool = True
    deployments: bool = False
    methods: tuple[str, ...] = ("supervised", "dpo", "reinforcement")
    largest_request: int = 512 * 1024 * 1024
    base64_results: bool = False
    dated: bool = False
    nulls: bool = False
    own_options: frozenset[str] = frozenset()

    def tuned_model(self, base: str, suffix: str | None, serial: str) -> str:
        """The name of a tuned model, in this host's pattern."""
        if self.deployments:
            return f"{base}.ft-{serial}{f'-{suffix}' if suffix else ''}"
        return f"ft:{base}:simulated:{suffix or ''}:{serial[:8]}"

    def error(self, message: str, code: str | None, param: str | None) -> dict[str, Any]:
        """The body of a refusal."""
        if self.deployments:
            told = {"code": code or "invalidPayload", "message": message}
            if not self.dated:
                return {"error": told}
            inner = {"code": "invalidPayload", "innererror": {}}
            return {"error": {**told, "target": param, "details": [], "innererror": inner}}
        kind = "invalid_request_error"
        return {"error": {"message": message, "type": kind, "param": param, "code": code}}


_AZURE = SimulatedDialect(
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
)
_DIALECTS = {
    "openai": SimulatedDialect(name="openai", metadata_filter=True, base64_results=True),
    "azure": _AZURE,
    "azure-dated": replace(
        _AZURE,
        name="azure-dated",
        prefix="/openai",
        dated=True,
        pause=False,
        methods=("supervised",),
    ),
    "bare": SimulatedDialect(
        name="bare",
        suffix_limit=40,
        pause=False,
        metadata=False,
        checkpoints=False,
        methods=("supervised",),
    ),
    "forgetful": SimulatedDialect(name="forgetful", echoes=False),
    "worker": SimulatedDialect(
        name="worker",
        min_rows=1,
        metadata_filter=True,
        idempotency_key=True,
        methods=("supervised", "dpo", "reinforcement"),
        own_options=frozenset({*WORKER_OPTIONS, "lora"}),
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
