"""Chat messages as the API has them, checked and made plain for chat templates."""

from __future__ import annotations

import json
from typing import Any

__all__ = ["ROLES", "MessageError", "plain_messages"]

ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
_TEMPLATE_ROLES = {"developer": "system", "function": "tool"}


class MessageError(ValueError):
    """A list of messages breaks a rule; ``pointer`` says where, as a JSON pointer."""

    def __init__(self, message: str, pointer: str) -> None:
        """Keep where the fault lies."""
        super().__init__(message)
        self.pointer = pointer


def plain_messages(value: object) -> list[dict[str, Any]]:
    """Check ``value`` and return messages with text content, ready for a chat template.

    Text parts are joined, ``developer`` becomes ``system``, the arguments of tool calls become
    objects. ``weight`` stays where it was given.

    Raises:
        MessageError: a message is malformed or holds something other than text.
    """
    if not isinstance(value, list) or not value:
        raise MessageError("'messages' must be a list with at least one message.", "/messages")
    return [_plain(message, f"/messages/{index}") for index, message in enumerate(value)]


def _plain(message: object, pointer: str) -> dict[str, Any]:
    if not isinstance(message, dict):
        raise MessageError("A message must be an object.", pointer)
    role = message.get("role")
    if not isinstance(role, str) or role not in ROLES:
        raise MessageError(f"'role' must be one of {', '.join(sorted(ROLES))}.", f"{pointer}/role")
    calls = _calls_of(message)
    result: dict[str, Any] = {"role": _TEMPLATE_ROLES.get(role, role)}
    result["content"] = _text(
        message.get("content"),
        f"{pointer}/content",
        optional=role == "assistant" and bool(calls),
    )
    if calls is not None:
        result["tool_calls"] = _tool_calls(calls, role, f"{pointer}/tool_calls")
    for name in ("name", "tool_call_id"):
        if isinstance(message.get(name), str):
            result[name] = message[name]
    if "weight" in message:
        result["weight"] = _weight(message["weight"], role, f"{pointer}/weight")
    return result


def _calls_of(message: dict[str, Any]) -> object:
    """The calls of a message; the one of the API before tools is a call like any other."""
    calls, single = message.get("tool_calls"), message.get("function_call")
    return [{"type": "function", "function": single}] if calls is None and single else calls


def _text(content: object, pointer: str, *, optional: bool) -> str:
    if isinstance(content, str):
        return content
    if content is None and optional:
        return ""
    if not isinstance(content, list) or not content:
        raise MessageError("'content' must be a string or a list of text parts.", pointer)
    texts = []
    for index, part in enumerate(content):
        text = part.get("text") if isinstance(part, dict) and part.get("type") == "text" else None
        if not isinstance(text, str):
            raise MessageError("Only parts of type 'text' are supported.", f"{pointer}/{index}")
        texts.append(text)
    return "".join(texts)


def _tool_calls(calls: object, role: str, pointer: str) -> list[dict[str, Any]]:
    if role != "assistant" or not isinstance(calls, list):
        raise MessageError("'tool_calls' must be a list in an assistant message.", pointer)
    result = []
    for index, call in enumerate(calls):
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise MessageError("A tool call needs a function with a name.", f"{pointer}/{index}")
        result.append({**call, "function": {**function, "arguments": _arguments(function)}})
    return result


def _arguments(function: dict[str, Any]) -> object:
    arguments = function.get("arguments", "{}")
    if not isinstance(arguments, str):
        return arguments
    try:
        parsed = json.loads(arguments)
    except (ValueError, RecursionError):
        return arguments
    return parsed if isinstance(parsed, dict) else arguments


def _weight(weight: object, role: str, pointer: str) -> int:
    if role != "assistant":
        raise MessageError("'weight' belongs to assistant messages only.", pointer)
    if isinstance(weight, bool) or weight not in (0, 1):
        raise MessageError("'weight' must be 0 or 1.", pointer)
    return int(weight)
