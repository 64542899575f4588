"""Why the published schema refuses a row: every schema error as a finding's code and pointer."""

from __future__ import annotations

import difflib
import functools
from typing import TYPE_CHECKING, Any, NamedTuple

from orchestrator.datasets.dialects.from_messages import REPLY_SPEAKERS, SPEAKERS
from orchestrator.datasets.files.strict import kind_of
from orchestrator.datasets.findings.finding import Flaw
from orchestrator.datasets.findings.pointers import pointer_to
from orchestrator.domain.jobs.job import Method
from orchestrator.resources import schema

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import ValidationError

SCHEMA_FILES = {
    Method.SUPERVISED: "chat.openai.schema.json",
    Method.DPO: "preference.openai.schema.json",
    Method.REINFORCEMENT: "reinforcement.openai.schema.json",
}


@functools.cache
def validator_of(method: Method) -> Draft202012Validator:
    """The published schema of a method, ready to use."""
    from jsonschema import Draft202012Validator

    return Draft202012Validator(schema(SCHEMA_FILES[method]))


def explain_row(row: dict[str, Any], method: Method) -> list[Flaw]:
    """Everything the schema has against a row; empty when it accepts it.

    Args:
        row: one line as an object.
        method: chooses the schema.
    """
    try:
        errors = list(validator_of(method).iter_errors(row))
    except RecursionError:
        return [Flaw("nested-too-deep")]
    flaws = [flaw for error in errors for flaw in _flaws(_fault(error))]
    return _without_echoes(flaws)


class _Fault(NamedTuple):
    """What of a schema error matters here."""

    path: tuple[str | int, ...]
    rule: str
    expected: Any
    found: Any
    properties: Any


def _fault(error: ValidationError) -> _Fault:
    inner: Any = error.schema
    return _Fault(
        path=tuple(error.absolute_path),
        rule=str(error.validator),
        expected=error.validator_value,
        found=error.instance,
        properties=inner.get("properties", {}) if isinstance(inner, dict) else {},
    )


def _without_echoes(flaws: list[Flaw]) -> list[Flaw]:
    """A key that is unknown because another is missing is one mistake, told once."""
    incomplete = {flaw.pointer for flaw in flaws if flaw.code in _INCOMPLETE}
    unique: dict[tuple[str, str, object], Flaw] = {}
    for flaw in flaws:
        parent = flaw.pointer.rpartition("/")[0]
        if flaw.code == "unknown-key" and parent in incomplete and parent:
            continue
        unique.setdefault((flaw.code, flaw.pointer, flaw.fields.get("key")), flaw)
    return list(unique.values())


_INCOMPLETE = frozenset({"part-incomplete", "tool-not-wrapped", "tool-call-incomplete"})


def _flaws(fault: _Fault) -> Iterator[Flaw]:
    path: list[str | int] = list(fault.path)
    match fault.rule:
        case "required":
            yield from _missing(path, fault)
        case "additionalProperties":
            yield from _unknown_keys(path, fault)
        case "type":
            yield _wrong_type(path, fault)
        case "enum" | "const":
            yield _wrong_value(path, fault)
        case "minItems":
            yield _too_few(path)
        case _:
            yield _other(path, fault)


def _missing(path: list[str | int], fault: _Fault) -> Iterator[Flaw]:
    for key in fault.expected:
        if key in fault.found:
            continue
        pointer, fields = pointer_to(path), {"key": key}
        if path and path[-1] == "function_call":
            yield Flaw("missing-key", pointer, fields)
        elif _is_tool_call(path):
            yield Flaw("tool-call-incomplete", pointer, fields)
        elif "tools" in path[:2]:
            wrapped = "function" in path
            yield (
                Flaw("missing-key", pointer, fields)
                if wrapped
                else Flaw("tool-not-wrapped", pointer)
            )
        elif _is_part(path):
            yield Flaw("part-incomplete", pointer, fields)
        elif _is_message(path):
            yield _missing_in_message(pointer, key, fault.found)
        elif not path and key == "messages":
            yield Flaw("missing-key", "/messages", fields)
        else:
            yield Flaw("missing-key", pointer, fields)


def _missing_in_message(pointer: str, key: str, message: dict[str, Any]) -> Flaw:
    if key == "name" and message.get("role") == "function":
        return Flaw("function-without-name", pointer)
    code = {
        "role": "role-missing",
        "content": "content-missing",
        "tool_call_id": "tool-call-id-missing",
    }.get(key, "missing-key")
    return Flaw(code, pointer, {"key": key})


def _unknown_keys(path: list[str | int], fault: _Fault) -> Iterator[Flaw]:
    known = fault.properties
    for key in fault.found:
        if key in known:
            continue
        pointer = pointer_to((*path, key))
        if key == "weight" and _is_message(path):
            yield Flaw("weight-not-on-assistant", pointer)
            continue
        near = difflib.get_close_matches(key, [k for k in known if k not in fault.found], n=1)
        if near:
            mend = f"Write {near[0]}, or remove it"
        elif not path and "input" in known and key in _OF_INPUT:
            mend = "Move it into input"
        elif not path and "messages" in known:
            mend = "Remove it; ftctl convert FILE --allow-loss -o OUT.jsonl leaves such keys out"
        else:
            mend = "Remove it"
        yield Flaw("unknown-key", pointer, {"key": repr(key), "mend": mend})


