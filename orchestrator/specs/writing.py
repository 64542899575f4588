"""Plain values as YAML, in the order they were given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Mapping


def to_yaml(values: Mapping[str, Any]) -> str:
    """A YAML document that `read_yaml` reads back as the same values."""
    return yaml.safe_dump(
        dict(values), sort_keys=False, allow_unicode=True, default_flow_style=False, width=100
    )
