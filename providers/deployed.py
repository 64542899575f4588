"""Which deployment answers for a tuned model, at hosts where models must be deployed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from orchestrator.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

_TUNED = re.compile(r"\.ft-[0-9a-f]{8,}|:ckpt-step-\d+$|^ftchkpt-")


def served_as(model: str, deployments: Mapping[str, str], profile: str) -> str:
    """The deployment that answers for a model; base models often carry their own name.

    Raises:
        ConfigurationError: it is a tuned model, and nothing is known to serve it.
    """
    # A model's own name first: most calls are for one, and the values are read from the ledger.
    if model in deployments:
        return deployments[model]
    if not _TUNED.search(model) or model in deployments.values():
        return model
    raise ConfigurationError(
        f"The tuned model '{model}' must be deployed before it answers at '{profile}', and no"
        " deployment of it is known.",
        hint=f'ftctl deploy JOB, or add "{model}" = "NAME" under [providers.{profile}.deployments]',
    )
