"""The provider of kind `simulator`: the whole way of a job, without a host and without a bill."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from orchestrator.domain.errors import ConfigurationError
from orchestrator.domain.jobs.job import JobStatus, Method
from orchestrator.domain.provider import Capabilities
from providers.connection import address
from providers.deployed import served_as
from providers.dialect import LARGEST_FILE, LARGEST_REQUEST, Dialect
from providers.simulator.exchange import call
from providers.simulator.host import SimulatedHost
from providers.simulator.state import InFile
from providers.tokens import FixedToken
from providers.wire import WireProvider

if TYPE_CHECKING:
    from pathlib import Path

    import httpx2

    from orchestrator.domain.chat import ChatRequest
    from orchestrator.domain.jobs.deployment import DeploymentHost
    from orchestrator.domain.profile import Profile
    from providers.connection import Address
    from providers.retry import Retry

KEY = "simulated-key"

DIALECT = Dialect(
    kind="simulator",
    capabilities=Capabilities(
        methods=frozenset(Method),
        metadata_filter=True,
        pause=True,
        max_file_bytes=LARGEST_FILE,
        parts_above=LARGEST_REQUEST,
        checkpoint_sharing=True,
        delete_model=True,
        integrations=True,
        prices=None,
    ),
    status_words={
        "validating_files": JobStatus.QUEUED,
        "pending": JobStatus.QUEUED,
        "queued": JobStatus.QUEUED,
        "running": JobStatus.RUNNING,
        "paused": JobStatus.PAUSED,
        "succeeded": JobStatus.SUCCEEDED,
        "failed": JobStatus.FAILED,
        "cancelled": JobStatus.CANCELLED,
    },
)


class SimulatorProvider(WireProvider):
    """OpenAI's dialect; as Azure, its tuned models answer under a deployment's name."""

    def __init__(self, dialect: Dialect, profile: Profile, where: Address, **more: Any) -> None:
        """As for WireProvider."""
        super().__init__(dialect, profile, where, **more)
        self._deployments = profile.deployments

    def _chat_body(self, request: ChatRequest) -> dict[str, Any]:
        body = super()._chat_body(request)
        if self.capabilities.needs_deployment:
            body["model"] = served_as(request.model, self._deployments, self.name)
        return body


def build(profile: Profile, *, retry: Retry | None = None) -> WireProvider:
    """A client of the simulator at `base_url`, or of one inside this process.

    The one inside remembers in `simulator.json` under ftctl's home, so that the next command
    sees the job go on. The option `dialect` chooses its manners.
    """
    key = profile.api_key or KEY
    if profile.base_url:
        where = address(profile, profile.base_url, key)
        return SimulatorProvider(_manners(profile), profile, where, retry=retry)
    host = _inside(profile)
    where = address(profile, f"http://127.0.0.1{host.dialect.prefix}", key)
    return SimulatorProvider(
        _manners(profile),
        profile,
        where,
        account=hashlib.sha256(f"simulator|{_memory(profile)}".encode()).hexdigest()[:16],
        transport=lambda: transport(host),
        retry=retry,
    )


def deployment_host(profile: Profile, *, retry: Retry | None = None) -> DeploymentHost:
    """The deployments of a simulated Azure, with the place and the token made up.

    Raises:
        ConfigurationError: the simulator does not speak as Azure does.
    """
    from providers import arm

    if not _manners(profile).capabilities.needs_deployment:
        raise ConfigurationError(
            f"Models at '{profile.name}' answer without a deployment.",
            hint=f'dialect = "azure" under [providers.{profile.name}]',
        )
    root = (profile.base_url or "http://127.0.0.1/openai/v1").partition("/openai")[0]
    made_up = {"subscription": "simulated", "resource_group": "simulated", "account": "simulated"}
    placed = replace(profile, options={**made_up, "arm_endpoint": root, **profile.options})
    host = None if profile.base_url else _inside(profile)
    return arm.deployment_host(
        placed,
        tokens=FixedToken(profile.api_key or KEY),
        transport=(lambda: transport(host)) if host else None,
        retry=retry,
    )


def _manners(profile: Profile) -> Dialect:
    """What the dialect can do; where none is named, the URL tells."""
    there = "azure" if (profile.base_url or "").rstrip("/").endswith("/openai/v1") else "openai"
    spoken = _dialect(profile, there)
    able = replace(
        DIALECT.capabilities,
        needs_deployment=spoken == "azure",
        own_options=spoken == "worker",
    )
    return replace(DIALECT, capabilities=able)


def _inside(profile: Profile) -> SimulatedHost:
    return SimulatedHost(_dialect(profile, "openai"), memory=InFile(_memory(profile)))


def _memory(profile: Profile) -> Path:
    return profile.home.absolute() / "simulator.json"


def _dialect(profile: Profile, usual: str) -> str:
    dialect = profile.options.get("dialect", usual)
    if not isinstance(dialect, str):
        raise ConfigurationError(f"dialect in [providers.{profile.name}] must be a word.")
    return dialect


def transport(host: SimulatedHost) -> httpx2.BaseTransport:
    """What carries requests to a host in this process; a cut line is an error, as on a wire."""
    import httpx2

    def handle(request: httpx2.Request) -> httpx2.Response:
        target = request.url.raw_path.decode("ascii")
        reply = host.respond(call(request.method, target, dict(request.headers), request.read()))
        if reply is None or not reply.is_whole:
            raise httpx2.RemoteProtocolError("the simulated host hung up", request=request)
        return httpx2.Response(reply.status, headers=dict(reply.headers), content=reply.body)

    return httpx2.MockTransport(handle)
