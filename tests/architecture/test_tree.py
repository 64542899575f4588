"""The shape of the tree: what each layer is, what the wheel holds, what stays light."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_every_part_of_the_orchestrator_is_in_a_layer():
    layers = PYPROJECT["tool"]["importlinter"]["contracts"][0]["layers"]
    named = {part.strip() for layer in layers for part in re.split("[|:]", layer)}
    found = {
        f"orchestrator.{path.stem}"
        for path in (ROOT / "orchestrator").iterdir()
        if path.name not in {"__init__.py", "__pycache__", "data", "py.typed"}
        and (path.is_dir() or path.suffix == ".py")
    }
    assert found <= named


def imported_by(*arguments: str) -> set[str]:
    code = (
        "import sys\nfrom orchestrator.cli import run\n"
        f"run({list(arguments)!r})\nprint(' '.join(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return set(done.stderr.split())


def test_help_imports_nothing_heavy():
    heavy = {
        "sqlalchemy",
        "openai",
        "httpx2",
        "jsonschema",
        "msgspec",
        "alembic",
        "rich",
        "torch",
        "yaml",
    }
    assert not heavy & imported_by("--help")


def test_no_command_imports_torch():
    assert "torch" not in imported_by("status", "--help")
