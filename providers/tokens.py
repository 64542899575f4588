"""Bearer tokens for hosts that take no key; `providers.entra` has another source of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from orchestrator.domain.errors import MissingCredentials


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


def required(value: str | None, variable: str) -> str:
    """The token that a variable holds.

    Raises:
        MissingCredentials: it is not set.
    """
    if not value:
        raise MissingCredentials(f"{variable} is not set.", hint=f"export {variable}=...")
    return value
