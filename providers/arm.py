"""Deployments of an Azure resource, through Azure Resource Manager.

Source: Azure/azure-rest-api-specs, Microsoft.CognitiveServices/accounts/deployments
(tests/contracts/azure). A PUT of the same name creates or updates, so a lost answer is settled by a
GET, and a PUT is never the first question. A name that nobody checked is never written over:
`If-None-Match: *` goes with every PUT that means a new one.
"""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from orchestrator.domain.errors import (
    ConfigurationError,
    CredentialsRefused,
    FtctlError,
    OutcomeUnknown,
    ProviderRejected,
    ProviderUnreachable,
    RemoteNotFound,
    TryLater,
)
from orchestrator.domain.jobs.deployment import DeploymentState, RemoteDeployment
from orchestrator.domain.jobs.job import RemoteError
from providers.border import Border, broken, no_answer, was_never_sent
from providers.connection import Address, checked_url, http_client, trusted
from providers.entra import AzureIdentity, EntraTokens
from providers.refusal import one_line
from providers.retry import Retry
from providers.tokens import FixedToken, required

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import httpx2

    from orchestrator.domain.jobs.deployment import DeploymentHost, DeploymentRequest
    from orchestrator.domain.profile import Profile
    from providers.connection import Transport
    from providers.refusal import Refusal
    from providers.tokens import TokenSource

ENDPOINT = "https://management.azure.com"
API_VERSION = "2024-10-01"
# The enum is open. A word that is missing here changes no state and raises a loud event: `Moving`
# and `Disabled` are known, and what they mean for the bill is not.
WORDS: Mapping[str, DeploymentState] = {
    "Accepted": DeploymentState.ACCEPTED,
    "Creating": DeploymentState.CREATING,
    "Succeeded": DeploymentState.SUCCEEDED,
    "Failed": DeploymentState.FAILED,
    "Canceled": DeploymentState.FAILED,
    "Deleting": DeploymentState.DELETING,
}

# With Resource Manager's own error in the body, these say that nothing was made.
_CLEAR_NO = frozenset({400, 401, 403, 404, 409, 412, 413, 422})
_SOMEONE_ELSE_IS_AT_IT = frozenset({"RequestConflict", "AnotherOperationInProgress"})
# A 404 for one of these is about what the deployment would lie in, not about the deployment.
_PLACES = frozenset(
    {
        "SubscriptionNotFound",
        "ResourceGroupNotFound",
        "ParentResourceNotFound",
        "InvalidSubscriptionId",
    }
)
_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._()-]{0,89}")
_MOST_PAGES = 200


