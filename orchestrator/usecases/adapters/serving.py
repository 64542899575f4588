"""Let another server hold what the repository holds, under the same names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from orchestrator.domain.adapters.names import CHAMPION
from orchestrator.domain.errors import UsageError
from orchestrator.usecases.adapters.registry import read_manifest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import PurePosixPath

    from orchestrator.domain.adapters.ports import AdapterRepo


class AdapterServer(Protocol):
    """A server that loads adapters by name from folders it can see."""

    def adapters(self) -> Mapping[str, str]:
        """Folder by name of what is loaded."""
        ...

    def bases(self) -> Sequence[str]:
        """What the server calls its base models, and where they come from."""
        ...

    def load(self, name: str, folder: str, *, again: bool) -> None:
        """Load a folder under a name; `again` where the name stands for another one now."""
        ...

    def unload(self, name: str) -> None:
        """Forget a name."""
        ...


@dataclass(frozen=True, kw_only=True)
class Served:
    """What was done so that the server holds what was wanted."""

    loaded: Sequence[str]
    moved: Sequence[str]
    unloaded: Sequence[str]
    kept: Sequence[str]


def wanted_names(
    repo: AdapterRepo, tasks: Iterable[str], root: PurePosixPath | None
) -> dict[str, str]:
    """Folder by name: `TASK` for its champion, and `TASK@ALIAS` for each alias.

    Args:
        repo: a folder of this machine.
        tasks: whose aliases are wanted.
        root: where the server sees the repository; where it lies here when None.

    Raises:
        UsageError: the repository lies elsewhere.
    """
    wanted = {}
    for task in tasks:
        for alias, version in sorted(repo.history(task).aliases.items()):
            place = repo.place(task, version)
            if place is None:
                raise UsageError(
                    f"{repo.where} is no folder that a server could read.",
                    hint="ftctl adapters mirror FOLDER, and serve that",
                )
            folder = str(place) if root is None else str(root / task / version)
            wanted[f"{task}@{alias}"] = folder
            if alias == CHAMPION:
                wanted[task] = folder
    return wanted


def strangers(repo: AdapterRepo, tasks: Iterable[str], bases: Sequence[str]) -> dict[str, str]:
    """Aliases whose base model has another name than the server's; `org/x` and `/models/x` match.

    Names cannot prove that weights differ, so this is for a person to judge.
    """
    known = {_last(base) for base in bases}
    found = {}
    for task in tasks:
        history = repo.history(task)
        for alias, version in sorted(history.aliases.items()):
            base = read_manifest(repo.manifest(history, version)).base_model["name"] or ""
            if _last(base) not in known:
                found[f"{task}@{alias}"] = base
    return found


def _last(name: str) -> str:
    return name.partition("@")[0].rstrip("/").rpartition("/")[2].lower()


def serve_to(
    server: AdapterServer, wanted: Mapping[str, str], *, tasks: Iterable[str], dry_run: bool = False
) -> Served:
    """Load what is missing, move what stands for another version, unload what is not wanted.

    Names of other tasks are none of ours and stay. The same again changes nothing.
    """
    there, ours = server.adapters(), set(tasks)
    mine = {name: folder for name, folder in there.items() if name.partition("@")[0] in ours}
    loaded = [name for name in wanted if name not in there]
    moved = [name for name in wanted if name in there and there[name] != wanted[name]]
    unloaded = [name for name in mine if name not in wanted]
    if not dry_run:
        for name in (*loaded, *moved):
            server.load(name, wanted[name], again=name in there)
        for name in unloaded:
            server.unload(name)
    kept = [name for name in wanted if there.get(name) == wanted[name]]
    return Served(loaded=loaded, moved=moved, unloaded=unloaded, kept=kept)
