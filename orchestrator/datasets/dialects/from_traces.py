"""Requests with their answers, as hosts, gateways and tracers log them, to one conversation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.datasets.dialects.detecting import detect
from orchestrator.datasets.dialects.from_exports import from_langchain
from orchestrator.datasets.dialects.from_messages import from_openai
from orchestrator.datasets.dialects.from_vendors import VENDOR_DIALECTS, from_gemini
from orchestrator.datasets.dialects.traces import ASKING, trace_in
from orchestrator.datasets.dialects.turns import (
    Turned,
    Unconvertible,
    call_of,
    calling,
    others_of,
    says,
    tool_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from orchestrator.datasets.dialects.traces import Trace


def from_trace(record: dict[str, Any]) -> Turned:
    """The request's turns and the answer; settings of the request and figures of the answer are lost."""
    trace = trace_in(record)
    if trace is None:
        raise Unconvertible("it has no request with an answer")
    if reason := _cut_off(trace.response):
        raise Unconvertible(f"the answer is not whole ({reason})")
    if isinstance(trace.response.get("choices"), list) and len(trace.answer) != 1:
        raise Unconvertible(f"it has {len(trace.answer)} answers; nothing says which to learn")
    turned = _conversation(trace)
    turned.losses = list(dict.fromkeys([*turned.losses, *_settings(record, trace)]))
    return turned


TRACE_DIALECTS: Mapping[str, Callable[[dict[str, Any]], Turned]] = {"input_output": from_trace}

_BESIDE = ("system", "system_prompt", "tools")
_USED = frozenset({*_BESIDE, "systemInstruction", "system_instruction", "instructions"})
_OF_ANSWERS = frozenset(
    {"choices", "candidates", "generations", "output", "message", "role", "content", "error"}
)


def _cut_off(response: Mapping[str, Any]) -> str | None:
    """Why an answer ended, where that was not its end."""
    ends = [response.get("stop_reason"), response.get("stopReason"), response.get("status")]
    for choice in (*response.get("choices", ()), *response.get("candidates", ())):
        ends += [choice.get("finish_reason"), choice.get("finishReason")]
    told = (end for end in ends if isinstance(end, str))
    return next((end for end in told if any(word in end.lower() for word in _CUTTING)), None)


_CUTTING = ("length", "max_tokens", "filter", "incomplete", "safety", "failed", "refusal")


def _conversation(trace: Trace) -> Turned:
    request, answer = trace.request, trace.answer
    if isinstance(request.get("contents"), list):
        kept = {key: request[key] for key in _USED if key in request}
        return from_gemini({**kept, "contents": [*request["contents"], *answer]})
    asked = next(request[key] for key in ASKING if request.get(key))
    asked = [{"role": "user", "content": asked}] if isinstance(asked, str) else asked
    turns = [*(asked[0] if isinstance(asked[0], list) else asked), *answer]
    if "instructions" in request or any(map(_is_item, turns)):
        return _from_items(request, turns)
    row = {key: request[key] for key in _BESIDE if says(request.get(key))}
    row["messages"] = [_plain(turn) for turn in turns]
    dialect = detect(row)
    if dialect == "langchain":
        return from_langchain(row)
    return VENDOR_DIALECTS.get(str(dialect), from_openai)(row)


def _plain(turn: dict[str, Any]) -> dict[str, Any]:
    """Without what says nothing, and what a host says of an answer as a whole."""
    figures = _OF_A_WHOLE if "role" in turn else ()
    return {key: value for key, value in turn.items() if says(value) and key not in figures}


_OF_A_WHOLE = frozenset({"id", "type", "model", "usage", "stop_reason", "object"})


def _settings(record: dict[str, Any], trace: Trace) -> Iterator[str]:
    """What was said beside the turns: one loss for each place."""
    known = _USED | frozenset(ASKING)
    if trace.request is record or trace.response is record:
        yield from others_of(record, trace.used | known | _OF_ANSWERS)
    else:
        yield from others_of(record, trace.used)
    if trace.request is not record:
        yield from (f"{loss} of the request" for loss in others_of(trace.request, known))
    if trace.response is not record:
        yield from (f"{loss} of the answer" for loss in others_of(trace.response, _OF_ANSWERS))


def _is_item(turn: Any) -> bool:
    """Whether a turn is one of the Responses API."""
    content = turn.get("content")
    parts = content if isinstance(content, list) else ()
    kinds = {part.get("type") for part in parts if isinstance(part, dict)}
    return turn.get("type") in _ITEMS or bool(kinds & {"input_text", "output_text", "input_image"})


_ITEMS = frozenset({"function_call", "function_call_output", "reasoning"})


def _from_items(request: Mapping[str, Any], items: list[dict[str, Any]]) -> Turned:
    turned = Turned(row={"messages": []})
    messages = turned.row["messages"]
    if says(request.get("instructions")):
        messages.append({"role": "system", "content": request["instructions"]})
    for item in items:
        match item.get("type", "message"):
            case "message":
                messages.append({"role": item["role"], "content": _content(item["content"])})
                turned.losses += others_of(item, _OF_AN_ITEM)
            case "function_call":
                call = call_of(item["name"], item["arguments"], item["call_id"])
                if messages and messages[-1]["role"] == "assistant":
                    messages[-1].setdefault("tool_calls", []).append(call)
                else:
                    messages.append(calling([call]))
            case "function_call_output":
                identifier, content = item["call_id"], _content(item["output"])
                messages.append({"role": "tool", "tool_call_id": identifier, "content": content})
            case "reasoning":
                turned.losses.append("reasoning")
            case other:
                raise Unconvertible(f"it has an item of the type {other}")
    tools = [tool for tool in request.get("tools") or () if tool.get("type") == "function"]
    if len(tools) < len(request.get("tools") or ()):
        turned.losses.append("tools that are no functions")
    if tools:
        turned.row["tools"] = [tool_of(tool) for tool in tools]
    turned.losses = list(dict.fromkeys(turned.losses))
    return turned


_OF_AN_ITEM = frozenset({"type", "role", "content", "id", "status"})


def _content(content: Any) -> Any:
    """A text where there is nothing else; else parts."""
    if isinstance(content, str):
        return content
    parts = [_part(part) for part in content]
    if all(part["type"] == "text" for part in parts):
        return "".join(part["text"] for part in parts)
    return parts


def _part(part: dict[str, Any]) -> dict[str, Any]:
    match part:
        case {"type": "input_text" | "output_text" | "text", "text": str(text)}:
            return {"type": "text", "text": text}
        case {"type": "refusal", "refusal": str(text)}:
            return {"type": "refusal", "refusal": text}
        case {"type": "input_image", "image_url": str(url)}:
            return {"type": "image_url", "image_url": {"url": url}}
        case _:
            raise Unconvertible(f"it has a part of the type {part.get('type')}")
