"""Tool calls in the text of a model: ``<tool_call>{"name", "arguments"}</tool_call>``.

That is how Hermes, Qwen and SmolLM templates write them; the closing tag may lack. Text that is no such call stays text.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from ftctl_worker import strictjson
from ftctl_worker.ids import new_id

if TYPE_CHECKING:
    from ftctl_worker.models.loading import LoadedBase

__all__ = ["split_calls", "writes_calls"]

_CALL = re.compile(r"<tool_call>\s*(.*?)\s*(?:</tool_call>|(?=<tool_call>)|\Z)", re.DOTALL)


def writes_calls(base: LoadedBase) -> bool:
    """Tell whether a model's chat template has it write tool calls between tags."""
    return "<tool_call>" in str(base.tokenizer.chat_template)


def split_calls(text: str) -> tuple[str, list[dict[str, Any]]]:
    """Return the text outside of tool calls, and the calls as the API has them.

    Where one call cannot be read, everything stays text: half a turn would mislead.
    """
    bodies = _CALL.findall(text)
    calls = [_call(body) for body in bodies]
    known = [call for call in calls if call is not None]
    if not known or len(known) < len(calls):
        return text, []
    return _CALL.sub("", text).strip(), known


def _call(body: str) -> dict[str, Any] | None:
    try:
        given = strictjson.loads(body)
    except strictjson.JsonRefusedError:
        return None
    if not isinstance(given, dict) or not isinstance(given.get("name"), str):
        return None
    arguments = given.get("arguments", given.get("parameters", {}))
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    return {
        "id": new_id("call_"),
        "type": "function",
        "function": {"name": given["name"], "arguments": text},
    }
