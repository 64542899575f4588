"""What the verbs of adapters share: the repository, who acts, and reading what lies there."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.domain.adapters.manifest import Manifest
from orchestrator.domain.adapters.names import CONFIG, WEIGHTS
from orchestrator.domain.canonical import digest
from orchestrator.domain.errors import LocalStateError

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from orchestrator.domain.adapters.ports import AdapterRepo
    from orchestrator.domain.clock import Clock


@dataclass(frozen=True, kw_only=True)
class Registry:
    """What the verbs work with.

    Attributes:
        by: who acts: the user of the operating system and the machine.
        stage: an empty folder for files that are looked at before they are anybody's, gone
            afterwards.
    """

    repo: AdapterRepo
    clock: Clock
    by: str
    stage: Callable[[], AbstractContextManager[Path]]


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
