"""Bearer tokens for hosts that take no key: from the environment, or from Entra ID."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from orchestrator.domain.errors import CredentialsRefused, MissingCredentials, MissingExtra

if TYPE_CHECKING:
    from collections.abc import Callable


class TokenSource(Protocol):
    """Gives a token that is good now."""

    def token(self) -> str:
        """The token itself; never logged, never stored.

        Raises:
            MissingCredentials, CredentialsRefused, MissingExtra: there is none to be had.
        """
        ...


@dataclass(frozen=True)
class FixedToken:
    """One token, as a variable of the environment holds it; the fake of tests, too."""

    value: str = field(repr=False)

    def token(self) -> str:
        """That token."""
        return self.value


@dataclass
class EntraToken:
    """What `azure-identity` finds: a managed identity, the Azure CLI's login, a workload's.

    Attributes:
        scope: what the token is for.
        name: the profile's name, for messages.
        credential: makes the credential; azure-identity's usual chain when None.
    """

    scope: str
    name: str
    credential: Callable[[], Any] | None = field(default=None, repr=False)
    _made: Any = field(default=None, repr=False)

    def token(self) -> str:
        """A token that is good now; the credential keeps and renews it."""
        if self._made is None:
            self._made = (self.credential or _usual_credential(self.name))()
        try:
            found: str = self._made.get_token(self.scope).token
        except Exception as error:  # noqa: BLE001 - azure-identity's errors have no common root
            # Each credential has errors of its own; their texts are long, and may quote requests.
            raise CredentialsRefused(
                f"Entra ID gives no token for '{self.name}' ({type(error).__name__}).",
                hint="az login",
            ) from None
        return found


def _usual_credential(name: str) -> Callable[[], Any]:
    try:
        from azure.identity import DefaultAzureCredential
    except ImportError as error:
        raise MissingExtra(
            f"The profile '{name}' has no token, and Entra ID cannot be asked: azure-identity is"
            " not installed.",
            hint="pip install 'ftctl[azure]', or name a variable with arm_token_env",
        ) from error
    # It says on stderr whom it asked in vain, a line each; our one sentence is enough.
    logging.getLogger("azure").addHandler(logging.NullHandler())
    made: Callable[[], Any] = DefaultAzureCredential
    return made


def required(value: str | None, variable: str) -> str:
    """The token that a variable holds.

    Raises:
        MissingCredentials: it is not set.
    """
    if not value:
        raise MissingCredentials(f"{variable} is not set.", hint=f"export {variable}=...")
    return value
