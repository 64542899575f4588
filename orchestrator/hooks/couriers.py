"""What carries a notification: a program's standard input, or one signed POST."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from typing import TYPE_CHECKING

from orchestrator.domain.adapters.signature import ID, secrets_of, signed
from orchestrator.domain.errors import ConfigurationError
from orchestrator.domain.jobs.notification import Outcome
from orchestrator.hooks.posting import post

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from orchestrator.domain.jobs.notification import Notification, Subscriber

# What programs need to run at all. Everything else, our keys above all, is named or not seen.
_HARMLESS = (
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR",
    "SSL_CERT_FILE", "SSL_CERT_DIR",
)  # fmt: skip


class Couriers:
    """The port `Courier`, by what a subscriber names."""

    def __init__(
        self, environment: Mapping[str, str], secret: Callable[[Subscriber], str | None]
    ) -> None:
        """Take what programs may see a part of, and where secrets are found."""
        self._environment = environment
        self._secret = secret

    def __call__(self, to: Subscriber, what: Notification, at: datetime, timeout: float) -> Outcome:
        """Try once, for so many seconds. Never raises for what the receiver does."""
        if to.url is None:
            return self._run(to, what, timeout)
        try:
            headers = self._headers(to, what, at)
        except ConfigurationError as error:
            return Outcome(ok=False, told=error.message)
        return post(to.url, what.body.encode(), headers, timeout, allow_private=to.allow_private)

    def _headers(self, to: Subscriber, what: Notification, at: datetime) -> dict[str, str]:
        if to.secret is None:
            return {ID: what.id}
        found = self._secret(to)
        keys = secrets_of(found, to.secret) if found else ()
        if not keys:
            raise ConfigurationError(f"{to.secret} is not set")
        # Of several the first signs; the receiver may know the others, too.
        return signed(keys[0], what.id, at, what.body.encode())

    def _run(self, to: Subscriber, what: Notification, timeout: float) -> Outcome:
        names = (*_HARMLESS, *to.environment)
        seen = {name: self._environment[name] for name in names if name in self._environment}
        seen |= {"FTCTL_NOTIFICATION_ID": what.id, "FTCTL_NOTIFICATION_TYPE": what.type}
        try:
            process = subprocess.Popen(
                to.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=seen,
                # A group of its own, so that what it started ends with it.
                start_new_session=True,
            )
        except OSError as error:
            return Outcome(ok=False, told=f"{to.command[0]}: {error.strerror or error}")
        return _ended(process, f"{what.body}\n".encode(), timeout)


def _ended(process: subprocess.Popen[bytes], body: bytes, timeout: float) -> Outcome:
    with process:
        try:
            process.communicate(body, timeout)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return Outcome(ok=False, told=f"did not end in {timeout:g} s")
    code = process.returncode
    return Outcome(ok=code == 0, told=f"ended with {code}")
