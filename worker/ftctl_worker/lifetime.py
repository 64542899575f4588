"""How long a server lives: the file that says it is ready, and the lock that says it is used."""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ftctl_worker import __version__

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["ReadyFile", "UsageLock"]


@dataclass(frozen=True)
class ReadyFile:
    """A 0600 JSON file that exists while the server listens."""

    path: Path

    def write(self, host: str, port: int) -> None:
        """Write ``{"port", "pid", "url", "version"}`` in one step."""
        shown = f"[{host}]" if ":" in host else host
        text = json.dumps(
            {
                "port": port,
                "pid": os.getpid(),
                "url": f"http://{shown}:{port}/v1",
                "version": __version__,
            }
        )
        draft = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as stream:
            stream.write(text)
        draft.replace(self.path)

    def remove(self) -> None:
        """Take the file away, unless another server has written its own."""
        try:
            owner = json.loads(self.path.read_text()).get("pid")
        except (OSError, ValueError):
            return
        if owner == os.getpid():
            self.path.unlink(missing_ok=True)


class UsageLock:
    """A lock that every client holds shared; who gets it exclusively is alone."""

    def __init__(self, path: Path) -> None:
        """Open the lock file, and make it where there is none."""
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)

    def try_alone(self) -> bool:
        """Take the lock exclusively, and keep it; False where a client holds it."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def release(self) -> None:
        """Let clients in again."""
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        """Let the lock go for good."""
        os.close(self._descriptor)
