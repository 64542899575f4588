"""A few rounds of everything; ``python -m tests.worker.endurance`` does many."""

from __future__ import annotations

from pathlib import Path

from tests.worker.endurance import Endurance, Sample, endure


def test_a_server_holds_nothing_of_what_was_done_and_deleted(tmp_path: Path) -> None:
    seen = endure(tmp_path, seconds=0, rounds=3)
    assert len(seen.samples) == 3
    assert not [status for status in seen.statuses if status >= 500]
    assert seen.statuses[200] > 100
    assert seen.orphans == 0
    # What moves by itself (memory, threads) takes more rounds to tell.
    for name in ("left", "log", "children", "open_jobs"):
        assert len({getattr(one, name) for one in seen.samples}) == 1, name
    assert all(one.children == one.open_jobs == 0 for one in seen.samples)


def test_what_grows_is_found() -> None:
    flat = {
        "resident": 100, "descriptors": 5, "threads": 5, "children": 0, "left": 5,
        "job_folders": 0, "log": 0, "database": 0, "open_jobs": 0,
    }  # fmt: skip
    assert Endurance(samples=[Sample(**flat)] * 8).wrong(warm_up=0) == []
    for name in ("resident", "descriptors", "threads", "left", "log", "open_jobs"):
        growing = [Sample(**{**flat, name: 100 + 10 * round}) for round in range(8)]
        (said,) = Endurance(samples=growing).wrong(warm_up=0)
        assert "grew" in said
