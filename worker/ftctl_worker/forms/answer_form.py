"""From ``response_format``, ``tools`` and ``tool_choice`` to the grammar of an answer."""

from __future__ import annotations

import re
from typing import Any, Literal

from ftctl_worker.errors import BadRequestError
from ftctl_worker.forms import grammar
from ftctl_worker.forms.grammar import Grammar, Tool

__all__ = ["answer_grammar", "function_names", "offered_tools"]

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NO_ARGUMENTS = {"type": "object", "properties": {}, "additionalProperties": False}


def offered_tools(body: dict[str, Any]) -> list[dict[str, Any]] | None:
    """Return the tools of a request as it has them, None where there are none.

    Raises:
        BadRequestError: they are no list of objects.
    """
    value = body.get("tools")
    if value is None or value == []:
        return None
    if not isinstance(value, list) or not all(isinstance(tool, dict) for tool in value):
        raise BadRequestError("'tools' must be a list of objects.", param="tools")
    return value


def function_names(offered: list[dict[str, Any]]) -> frozenset[str]:
    """Return how the tools of a request are called.

    Raises:
        BadRequestError: one is no function, or has no proper name.
    """
    return frozenset(_name(tool, at) for at, tool in enumerate(offered))


def answer_grammar(body: dict[str, Any]) -> Grammar | None:
    """Return what the answer to a request has to look like; None where anything will do.

    Raises:
        BadRequestError: what is asked for breaks a rule, or cannot be held to here.
    """
    answer = _json_rule(body.get("response_format"))
    offered = offered_tools(body) or []
    choice, name = _choice(body.get("tool_choice"), offered)
    several = body.get("parallel_tool_calls") is not False
    if choice == "required":
        tools = [tool for tool in _checked(offered) if name in {None, tool.name}]
        return Grammar(tools=tuple(tools), several=several and name is None, must_call=True)
    free = answer is None and not any(map(_strict, offered))
    if choice == "none" or not offered or free:
        return None if answer is None else Grammar(answer)
    return Grammar(answer, tuple(_checked(offered)), several)


def _json_rule(wanted: object) -> str | None:
    """Return the rule of a response format, None for plain text."""
    if wanted is None:
        return None
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    if not isinstance(wanted, dict) or kind not in ("text", "json_object", "json_schema"):
        raise BadRequestError(
            "'response_format' must have the type 'text', 'json_object' or 'json_schema'.",
            param="response_format",
        )
    if kind == "text":
        return None
    rule, what = grammar.of_json({"type": "object"}, strict=True), "response_format"
    if kind == "json_schema":
        rule, what = _schema_rule(wanted.get("json_schema"))
    grammar.check(rule, what, "response_format")
    return rule


def _schema_rule(given: object) -> tuple[str, str]:
    """Return the rule of a schema, and what to call it."""
    where = "response_format.json_schema"
    if not isinstance(given, dict):
        raise BadRequestError(f"'{where}' must be an object.", param=where)
    name, schema = given.get("name"), given.get("schema") or {"type": "object"}
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise BadRequestError(
            f"'{where}.name' must be 1 to 64 letters, digits, underscores or dashes.",
            param=f"{where}.name",
        )
    if not isinstance(schema, dict):
        raise BadRequestError(f"'{where}.schema' must be an object.", param=f"{where}.schema")
    return grammar.of_json(schema, strict=given.get("strict") is True), f"response_format '{name}'"


def _choice(
    value: object, offered: list[dict[str, Any]]
) -> tuple[Literal["auto", "none", "required"], str | None]:
    """Return what to do about tools, and the name of the one to be called."""
    if value in (None, "auto"):
        return "auto", None
    if value == "none":
        return "none", None
    function = value.get("function") if isinstance(value, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    if value != "required" and not (isinstance(value, dict) and isinstance(name, str)):
        raise BadRequestError(
            "'tool_choice' can be 'none', 'auto', 'required' or a function on this server.",
            param="tool_choice",
            code="unsupported_parameter",
        )
    if not offered:
        raise BadRequestError("'tool_choice' needs 'tools'.", param="tool_choice")
    if name is not None and name not in {_function(tool).get("name") for tool in offered}:
        raise BadRequestError(f"None of the tools is called {name[:80]!r}.", param="tool_choice")
    return "required", name


def _checked(offered: list[dict[str, Any]]) -> list[Tool]:
    """Return tools whose arguments can be held to their schemas."""
    tools = []
    for at, given in enumerate(offered):
        name, schema = _name(given, at), _function(given).get("parameters")
        if schema is not None and not isinstance(schema, dict):
            raise BadRequestError(
                "'parameters' must be an object.", param=f"tools[{at}].function.parameters"
            )
        arguments = {"type": "object", **schema} if schema else _NO_ARGUMENTS
        tool = Tool(name, arguments, strict=_strict(given))
        rule = grammar.of_json(tool.schema, strict=tool.strict)
        grammar.check(rule, f"function '{name}'", f"tools[{at}].function.parameters")
        tools.append(tool)
    return tools


def _name(tool: dict[str, Any], at: int) -> str:
    name = _function(tool).get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise BadRequestError(
            "A tool needs the type 'function' and a name of 1 to 64 letters, digits, "
            "underscores or dashes.",
            param=f"tools[{at}].function.name",
        )
    return name


def _strict(tool: dict[str, Any]) -> bool:
    return _function(tool).get("strict") is True


def _function(tool: dict[str, Any]) -> dict[str, Any]:
    function = tool.get("function")
    return function if tool.get("type") == "function" and isinstance(function, dict) else {}