_OF_INPUT = frozenset({"messages", "tools", "parallel_tool_calls"})


def _wrong_type(path: list[str | int], fault: _Fault) -> Flaw:
    pointer, found = pointer_to(path), kind_of(fault.found)
    last = path[-1] if path else None
    if _is_message(path):
        return Flaw("message-not-object", pointer, {"found": found})
    if last == "weight":
        return Flaw("weight-value", pointer, {"found": _shown(fault.found)})
    if last == "role":
        return Flaw("unknown-role", pointer, {"found": _shown(fault.found), "expected": _ROLES})
    if fault.found is None and last not in _NEVER_NULL:
        return Flaw("null-value", pointer)
    if code := _TYPE_CODES.get(str(last)):
        return Flaw(code, pointer, {"found": found})
    expected = fault.expected
    names = [expected] if isinstance(expected, str) else expected
    words = " or ".join(_TYPE_WORDS[name] for name in names)
    return Flaw("wrong-type", pointer, {"found": found, "expected": words})


_ROLES = "system, developer, user, assistant or tool"
# Keys that must be there: null in their place is not mended by leaving them out.
_NEVER_NULL = frozenset(
    {
        "messages",
        "input",
        "preferred_output",
        "non_preferred_output",
        "content",
        "text",
        "image_url",
        "url",
        "id",
        "type",
        "function",
        "arguments",
        "tool_call_id",
    }
)
_TYPE_CODES = {
    "content": "content-not-text",
    "arguments": "arguments-not-text",
    "image_url": "image-url-not-object",
    "tools": "tools-not-array",
}
_TYPE_WORDS = {
    "object": "an object",
    "array": "an array",
    "string": "a text",
    "boolean": "true or false",
    "integer": "a whole number",
    "null": "null",
}


def _wrong_value(path: list[str | int], fault: _Fault) -> Flaw:
    pointer, found, last = pointer_to(path), fault.found, path[-1] if path else None
    shown = _shown(found)
    if last == "role":
        return Flaw("unknown-role", pointer, {"found": shown, "expected": _role_for(fault)})
    if last == "weight":
        return Flaw("weight-value", pointer, {"found": shown})
    if last == "type" and _is_part(path[:-1]):
        if found == "image_url":
            parent = pointer_to(path[:-1])
            return Flaw("image-not-allowed", parent)
        return Flaw("unknown-part", pointer, {"found": shown, "expected": _choices(fault)})
    return Flaw("wrong-value", pointer, {"found": shown, "expected": _choices(fault)})


def _role_for(fault: _Fault) -> str:
    """The role that was meant, where it may stand; else all that may."""
    allowed = fault.expected if isinstance(fault.expected, list) else [fault.expected]
    meant = _ROLES_MEANT.get(str(fault.found).strip().lower())
    if meant is not None and meant in allowed:
        return meant
    return _ROLES if len(allowed) > 1 else str(allowed[0])


_ROLES_MEANT = {**SPEAKERS, **dict.fromkeys(REPLY_SPEAKERS, "tool")}


def _choices(fault: _Fault) -> str:
    value = fault.expected
    return " or ".join(map(str, value)) if isinstance(value, list) else str(value)


def _too_few(path: list[str | int]) -> Flaw:
    last = path[-1] if path else None
    codes = {
        "messages": "messages-empty",
        "content": "content-empty-list",
        "tool_calls": "tool-calls-empty",
    }
    pointer = pointer_to(path)
    if code := codes.get(str(last)):
        return Flaw(code, pointer)
    return Flaw("wrong-value", pointer, {"found": "an empty array", "expected": "one item or more"})


def _other(path: list[str | int], fault: _Fault) -> Flaw:
    pointer = pointer_to(path)
    if fault.rule == "maxItems":
        fields = {"found": len(fault.found), "most": fault.expected}
        return Flaw("too-many-items", pointer, fields)
    if path and path[-1] == "name" and ("tools" in path or "functions" in path):
        return Flaw("tool-name", pointer, {"found": _shown(fault.found)})
    expected = _RULES.get(fault.rule, f"{fault.rule} {fault.expected}")
    return Flaw("wrong-value", pointer, {"found": _shown(fault.found), "expected": expected})


_RULES = {"minLength": "one character or more", "maxLength": "a shorter text"}


def _shown(value: object) -> str:
    shown = repr(value) if isinstance(value, str) else kind_of(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        shown = repr(value)
    return shown if len(shown) <= 40 else shown[:39] + "…"


def _is_message(path: list[str | int]) -> bool:
    return (
        len(path) >= 2
        and isinstance(path[-1], int)
        and path[-2] in {"messages", "preferred_output", "non_preferred_output"}
        and "tools" not in path
    )


def _is_part(path: list[str | int]) -> bool:
    return len(path) >= 2 and isinstance(path[-1], int) and path[-2] == "content"


def _is_tool_call(path: list[str | int]) -> bool:
    return "tool_calls" in path
