"""JSON Pointers (RFC 6901), and where in a line the value they name starts."""

from __future__ import annotations

import re
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_SPACE = re.compile(r"[ \t\r\n]*")
_SCALAR = re.compile(r"[^\s,\]}]+")


def pointer_to(path: Iterable[str | int]) -> str:
    """The pointer of a path of keys and indices."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in path)


def offset_of(text: str, pointer: str) -> int | None:
    """Where the value (for a repeated key: the last one) starts.

    Args:
        text: one JSON value, already known to parse but for NaN and its like.
        pointer: a JSON Pointer; what it names may be absent.

    Returns:
        The index of the value's first character; None when there is no such value.
    """
    try:
        at = _SPACE.match(text, 0).end()  # type: ignore[union-attr]
        for step in pointer.split("/")[1:]:
            inside = _enter(text, at, step.replace("~1", "/").replace("~0", "~"))
            if inside is None:
                return None
            at = inside
    except (ValueError, IndexError):
        return None
    return at


def _enter(text: str, at: int, step: str) -> int | None:
    if text[at] == "[":
        return _item(text, at + 1, int(step))
    if text[at] == "{":
        return _member(text, at + 1, step)
    return None


def _item(text: str, at: int, index: int) -> int | None:
    at = _skip(text, at)
    while text[at] != "]":
        if index == 0:
            return at
        index -= 1
        at = _skip(text, _past(text, at))
        if text[at] == ",":
            at = _skip(text, at + 1)
    return None


def _member(text: str, at: int, key: str) -> int | None:
    found = None
    at = _skip(text, at)
    while text[at] == '"':
        name, at = scanstring(text, at + 1, False)
        at = _skip(text, _skip(text, at) + 1)
        if name == key:
            found = at
        at = _skip(text, _past(text, at))
        if text[at] == ",":
            at = _skip(text, at + 1)
    return found


def _skip(text: str, at: int) -> int:
    return _SPACE.match(text, at).end()  # type: ignore[union-attr]


_NEXT = re.compile(r'["\[\]{}]')


def _past(text: str, at: int) -> int:
    """The index after the value that starts here; a loop, so that depth cannot hurt."""
    if text[at] == '"':
        end: int = scanstring(text, at + 1, False)[1]
        return end
    if text[at] not in "[{":
        match = _SCALAR.match(text, at)
        return match.end() if match else at + 1
    depth = 0
    while True:
        match = _NEXT.search(text, at)
        if match is None:
            raise ValueError
        at = match.end()
        if match.group() == '"':
            at = scanstring(text, at, False)[1]
        else:
            depth += 1 if match.group() in "[{" else -1
            if depth == 0:
                return at
