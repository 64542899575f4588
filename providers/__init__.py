"""The hosts that train. A provider is imported only when a profile names its kind.

Kinds come from the entry-point group `ftctl.providers`: ours are registered there as anybody
else's are. How to write one: docs/adding-a-provider.md.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from orchestrator.domain.errors import ConfigurationError, FtctlError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from orchestrator.domain.jobs.deployment import DeploymentHost
    from orchestrator.domain.profile import Profile
    from orchestrator.domain.provider import Provider

GROUP = "ftctl.providers"

# The same lines as in pyproject.toml, for a checkout that was never installed.
_BUILT_IN: Mapping[str, str] = {
    "azure": "providers.azure:build",
    "compatible": "providers.compatible:build",
    "openai": "providers.openai:build",
    "peft": "providers.peft:build",
    "simulator": "providers.simulator:build",
}


def kinds() -> list[str]:
    """Every kind a profile may name, sorted. Imports none of them."""
    return sorted(_registered())


def build(profile: Profile) -> Provider:
    """The provider a profile describes.

    Raises:
        ConfigurationError: no such kind, a plug-in that cannot be loaded, or a profile the kind
            cannot work with.
    """
    # The table first: to look through what is installed takes longer than most commands.
    target = _BUILT_IN.get(profile.kind)
    registered = _registered() if target is None else {profile.kind: target}
    if profile.kind not in registered:
        raise ConfigurationError(
            f"The provider profile '{profile.name}' names the kind '{profile.kind}', which is not"
            f" one of {', '.join(sorted(registered))}.",
            hint=f"mend kind under [providers.{profile.name}], or install the plug-in",
        )
    builder = _loaded(profile.kind, registered[profile.kind])
    try:
        return builder(profile)
    except (FtctlError, OSError):
        raise
    except Exception as error:
        raise _broken(profile.kind, registered[profile.kind], error) from error


def deployment_host(profile: Profile) -> DeploymentHost:
    """Where the models of a profile are deployed: what the kind's module offers under that name.

    Raises:
        ConfigurationError: no such kind, or its models answer without a deployment.
    """
    target = _BUILT_IN.get(profile.kind) or _registered().get(profile.kind)
    module = import_module(target.partition(":")[0]) if target else None
    offered = getattr(module, "deployment_host", None)
    if offered is None:
        raise ConfigurationError(
            f"Models at '{profile.name}' ({profile.kind}) are not deployed by ftctl: they answer"
            " without, or its plug-in does not offer it.",
            hint="ftctl compare JOB --test FILE",
        )
    host: DeploymentHost = offered(profile)
    return host


def _registered() -> dict[str, str]:
    """Kind → "module:function"; an outsider cannot take a built-in's name."""
    from importlib.metadata import entry_points

    outside = {entry.name: entry.value for entry in entry_points(group=GROUP)}
    return {**outside, **_BUILT_IN}


def _loaded(kind: str, target: str) -> Callable[[Profile], Provider]:
    module, _, attribute = target.partition(":")
    try:
        builder: Callable[[Profile], Provider] = getattr(import_module(module), attribute.strip())
    except Exception as error:
        raise _broken(kind, target, error) from error
    return builder


def _broken(kind: str, target: str, error: Exception) -> ConfigurationError:
    return ConfigurationError(
        f"The provider plug-in '{kind}' ({target}) does not work: {type(error).__name__}: {error}."
    )
