"""Values in one canonical form: what is hashed, and what any encoder can write."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from json.encoder import encode_basestring_ascii
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


# Made once: `json.dumps` with options makes one a call, and a comparison calls it a million times.
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True)
# Texts of fewer letters are remembered.
_SHORT = 1000


def digest(value: object) -> str:
    """SHA-256 of a plain value in canonical JSON, in hex."""
    return digest_of(canonical(value))


def digest_of(text: str) -> str:
    """SHA-256 of canonical JSON that is written already, in hex."""
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def canonical(value: object) -> str:
    """A plain value in canonical JSON: keys in order, no spaces, ASCII."""
    return _CANONICAL.encode(value)


def canonical_chat(messages: Sequence[Mapping[str, Any]]) -> str:
    """What `canonical` gives for chat messages, ten times faster for those of text alone."""
    return f"[{','.join(map(_message, messages))}]"


def _message(message: Mapping[str, Any]) -> str:
    role, content = message.get("role"), message.get("content")
    if len(message) != 2 or not isinstance(role, str) or not isinstance(content, str):
        return canonical(dict(message))
    return _short(role, content) if len(content) < _SHORT else _plain(role, content)


def _plain(role: str, content: str) -> str:
    return (
        f'{{"content":{encode_basestring_ascii(content)},"role":{encode_basestring_ascii(role)}}}'
    )


# Examples stand in every prompt of an arm, and are written once.
_short = lru_cache(maxsize=1024)(_plain)


def plain_json(value: Mapping[str, Any]) -> dict[str, Any]:
    """Plain JSON values that any encoder can write: a lone surrogate becomes a question mark."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    plain: dict[str, Any] = json.loads(text.encode("utf-8", "replace"))
    return plain
