"""A worker of our own on loopback: started when it is needed, gone when nobody needs it.

Everything lies in one folder H:

- `H/users.lock` is held shared by every ftctl that may ask the worker. The worker watches it, and
  ends when nobody holds it and no job is open: a job outlives the command that asked for it.
- `H/start.lock` is held exclusively while somebody looks whether a worker runs and starts one, so
  that two commands start one worker.
- `H/ready.json` tells port, process and URL; the worker writes it when it listens.
- `H/token` (0600) is the bearer token; it travels to the worker through its environment.
"""

from __future__ import annotations

import fcntl
import importlib.util
import json
import os
import secrets
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from orchestrator.domain.clock import SystemClock
from orchestrator.domain.errors import (
    AnswerIsNo,
    ConfigurationError,
    LocalStateError,
    MissingExtra,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

PACKAGE = "ftctl_worker"
TOKEN_VARIABLE = "FTCTL_WORKER_TOKEN"  # noqa: S105 - a name
START_SECONDS = 60.0
_LOOK_SECONDS = 0.05
_LOG_LINES = 8

# Options of a profile that become options of the worker.
_OPTIONS = {
    "threads": "--threads",
    "concurrency": "--concurrency",
    "precision": "--precision",
    "max_batch": "--max-batch",
    "adapters": "--adapters",
}
# Those that are true or false.
_FLAGS = {"allow_python_graders": "--allow-python-graders"}

# A worker outlives its Popen, which would complain about that when it is collected.
_started: list[subprocess.Popen[bytes]] = []


@dataclass(frozen=True)
class Running:
    """A worker that answers: its base URL and the token it wants."""

    url: str
    token: str = field(repr=False)


@dataclass
class EmbeddedWorker:
    """One user of the worker in a folder.

    Attributes:
        folder: H.
        options: `threads`, `concurrency`, `precision`, `max_batch`, `adapters` (a folder that is
            served), `allow_python_graders` (true or false); used if we start it.
        sleep: what waits, in seconds.
    """

    folder: Path
    options: Mapping[str, Any] = field(default_factory=dict)
    sleep: Callable[[float], None] = field(default_factory=lambda: SystemClock().sleep)
    _usage: int | None = None

    def start(self) -> Running:
        """The running worker; started if there is none. From now on it stays for us.

        Raises:
            MissingExtra: it is not installed.
            LocalStateError: it does not start, or the folder cannot be used.
        """
        require_worker()
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._use()
            with self._alone():
                return self._running() or self._launch()
        except OSError as error:
            raise LocalStateError(
                f"The worker's folder {self.folder} cannot be used: {error.strerror or error}."
            ) from error

    def answers(self) -> bool:
        """Whether the worker that `ready.json` tells of is there."""
        return self._running() is not None

    def close(self) -> None:
        """Let the worker go; it ends by itself once it has no work."""
        if self._usage is not None:
            os.close(self._usage)
            self._usage = None
        _started[:] = [process for process in _started if process.poll() is None]

    def _use(self) -> None:
        """Hold the lock that keeps the worker alive."""
        if self._usage is not None:
            return
        descriptor = os.open(self.folder / "users.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
        except BaseException:
            os.close(descriptor)
            raise
        self._usage = descriptor

    @contextmanager
    def _alone(self) -> Iterator[None]:
        descriptor = os.open(self.folder / "start.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _running(self) -> Running | None:
        try:
            ready = json.loads((self.folder / "ready.json").read_text(encoding="utf-8"))
            token = (self.folder / "token").read_text(encoding="utf-8").strip()
            url, pid = str(ready["url"]), int(ready["pid"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        # The process first: another program may have got the port of a worker that was killed.
        if not token or not _is_alive(pid) or not _is_healthy(url):
            return None
        return Running(url, token)

    def _launch(self) -> Running:
        (self.folder / "ready.json").unlink(missing_ok=True)
        token = self._token()
        log = self.folder / "worker.log"
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            begin = os.fstat(descriptor).st_size
            process = self._process(token, descriptor)
        finally:
            os.close(descriptor)
        _started.append(process)
        return self._wait(process, log, begin)

    def _token(self) -> str:
        path = self.folder / "token"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "r+", encoding="utf-8") as stream:
            token = stream.read().strip()
            if not token:
                token = secrets.token_urlsafe(32)
                stream.seek(0)
                stream.write(token)
        return token

    def _process(self, token: str, log: int) -> subprocess.Popen[bytes]:
        # -P: a file beside the user's data must not pass for a module.
        command = [sys.executable, "-P", "-m", PACKAGE, "serve", "--host", "127.0.0.1"]
        command += ["--port", "0", "--home", str(self.folder), "--token-env", TOKEN_VARIABLE]
        command += ["--ready-file", str(self.folder / "ready.json"), "--allow-any-model"]
        command += ["--exit-when-unused", str(self.folder / "users.lock"), *self._arguments()]
        # A child has its parent's environment; that is no setting that is read here.
        environment = {**os.environ, TOKEN_VARIABLE: token}  # noqa: TID251
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            cwd=self.folder,
            start_new_session=True,
            close_fds=True,
        )

    def _arguments(self) -> list[str]:
        arguments: list[str] = []
        for name, option in _OPTIONS.items():
            value = self.options.get(name)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int | str):
                raise ConfigurationError(f"{name} of the local worker must be a number or a word.")
            arguments += [option, str(value)]
        for name, flag in _FLAGS.items():
            value = self.options.get(name, False)
            if not isinstance(value, bool):
                raise ConfigurationError(f"{name} of the local worker must be true or false.")
            arguments += [flag] if value else []
        return arguments

    def _wait(self, process: subprocess.Popen[bytes], log: Path, begin: int) -> Running:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise LocalStateError(
                    f"The local worker ended while it started: {_end_of(log, begin)}",
                    hint=f"read {log}",
                )
            if running := self._running():
                return running
            self.sleep(_LOOK_SECONDS)
        process.terminate()
        process.wait()
        raise LocalStateError(
            f"The local worker did not start within {START_SECONDS:.0f} seconds.",
            hint=f"read {log}",
        )


def export_merged(adapter: Path, base: str, out: Path, *, gguf: bool, cache: Path) -> None:
    """Merge an adapter into its base model, in a process of the worker's own.

    Args:
        adapter: folder of the adapter.
        base: name or folder of the base model.
        out: folder to make.
        gguf: one GGUF file instead of safetensors.
        cache: the worker's folder, where converted base models are kept.

    Raises:
        MissingExtra: the worker is not installed.
        AnswerIsNo: it could not; its own words say why.
    """
    require_worker()
    command = [sys.executable, "-P", "-m", PACKAGE, "export", str(adapter), str(out.absolute())]
    command += ["--base", base, "--home", str(cache), *(["--gguf"] if gguf else [])]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip()]
        raise AnswerIsNo((said or ["The worker ended without a word."])[-1].removeprefix("error: "))


def require_worker() -> None:
    """Look for the worker's package; nothing of it is imported.

    Raises:
        MissingExtra: it is not installed.
    """
    if importlib.util.find_spec(PACKAGE) is None:
        raise MissingExtra("The local worker is not installed.", hint="pip install ./worker")


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _is_healthy(url: str) -> bool:
    import httpx2

    try:
        with httpx2.Client(trust_env=False, timeout=5.0, verify=_no_tls()) as client:
            return client.get(f"{url.removesuffix('/v1')}/health").status_code == 200
    except (httpx2.HTTPError, httpx2.InvalidURL):
        return False


def _no_tls() -> Any:
    """Loading certificates takes longer than asking, and loopback is plain http."""
    import ssl

    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _end_of(log: Path, begin: int) -> str:
    with log.open("rb") as stream:
        stream.seek(begin)
        lines = stream.read().decode("utf-8", "replace").strip().splitlines()
    return " / ".join(line.strip() for line in lines[-_LOG_LINES:]) or "it said nothing."
