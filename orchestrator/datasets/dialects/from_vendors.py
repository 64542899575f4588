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
    image_of,
    others_of,
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
    losses = others_of(record, {"system", "messages"})
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
    turned.losses += others_of(record, {"system", "messages", "tools"})
    return turned


def from_gemini(record: dict[str, Any]) -> Turned:
    """Contents and parts; calls have no ids and are answered in order."""
    record = {_CAMEL.get(key, key): value for key, value in record.items()}
    system = record.get("systemInstruction") or {}
    instructions = system if isinstance(system, str) else system.get("parts")
    turned = Turned(row={"messages": _instructions(instructions)})
    ids = CallIds()
    for content in record["contents"]:
        role = "assistant" if content.get("role") == "model" else "user"
        parts = [
            {_CAMEL.get(key, key): value for key, value in part.items()}
            for part in content["parts"]
        ]
        turned.row["messages"] += _from_parts(role, parts, ids)
    if ids.made:
        turned.losses.append("the form of function responses (objects became texts)")
        turned.notes.append("tool call ids were made up")
    declared = [
        function
        for tool in record.get("tools") or ()
        for function in tool.get("functionDeclarations") or tool["function_declarations"]
    ]
    if declared:
        turned.row["tools"] = [_declared(tool, _lower(tool.get("parameters"))) for tool in declared]
    turned.losses += others_of(record, {"systemInstruction", "contents", "tools"})
    return turned


def from_bedrock(record: dict[str, Any]) -> Turned:
    """schemaVersion, system and messages of blocks: texts, tool uses and their results."""
    turned = Turned(row={"messages": _instructions(record.get("system"))})
    for message in record["messages"]:
        blocks = [_anthropic_block(block) for block in message["content"]]
        turned.row["messages"] += _from_blocks(message["role"], blocks, turned)
    specs = [tool["toolSpec"] for tool in (record.get("toolConfig") or {}).get("tools") or ()]
    if specs:
        turned.row["tools"] = [_declared(spec, spec["inputSchema"]["json"]) for spec in specs]
    turned.losses += others_of(record, {"schemaVersion", "system", "messages", "toolConfig"})
    return turned


def _anthropic_block(block: dict[str, Any]) -> dict[str, Any]:
    """Bedrock's block as Anthropic would write it: the same pieces under other names."""
    match block:
        case {"text": str(text)}:
            return {"type": "text", "text": text}
        case {"toolUse": use}:
            name, given = use["name"], use["input"]
            return {"type": "tool_use", "id": use["toolUseId"], "name": name, "input": given}
        case {"toolResult": result}:
            parts = [
                part if "text" in part else {"text": as_json(part["json"])}
                for part in result["content"]
            ]
            return {"type": "tool_result", "tool_use_id": result["toolUseId"], "content": parts}
        case {"image": {"format": kind, "source": {"bytes": str(data)}}}:
            source = {"type": "base64", "media_type": f"image/{kind}", "data": data}
            return {"type": "image", "source": source}
        case _:
            raise Unconvertible(f"it has blocks of {', '.join(sorted(block))}")


def from_mistral(record: dict[str, Any]) -> Turned:
    """Interactions of is_user and text."""
    messages = _instructions(record.get("system_prompt"))
    for turn in record["interactions"]:
        role = "user" if turn["is_user"] else "assistant"
        messages.append({"role": role, "content": turn["text"]})
    losses = others_of(record, {"system_prompt", "interactions"})
    return Turned(row={"messages": messages}, losses=losses)


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
    turned.losses += others_of(record, {"messages"})
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


_CAMEL = {
    "system_instruction": "systemInstruction",
    "function_call": "functionCall",
    "function_response": "functionResponse",
    "inline_data": "inlineData",
}


def _from_blocks(role: str, blocks: list[dict[str, Any]], turned: Turned) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    parts: list[dict[str, Any]] = []
    calls = []
    for block in blocks:
        match block["type"]:
            case "text":
                parts.append({"type": "text", "text": block["text"]})
            case "image":
                parts.append(_image(block["source"]))
            case "tool_use":
                calls.append(call_of(block["name"], block["input"], block["id"]))
            case "tool_result":
                content = text_of(block.get("content") or "")
                if block.get("is_error"):
                    turned.losses.append("that a tool failed")
                identifier = block["tool_use_id"]
                made.append({"role": "tool", "tool_call_id": identifier, "content": content})
            case other:
                turned.losses.append(f"a block of the type {other}")
    return made + _said(role, parts, calls)


def _image(source: dict[str, Any]) -> dict[str, Any]:
    if source["type"] == "url":
        return {"type": "image_url", "image_url": {"url": source["url"]}}
    return image_of(source["media_type"], source["data"])


def _said(
    role: str, parts: list[dict[str, Any]], calls: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """The message of what a turn says and calls; none when it does neither."""
    if any(part["type"] != "text" for part in parts):
        if role != "user" or calls:
            raise Unconvertible("an image stands outside of a user's message")
        return [{"role": role, "content": parts}]
    text = "".join(part["text"] for part in parts)
    if calls:
        return [calling(calls, text)]
    return [{"role": role, "content": text}] if text else []


def _from_parts(role: str, parts: list[dict[str, Any]], ids: CallIds) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    said: list[dict[str, Any]] = []
    calls = []
    for part in parts:
        if part.get("thought"):
            raise Unconvertible("a part is a thought")
        if call := part.get("functionCall"):
            calls.append(call_of(call["name"], call.get("args", {}), ids.make(call["name"])))
        elif reply := part.get("functionResponse"):
            identifier = ids.answered(reply["name"])
            content = as_json(reply["response"])
            made.append({"role": "tool", "tool_call_id": identifier, "content": content})
        elif inline := part.get("inlineData"):
            kind = inline.get("mimeType", inline.get("mime_type"))
            said.append(image_of(kind, inline["data"]))
        elif isinstance(part.get("text"), str):
            said.append({"type": "text", "text": part["text"]})
        else:
            raise Unconvertible(f"a part of {', '.join(part)} has no text")
    return made + _said(role, said, calls)


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
