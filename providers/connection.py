"""Clients of the `openai` package, built so that nothing happens behind our back.

No retries, no redirects, nothing from the environment. Each thread gets a client of its own: one
pool shared by many threads is several times slower. The package is imported at the first
request, because that takes longer than most commands.
"""

from __future__ import annotations

import hashlib
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from orchestrator.domain.errors import ConfigurationError, MissingCredentials
from orchestrator.domain.profile import is_loopback

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import httpx2
    from openai import OpenAI

    from orchestrator.domain.profile import Profile

    Transport = Callable[[], httpx2.BaseTransport]

CONNECT_TIMEOUT = 10.0


class Tokens(Protocol):
    """Where bearer tokens come from that end within the hour."""

    def token(self) -> str:
        """One that is good now; may be called from several threads.

        Raises:
            CredentialsRefused: nobody gives one. TryLater: nobody can be asked.
        """
        ...

    def issued(self) -> Sequence[str]:
        """Those that may still stand in an answer, so that none is ever shown."""
        ...


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where requests go, and with what.

    Attributes:
        url: base URL, without a slash at its end.
        key: sent as bearer token.
        timeout: seconds without a byte after which an answer is given up.
        organization: OpenAI's header, where an account has several.
        project: OpenAI's header.
        proxy: URL of a proxy; none is taken from the environment.
        ca_file: certificates to trust instead of the system's.
        key_header: the header that carries the key, where it is no bearer token.
        query: sent with every request.
        tokens: renews the bearer token of every request, instead of a key.
    """

    url: str
    key: str = field(repr=False)
    timeout: float = 60.0
    organization: str | None = None
    project: str | None = None
    proxy: str | None = field(default=None, repr=False)
    ca_file: str | None = None
    key_header: str | None = None
    query: Mapping[str, str] = field(default_factory=dict)
    tokens: Tokens | None = field(default=None, repr=False)

    def more_secrets(self) -> Sequence[str]:
        """What must not be shown beside the key."""
        return self.tokens.issued() if self.tokens else ()

    def headers(self) -> dict[str, str]:
        """What carries the key. Named here, so that no variable of the environment replaces it."""
        if self.key_header:
            return {self.key_header: self.key, "Authorization": ""}
        return {"Authorization": f"Bearer {self.key}"}


def address(profile: Profile, url: str, key: str) -> Address:
    """The profile's settings, checked.

    Raises:
        ConfigurationError: not a URL, a key in it, a key over plain http, or a setting of the
            wrong type.
    """
    return Address(
        url=checked_url(profile, url),
        key=key,
        timeout=profile.timeout,
        organization=_text(profile, "organization"),
        project=_text(profile, "project"),
        proxy=_text(profile, "proxy"),
        ca_file=_text(profile, "ca_file"),
    )


def fingerprint(kind: str, where: Address) -> str:
    """16 hex digits that stand for an account; the key cannot be had back from them."""
    parts = [kind, where.url, where.key]
    parts += [extra for extra in (where.organization, where.project) if extra]
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:16]


def required_key(profile: Profile) -> str:
    """The profile's key.

    Raises:
        MissingCredentials: there is none.
        ConfigurationError: it cannot travel in a header. The message does not hold it.
    """
    variable = profile.api_key_env
    if not profile.api_key:
        raise MissingCredentials(
            f"No key for the provider '{profile.name}': "
            + (f"{variable} is not set." if variable else "its profile names no api_key_env."),
            hint=f"export {variable}=..."
            if variable
            else f'add api_key_env = "..." under [providers.{profile.name}]',
        )
    if not profile.api_key.isascii() or not profile.api_key.isprintable() or " " in profile.api_key:
        raise ConfigurationError(
            f"The key in {variable or 'the credentials file'} holds a character that cannot be"
            " part of a key; it was probably not copied whole.",
            hint=f"export {variable}=..." if variable else None,
        )
    return profile.api_key


def checked_url(profile: Profile, url: str, setting: str = "base_url") -> str:
    """The URL without a slash at its end, if the key may be sent there.

    Args:
        profile: for its name, and whether it allows plain http.
        url: as it was written.
        setting: where it was written, for messages.

    Raises:
        ConfigurationError: it may not, or it is not a URL.
    """
    return checked_address(
        url,
        what=f"{setting} of the provider '{profile.name}'",
        allow_http=profile.allow_http,
        hint=f"use https://, or set allow_http = true under [providers.{profile.name}]",
    )


def checked_address(
    url: str, *, what: str, allow_http: bool = False, hint: str = "use https://"
) -> str:
    """The same for what is no profile; `what` names it in sentences.

    Raises:
        ConfigurationError: a key must not go there, or it is not a URL.
    """
    try:
        parts = urlsplit(url.strip())
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigurationError(f"The {what} is not a URL: {error}.") from error
    if parts.scheme not in {"http", "https"} or not host:
        raise ConfigurationError(f"The {what} must start with https:// and name a host.")
    if parts.username or parts.password:
        raise ConfigurationError(
            f"The {what} holds a user name or password; put the key into an environment variable."
        )
    if parts.scheme == "http" and not is_loopback(host) and not allow_http:
        raise ConfigurationError(f"The {what} would send the key unencrypted to {host}.", hint=hint)
    return parts._replace(query="", fragment="").geturl().rstrip("/")


class Connection:
    """The clients for one address."""

    def __init__(self, where: Address, transport: Transport | None = None) -> None:
        """Connect nothing yet.

        Args:
            where: URL, key and timeouts.
            transport: makes what carries requests, once per client; sockets when None.
        """
        self.where = where
        self._transport = transport
        self._mine = threading.local()
        self._lock = threading.Lock()
        self._open: list[OpenAI] = []
        self._ssl: ssl.SSLContext | None = None

    def client(self) -> OpenAI:
        """This thread's client; its connections are kept open between requests."""
        client: OpenAI | None = getattr(self._mine, "client", None)
        if client is None or client.is_closed() or self._mine.where is not self.where:
            where, client = self.where, self._new()
            self._mine.client, self._mine.where = client, where
            with self._lock:
                self._open.append(client)
        return client

    @contextmanager
    def fresh(self) -> Iterator[OpenAI]:
        """A client without a past: a kept-alive connection may be dead without our knowing."""
        client = self._new()
        try:
            yield client
        finally:
            client.close()

    def move(self, where: Address) -> None:
        """Go elsewhere from now on; requests that are under way are left to end."""
        self.where = where

    def close(self) -> None:
        """Close every connection; the next request opens new ones."""
        with self._lock:
            clients, self._open = self._open, []
        for client in clients:
            client.close()

    def _new(self) -> OpenAI:
        from openai import OpenAI

        client = OpenAI(
            api_key=self.where.key,
            base_url=self.where.url,
            max_retries=0,
            # Named here too: the SDK takes a client whose timeout is httpx's own default for one
            # that has none, and waits ten minutes.
            timeout=timeouts(self.where),
            http_client=self._http(),
            default_headers=self.where.headers(),
            default_query=dict(self.where.query),
        )
        client.organization = self.where.organization
        client.project = self.where.project
        return client

    def _http(self) -> httpx2.Client:
        return http_client(self.where, self._certificates(), self._transport)

    def _certificates(self) -> ssl.SSLContext:

        with self._lock:
            if self._ssl is None:
                self._ssl = trusted(self.where)
            context: ssl.SSLContext = self._ssl
        return context


