"""Finds schemas/, migrations/ and the dated data files, in a checkout and in an installed wheel."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_PACKAGE = Path(__file__).resolve().parent


def folder(name: str) -> Path:
    """The folder `schemas` or `migrations`: inside the wheel, or beside the package."""
    shipped = _PACKAGE / "_data" / name
    beside = _PACKAGE.parent / name
    # A checkout wins: an editable install may have left an old copy behind.
    return beside if (_PACKAGE.parent / "pyproject.toml").is_file() else shipped


def schema(name: str) -> dict[str, Any]:
    """A published JSON Schema by its file name."""
    loaded: dict[str, Any] = json.loads((folder("schemas") / name).read_text(encoding="utf-8"))
    return loaded


def data(name: str) -> Path:
    """A dated data file (prices, lifecycle, limits, demo data)."""
    return _PACKAGE / "data" / name
