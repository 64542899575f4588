"""From a server's settings to its executor; Ray is imported only where it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftctl_worker.executors.process import ProcessExecutor

if TYPE_CHECKING:
    from ftctl_worker.executors.port import Executor
    from ftctl_worker.settings import Settings

__all__ = ["open_executor"]


def open_executor(settings: Settings) -> Executor:
    """Return the executor that the settings name.

    Raises:
        ConfigurationError: it cannot be used here.
    """
    if settings.ray_address is None:
        return ProcessExecutor()
    from ftctl_worker.executors.ray import RayExecutor

    return RayExecutor(
        settings.ray_address, python=settings.ray_python, cpus=max(1, settings.threads)
    )
