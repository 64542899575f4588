"""One line of JSON to a plain value, fast; the standard reader decides what the fast one refuses."""

from __future__ import annotations

import json
from typing import Any

import msgspec

_decode = msgspec.json.Decoder().decode


def decoded(line: bytes) -> Any:
    """The value of a line, as `json.loads` reads it: NaN and lone surrogates pass.

    Raises:
        UnicodeDecodeError: it is not UTF-8.
        ValueError: it is not JSON.
        RecursionError: it is nested too deep.
    """
    try:
        return _decode(line)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return json.loads(line.decode("utf-8"))
