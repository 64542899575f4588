"""`ftctl ui` as a process: its link, its warning, its end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.ui.visiting import Visitor


@contextmanager
def started(home: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    environment = {
        **os.environ,
        "FTCTL_HOME": str(home),
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "orchestrator", "ui", *arguments],
        cwd=home,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("wish", [signal.SIGINT, signal.SIGTERM])
def test_it_prints_a_link_and_ends_when_it_is_told_to(tmp_path: Path, wish: signal.Signals):
    with started(tmp_path) as process:
        assert process.stdout is not None
        link = process.stdout.readline().strip()
        visitor = Visitor(link.partition("/start")[0])
        assert visitor.enter(link).status == 200
        assert visitor.get("/").status == 200
        process.send_signal(wish)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "WARNING" not in said
    assert "Traceback" not in said


def test_for_scripts_it_is_json_and_other_machines_are_warned_of(tmp_path: Path):
    with started(tmp_path, "--json", "--host", "0.0.0.0") as process:
        assert process.stdout is not None
        text = ""
        while not text.endswith("}\n"):
            text += process.stdout.readline()
        found = json.loads(text)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=30)
    assert found["link"].startswith(found["url"])
    assert found["files"] == str(tmp_path.resolve())
    assert "WARNING: other machines reach this" in said
