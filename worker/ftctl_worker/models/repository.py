"""A repository of adapters in a folder: which version a name means, read anew for each request.

``TASK/vN/`` holds a version that never changes; ``TASK/moves/0001.json`` and so on are the moves of
aliases, each a file that is written once. So the next move is there or not, which one look tells.
"""

from __future__ import annotations

import json
import re
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ftctl_worker.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["CHAMPION", "Repository", "Version"]

CHAMPION = "champion"
_NAME = re.compile(r"([a-z0-9][a-z0-9._-]{0,63})(?:@([a-z0-9][a-z0-9-]{0,31}))?")
_VERSION = re.compile(r"v[1-9][0-9]{0,8}")
_MOST_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Version:
    """One version of an adapter, in ``folder``, over ``base``; ``created_at`` in Unix seconds."""

    task: str
    number: str
    folder: Path
    base: str
    digest: str
    created_at: int

    @property
    def name(self) -> str:
        """The name that always means this version."""
        return f"{self.task}@{self.number}"


@dataclass
class _Task:
    """What the moves of a task come to, as far as they were read."""

    moves: int = 0
    last: tuple[int, int] = (0, 0)
    aliases: dict[str, str] = field(default_factory=dict)
    removed: set[str] = field(default_factory=set)


class Repository:
    """Finds adapters in a folder that ``ftctl adapters`` writes; never writes itself."""

    def __init__(self, folder: Path) -> None:
        """Read ``folder``; it need not be there yet."""
        self._folder = folder
        self._tasks: dict[str, _Task] = {}
        self._versions: dict[tuple[str, str], tuple[tuple[int, int], Version]] = {}
        self._lock = threading.Lock()

    def find(self, name: str) -> Version | None:
        """Return the version that ``TASK``, ``TASK@ALIAS`` or ``TASK@vN`` means now.

        Raises:
            ModelError: the task is here, but nothing stands behind the name, or it cannot be read.
        """
        found = _NAME.fullmatch(name)
        if found is None or not (self._folder / found[1]).is_dir():
            return None
        task, wanted = found[1], found[2] or CHAMPION
        with self._lock:
            state = self._state(task)
            number = wanted if _VERSION.fullmatch(wanted) else state.aliases.get(wanted)
            if number is None:
                known = ", ".join(sorted(state.aliases)) or "none"
                raise ModelError(f"The task {task} has no alias {wanted} (it has: {known}).")
            version = None if number in state.removed else self._version(task, number)
        if version is None:
            raise ModelError(f"The task {task} has no version {number}.")
        return version

    def names(self) -> Iterator[tuple[str, Version]]:
        """Yield every name that can be asked for, with the version it means now."""
        if not self._folder.is_dir():
            return
        for task in sorted(entry.name for entry in self._folder.iterdir() if entry.is_dir()):
            for name in self._names_of(task):
                try:
                    version = self.find(name)
                except ModelError:
                    continue
                if version is not None:
                    yield name, version

    def _names_of(self, task: str) -> list[str]:
        if _NAME.fullmatch(task) is None:
            return []
        with self._lock:
            aliases = sorted(self._state(task).aliases)
        numbers = (entry.name for entry in (self._folder / task).iterdir())
        versions = sorted(filter(_VERSION.fullmatch, numbers), key=lambda name: int(name[1:]))
        return [task, *(f"{task}@{one}" for one in (*aliases, *versions))]

    def _state(self, task: str) -> _Task:
        state = self._tasks.setdefault(task, _Task())
        moves = self._folder / task / "moves"
        if state.moves and _stamp(moves / _numbered(state.moves)) != state.last:
            state = self._tasks[task] = _Task()  # another repository lies here now
        while (stamp := _stamp(moves / _numbered(state.moves + 1))) is not None:
            _take(state, _read(moves / _numbered(state.moves + 1)))
            state.moves, state.last = state.moves + 1, stamp
        return state

    def _version(self, task: str, number: str) -> Version | None:
        folder = self._folder / task / number
        stamp = _stamp(folder / "ftctl.json")
        if stamp is None or not folder.resolve().is_relative_to(self._folder.resolve()):
            return None
        known = self._versions.get((task, number))
        if known is None or known[0] != stamp:
            known = stamp, _described(task, number, folder)
            self._versions[task, number] = known
        return known[1]


def _take(state: _Task, move: dict[str, Any]) -> None:
    if move.get("action") == "remove":
        state.removed.add(str(move.get("from")))
    elif move.get("to") is None:
        state.aliases.pop(str(move.get("alias")), None)
    else:
        state.aliases[str(move.get("alias"))] = str(move["to"])


def _described(task: str, number: str, folder: Path) -> Version:
    manifest = _read(folder / "ftctl.json")
    base = manifest.get("base_model")
    if not isinstance(base, dict) or not isinstance(base.get("name"), str):
        raise ModelError(f"The manifest of {task}@{number} names no base model.")
    return Version(
        task=task,
        number=number,
        folder=folder,
        base=base["name"],
        digest=str(manifest.get("digest", "")),
        created_at=int((folder / "ftctl.json").stat().st_mtime),
    )


def _numbered(number: int) -> str:
    return f"{number:04d}.json"


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def _read(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError("it is too large")
        value = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(value, dict):
            raise ValueError("it is no object")  # noqa: TRY004 - of the file
    except (OSError, ValueError, RecursionError) as error:
        where = "/".join(path.parts[-3:])
        raise ModelError(f"{where} in the repository of adapters cannot be read.") from error
    return value
