"""Azure OpenAI, through its v1 surface: OpenAI's paths under /openai/v1, and words of its own.

The key travels as a bearer token, as OpenAI's own client sends it; an Entra token fits in the
same place. Source: Azure/azure-rest-api-specs (tests/contracts/azure) and what the service was
seen to send: `pending`, ids of events that change between calls, nulls where none may be.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from orchestrator.domain.errors import ConfigurationError, FtctlError, ProviderRejected
from orchestrator.domain.job import JobStatus, Method
from orchestrator.domain.provider import Capabilities
from providers.connection import address, required_key
from providers.deployed import served_as
from providers.dialect import Dialect
from providers.wire import WireProvider

if TYPE_CHECKING:
    from orchestrator.domain.chat import ChatRequest
    from orchestrator.domain.deployment import DeploymentHost
    from orchestrator.domain.profile import Profile
    from orchestrator.domain.provider import JobRequest
    from providers.connection import Transport
    from providers.refusal import Refusal
    from providers.retry import Retry

TRAINING_TYPES = ("Standard", "GlobalStandard", "Developer")

_SUFFIX = re.compile(r"[A-Za-z0-9_-]{1,40}")


def explain(refusal: Refusal) -> FtctlError | None:
    """What Azure means by words that say something else."""
    if "does not support fine-tuning" in refusal.message:
        return ProviderRejected(
            f"Azure said: {refusal.message} It says so too when no training type is named.",
            hint='write training_type = "GlobalStandard" in the profile, or choose another model'
            " or region",
            status=refusal.status,
            code=refusal.code,
        )
    if refusal.code == "DeploymentNotFound":
        return ProviderRejected(
            "Azure has no deployment of that name; models there answer only when deployed.",
            hint="ftctl deployments, or az cognitiveservices account deployment list --name RESOURCE"
            " --resource-group GROUP",
            status=refusal.status,
            code=refusal.code,
        )
    return None


DIALECT = Dialect(
    kind="azure",
    capabilities=Capabilities(
        methods=frozenset({Method.SUPERVISED, Method.DPO}),
        suffix_limit=40,
        needs_deployment=True,
        pause=True,
        prices="azure",
        model_dates=True,
    ),
    status_words={
        "created": JobStatus.QUEUED,
        "pending": JobStatus.QUEUED,
        "notRunning": JobStatus.QUEUED,
        "validating_files": JobStatus.QUEUED,
        "queued": JobStatus.QUEUED,
        "running": JobStatus.RUNNING,
        "pausing": JobStatus.RUNNING,
        "resuming": JobStatus.QUEUED,
        "paused": JobStatus.PAUSED,
        "canceling": JobStatus.RUNNING,
        "cancelling": JobStatus.RUNNING,
        "canceled": JobStatus.CANCELLED,
        "cancelled": JobStatus.CANCELLED,
        "succeeded": JobStatus.SUCCEEDED,
        "failed": JobStatus.FAILED,
    },
    newest_event_first=False,
    explain=explain,
)


class AzureProvider(WireProvider):
    """OpenAI's dialect, with deployments and training types."""

    def __init__(
        self,
        profile: Profile,
        *,
        transport: Transport | None = None,
        retry: Retry | None = None,
    ) -> None:
        """Read the profile; connect nothing yet.

        Raises:
            ConfigurationError: no endpoint, no key, or an option that makes no sense.
        """
        where = address(profile, v1_url(profile), required_key(profile))
        super().__init__(DIALECT, profile, where, transport=transport, retry=retry)
        self._deployments = profile.deployments
        self._training_type = _training_type(profile)

    def _job_body(self, request: JobRequest) -> dict[str, Any]:
        if request.suffix is not None and not _SUFFIX.fullmatch(request.suffix):
            raise ProviderRejected(
                f"Azure takes no suffix '{request.suffix}': at most 40 letters, digits, - and _.",
                hint="choose another --suffix",
                code="suffix",
            )
        body = super()._job_body(request)
        if self._training_type:
            body["extra_body"] = {"trainingType": self._training_type}
        return body

    def _chat_body(self, request: ChatRequest) -> dict[str, Any]:
        body = super()._chat_body(request)
        body["model"] = served_as(request.model, self._deployments, self.name)
        return body


def build(
    profile: Profile, *, transport: Transport | None = None, retry: Retry | None = None
) -> AzureProvider:
    """The resource whose endpoint and key the profile holds.

    Raises:
        MissingCredentials, ConfigurationError: see `required_key`, `checked_url`, `v1_url`.
    """
    return AzureProvider(profile, transport=transport, retry=retry)


def deployment_host(profile: Profile) -> DeploymentHost:
    """Where the profile's tuned models are deployed; needs no key of the API.

    Raises:
        MissingCredentials, ConfigurationError: a setting is missing, or makes no sense.
    """
    from providers import arm

    return arm.deployment_host(profile)


def v1_url(profile: Profile) -> str:
    """The v1 surface of the profile's endpoint, however much of its path was given.

    Raises:
        ConfigurationError: there is no endpoint.
    """
    if not profile.base_url:
        raise ConfigurationError(
            f"The provider '{profile.name}' has no endpoint.",
            hint="export AZURE_OPENAI_ENDPOINT=https://RESOURCE.openai.azure.com",
        )
    try:
        parts = urlsplit(profile.base_url.strip())
    except ValueError as error:
        raise ConfigurationError(f"The endpoint of '{profile.name}' is not a URL.") from error
    path = parts.path.rstrip("/").removesuffix("/v1").removesuffix("/openai")
    return parts._replace(path=f"{path}/openai/v1", query="", fragment="").geturl()


def _training_type(profile: Profile) -> str | None:
    value = profile.options.get("training_type")
    if value is None or value in TRAINING_TYPES:
        return value
    raise ConfigurationError(
        f"training_type in [providers.{profile.name}] must be one of {', '.join(TRAINING_TYPES)}."
    )
