"""A few kills at random moments; ``python -m tests.worker.kills`` does many."""

from __future__ import annotations

from pathlib import Path

from tests.worker.kills import kill_at_random


def test_jobs_survive_random_kills_with_the_same_adapters(tmp_path: Path, models_dir: Path) -> None:
    trials = kill_at_random(tmp_path, models_dir, kills=4, seed=3)
    assert trials.wrong == []
    assert trials.same_bytes == len(trials.jobs) > 0
