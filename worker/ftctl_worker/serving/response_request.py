"""The body of a request to the Responses API, turned into that of a chat that means the same."""

from __future__ import annotations

from typing import Any

from ftctl_worker.errors import BadRequestError
from ftctl_worker.serving.chat_request import ChatRequest, parse_chat, refuse_unsupported

__all__ = ["LOGPROBS", "own_words", "parse_response"]

LOGPROBS = "message.output_text.logprobs"
_SAME = (
    *("model", "stream", "temperature", "top_p", "top_logprobs", "parallel_tool_calls"),
    "moderation",
)
# What would be another answer: what is taken all the same, and why nothing else is.
_REFUSED: dict[str, tuple[object, str]] = {
    "background": (False, "answers come to whoever waits for them."),
    "context_management": (None, "send the conversation as short as it is to be."),
    "conversation": (None, "nothing is stored; send the whole conversation as 'input'."),
    "previous_response_id": (None, "nothing is stored; send the whole conversation as 'input'."),
    "prompt": (None, "nothing is stored; send the text as 'instructions' and 'input'."),
    "store": (False, "nothing is stored; leave it out, or send false."),
    "truncation": ("disabled", "send the conversation as short as it is to be."),
}
_WORDS = {
    "max_completion_tokens": "max_output_tokens",
    "messages": "input",
    "response_format.json_schema": "text.format",
    "response_format": "text.format",
    ".function.": ".",
}


def parse_response(body: object) -> ChatRequest:
    """Turn a request body into a chat request.

    Raises:
        BadRequestError: the body breaks a rule or asks for what is not supported.
    """
    if not isinstance(body, dict):
        raise BadRequestError("The request body must be a JSON object.")
    refuse_unsupported(body, _REFUSED)
    chat = {name: body[name] for name in _SAME if name in body}
    chat["max_completion_tokens"] = body.get("max_output_tokens")
    chat["messages"] = _messages(body.get("instructions"), body.get("input"))
    chat["tools"] = _tools(body.get("tools"))
    chat["tool_choice"] = _choice(body.get("tool_choice"))
    chat["response_format"] = _format(body.get("text"))
    include = body.get("include") or ()
    included = isinstance(include, list) and LOGPROBS in include
    chat["logprobs"] = included or bool(body.get("top_logprobs"))
    try:
        return parse_chat(chat)
    except BadRequestError as error:
        raise own_words(error) from error


def own_words(error: BadRequestError) -> BadRequestError:
    """Return an error that names what the Responses API calls otherwise than chats do."""
    message, param = error.message, error.param or ""
    for theirs, ours in _WORDS.items():
        message = message.replace(f"'{theirs}", f"'{ours}")
        param = "input" if param.startswith("messages") else param.replace(theirs, ours)
    return BadRequestError(message, param=param or None, code=error.code)


def _messages(instructions: object, given: object) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    if instructions is not None:
        if not isinstance(instructions, str):
            raise BadRequestError("'instructions' must be a string.", param="instructions")
        messages.append({"role": "developer", "content": instructions})
    if isinstance(given, str):
        return [*messages, {"role": "user", "content": given}]
    if not isinstance(given, list) or not given:
        raise BadRequestError("'input' must be a string or a list of items.", param="input")
    for number, item in enumerate(given):
        message = _message(item, f"input[{number}]")
        if "tool_calls" in message and messages and messages[-1]["role"] == "assistant":
            # What a model says and calls is one turn.
            calls = messages[-1].get("tool_calls", [])
            messages[-1] = {**messages[-1], "tool_calls": calls + message["tool_calls"]}
        else:
            messages.append(message)
    return messages


def _message(item: object, where: str) -> dict[str, Any]:
    kind = item.get("type", "message") if isinstance(item, dict) else None
    read = _ITEMS.get(kind) if isinstance(kind, str) else None
    if not isinstance(item, dict) or read is None:
        raise BadRequestError(
            "An item of 'input' must be a message, a 'function_call' or a 'function_call_output'.",
            param=where,
        )
    return read(item, where)


def _said(item: dict[str, Any], where: str) -> dict[str, Any]:
    role = item.get("role")
    if role not in ("user", "assistant", "system", "developer"):
        raise BadRequestError(
            "'role' must be one of assistant, developer, system, user.", param=f"{where}.role"
        )
    return {"role": role, "content": _text(item.get("content"), f"{where}.content")}


def _called(item: dict[str, Any], where: str) -> dict[str, Any]:
    name, arguments, call_id = (item.get(key) for key in ("name", "arguments", "call_id"))
    if not all(isinstance(one, str) for one in (name, arguments, call_id)):
        raise BadRequestError(
            "A 'function_call' needs 'call_id', 'name' and 'arguments', all strings.", param=where
        )
    function = {"name": name, "arguments": arguments}
    call = {"id": call_id, "type": "function", "function": function}
    return {"role": "assistant", "content": None, "tool_calls": [call]}


def _returned(item: dict[str, Any], where: str) -> dict[str, Any]:
    if not isinstance(item.get("call_id"), str):
        raise BadRequestError("A 'function_call_output' needs the 'call_id'.", param=where)
    text = _text(item.get("output"), f"{where}.output")
    return {"role": "tool", "tool_call_id": item["call_id"], "content": text}


_ITEMS = {"message": _said, "function_call": _called, "function_call_output": _returned}


def _text(content: object, where: str) -> str:
    if isinstance(content, str):
        return content
    texts = [
        part.get("text")
        for part in (content if isinstance(content, list) else [None])
        if isinstance(part, dict) and part.get("type") in ("input_text", "output_text")
    ]
    known = [text for text in texts if isinstance(text, str)]
    if not isinstance(content, list) or len(known) < len(content):
        raise BadRequestError(
            "Only text is supported: a string, or parts of the types 'input_text' and 'output_text'.",
            param=where,
        )
    return "".join(known)


def _tools(given: object) -> object:
    if not isinstance(given, list) or not all(isinstance(tool, dict) for tool in given):
        return given
    return [{"type": tool.get("type"), "function": tool} for tool in given]


def _choice(given: object) -> object:
    if not isinstance(given, dict) or given.get("type") != "function":
        return given
    return {"type": "function", "function": {"name": given.get("name")}}


def _format(text: object) -> object:
    if text is None:
        return None
    if not isinstance(text, dict):
        raise BadRequestError("'text' must be an object.", param="text")
    given = text.get("format")
    if not isinstance(given, dict) or given.get("type") != "json_schema":
        return given
    return {"type": "json_schema", "json_schema": given}
