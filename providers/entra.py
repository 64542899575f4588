"""Bearer tokens of Entra ID: asked for when they are needed, renewed before they end, never shown.

The `azure-identity` package finds who one is: a login of `az`, a managed identity, the variables
of a service principal.
"""

from __future__ import annotations

import importlib.util
import logging
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from orchestrator.domain.clock import SystemClock
from orchestrator.domain.errors import CredentialsRefused, MissingExtra, ProviderUnreachable
from providers.refusal import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

SCOPE = "https://cognitiveservices.azure.com/.default"
# A token that ends within this many seconds is not used for another request.
MARGIN = 300
KEPT = 4


class Issued(Protocol):
    """A token and when it ends, in Unix seconds."""

    @property
    def token(self) -> str:
        """The secret."""
        ...

    @property
    def expires_on(self) -> int:
        """Unix seconds."""
        ...


class Credential(Protocol):
    """Who gives tokens; `azure.core.credentials.TokenCredential` is one."""

    def get_token(self, *scopes: str) -> Issued:
        """A token for these scopes."""
        ...


@dataclass(kw_only=True)
class EntraTokens:
    """One token at a time for every thread.

    Attributes:
        credential: who gives tokens.
        scope: what they are for.
        now: what tells the time.
    """

    credential: Credential
    scope: str = SCOPE
    now: Callable[[], datetime] = field(default_factory=lambda: SystemClock().now)
    _issued: list[Issued] = field(default_factory=list, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def token(self) -> str:
        """The token that is good now, or a new one."""
        with self._lock:
            latest = self._issued[-1] if self._issued else None
            if latest is None or latest.expires_on - self.now().timestamp() < MARGIN:
                latest = self.credential.get_token(self.scope)
                self._issued = [*self._issued[1 - KEPT :], latest]
            return latest.token

    def issued(self) -> Sequence[str]:
        """The last few."""
        return [each.token for each in self._issued]


class AzureIdentity:
    """The `azure-identity` package behind the port; made on first use."""

    def __init__(self) -> None:
        """Look whether it is installed.

        Raises:
            MissingExtra: it is not.
        """
        try:
            found = importlib.util.find_spec("azure.identity")
        except ModuleNotFoundError:
            found = None
        if found is None:
            raise MissingExtra(
                "Entra ID cannot be asked: the package azure-identity is not installed.",
                hint='pip install "ftctl[azure]", or name a variable with the token',
            )
        self._made: Any = None

    def get_token(self, *scopes: str) -> Issued:
        """A token for these scopes.

        Raises:
            CredentialsRefused: nobody is logged in, or may not. ProviderUnreachable: no answer.
        """
        from azure.core.exceptions import AzureError, ClientAuthenticationError
        from azure.identity import DefaultAzureCredential

        if self._made is None:
            # What it logs is told by the error, in one sentence.
            logging.getLogger("azure").addHandler(logging.NullHandler())
            self._made = DefaultAzureCredential()
        try:
            issued: Issued = self._made.get_token(*scopes)
        except ClientAuthenticationError as error:
            raise CredentialsRefused(
                f"Entra ID gives no token: {_why(error)}.", hint="az login"
            ) from error
        except AzureError as error:
            raise ProviderUnreachable(
                f"Entra ID cannot be asked: {one_line(str(error))[:300]}"
            ) from error
        return issued


def _why(error: Exception) -> str:
    """The reason, without the list of everything that was tried."""
    said = one_line(str(error)).rstrip(".")
    if said.startswith("DefaultAzureCredential"):
        return "there is no login of az, no managed identity and no service principal here"
    return said[:300]
