"""A few kills at random moments; the modules imported here do many from the command line."""

from __future__ import annotations

from pathlib import Path

from tests.worker.kills import kill_at_random
from tests.worker.upload_kills import kill_uploads


def test_jobs_survive_random_kills_with_the_same_adapters(tmp_path: Path, models_dir: Path) -> None:
    trials = kill_at_random(tmp_path, models_dir, kills=4, seed=3)
    assert trials.wrong == []
    assert trials.same_bytes == len(trials.jobs) > 0


def test_uploads_survive_kills_and_leave_nothing_else(tmp_path: Path) -> None:
    seen = kill_uploads(tmp_path, kills=3, seed=2)
    assert seen.wrong == []
    assert len(seen.files) > 3
