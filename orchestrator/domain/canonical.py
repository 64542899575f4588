"""Values in one canonical form: what is hashed, and what any encoder can write."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


# Made once: `json.dumps` with options makes one a call, and a comparison calls it a million times.
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def digest(value: object) -> str:
    """SHA-256 of a plain value in canonical JSON, in hex."""
    return hashlib.sha256(_CANONICAL.encode(value).encode("ascii")).hexdigest()


def plain_json(value: Mapping[str, Any]) -> dict[str, Any]:
    """Plain JSON values that any encoder can write: a lone surrogate becomes a question mark."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    plain: dict[str, Any] = json.loads(text.encode("utf-8", "replace"))
    return plain
