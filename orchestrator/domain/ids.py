"""Identifiers: short enough to type, random enough never to meet."""

from __future__ import annotations

import secrets

# Crockford's base 32: no i, l, o, u, so that an id can be read aloud.
ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


def new_id() -> str:
    """A random id of 12 characters (60 bits); any unique prefix names its row."""
    return _random(12)


def new_token() -> str:
    """The 128-bit token an intent carries to the provider: 26 characters."""
    return _random(26)


def _random(length: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(length))
