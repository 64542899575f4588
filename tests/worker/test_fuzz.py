"""A part of what ``python -m tests.worker.fuzz`` does, in seconds."""

from __future__ import annotations

from pathlib import Path

from tests.worker.fuzz import fuzz
from tests.worker.servers import Worker


def test_what_the_description_forbids_is_refused_and_nothing_breaks(
    worker: Worker, tmp_path: Path
) -> None:
    # Bodies of jobs and chats have thousands of places; test_mutations.py takes the most telling.
    small = r"^/(files|models|uploads|fine_tuning/jobs/)"
    found = fuzz(worker, tmp_path, phases="coverage", examples=1, seed=1, only=small)
    assert found.complaint == ""
    assert found.server_errors == 0
    assert found.answers[400] > 20, found.report()


def test_without_a_token_there_is_nothing_but_401(worker: Worker, tmp_path: Path) -> None:
    found = fuzz(worker, tmp_path, phases="fuzzing", examples=2, seed=1, token="wrong")
    assert set(found.answers) == {401}, found.report()
    assert found.answers.total() > 26
