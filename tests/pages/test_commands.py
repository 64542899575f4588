"""Every command of every page does what the page says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.domain.clock import SystemClock
from tests.pages import desk
from tests.pages.page import COMMANDS, Page, pages, read
from tests.pages.shell import Shell, WrongPageError, same

PAGES = pages()
ON_THE_SIMULATOR = [page for page in PAGES if not page.trains and page.runs]


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    home, folder = tmp_path / "home", tmp_path / "desk"
    home.mkdir()
    desk.lay(folder)
    monkeypatch.chdir(folder)
    made = Shell(home, folder)
    yield made
    made.close()


@pytest.mark.parametrize("page", ON_THE_SIMULATOR, ids=lambda page: page.name)
def test_a_page_does_what_it_says(shell: Shell, page: Page):
    shell.read(page)
    assert shell.ran >= len([block for block in page.blocks if block.runs])


def test_what_cannot_run_here_says_why():
    """Counted and listed: `pytest -k cannot_run -s` prints them."""
    left = [(page.name, block) for page in PAGES for block in page.blocks if block.not_run]
    for name, block in left:
        print(f"{name}:{block.line}: {block.not_run}")  # noqa: T201 - the list is the point
    commands = sum(len(block.commands()) for page in PAGES for block in page.blocks if block.runs)
    print(f"{commands} commands run, {len(left)} blocks do not")  # noqa: T201
    assert all(len(str(block.not_run)) > 12 for _, block in left)
    assert commands > 4 * len(left)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_command_hides_in_a_block_without_a_name(page: Page):
    hidden = [
        f"{page.name}:{block.line}"
        for block in page.blocks
        if block.language not in {*COMMANDS, "text"}
        and any(line.startswith(("ftctl ", "$ ftctl ")) for line in block.body)
    ]
    assert not hidden


def a_page(folder: Path, text: str) -> Page:
    path = folder / "page.md"
    path.write_text(text, encoding="utf-8")
    return read(path)


@pytest.mark.parametrize(
    "text",
    [
        "```sh\nftctl validate absent.jsonl\n```",
        "```console\n$ ftctl --version\nftctl, version 9\n```",
        "```console\n$ ftctl status nothing  # exit 0\n```",
        "```sh\necho right | grep wrong\n```",
    ],
)
def test_a_wrong_page_is_found(shell: Shell, tmp_path: Path, text: str):
    with pytest.raises(WrongPageError):
        shell.read(a_page(tmp_path, text))


def test_dots_stand_for_what_varies():
    assert same(["job ... is done", "...", "end"], "job 12 is done\na\nb\nend\n")
    assert not same(["job ... is done"], "job 12 is done\nand more\n")
    assert not same(["a"], "ab\n")


def test_time_moves_by_itself_only_where_a_model_is_trained():
    assert not isinstance(Shell(Path(), Path()).clock, SystemClock)
