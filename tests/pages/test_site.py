"""The pages hang together: links and anchors, the navigation, options, files, and our words."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import yaml

from orchestrator.cli import cli
from tests.pages.page import COMMANDS, ROOT, Page, pages

PAGES = pages()
_LINK = re.compile(r"\]\((?!https?:|mailto:)([^)#\s]*)#([^)\s]+)\)")
_SPAN = re.compile(r"`(ftctl [^`\n]+)`")
_FENCED = re.compile(r"^ *(`{3,})[^\n]*\n.*?^ *\1 *$", re.DOTALL | re.MULTILINE)
# What the glossary calls otherwise; in prose only.
_OTHER_WORDS = {
    r"\b[Ff]inetun": "fine-tun",
    r"\b[Aa]daptors?\b": "adapter",
    r"\b[Dd]ata sets?\b": "dataset",
    r"\bOpen AI\b": "OpenAI",
    r"\bfew shot\b": "few-shot",
    r"\b[Hh]yper-parameter": "hyperparameter",
    r"\b[Cc]heck-point": "checkpoint",
    r"\b[Ww]eb-hook": "webhook",
    r"\b[Ff]ine-tuned model": "tuned model",
    r"\b[Ee]valuation set\b": "test rows",
}


def prose(name: str) -> str:
    return _FENCED.sub("", (ROOT / name).read_text(encoding="utf-8"))


def anchors(path: Path) -> set[str]:
    heads = re.findall(r"^#+ (.+)$", _FENCED.sub("", path.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", head).strip().lower()) for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_anchor_is_there(page: Page):
    missing = []
    for to, anchor in _LINK.findall(prose(page.name)):
        target = (ROOT / page.name).parent / to if to else ROOT / page.name
        if target.suffix == ".md" and anchor not in anchors(target):
            missing.append(f"{to}#{anchor}")
    assert not missing


def test_the_navigation_names_every_page_once():
    named = list(_leaves(yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))["nav"]))
    assert len(named) == len(set(named))
    docs = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    beside = {"worker.md", "security.md", "contributing.md", "changelog.md"}
    # A command's page and a decision are reached from their lists.
    reached = {name for name in docs if re.match(r"commands/|decisions/\d", name)}
    assert set(named) == (docs | beside) - reached


def test_the_list_of_decisions_is_whole():
    listed = (ROOT / "docs/decisions/index.md").read_text("utf-8")
    there = [path.name for path in (ROOT / "docs/decisions").glob("0*.md")]
    assert not [name for name in there if f"({name})" not in listed]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_option_that_is_shown_exists(page: Page):
    """Of the blocks that cannot run here, too, and of commands in the middle of a sentence."""
    shown = _SPAN.findall(prose(page.name))
    for block in page.blocks:
        if block.language in COMMANDS and block.not_run:
            shown += [command.text for command in block.commands()]
    wrong = [text for text in shown for option in _unknown_options(text) if option]
    assert not wrong


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_is_shown_can_be_read(page: Page):
    for block in page.blocks:
        body = "\n".join(block.body)
        if block.language == "toml":
            tomllib.loads(body)
        elif block.language == "yaml":
            yaml.safe_load(body)
        elif block.language == "python":
            compile(body, page.name, "exec")
        elif block.language == "json" and page.name != "docs/findings.md":
            for text in [body] if body.startswith("{\n") or "\n " in body else block.body:
                json.loads(text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_thing_has_one_name(page: Page):
    text = prose(page.name)
    assert not [right for other, right in _OTHER_WORDS.items() if re.search(other, text)]


def test_an_option_that_is_not_there_is_found():
    assert list(_unknown_options("ftctl adapters promote tickets v2 --alias x --reason y")) == [
        "--alias"
    ]


def _leaves(nav: object) -> Iterator[str]:
    if isinstance(nav, str):
        yield nav
    elif isinstance(nav, dict):
        for value in nav.values():
            yield from _leaves(value)
    elif isinstance(nav, list):
        for value in nav:
            yield from _leaves(value)


def _unknown_options(text: str) -> Iterator[str]:
    words = text.split()
    command: click.Command | None = cli
    context = click.Context(cli)
    known: set[str] = {"--help"}
    for word in words[1:]:
        if isinstance(command, click.Group) and not word.startswith("-"):
            command = command.get_command(context, word)
            if command is None:
                return
            context = click.Context(command)
            known |= {
                name for each in command.params for name in (*each.opts, *each.secondary_opts)
            }
        elif word.startswith("--") and re.fullmatch(r"--[a-z][a-z-]*", word) and word not in known:
            yield word
