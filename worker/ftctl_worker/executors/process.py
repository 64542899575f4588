"""The executor ``process``: a child of the server, on its own machine."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from ftctl_worker.executors.launching import plain

if TYPE_CHECKING:
    from ftctl_worker.executors.port import Launch

__all__ = ["ProcessExecutor"]

_STOP_SECONDS = 10.0


class ProcessExecutor:
    """Starts trainers that die with the server."""

    def start(self, launch: Launch) -> _Child:
        """Start a child."""
        arguments = [*launch.arguments, "--parent", str(os.getpid())]
        with launch.log.open("ab") as log:
            return _Child(
                subprocess.Popen(
                    plain(sys.executable, arguments),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=dict(launch.environment),
                )
            )


class _Child:
    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def poll(self) -> int | None:
        return self._process.poll()

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
