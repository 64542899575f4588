"""The report as JSON: the source of truth, of which the other forms are views."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def to_json(report: Mapping[str, Any]) -> str:
    """One document; the same report gives the same bytes."""
    return json.dumps(report, ensure_ascii=False, indent=2, sort_keys=True, allow_nan=False) + "\n"