class ArmDeployments:
    """The port `DeploymentHost` over one resource's `/deployments`."""

    def __init__(
        self,
        profile: Profile,
        endpoint: str,
        tokens: TokenSource,
        *,
        transport: Transport | None = None,
        retry: Retry | None = None,
    ) -> None:
        """Read the profile; connect nothing yet.

        Raises:
            ConfigurationError: a setting is missing, or makes no sense.
        """
        self.name = profile.name
        url = checked_url(profile, endpoint, "arm_endpoint")
        # The token differs from call to call, so that no address holds it.
        self._where = Address(
            url=url,
            key="",
            timeout=profile.timeout,
            proxy=profile.options.get("proxy"),
            ca_file=profile.options.get("ca_file"),
        )
        self._resource = _resource(profile)
        self._version = str(profile.options.get("arm_api_version") or API_VERSION)
        self._env = profile.options.get("arm_token_env")
        self._tokens = tokens
        self._transport = transport
        self._retry = retry or Retry()
        self._client: httpx2.Client | None = None
        place = f"arm|{url}|{self._resource.lower()}"
        self.account = hashlib.sha256(place.encode()).hexdigest()[:16]

    def put(self, request: DeploymentRequest, *, new: bool) -> RemoteDeployment:
        """Exactly one PUT on a connection of its own; see the port for what errors mean."""
        border = self._border()
        with self._new_client() as client:
            response = self._sent_once(client, border, request, new=new)
        if response.status_code >= 300:
            raise self._said_to_the_put(border, response)
        try:
            return self._told(border.json(response), response)
        except ProviderUnreachable as error:
            raise self._in_doubt("its answer cannot be read") from error

    def get(self, name: str) -> RemoteDeployment | None:
        """One deployment as it stands; None when there is none of that name."""
        try:
            return self._told(*self._ask("GET", self._url(name)))
        except RemoteNotFound as error:
            if error.code in _PLACES:
                raise
            return None

    def list(self) -> Sequence[RemoteDeployment]:
        """Every deployment of the resource, page by page, or an error."""
        found: dict[str, RemoteDeployment] = {}
        url: str | None = self._url()
        for _ in range(_MOST_PAGES):
            body, _ = self._ask("GET", url)
            entries = body.get("value")
            if not isinstance(entries, list):
                raise ProviderUnreachable(f"{self.name} lists deployments without a list in it.")
            found.update({each.name: each for each in map(self._told, entries)})
            url = self._next(body.get("nextLink"))
            if url is None:
                return list(found.values())
        raise ProviderUnreachable(f"{self.name} lists deployments without an end.")

    def delete(self, name: str) -> None:
        """Ask for its end; none of that name is no error."""
        try:
            self._ask("DELETE", self._url(name))
        except RemoteNotFound as error:
            if error.code in _PLACES:
                raise

    def failure(self, operation: str) -> RemoteError | None:
        """Why the making failed, from the operation that made it."""
        if not self._is_ours(operation):
            return None
        try:
            body, _ = self._ask("GET", operation)
        except ProviderRejected:
            # Operations are kept for a while only.
            return None
        return _error(body.get("error"))

    def close(self) -> None:
        """Give back connections."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _sent_once(
        self, client: httpx2.Client, border: Border, request: DeploymentRequest, *, new: bool
    ) -> httpx2.Response:
        import httpx2

        headers = self._headers(border) | ({"if-none-match": "*"} if new else {})
        try:
            return client.put(self._url(request.name), json=body(request), headers=headers)
        except httpx2.TransportError as error:
            if was_never_sent(error):
                raise no_answer(self.name, error) from error
            raise self._in_doubt(broken(error)) from error
        except Exception as error:
            # After the first byte nothing may pass for a clear outcome.
            raise self._in_doubt("its answer cannot be read") from error

    def _said_to_the_put(self, border: Border, response: httpx2.Response) -> FtctlError:
        refusal = border.refusal(response)
        clear = refusal.status in _CLEAR_NO and refusal.is_envelope
        if clear or refusal.status == 429:
            return border.refused(response)
        return self._in_doubt(f"it answered {refusal.status}")

    def _ask(self, method: str, url: str | None) -> tuple[dict[str, Any], httpx2.Response]:
        """Everything that may be repeated goes through here."""
        return self._retry(lambda: self._answer(method, url or self._url()))

    def _answer(self, method: str, url: str) -> tuple[dict[str, Any], httpx2.Response]:
        import httpx2

        border = self._border()
        if self._client is None:
            self._client = self._new_client()
        try:
            response = self._client.request(method, url, headers=self._headers(border))
        except (httpx2.RequestError, httpx2.InvalidURL) as error:
            raise no_answer(self.name, error) from error
        if response.status_code >= 300:
            raise border.refused(response)
        # A DELETE is answered by nothing at all.
        return (border.json(response) if response.content else {}), response

    def _border(self) -> Border:
        return Border(
            name=self.name, key=self._tokens.token(), key_env=self._env, explain=self._explain
        )

    def _explain(self, refusal: Refusal) -> FtctlError | None:
        """What Resource Manager means by words that say something else."""
        if refusal.code in _SOMEONE_ELSE_IS_AT_IT:
            return TryLater(f"{self.name} is busy with another change: {refusal.message}")
        if refusal.code == "InsufficientQuota":
            return ProviderRejected(
                f"{self.name} said no: {refusal.message}",
                hint="a smaller --capacity, another --sku, or undeploy what nobody calls",
                status=refusal.status,
                code=refusal.code,
            )
        if refusal.code in {"AuthorizationFailed", "LinkedAuthorizationFailed"}:
            return CredentialsRefused(
                f"{self.name} said no: {refusal.message}",
                hint="a role with Microsoft.CognitiveServices/accounts/deployments/write, such as"
                " Cognitive Services Contributor",
            )
        if refusal.status in {401, 403}:
            return CredentialsRefused(
                f"{self.name} refused the token for Resource Manager:"
                f" {refusal.message or refusal.status}",
                hint=f"export {self._env}=..., from: az account get-access-token"
                if self._env
                else "az login",
            )
        return None

    def _headers(self, border: Border) -> dict[str, str]:
        return {"authorization": f"Bearer {border.key}", "accept": "application/json"}

    def _new_client(self) -> httpx2.Client:
        return http_client(self._where, trusted(self._where), self._transport)

    def _url(self, name: str | None = None) -> str:
        one = f"/{quote(name, safe='')}" if name is not None else ""
        return f"{self._where.url}{self._resource}/deployments{one}?api-version={self._version}"

    def _next(self, link: object) -> str | None:
        """The next page, if the token may be sent there."""
        if not link:
            return None
        if not isinstance(link, str) or not self._is_ours(link):
            raise ProviderUnreachable(f"{self.name} continues its list at another host.")
        return link

    def _is_ours(self, url: str) -> bool:
        try:
            there, here = urlsplit(url), urlsplit(self._where.url)
            return (there.scheme, there.hostname, there.port) == (
                here.scheme,
                here.hostname,
                here.port,
            )
        except ValueError:
            return False

    def _told(self, plain: Any, response: httpx2.Response | None = None) -> RemoteDeployment:
        """An answer as a value.

        Raises:
            ProviderUnreachable: it is none.
        """
        try:
            properties, name = plain["properties"], plain["name"]
            word, model = properties["provisioningState"], properties["model"]["name"]
        except (KeyError, TypeError) as error:
            raise ProviderUnreachable(f"{self.name} answers without a deployment.") from error
        sku = plain.get("sku") or {}
        operation = response.headers.get("azure-asyncoperation") if response is not None else None
        return RemoteDeployment(
            # Nested resources are sometimes told with their parent's name before a slash.
            name=str(name).rpartition("/")[2],
            model=str(model),
            state=WORDS.get(word),
            remote_state=str(word),
            sku=sku.get("name"),
            capacity=sku.get("capacity"),
            created_at=_created(plain.get("systemData")),
            operation=operation,
            raw=plain,
        )

    def _in_doubt(self, why: str) -> OutcomeUnknown:
        return OutcomeUnknown(
            f"{self.name} was asked for a deployment and {why}: there may be one, or not.",
            hint="ftctl sync",
        )


def deployment_host(
    profile: Profile,
    *,
    tokens: TokenSource | None = None,
    transport: Transport | None = None,
    retry: Retry | None = None,
) -> ArmDeployments:
    """The deployments of the resource a profile names.

    Raises:
        MissingCredentials, ConfigurationError: a setting is missing, or makes no sense.
    """
    endpoint = str(profile.options.get("arm_endpoint") or ENDPOINT)
    return ArmDeployments(
        profile,
        endpoint,
        tokens or _usual_tokens(profile, endpoint),
        transport=transport,
        retry=retry,
    )


def body(request: DeploymentRequest) -> dict[str, Any]:
    """What one PUT says."""
    return {
        "sku": {"name": request.sku, "capacity": request.capacity},
        "properties": {"model": {"format": "OpenAI", "name": request.model, "version": "1"}},
    }


def _usual_tokens(profile: Profile, endpoint: str) -> TokenSource:
    variable = profile.options.get("arm_token_env")
    if variable:
        return FixedToken(required(profile.tokens.get("arm_token"), str(variable)))
    return EntraTokens(credential=AzureIdentity(), scope=f"{endpoint.rstrip('/')}/.default")


def _resource(profile: Profile) -> str:
    subscription = _part(profile, "subscription")
    group, account = _part(profile, "resource_group"), _part(profile, "account")
    return (
        f"/subscriptions/{subscription}/resourceGroups/{group}"
        f"/providers/Microsoft.CognitiveServices/accounts/{account}"
    )


def _part(profile: Profile, option: str) -> str:
    value = profile.options.get(option)
    if value is None and option == "account":
        # https://RESOURCE.openai.azure.com names it already.
        host = urlsplit(profile.base_url or "").hostname or ""
        value = host.partition(".")[0] if host.endswith(".azure.com") else None
    if value is None:
        raise ConfigurationError(
            f"To deploy at '{profile.name}', its profile must name the {option}.",
            hint=f'{option} = "..." under [providers.{profile.name}]; see docs/azure.md',
        )
    if not isinstance(value, str) or not _PART.fullmatch(value):
        raise ConfigurationError(f"{option} in [providers.{profile.name}] is no Azure name.")
    return quote(value, safe="")


def _error(plain: object) -> RemoteError | None:
    """The sentence that says most: Azure wraps it, and the wrapping says nothing."""
    if not isinstance(plain, dict):
        return None
    details = plain.get("details")
    inner = _error(details[0]) if isinstance(details, list) and details else None
    if inner is not None:
        return inner
    message, code = plain.get("message"), plain.get("code")
    if not isinstance(message, str) or not message:
        return None
    return RemoteError(message=one_line(message), code=code if isinstance(code, str) else None)


def _created(system: object) -> datetime | None:
    at = system.get("createdAt") if isinstance(system, dict) else None
    try:
        found = datetime.fromisoformat(at) if isinstance(at, str) else None
    except ValueError:
        return None
    return found if found is None or found.tzinfo else found.replace(tzinfo=UTC)


if TYPE_CHECKING:
    _implements: type[DeploymentHost] = ArmDeployments
