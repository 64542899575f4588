"""The provider of kind `simulator`: the whole way of a job, without a host and without a bill."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from orchestrator.domain.errors import ConfigurationError
from orchestrator.domain.job import JobStatus, Method
from orchestrator.domain.provider import Capabilities
from providers.connection import address
from providers.dialect import LARGEST_FILE, LARGEST_REQUEST, Dialect
from providers.simulator.exchange import call
from providers.simulator.host import SimulatedHost
from providers.simulator.state import InFile
from providers.wire import WireProvider

if TYPE_CHECKING:
    import httpx2

    from orchestrator.domain.profile import Profile
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


def build(profile: Profile, *, retry: Retry | None = None) -> WireProvider:
    """A client of the simulator at `base_url`, or of one inside this process.

    The one inside remembers in `simulator.json` under ftctl's home, so that the next command
    sees the job go on. The option `dialect` chooses its manners.
    """
    key = profile.api_key or KEY
    if profile.base_url:
        return WireProvider(DIALECT, profile, address(profile, profile.base_url, key), retry=retry)
    dialect = profile.options.get("dialect", "openai")
    if not isinstance(dialect, str):
        raise ConfigurationError(f"dialect in [providers.{profile.name}] must be a word.")
    memory = profile.home.absolute() / "simulator.json"
    host = SimulatedHost(dialect, memory=InFile(memory))
    where = address(profile, f"http://127.0.0.1{host.dialect.prefix}", key)
    return WireProvider(
        DIALECT,
        profile,
        where,
        account=hashlib.sha256(f"simulator|{memory}".encode()).hexdigest()[:16],
        transport=lambda: transport(host),
        retry=retry,
    )


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
