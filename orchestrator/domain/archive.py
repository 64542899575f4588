"""Files that lie at a provider, and what became of them here."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from contextlib import AbstractContextManager
    from datetime import datetime
    from pathlib import Path


class FileState(StrEnum):
    """What became of a provider's file. The comment says what is true."""

    KEPT = "kept"  #: its bytes lie in the store
    GONE = "gone"  #: the provider has no such file any more
    FORBIDDEN = "forbidden"  #: the key may not read it
    TOO_LARGE = "too large"  #: larger than what may be fetched


class Purpose(StrEnum):
    """What a file is to the job that names it."""

    TRAINING = "training"
    VALIDATION = "validation"
    RESULT = "result"


@dataclass(frozen=True, kw_only=True)
class ArchivedFile:
    """A provider's file as the archive knows it.

    Attributes:
        account: fingerprint of the account it lies in.
        remote_id: the provider's id; with the size, what a file is known by.
        bytes: its size; None when it was never told.
        digest: SHA-256 of its bytes, in hex; None unless they are kept.
        errors: findings that a validation for its own provider would refuse it for.
        warnings: findings that are worth a look.
        note: what else a person should know.
    """

    account: str
    remote_id: str
    purpose: Purpose
    name: str
    state: FileState
    at: datetime
    bytes: int | None = None
    digest: str | None = None
    errors: int = 0
    warnings: int = 0
    note: str = ""


class Archive(Protocol):
    """Where a provider's files are remembered. Every method is one transaction."""

    def files(self, account: str) -> Mapping[str, ArchivedFile]:
        """Every file of an account that was asked for, by its remote id."""
        ...

    def put(self, file: ArchivedFile) -> None:
        """Remember what became of a file, in place of what was known."""
        ...

    def drafts(self) -> AbstractContextManager[Path]:
        """A private folder on the disk of the store, emptied afterwards."""
        ...

    def sweep(self) -> None:
        """Remove what drafts a killed run left behind; nobody else may be fetching."""
        ...

    def keep(self, digest: str, content: Path) -> None:
        """Store bytes that are no dataset; the same bytes again change nothing."""
        ...

    def path(self, digest: str) -> Path:
        """Where such bytes lie."""
        ...


def kept(files: Iterable[ArchivedFile | None]) -> list[ArchivedFile]:
    """Those whose bytes are here."""
    return [file for file in files if file is not None and file.state is FileState.KEPT]
