"""Copies of adapters: every byte is checked on the way."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.domain.adapters.names import CARD, CONFIG, MANIFEST, WEIGHTS
from orchestrator.domain.errors import Conflict, LocalStateError, UsageError
from orchestrator.usecases.adapters.files import check_files, facts_of
from orchestrator.usecases.adapters.registry import content_digest, read_manifest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orchestrator.domain.adapters.adapter import History
    from orchestrator.domain.adapters.manifest import FileFact, Manifest
    from orchestrator.domain.adapters.ports import AdapterRepo
    from orchestrator.usecases.adapters.registry import Registry


def pull(registry: Registry, task: str, wanted: str | None, out: Path) -> Manifest:
    """Put a verified copy of a version into a new folder, whole or not at all.

    Raises:
        UsageError: the folder is there already.
        AdapterRefused, LocalStateError: the version is not what its manifest says.
    """
    if out.exists():
        raise UsageError(f"{out} is there already.", hint="name a folder that is not")
    history = registry.repo.history(task)
    version = history.resolve(wanted)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as name:
        draft = Path(name) / "adapter"
        draft.mkdir(mode=0o700)
        manifest = fetch(registry.repo, history, version, draft)
        draft.rename(out)
    return manifest


def mirror(registry: Registry, target: AdapterRepo) -> dict[str, list[str]]:
    """Bring a second repository to the state of the first: versions, then moves.

    Returns:
        What was added, by task.

    Raises:
        Conflict: the second one has moves that the first has not.
    """
    added: dict[str, list[str]] = {}
    for task in registry.repo.tasks():
        history, there = registry.repo.history(task), target.history(task)
        if list(there.moves) != list(history.moves)[: len(there.moves)]:
            raise Conflict(f"The trail of '{task}' in {target.where} is another one.")
        news = [one for one in history.versions if one not in there.versions]
        for version in news:
            with registry.stage() as stage:
                fetch(registry.repo, history, version, stage)
                target.add_version(there, version, stage)
        for move in list(history.moves)[len(there.moves) :]:
            target.add_move(target.history(task), move)
            news.append(f"move {move.number}")
        for version in sorted(set(there.versions) & history.removed):
            target.drop(target.history(task), version)
            news.append(f"{version} removed")
        if news:
            added[task] = news
    return added


def fetch(repo: AdapterRepo, history: History, version: str, folder: Path) -> Manifest:
    """Put a version into an empty folder and check every byte of it.

    Raises:
        AdapterRefused: it holds what is refused.
        LocalStateError: it is not what its manifest says.
    """
    name = f"{history.task}@{version}"
    try:
        repo.fetch(history, version, folder)
    except FileNotFoundError as error:
        raise LocalStateError(f"{name} is not whole: {error.filename} is missing.") from error
    check_files(folder, complete=True)
    manifest = read_manifest((folder / MANIFEST).read_bytes())
    if (manifest.task, manifest.version) != (history.task, version):
        raise LocalStateError(f"{name} calls itself {manifest.task}@{manifest.version}.")
    wrong = _differs(manifest.files, facts_of(folder))
    if wrong is not None:
        raise LocalStateError(f"{wrong} of {name} is not what was registered.")
    if manifest.digest != content_digest(folder):
        raise LocalStateError(f"{name} has another digest than its manifest says.")
    return manifest


def _differs(told: Mapping[str, FileFact], found: Mapping[str, FileFact]) -> str | None:
    for name in (WEIGHTS, CONFIG, CARD):
        if told.get(name) != found[name]:
            return name
    return None
