"""Killed at any system call that changes the disk, the folder shows a version whole or not at all."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.domain.adapters.names import FILES
from orchestrator.domain.clock import ManualClock
from orchestrator.store.adapter_folder import FolderRepo
from orchestrator.store.drafts import Drafts
from orchestrator.usecases.adapters.copies import fetch
from orchestrator.usecases.adapters.push import Origin, push, take_in
from orchestrator.usecases.adapters.registry import Registry
from tests.factories import adapter_folder

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")

ROOT = Path(__file__).resolve().parents[2]
# Adds v2, promotes it, removes v1: everything that changes a repository.
SCRIPT = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from orchestrator.domain.adapters.adapter import Action, Move
from orchestrator.store.adapter_folder import FolderRepo
repo = FolderRepo(Path(sys.argv[1]))
at = datetime(2026, 11, 20, tzinfo=UTC)
repo.add_version(repo.history("t"), "v2", Path(sys.argv[2]))
history = repo.history("t")
repo.add_move(history, Move(number=2, at=at, by="a", action=Action.PROMOTE, alias="champion",
                            before="v1", after="v2", previous=history.last_move))
history = repo.history("t")
repo.add_move(history, Move(number=3, at=at, by="a", action=Action.REMOVE, before="v1",
                            previous=history.last_move))
repo.drop(repo.history("t"), "v1")
"""
CALLS = ("fsync", "rename", "link", "unlink,unlinkat", "mkdir", "rmdir")


def test_killed_anywhere_nothing_half_is_seen(tmp_path: Path):
    template, staged = tmp_path / "template", tmp_path / "staged"
    _prepared(template, staged)
    trials = killed = 0
    for call in CALLS:
        for number in range(1, 30):
            repo = tmp_path / "repo"
            shutil.rmtree(repo, ignore_errors=True)
            shutil.copytree(template, repo)
            code = _run(repo, staged, call, number)
            trials += 1
            _look(repo, tmp_path / "look")
            if code == 0:
                break
            killed += 1
            _goes_on(repo, staged)
    assert killed > 15, trials


def _prepared(template: Path, staged: Path) -> None:
    registry = Registry(
        repo=FolderRepo(template),
        clock=ManualClock(),
        by="a",
        stage=Drafts(template.parent / "drafts").folder,
    )
    for number in (1, 2):
        with registry.stage() as stage:
            take_in(adapter_folder(template.parent / f"own{number}", seed=number), stage, None)
            made = push(registry, stage, "t", Origin(base_model={"name": "tiny"})).manifest
            if made.version == "v2":
                staged.mkdir()
                for name in FILES:
                    shutil.copyfile(stage / name, staged / name)
    shutil.rmtree(template / "t" / "v2")
    from orchestrator.usecases.adapters.aliases import promote

    promote(registry, "t", "v1", forced=True, reason="x")


def _run(repo: Path, staged: Path, call: str, number: int) -> int:
    command = [
        "strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}",
        "-e", f"inject={call}:signal=SIGKILL:when={number}",
        sys.executable, "-c", SCRIPT, str(repo), str(staged),
    ]  # fmt: skip
    environment = {"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"],
                   "PYTHONDONTWRITEBYTECODE": "1"}  # fmt: skip
    return subprocess.run(command, env=environment, check=False, capture_output=True).returncode


def _look(folder: Path, out: Path) -> None:
    """What a reader sees is whole: each version byte for byte, the alias on one that is there."""
    repo = FolderRepo(folder)
    history = repo.history("t")
    assert history.aliases["champion"] in history.versions
    for version in history.versions:
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        fetch(repo, history, version, out)


def _goes_on(folder: Path, staged: Path) -> None:
    """The next process can still add."""
    repo = FolderRepo(folder)
    history = repo.history("t")
    repo.add_version(history, history.next_version, staged)
    assert history.next_version in repo.history("t").versions
