"""A profile: which provider, where, and which environment variable holds its key."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, kw_only=True)
class Profile:
    """One `[providers.NAME]` of ftctl.toml, or a built-in one, with its key resolved.

    Attributes:
        name: how commands name it (`--provider NAME`).
        kind: which provider drives it.
        base_url: where its API lives; None for the kind's own default.
        api_key: the secret itself; kept out of repr, logs and the store.
        api_key_env: where the key is looked for, for error messages.
        deployments: model name to deployment name, where tuned models must be deployed.
        embedded: start the worker on loopback when it is needed, and stop it after.
        home: folder of ftctl, for providers that keep state here.
        allow_http: send the key over plain http to another host.
        usd_per_hour: what an hour of the machine costs, where no bill comes.
        tokens: other secrets: what the option `X_token_env` names is found under `X_token`.
        options: whatever else the table holds, for the kind to read.
    """

    name: str
    kind: str
    base_url: str | None = None
    api_key: str | None = field(default=None, repr=False)
    api_key_env: str | None = None
    timeout: float = 60.0
    deployments: Mapping[str, str] = field(default_factory=dict)
    embedded: bool = False
    home: Path = field(default_factory=Path)
    allow_http: bool = False
    usd_per_hour: float | None = None
    tokens: Mapping[str, str] = field(default_factory=dict, repr=False)
    options: Mapping[str, Any] = field(default_factory=dict)


def is_loopback(host: str) -> bool:
    """Whether a host's name says by itself that it is this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
