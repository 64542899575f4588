"""Every page that trains on the embedded worker, in one home, so that one worker serves them all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.domain.clock import SystemClock
from tests.pages import desk
from tests.pages.page import Page, pages
from tests.pages.shell import Shell

pytest.importorskip("ftctl_worker")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def shell(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    folder = tmp_path / "desk"
    desk.lay(folder)
    monkeypatch.chdir(folder)
    made = Shell(home, folder, clock=SystemClock())
    yield made
    made.close()


@pytest.mark.parametrize(
    "page", [page for page in pages() if page.trains], ids=lambda page: page.name
)
def test_a_page_that_trains_does_what_it_says(shell: Shell, page: Page):
    shell.read(page)
    assert shell.ran
