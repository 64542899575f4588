"""What a killed command was working on does not stay behind, and what a living one works on does."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from orchestrator.store.drafts import Drafts
from tests.reliability import world
from tests.reliability.trials import KILLED


def left(root: Path) -> list[Path]:
    return sorted(root.rglob("*"))


def test_a_draft_is_its_owners_alone_and_gone_afterwards(tmp_path: Path):
    drafts = Drafts(tmp_path / "home" / "drafts")
    with drafts.folder() as mine, drafts.folder() as other:
        (mine / "rows.jsonl").write_text("{}")
        assert mine != other
        for folder in (mine, mine.parent):
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert list(other.iterdir()) == []
    assert left(tmp_path / "home" / "drafts") == []


def test_a_draft_goes_when_its_block_fails(tmp_path: Path):
    drafts = Drafts(tmp_path)
    with pytest.raises(ZeroDivisionError), drafts.folder() as mine:
        (mine / "rows.jsonl").write_text(str(1 // 0))
    assert left(tmp_path) == []


def test_a_sweep_takes_what_the_dead_left_and_nothing_of_the_living(tmp_path: Path):
    code = (
        "import sys, pathlib\nfrom orchestrator.store.drafts import Drafts\n"
        "with Drafts(pathlib.Path(sys.argv[1])).folder() as mine:\n"
        "    (mine / 'rows.jsonl').write_text('secret')\n    print(mine, flush=True)\n"
        "    sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    dying, living = (
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    )
    dead, alive = (Path((each.stdout or sys.stdin).readline().strip()) for each in (dying, living))
    os.kill(dying.pid, signal.SIGKILL)
    dying.communicate()
    assert (dead / "rows.jsonl").exists()
    Drafts(tmp_path).sweep()
    assert not dead.exists()
    assert (alive / "rows.jsonl").read_text() == "secret"
    living.communicate("")
    assert left(tmp_path) == []


def test_a_submit_that_is_killed_leaves_nothing_in_the_folder_of_all_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with (
        world.warm() as template,
        world.a_host() as host,
        world.an_installation(host, template=template) as ours,
    ):
        assert ours.run(*world.submission(ours), failpoint="submit.begun") == KILLED
        (draft,) = [each for each in (ours.home / "drafts").iterdir() if each.is_dir()]
        assert any(draft.iterdir())
        assert left(tmp_path) == []
        assert ours.run("sync") == 0
        assert left(ours.home / "drafts") == []
