"""The pages say what is true: links lead somewhere, commands exist, versions agree."""

from __future__ import annotations

import json
import re
from pathlib import Path

import click
import pytest
from jsonschema import Draft202012Validator

import orchestrator
from orchestrator.cli import cli

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "worker" / "README.md"])
LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)")
TYPED = re.compile(r"^\s*ftctl ([a-z]+)(?: ([a-z][a-z-]*))?", re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path):
    missing = [
        link
        for link in LINK.findall(page.read_text(encoding="utf-8"))
        if not (page.parent / link).exists()
    ]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_that_is_shown_exists(page: Path):
    context = click.Context(cli)
    for name, sub in TYPED.findall(page.read_text(encoding="utf-8")):
        command = cli.get_command(context, name)
        assert command is not None, name
        if isinstance(command, click.Group) and sub:
            assert command.get_command(click.Context(command), sub) is not None, f"{name} {sub}"


def test_the_changelog_knows_this_version():
    heads = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert heads[0] == orchestrator.__version__


@pytest.mark.parametrize(
    "path", sorted((ROOT / "schemas").glob("*.json")), ids=lambda path: path.name
)
def test_every_schema_is_a_schema(path: Path):
    Draft202012Validator.check_schema(json.loads(path.read_text(encoding="utf-8")))