def _bearer(where: Address) -> Callable[[httpx2.Request], httpx2.Request] | None:
    """Gives every request the key as the host wants it, or the token that is good now."""
    if where.tokens is None and where.key_header is None:
        return None

    def authorise(request: httpx2.Request) -> httpx2.Request:
        if where.tokens is not None:
            request.headers["Authorization"] = f"Bearer {where.tokens.token()}"
        else:
            request.headers.pop("Authorization", None)
        return request

    return authorise


def http_client(
    where: Address, certificates: ssl.SSLContext, transport: Transport | None = None
) -> httpx2.Client:
    """A client without retries, redirects, or anything from the environment."""
    import httpx2

    return httpx2.Client(
        timeout=timeouts(where),
        trust_env=False,
        follow_redirects=False,
        proxy=where.proxy if transport is None else None,
        verify=certificates,
        transport=transport() if transport else None,
        auth=_bearer(where),
    )


def timeouts(where: Address) -> httpx2.Timeout:
    """How long an answer, and a connection, are waited for."""
    import httpx2

    return httpx2.Timeout(where.timeout, connect=min(where.timeout, CONNECT_TIMEOUT))


def trusted(where: Address) -> ssl.SSLContext:
    """The certificates an address is believed by.

    Raises:
        ConfigurationError: those that were named cannot be used.
    """
    import ssl

    import httpx2

    if where.ca_file:
        try:
            return ssl.create_default_context(cafile=where.ca_file)
        except OSError as error:
            raise ConfigurationError(
                f"The certificates in {where.ca_file} cannot be used: {error}."
            ) from error
    if where.url.startswith("http:"):
        # Trusts nobody, and takes a millisecond instead of twenty.
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return httpx2.create_ssl_context(trust_env=False)


def _text(profile: Profile, option: str) -> str | None:
    value = profile.options.get(option)
    if value is None or isinstance(value, str):
        return value
    raise ConfigurationError(f"{option} in [providers.{profile.name}] must be a text.")
