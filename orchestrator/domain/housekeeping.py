"""What lies at a provider beside jobs, costs privacy or quota, and can be taken away or shared.

Ports that a provider may implement beside `Provider`; a command asks for them and never for a name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from orchestrator.domain.provider import RemoteFile


@dataclass(frozen=True, kw_only=True)
class Permission:
    """A project that may use a checkpoint."""

    id: str
    project: str
    created_at: datetime | None = None


@runtime_checkable
class FileShelf(Protocol):
    """Files of an account."""

    def list_files(self) -> Iterator[RemoteFile]:
        """Every file, newest first as far as the provider sorts; every page, or an error."""
        ...

    def read_file(self, file_id: str) -> bytes:
        """The content of a file, as it comes."""
        ...

    def delete_file(self, file_id: str) -> None:
        """Take a file away; one that is not there is away."""
        ...


@runtime_checkable
class ModelShelf(Protocol):
    """Tuned models and records of jobs of an account."""

    def delete_model(self, model: str) -> None:
        """Take a tuned model away for good; one that is not there is away."""
        ...

    def delete_job(self, remote_id: str) -> None:
        """Take the record of a job away; one that is not there is away."""
        ...


@runtime_checkable
class CheckpointSharing(Protocol):
    """Who else may use a checkpoint."""

    def permissions(self, checkpoint: str) -> Sequence[Permission]:
        """Every project that may."""
        ...

    def share(self, checkpoint: str, projects: Sequence[str]) -> Sequence[Permission]:
        """Let projects use it; safe to repeat."""
        ...

    def unshare(self, checkpoint: str, permission_id: str) -> None:
        """Take a permission back; one that is not there is taken back."""
        ...
