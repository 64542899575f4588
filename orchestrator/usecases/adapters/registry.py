"""What the verbs of adapters share: the repository, who acts, and reading what lies there."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.domain.adapters.manifest import Manifest
from orchestrator.domain.adapters.names import CONFIG, WEIGHTS
from orchestrator.domain.canonical import digest
from orchestrator.domain.errors import LocalStateError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.domain.adapters.ports import AdapterRepo
    from orchestrator.domain.clock import Clock


_STALE_SECONDS = 24 * 3600


@dataclass(frozen=True, kw_only=True)
class Registry:
    """What the verbs work with.

    Attributes:
        by: who acts: the user of the operating system and the machine.
        staging: folder for files that are looked at before they are anybody's.
    """

    repo: AdapterRepo
    clock: Clock
    by: str
    staging: Path

    @contextlib.contextmanager
    def stage(self) -> Iterator[Path]:
        """An empty folder of one's own, gone afterwards."""
        self.staging.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._sweep()
        with tempfile.TemporaryDirectory(dir=self.staging, prefix="adapter-") as name:
            yield Path(name)

    def _sweep(self) -> None:
        """Drop what processes left that were killed."""
        now = time.time()
        for each in self.staging.glob("adapter-*"):
            with contextlib.suppress(OSError):
                if now - each.stat().st_mtime > _STALE_SECONDS:
                    shutil.rmtree(each, ignore_errors=True)


def read_manifest(content: bytes) -> Manifest:
    """A manifest.

    Raises:
        LocalStateError: it is none.
    """
    try:
        return Manifest.from_bytes(content)
    except ValueError as error:
        raise LocalStateError(f"The manifest cannot be read: {error}.") from error


def content_digest(folder: Path) -> str:
    """What a version is: weights and configuration, nothing else."""
    return digest({name: _of(folder / name) for name in (WEIGHTS, CONFIG)})


def _of(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
