"""Dialects of other vendors: Anthropic, Gemini, Bedrock, Mistral, Harmony."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.datasets.dialects.turns import (
    CallIds,
    Turned,
    Unconvertible,
    as_json,
    call_of,
    calling,
    text_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def from_anthropic(record: dict[str, Any]) -> Turned:
    """System and messages whose content is text."""
    messages = _instructions(record.get("system"))
    messages += [
        {"role": message["role"], "content": text_of(message["content"])}
        for message in record["messages"]
    ]
    others = [key for key in record if key not in {"system", "messages"} and record[key]]
    losses = [f"the key(s) {', '.join(others)}"] if others else []
    return Turned(row={"messages": messages}, losses=losses)


def from_anthropic_blocks(record: dict[str, Any]) -> Turned:
    """Content blocks: tool_use and tool_result become tool turns, thinking is lost."""
    turned = Turned(row={"messages": _instructions(record.get("system"))})
    turned.losses.append("the order of texts and tool blocks inside a turn")
    for message in record["messages"]:
        blocks = message["content"]
        blocks = [{"type": "text", "text": blocks}] if isinstance(blocks, str) else blocks
        turned.row["messages"] += _from_blocks(message["role"], blocks, turned)
    if record.get("tools"):
        turned.row["tools"] = [_declared(tool, tool["input_schema"]) for tool in record["tools"]]
    return turned


def from_gemini(record: dict[str, Any]) -> Turned:
    """Contents and parts; calls have no ids and are answered in order."""
    system = record.get("systemInstruction", record.get("system_instruction")) or {}
    turned = Turned(row={"messages": _instructions(system.get("parts"))})
    ids = CallIds()
    for content in record["contents"]:
        role = "assistant" if content.get("role") == "model" else "user"
        turned.row["messages"] += _from_parts(role, content["parts"], ids)
    if ids.made:
        turned.losses.append("the form of function responses (objects became texts)")
        turned.notes.append("tool call ids were made up")
    declared = [
        function for tool in record.get("tools") or () for function in tool["functionDeclarations"]
    ]
    if declared:
        turned.row["tools"] = [_declared(tool, _lower(tool.get("parameters"))) for tool in declared]
    return turned


def from_bedrock(record: dict[str, Any]) -> Turned:
    """schemaVersion, system and messages of text blocks."""
    messages = _instructions(record.get("system"))
    for message in record["messages"]:
        strange = {key for part in message["content"] for key in part} - {"text"}
        if strange:
            raise Unconvertible(f"it has blocks of {', '.join(sorted(strange))}")
        messages.append({"role": message["role"], "content": text_of(message["content"])})
    return Turned(row={"messages": messages})


def from_mistral(record: dict[str, Any]) -> Turned:
    """Interactions of is_user and text."""
    messages = _instructions(record.get("system_prompt"))
    for turn in record["interactions"]:
        role = "user" if turn["is_user"] else "assistant"
        messages.append({"role": role, "content": turn["text"]})
    return Turned(row={"messages": messages})


def from_harmony(record: dict[str, Any]) -> Turned:
    """Only the final channel and plain texts have a place in a chat row."""
    turned = Turned(row={"messages": []}, losses=["channels other than final, and thinking"])
    for message in record["messages"]:
        if message.get("channel") not in {None, "final"} or message["role"] == "tool":
            continue
        content = message.get("content")
        parts = content if isinstance(content, list) else [{"text": content}]
        texts = [part.get("text") or part.get("instructions") for part in parts]
        if text := "".join(filter(None, texts)):
            turned.row["messages"].append({"role": message["role"], "content": text})
    return turned


VENDOR_DIALECTS: Mapping[str, Callable[[dict[str, Any]], Turned]] = {
    "anthropic.messages": from_anthropic,
    "anthropic.messages.tools": from_anthropic_blocks,
    "gemini.vertex": from_gemini,
    "bedrock.conversation": from_bedrock,
    "mistral.interactions": from_mistral,
    "harmony.json": from_harmony,
    "gpt_oss.trl": from_harmony,
}


def _instructions(system: Any) -> list[dict[str, Any]]:
    return [{"role": "system", "content": text_of(system)}] if system else []


def _from_blocks(role: str, blocks: list[dict[str, Any]], turned: Turned) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    texts, calls = [], []
    for block in blocks:
        match block["type"]:
            case "text":
                texts.append(block["text"])
            case "tool_use":
                calls.append(call_of(block["name"], block["input"], block["id"]))
            case "tool_result":
                content = text_of(block.get("content") or "")
                identifier = block["tool_use_id"]
                made.append({"role": "tool", "tool_call_id": identifier, "content": content})
            case other:
                turned.losses.append(f"a block of the type {other}")
    text = "".join(texts)
    if calls:
        made.append(calling(calls, text))
    elif text:
        made.append({"role": role, "content": text})
    return made


def _from_parts(role: str, parts: list[dict[str, Any]], ids: CallIds) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    texts, calls = [], []
    for part in parts:
        if call := part.get("functionCall"):
            calls.append(call_of(call["name"], call.get("args", {}), ids.make(call["name"])))
        elif reply := part.get("functionResponse"):
            identifier = ids.answered(reply["name"])
            content = as_json(reply["response"])
            made.append({"role": "tool", "tool_call_id": identifier, "content": content})
        elif isinstance(part.get("text"), str):
            texts.append(part["text"])
        else:
            raise Unconvertible(f"a part of {', '.join(part)} has no text")
    text = "".join(texts)
    if calls:
        made.append(calling(calls, text))
    elif text:
        made.append({"role": role, "content": text})
    return made


def _declared(tool: dict[str, Any], parameters: Any) -> dict[str, Any]:
    function = {"name": tool["name"]}
    if "description" in tool:
        function["description"] = tool["description"]
    if parameters:
        function["parameters"] = parameters
    return {"type": "function", "function": function}


def _lower(schema: Any) -> Any:
    """Gemini writes types in capitals."""
    if isinstance(schema, list):
        return [_lower(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: value.lower() if key == "type" and isinstance(value, str) else _lower(value)
        for key, value in schema.items()
    }
