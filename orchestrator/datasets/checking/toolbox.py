"""The tools a row declares: read once for all rows that share them."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from msgspec import UNSET

from orchestrator.datasets.checking.outlines import colons_of
from orchestrator.datasets.checking.tool_schemas import misfit
from orchestrator.datasets.files.strict import Parsed, holds_object, kind_of, read_strictly
from orchestrator.datasets.findings.codes_of_lines import LINE_KINDS
from orchestrator.datasets.findings.finding import Flaw
from orchestrator.datasets.findings.pointers import pointer_to
from orchestrator.datasets.records import DeclaredFunction, DeclaredTool

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from orchestrator.datasets.records import CalledFunction

_REMEMBERED = 4096


class Declared(NamedTuple):
    """What one `tools` array declares.

    Attributes:
        parameters: name → its JSON Schema.
        rules: name → what of that schema is quickly checked.
        flaws: what is wrong with the array itself; pointers start at the array.
        colons: in its bytes, for the search for repeated keys.
    """

    parameters: Mapping[str, Mapping[str, Any]]
    rules: Mapping[str, Rule]
    flaws: list[Flaw]
    colons: int


class Rule(NamedTuple):
    """What arguments are quickly held against.

    Attributes:
        required: keys that must be there.
        types: key → Python types its value may have; None where only the schema knows.
        known: keys, then types of values, of arguments that agree.
    """

    required: frozenset[str]
    types: Mapping[str, frozenset[type] | None]
    known: set[tuple[object, ...]]


class Toolbox:
    """Remembers the arrays it has read, by their bytes."""

    def __init__(self) -> None:
        """Start with nothing remembered."""
        self._tools = msgspec.json.Decoder(list[DeclaredTool])
        self._functions = msgspec.json.Decoder(list[DeclaredFunction])
        self._tools_read: dict[bytes, Declared | None] = {}
        self._functions_read: dict[bytes, Declared | None] = {}

    def declared(self, raw: bytes, *, functions: bool = False) -> Declared | None:
        """What an array declares; None when it is not what the schema asks for.

        Args:
            raw: the JSON of `tools`, or of the deprecated `functions`.
            functions: it is `functions`.
        """
        read = self._functions_read if functions else self._tools_read
        if raw in read:
            return read[raw]
        if len(read) >= _REMEMBERED:
            read.clear()
        declared = read[raw] = self._load(raw, functions)
        return declared

    def _load(self, raw: bytes, functions: bool) -> Declared | None:
        try:
            listed = (
                self._functions.decode(raw)
                if functions
                else [tool.function for tool in self._tools.decode(raw)]
            )
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return None
        if not _has_no_repeated_key(raw) or (functions and not 1 <= len(listed) <= 128):
            return None
        parameters = {tool.name: tool.parameters or {} for tool in listed}
        rules = {name: _rule(schema) for name, schema in parameters.items()}
        flaws = [*_repeated_names(listed, functions), *_misfits(listed, functions)]
        return Declared(parameters, rules, flaws, raw.count(b":"))


def call_flaws(
    called: CalledFunction, declared: Mapping[str, Mapping[str, Any]] | None, pointer: str
) -> Iterator[Flaw]:
    """What is wrong with a call.

    Args:
        called: the function and its arguments.
        declared: name → JSON Schema of the row's tools; None when it declares none.
        pointer: of the object that holds name and arguments.
    """
    if declared is not None and called.name not in declared:
        near = difflib.get_close_matches(called.name, declared, n=1)
        meant = f", or call {near[0]}" if near else ""
        yield Flaw("tool-not-declared", f"{pointer}/name", {"name": called.name, "near": meant})
    where = f"{pointer}/arguments"
    arguments = plain_object(called.arguments)
    if arguments is None:
        yield from _arguments(called, declared, where)
    elif declared and (reason := disagreement(arguments, declared.get(called.name, {}))):
        yield Flaw("arguments-against-schema", where, {"reason": reason})


def plain_object(text: str) -> dict[str, Any] | None:
    """Arguments that surely are an object without a repeated key; None says nothing."""
    try:
        value = msgspec.json.decode(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    colons = text.count(":")
    is_flat = colons == len(value)
    return value if is_flat or (colons == colons_of(value) and "\\u003" not in text) else None


def agrees(arguments: dict[str, Any], rule: Rule) -> bool:
    """Whether arguments surely agree with their schema; False says nothing."""
    form: tuple[object, ...] = (*arguments, *map(type, arguments.values()))
    if form in rule.known:
        return True
    if not rule.required <= arguments.keys():
        return False
    types = rule.types
    for key, value in arguments.items():
        allowed = types.get(key)
        if allowed is None or type(value) not in allowed:
            return False
    if len(rule.known) < _REMEMBERED:
        rule.known.add(form)
    return True


def _rule(schema: Mapping[str, Any]) -> Rule:
    properties, required = schema.get("properties"), schema.get("required")
    listed = properties.items() if isinstance(properties, dict) else ()
    keys = [key for key in required if isinstance(key, str)] if isinstance(required, list) else []
    return Rule(frozenset(keys), {key: _quick_types(rule) for key, rule in listed}, set())


def _quick_types(rule: object) -> frozenset[type] | None:
    if not isinstance(rule, dict) or rule.get("enum"):
        return None
    expected = rule.get("type")
    return frozenset(_TYPES[expected]) if isinstance(expected, str) and expected in _TYPES else None


def _arguments(
    called: CalledFunction, declared: Mapping[str, Mapping[str, Any]] | None, where: str
) -> Iterator[Flaw]:
    parsed = read_strictly(called.arguments.encode("utf-8", "surrogatepass"))
    if parsed.flaws or not parsed.text:
        yield Flaw("arguments-not-json", where, {"reason": _reason(parsed)})
    elif holds_object(parsed.value):
        yield Flaw("arguments-encoded-twice", where)
    elif not isinstance(parsed.value, dict):
        yield Flaw("arguments-not-object", where, {"found": kind_of(parsed.value)})
    elif declared and (reason := disagreement(parsed.value, declared.get(called.name, {}))):
        yield Flaw("arguments-against-schema", where, {"reason": reason})


def _reason(parsed: Parsed) -> str:
    """Why the reader refused a text, as part of a sentence."""
    if not parsed.text.strip():
        return 'it is empty; a call without arguments has "{}"'
    if not parsed.flaws:
        return "it holds nothing"
    code, fields = parsed.flaws[0].code, parsed.flaws[0].fields
    if code == "not-json":
        return str(fields["reason"])
    message = LINE_KINDS[code].message.removesuffix(".")
    return (message[0].lower() + message[1:]).format_map(fields)


def _has_no_repeated_key(raw: bytes) -> bool:
    return not read_strictly(raw.replace(b"\n", b" ")).flaws


def _repeated_names(listed: list[DeclaredFunction], functions: bool) -> Iterator[Flaw]:
    seen: set[str] = set()
    inner = "" if functions else "/function"
    for index, tool in enumerate(listed):
        if tool.name in seen:
            yield Flaw("tool-name-repeats", f"/{index}{inner}/name", {"name": tool.name})
        seen.add(tool.name)


def _misfits(listed: list[DeclaredFunction], functions: bool) -> Iterator[Flaw]:
    inner = "" if functions else "/function"
    for index, tool in enumerate(listed):
        if tool.parameters is not UNSET and (wrong := misfit(tool.parameters)):
            pointer = f"/{index}{inner}/parameters{pointer_to(wrong.path)}"
            yield Flaw("tool-parameters", pointer, {"name": tool.name, "reason": wrong.reason})


def disagreement(arguments: dict[str, Any], parameters: Mapping[str, Any]) -> str | None:
    """The first plain disagreement of arguments and schema; references are not followed."""
    properties = parameters.get("properties")
    if not isinstance(properties, dict):
        return None
    required = parameters.get("required")
    for key in required if isinstance(required, list) else ():
        if isinstance(key, str) and key not in arguments:
            return f"{key} is missing"
    for key, value in arguments.items():
        if key not in properties:
            if parameters.get("additionalProperties") is False:
                return f"{key} is not declared"
            continue
        wrong = _against(value, properties[key])
        if wrong:
            return f"{key} {wrong}"
    return None


def _against(value: object, rule: object) -> str | None:
    if not isinstance(rule, dict):
        return None
    expected = rule.get("type")
    if isinstance(expected, str) and expected in _TYPES and not _is_a(value, expected):
        return f"is {kind_of(value)}, not of type {expected}"
    choices = rule.get("enum")
    if isinstance(choices, list) and choices and value not in choices:
        return "is not one of the allowed values"
    return None


_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "null": (type(None),),
}


def _is_a(value: object, expected: str) -> bool:
    if isinstance(value, bool):
        return expected == "boolean"
    if expected == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES[expected])
