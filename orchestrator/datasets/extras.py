"""Packages that are not always there, imported when they are needed."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

from orchestrator.domain.errors import ConfigurationError


def package(module: str, extra: str) -> Any:
    """Import a package of an extra.

    Args:
        module: what to import.
        extra: the extra of ftctl that brings it.

    Raises:
        ConfigurationError: it is not installed; the hint is the line that installs it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ConfigurationError(
            f"This needs the package {module.partition('.')[0]}, which is not installed.",
            hint=f"pip install 'ftctl[{extra}]'",
        ) from error


def has_package(module: str) -> bool:
    """Whether a package is installed."""
    return importlib.util.find_spec(module) is not None
