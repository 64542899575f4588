"""Azure OpenAI, through either of its surfaces, and words of its own.

v1: OpenAI's paths under /openai/v1; the key travels as a bearer token, as OpenAI's own client sends
it, and a token of Entra ID in the same place. Dated (`api_version` in the profile): /openai with
api-version and api-key; it knows no metadata, so that our token travels in the suffix, and as
released only supervised training. Source: Azure/azure-rest-api-specs (tests/contracts/azure) and what the service was
seen to send: `pending`, ids of events that change between calls, nulls where none may be.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from orchestrator.domain.errors import ConfigurationError, FtctlError, ProviderRejected
from orchestrator.domain.jobs.job import JobStatus, Method
from orchestrator.domain.provider import Capabilities, TokenCarrier
from providers.connection import address, fingerprint, required_key
from providers.deployed import served_as
from providers.dialect import LARGEST_REQUEST, Dialect
from providers.entra import AzureIdentity, EntraTokens
from providers.wire import WireProvider

if TYPE_CHECKING:
    from openai import OpenAI

    from orchestrator.domain.chat import ChatRequest
    from orchestrator.domain.jobs.deployment import DeploymentHost
    from orchestrator.domain.profile import Profile
    from orchestrator.domain.provider import JobRequest
    from providers.connection import Address, Transport
    from providers.entra import Credential
    from providers.refusal import Refusal
    from providers.retry import Retry

# Tiers of the price file. Azure trains regionally where no type is named; some models have no
# regional price.
TRAINING_TYPES = {
    "Standard": ("regional", "global"),
    "GlobalStandard": ("global",),
    "Developer": ("developer",),
}

_VERSION = re.compile(r"\d{4}-\d{2}-\d{2}(-preview)?")
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
        methods=frozenset(Method),
        suffix_limit=40,
        needs_deployment=True,
        pause=True,
        max_file_bytes=9 * 1024**3,
        parts_above=LARGEST_REQUEST,
        delete_model=True,
        delete_job=True,
        integrations=True,
        training_types=TRAINING_TYPES,
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


# The training types of the dated previews; what is released there has none.
_DATED_TYPES = {
    "Standard": "standard",
    "GlobalStandard": "globalstandard",
    "Developer": "developerTier",
}


class AzureProvider(WireProvider):
    """OpenAI's dialect, with deployments and training types."""

    def __init__(
        self,
        profile: Profile,
        *,
        transport: Transport | None = None,
        retry: Retry | None = None,
        credential: Credential | None = None,
    ) -> None:
        """Read the profile; connect nothing yet.

        Raises:
            ConfigurationError: no endpoint, no key, or an option that makes no sense.
            MissingExtra: the profile wants Entra ID, and its package is not installed.
        """
        self._version = _api_version(profile)
        where = _address(profile, credential)
        super().__init__(
            _dialect(self._version),
            profile,
            where if self._version is None else _dated(where, self._version),
            # The same account on either surface.
            account=fingerprint(DIALECT.kind, where),
            transport=transport,
            retry=retry,
        )
        self._deployments = profile.deployments
        self._training_type = _training_type(profile)
        self.capabilities = replace(
            self.capabilities, training_tiers=TRAINING_TYPES[self._training_type or "Standard"]
        )

    def _job_body(self, request: JobRequest) -> dict[str, Any]:
        body = super()._job_body(request)
        if "suffix" in body and not _SUFFIX.fullmatch(body["suffix"]):
            raise ProviderRejected(
                f"Azure takes no suffix '{body['suffix']}': at most 40 letters, digits, - and _.",
                hint="choose another --suffix",
                code="suffix",
                param="suffix",
            )
        training_type = request.options.training_type or self._training_type
        if self._version is None or _is_preview(self._version):
            if training_type:
                known = _DATED_TYPES if self._version else {}
                named = known.get(training_type, training_type)
                body["extra_body"] = {"trainingType": named}
            return body
        return _released(body)

    def _chat_client(self, client: OpenAI, request: ChatRequest) -> OpenAI:
        if self._version is None:
            return client
        deployment = quote(served_as(request.model, self._deployments, self.name), safe="")
        return client.with_options(
            base_url=f"{self._connection.where.url}/deployments/{deployment}"
        )

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


def _address(profile: Profile, credential: Credential | None) -> Address:
    auth = profile.options.get("auth", "key")
    if auth not in {"key", "entra"}:
        raise ConfigurationError(
            f'auth in [providers.{profile.name}] must be "key" or "entra".', hint='auth = "entra"'
        )
    if auth == "key":
        return address(profile, v1_url(profile), required_key(profile))
    tokens = EntraTokens(credential=credential or AzureIdentity())
    # A word that stands where the key would, for it is nobody's secret.
    return replace(address(profile, v1_url(profile), "entra"), tokens=tokens)


def _api_version(profile: Profile) -> str | None:
    value = profile.options.get("api_version")
    if value is None or value == "v1":
        return None
    if isinstance(value, str) and _VERSION.fullmatch(value):
        return value
    raise ConfigurationError(
        f"api_version in [providers.{profile.name}] is no version of Azure's API.",
        hint='api_version = "2024-10-21", or none for /openai/v1/',
    )


def _is_preview(version: str) -> bool:
    return version.endswith("-preview")


def _dialect(version: str | None) -> Dialect:
    """What the surface can do."""
    if version is None:
        return DIALECT
    preview = _is_preview(version)
    can = replace(
        DIALECT.capabilities,
        methods=frozenset(Method) if preview else frozenset({Method.SUPERVISED}),
        metadata=False,
        token_in=TokenCarrier.SUFFIX,
        pause=preview,
        integrations=preview,
        delete_model=False,
        training_types=TRAINING_TYPES if preview else {},
    )
    # The list of files takes no page there.
    return replace(DIALECT, capabilities=can, file_page=None, max_tokens="max_tokens")


def _dated(where: Address, version: str) -> Address:
    return replace(
        where,
        url=where.url.removesuffix("/v1"),
        query={"api-version": version},
        key_header=None if where.tokens else "api-key",
    )


def _released(body: dict[str, Any]) -> dict[str, Any]:
    """As the released version wants it: hyperparameters at the top, and no method."""
    method = body.pop("method")
    chosen = method.get(method["type"], {}).get("hyperparameters")
    return {**body, "hyperparameters": chosen} if chosen else body


def _training_type(profile: Profile) -> str | None:
    value = profile.options.get("training_type")
    if value is None or value in TRAINING_TYPES:
        return value
    raise ConfigurationError(
        f"training_type in [providers.{profile.name}] must be one of {', '.join(TRAINING_TYPES)}."
    )
