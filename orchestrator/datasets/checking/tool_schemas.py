"""Whether the parameters of a tool are a JSON Schema; quick, for rows that each declare their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class Misfit(NamedTuple):
    """Where a schema is none, as a path into it, and why."""

    path: tuple[str | int, ...]
    reason: str


def misfit(parameters: Mapping[str, Any]) -> Misfit | None:
    """The first place at which parameters are no JSON Schema of an object; None when they are.

    Only what every draft agrees on is looked at.
    """
    root = parameters.get("type", "object")
    if isinstance(root, str) and root in _TYPES and root != "object":
        return Misfit(("type",), f"parameters are of type object, not {root}")
    stack: list[tuple[tuple[str | int, ...], Any]] = [((), parameters)]
    while stack:
        path, schema = stack.pop()
        if isinstance(schema, bool):
            continue
        if not isinstance(schema, dict):
            return Misfit(path, "here a schema must stand, an object")
        for key, value in schema.items():
            if reason := _wrong(key, value):
                return Misfit((*path, key), reason)
            stack.extend(((*path, key, *step), inner) for step, inner in _inner(key, value))
    return None


_TYPES = ("object", "array", "string", "number", "integer", "boolean", "null")
_MAPS = frozenset({"properties", "patternProperties", "$defs", "definitions"})
_LISTS = frozenset({"anyOf", "oneOf", "allOf", "prefixItems"})
_SINGLE = frozenset({"items", "additionalProperties", "not", "if", "then", "else"})
_KINDS: Mapping[str, tuple[type, str]] = {
    **dict.fromkeys(_MAPS, (dict, "an object of schemas")),
    **dict.fromkeys(_LISTS, (list, "an array of schemas")),
    "enum": (list, "an array"),
    "description": (str, "a text"),
    "pattern": (str, "a text"),
}


def _wrong(key: str, value: Any) -> str | None:
    if key == "type":
        names = value if isinstance(value, list) else [value]
        wrong = [name for name in names if not isinstance(name, str) or name not in _TYPES]
        return f"{wrong[0]!r} is no type; the types are {', '.join(_TYPES)}" if wrong else None
    if key == "required":
        listed = isinstance(value, list) and all(isinstance(name, str) for name in value)
        return None if listed else "required is an array of names, beside properties"
    if key in _KINDS and not isinstance(value, _KINDS[key][0]):
        return f"{key} is {_KINDS[key][1]}"
    return None


def _inner(key: str, value: Any) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    if key in _MAPS:
        yield from (((name,), schema) for name, schema in value.items())
    elif key in _LISTS or (key == "items" and isinstance(value, list)):
        yield from (((index,), schema) for index, schema in enumerate(value))
    elif key in _SINGLE:
        yield (), value
