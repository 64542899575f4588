"""The executor ``ray``: trainers as jobs of a Ray cluster that is there already.

Every node needs the same ftctl-worker, and sees the server's home at the same path: that is how a
trainer reports, and how another node goes on after its last stored step. A node that is lost ends
its job as failed without an exit code of the trainer's; that counts as killed, so it is tried again.
"""

from __future__ import annotations

import logging
import shlex
import signal
import threading
from typing import TYPE_CHECKING, Any

from ftctl_worker.errors import ConfigurationError
from ftctl_worker.executors.launching import plain

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ftctl_worker.executors.port import Launch

__all__ = ["RayExecutor"]

_LOG = logging.getLogger("ftctl_worker")
_PASSED_ON = ("HF_HUB_OFFLINE", "OMP_WAIT_POLICY", "TOKENIZERS_PARALLELISM", "TQDM_DISABLE")
_STOP_SECONDS = 15.0
_LOOK_SECONDS = 0.5
_MOST_ERRORS = 60


class RayExecutor:
    """Submits trainers to a cluster's dashboard address."""

    def __init__(self, address: str, *, python: str = "python", cpus: float = 1.0) -> None:
        """Connect to ``address``, as ``http://head:8265``.

        Raises:
            ConfigurationError: Ray is not installed, or nothing answers there.
        """
        try:
            from ray.job_submission import JobSubmissionClient
        except ImportError as error:
            raise ConfigurationError(
                "The executor ray needs Ray, which is not installed here; "
                "pip install 'ftctl-worker[ray]'."
            ) from error
        try:
            self._client: Any = JobSubmissionClient(address)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise ConfigurationError(
                f"No Ray cluster answers at {address}; start one with 'ray start --head'."
            ) from error
        self._python = python
        self._cpus = cpus

    def start(self, launch: Launch) -> _Submitted:
        """Submit a job; the cluster starts it as soon as it has the resources."""
        line = shlex.join(plain(self._python, launch.arguments))
        try:
            self._client.submit_job(
                entrypoint=f"exec {line}",
                submission_id=launch.name,
                entrypoint_num_cpus=self._cpus,
                entrypoint_num_gpus=launch.gpus,
                runtime_env={"env_vars": _passed_on(launch.environment)},
            )
        except RuntimeError as error:
            # A submission whose answer was lost is there under its name.
            if "already" not in str(error):
                raise ConnectionError(f"Ray did not take the job: {error}") from error
        return _Submitted(self._client, launch.name, launch.log)


class _Submitted:
    """A job of the cluster."""

    def __init__(self, client: Any, name: str, log: Path) -> None:
        self._client = client
        self._name = name
        self._log = log
        self._errors = 0

    def poll(self) -> int | None:
        """Return the trainer's exit code; a cluster that does not answer is asked again."""
        try:
            info = self._client.get_job_info(self._name)
        except (RuntimeError, OSError):
            self._errors += 1
            if self._errors % _MOST_ERRORS == 1:
                _LOG.warning("Ray does not answer for %s", self._name, exc_info=True)
            return None
        self._errors = 0
        if not info.status.is_terminal():
            return None
        self._keep_log(info.message)
        code = info.driver_exit_code
        if code is None:
            return 0 if str(info.status) == "SUCCEEDED" else -signal.SIGKILL
        # A shell reports who was killed by signal N as 128 + N.
        return 128 - code if code > 128 else int(code)

    def stop(self) -> None:
        """Ask the cluster to stop the job, and wait until it has."""
        pause = threading.Event()
        try:
            self._client.stop_job(self._name)
            for _ in range(round(_STOP_SECONDS / _LOOK_SECONDS)):
                if self._client.get_job_status(self._name).is_terminal():
                    return
                pause.wait(_LOOK_SECONDS)
        except (RuntimeError, OSError):
            _LOG.warning("Ray could not be asked to stop %s", self._name, exc_info=True)

    def _keep_log(self, message: str | None) -> None:
        try:
            text = self._client.get_job_logs(self._name)
            with self._log.open("a", encoding="utf-8") as log:
                log.write(f"{text}\n{message or ''}\n")
        except (RuntimeError, OSError):
            _LOG.warning("the log of %s could not be fetched", self._name, exc_info=True)


def _passed_on(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: environment[name] for name in _PASSED_ON if name in environment}
