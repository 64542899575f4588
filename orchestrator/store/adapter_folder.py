"""A repository of adapters in a folder, which several processes and a server may share.

    FOLDER/TASK/v1/{adapter_model.safetensors, adapter_config.json, README.md, ftctl.json}
    FOLDER/TASK/moves/0001.json

A version appears by the renaming of a whole folder, a move by a link: both fail where the name is
taken, so nothing is ever half there and no lock is needed that a dead process could leave behind.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.domain.adapters.adapter import History, Move
from orchestrator.domain.adapters.manifest import sha256
from orchestrator.domain.adapters.names import FILES, MANIFEST, MOVES, by_number, is_task
from orchestrator.domain.errors import Conflict, LocalStateError
from orchestrator.store.disks import private_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

_TAKEN = frozenset({errno.EEXIST, errno.ENOTEMPTY})
_DRAFT = ".draft-"
_STALE_SECONDS = 24 * 3600
_MOST_MANIFEST = 4 * 1024 * 1024


class FolderRepo:
    """The port `AdapterRepo` over a file system."""

    def __init__(self, folder: Path) -> None:
        """Take the folder; it is made on first use."""
        self._folder = folder
        self.where = str(folder)

    def tasks(self) -> list[str]:
        """The names of all tasks, sorted."""
        if not self._folder.is_dir():
            return []
        return sorted(
            entry.name for entry in self._folder.iterdir() if entry.is_dir() and is_task(entry.name)
        )

    def history(self, task: str) -> History:
        """A task as it stands.

        Raises:
            LocalStateError: a move cannot be read.
        """
        contents = list(self._moves(task))
        moves = [self._move(task, content) for content in contents]
        found = History(
            task=task, moves=moves, last_move=sha256(contents[-1]) if contents else None
        )
        there = by_number(
            each.name for each in _entries(self._folder / task) if (each / MANIFEST).is_file()
        )
        versions = [version for version in there if version not in found.removed]
        return History(task=task, versions=versions, moves=moves, last_move=found.last_move)

    def manifest(self, history: History, version: str) -> bytes:
        """The manifest of a version, as it lies there."""
        path = self._version(history.task, version) / MANIFEST
        if path.is_symlink() or path.stat().st_size > _MOST_MANIFEST:
            raise LocalStateError(f"{path} is no manifest.")
        return path.read_bytes()

    def add_version(self, history: History, version: str, files: Path) -> None:
        """Copy beside, flush to disk, rename: whole or not at all."""
        task = self._folder / history.task
        private_folder(task)
        _sweep(task)
        draft = Path(tempfile.mkdtemp(prefix=_DRAFT, dir=task))
        try:
            for name in FILES:
                _copy(files / name, draft / name)
            _flush_folder(draft)
            _rename(draft, task / version, f"{history.task}@{version}")
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        _flush_folder(task)

    def add_move(self, history: History, move: Move) -> None:
        """Write beside, flush to disk, link: the number is taken by one alone."""
        folder = self._folder / history.task / MOVES
        private_folder(folder)
        handle, name = tempfile.mkstemp(prefix=_DRAFT, dir=folder)
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(move.to_bytes())
                stream.flush()
                os.fsync(stream.fileno())
            os.link(name, folder / move.file)
        except FileExistsError as error:
            raise Conflict(
                f"Another process moved an alias of '{history.task}' first.", hint="try again"
            ) from error
        finally:
            Path(name).unlink(missing_ok=True)
        _flush_folder(folder)

    def drop(self, history: History, version: str) -> None:
        """Rename out of sight, then delete; a killed removal is ended by the next one."""
        task = self._folder / history.task
        gone = task / f"{_DRAFT}gone-{version}"
        shutil.rmtree(gone, ignore_errors=True)
        with contextlib.suppress(FileNotFoundError):
            (task / version).rename(gone)
        shutil.rmtree(gone, ignore_errors=True)

    def fetch(self, history: History, version: str, folder: Path) -> None:
        """Copy the files of a version."""
        source = self._version(history.task, version)
        for name in FILES:
            _copy(source / name, folder / name)

    def place(self, task: str, version: str) -> Path | None:
        """The folder of a version."""
        return self._version(task, version).absolute()

    def _version(self, task: str, version: str) -> Path:
        return self._folder / task / version

    def _moves(self, task: str) -> Iterator[bytes]:
        number = 1
        while (path := self._folder / task / MOVES / f"{number:04d}.json").is_file():
            yield path.read_bytes()
            number += 1

    def _move(self, task: str, content: bytes) -> Move:
        try:
            return Move.from_bytes(content)
        except ValueError as error:
            raise LocalStateError(
                f"The trail of '{task}' in {self.where} cannot be read: {error}.",
                hint=f"ftctl adapters verify {task}",
            ) from error


def _entries(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def _copy(source: Path, target: Path) -> None:
    """One plain file; what a link points at is none of ours."""
    try:
        descriptor = os.open(source, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.EMLINK}:
            raise LocalStateError(f"{source} is a link.") from error
        raise
    private = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "rb") as original, os.fdopen(private, "wb") as copy:
        shutil.copyfileobj(original, copy, 1024 * 1024)
        copy.flush()
        os.fsync(copy.fileno())


def _rename(draft: Path, target: Path, name: str) -> None:
    try:
        draft.rename(target)
    except OSError as error:
        if error.errno not in _TAKEN:
            raise
        raise Conflict(f"Another process made {name} first.", hint="try again") from error


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sweep(task: Path) -> None:
    """Drop what processes left that were killed a day ago or earlier."""
    for each in _entries(task):
        if each.name.startswith(_DRAFT):
            with contextlib.suppress(OSError):
                if time.time() - each.stat().st_mtime > _STALE_SECONDS:
                    shutil.rmtree(each, ignore_errors=True)
