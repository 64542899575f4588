"""The ports of adapters: where they are kept, and who gives them away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from orchestrator.domain.adapters.adapter import History, Move


class AdapterRepo(Protocol):
    """Where adapters are kept. Every change is whole or not at all.

    Attributes:
        where: the folder or address, for people.
    """

    where: str

    def tasks(self) -> Sequence[str]:
        """The names of all tasks, sorted."""
        ...

    def history(self, task: str) -> History:
        """A task as it stands; an empty one where there is none."""
        ...

    def manifest(self, history: History, version: str) -> bytes:
        """The manifest of a version, as it lies there."""
        ...

    def add_version(self, history: History, version: str, files: Path) -> None:
        """Add the files in a folder as a version.

        Raises:
            Conflict: another process gave that number away first.
        """
        ...

    def add_move(self, history: History, move: Move) -> None:
        """Append to the trail.

        Raises:
            Conflict: another process moved since the history was read.
        """
        ...

    def drop(self, history: History, version: str) -> None:
        """Take the files of a removed version away; again changes nothing."""
        ...

    def fetch(self, history: History, version: str, folder: Path) -> None:
        """Put the files of a version into an empty folder; they are to be verified by the caller."""
        ...

    def place(self, task: str, version: str) -> Path | None:
        """The folder on this machine where a version lies; None where it lies elsewhere."""
        ...


@runtime_checkable
class AdapterHost(Protocol):
    """A provider that gives its adapters away."""

    def describe_adapter(self, model: str) -> Mapping[str, Any]:
        """Its files with digests, and `base_model` with name and revision."""
        ...

    def pin_model(self, model: str) -> str:
        """The name that will always mean what `model` means now: an alias, as its version."""
        ...

    def fetch_adapter(self, model: str, folder: Path) -> None:
        """Put the files of a tuned model into a folder, their digests checked."""
        ...
