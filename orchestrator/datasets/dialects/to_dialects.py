"""Out of OpenAI chat into other dialects: what a dialect cannot hold is named."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from orchestrator.datasets.dialects.from_transcripts import HUMAN
from orchestrator.datasets.dialects.turns import Turned, Unconvertible, text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_INSTRUCTIONS = frozenset({"system", "developer"})


def to_sharegpt(row: Mapping[str, Any]) -> Turned:
    """Conversations of from and value; calls and replies are turns of their own."""
    turned = Turned(row={"conversations": []}, losses=_lost(row, "weight", "name"))
    for message in row["messages"]:
        for speaker, value in _sharegpt_turns(message, turned.losses):
            turned.row["conversations"].append({"from": speaker, "value": value})
    if row.get("tools"):
        declared = [tool["function"] for tool in row["tools"]]
        turned.row["tools"] = json.dumps(declared, ensure_ascii=False)
    return turned


def to_alpaca(row: Mapping[str, Any]) -> Turned:
    """instruction, output, and what came before as history."""
    messages, losses = _plain(row), _lost(row, "weight", "name")
    system = messages.pop(0)["content"] if messages[0]["role"] == "system" else None
    pairs = _pairs(messages)
    made: dict[str, Any] = {"instruction": pairs[-1][0], "input": "", "output": pairs[-1][1]}
    if system is not None:
        made["system"] = system
    if len(pairs) > 1:
        made["history"] = [list(pair) for pair in pairs[:-1]]
    return Turned(row=made, losses=losses)


def to_completion(row: Mapping[str, Any]) -> Turned:
    """One question and its answer as prompt and completion."""
    pairs, losses = _pairs(_plain(row)), _lost(row, "weight", "name")
    if len(pairs) != 1:
        raise Unconvertible("it has more than one question")
    if pairs[0][1] != pairs[0][1].strip():
        losses.append("whitespace at the edges of the answer")
    if pairs[0][0].startswith(HUMAN):
        raise Unconvertible("its question reads as a transcript")
    return Turned(row={"prompt": pairs[0][0], "completion": pairs[0][1]}, losses=losses)


def to_anthropic(row: Mapping[str, Any]) -> Turned:
    """System beside messages that alternate, a user first."""
    messages, losses = _plain(row), _lost(row, "weight", "name")
    made: dict[str, Any] = {}
    if messages[0]["role"] == "system":
        made["system"] = messages.pop(0)["content"]
    _pairs(messages)
    return Turned(row={**made, "messages": messages}, losses=losses)


def to_gemini(row: Mapping[str, Any]) -> Turned:
    """Contents with parts; the assistant is the model."""
    messages, losses = _plain(row), _lost(row, "weight", "name")
    made: dict[str, Any] = {}
    if messages[0]["role"] == "system":
        parts = [{"text": messages.pop(0)["content"]}]
        made["systemInstruction"] = {"role": "system", "parts": parts}
    _pairs(messages)
    roles = {"user": "user", "assistant": "model"}
    made["contents"] = [
        {"role": roles[each["role"]], "parts": [{"text": each["content"]}]} for each in messages
    ]
    return Turned(row=made, losses=losses)


def to_bedrock(row: Mapping[str, Any]) -> Turned:
    """Amazon's conversations: system and content are lists of texts."""
    messages, losses = _plain(row), _lost(row, "weight", "name")
    made: dict[str, Any] = {"schemaVersion": "bedrock-conversation-2024"}
    if messages[0]["role"] == "system":
        made["system"] = [{"text": messages.pop(0)["content"]}]
    _pairs(messages)
    made["messages"] = [
        {"role": each["role"], "content": [{"text": each["content"]}]} for each in messages
    ]
    return Turned(row=made, losses=losses)


def to_mistral(row: Mapping[str, Any]) -> Turned:
    """OpenAI's shape with call ids of nine characters; an id that has nine stays."""
    ids: dict[str, str] = {}
    messages = []
    for message in row["messages"]:
        made = dict(message)
        if made["role"] == "developer":
            made["role"] = "system"
        if "tool_calls" in made:
            made["tool_calls"] = [
                {**call, "id": ids.setdefault(call["id"], _nine(call["id"]))}
                for call in made["tool_calls"]
            ]
        if "tool_call_id" in made:
            made["tool_call_id"] = ids.get(made["tool_call_id"], _nine(made["tool_call_id"]))
        messages.append(made)
    notes = ["tool call ids were rewritten"] if any(a != b for a, b in ids.items()) else []
    return Turned(row={**row, "messages": messages}, notes=notes, losses=_lost(row, "name"))


def to_trl(row: Mapping[str, Any]) -> Turned:
    """TRL's conversations: arguments as an object, calls without ids."""
    losses, messages = _lost(row, "weight"), []
    for message in row["messages"]:
        made = {key: value for key, value in message.items() if key != "weight"}
        if "tool_calls" in made:
            losses.append("tool call ids")
            made["tool_calls"] = [_trl_call(call) for call in made["tool_calls"]]
        if made.pop("tool_call_id", None) is not None and len(_calls_before(row, message)) > 1:
            losses.append("which call a reply answers")
        messages.append(made)
    return Turned(row={**row, "messages": messages}, losses=list(dict.fromkeys(losses)))


TARGETS: Mapping[str, Callable[[Mapping[str, Any]], Turned]] = {
    "sharegpt": to_sharegpt,
    "alpaca": to_alpaca,
    "openai.completion": to_completion,
    "anthropic.messages": to_anthropic,
    "gemini.vertex": to_gemini,
    "bedrock.conversation": to_bedrock,
    "mistral": to_mistral,
    "trl.tools": to_trl,
}


def _lost(row: Mapping[str, Any], *keys: str) -> list[str]:
    """Which of the keys some message has that says more than nothing."""
    losses = [
        f"the {key} of a message"
        for key in keys
        if any(key in message and not _is_default(key, message[key]) for message in row["messages"])
    ]
    if "parallel_tool_calls" in row and "weight" in keys:
        losses.append("parallel_tool_calls")
    if any(message["role"] == "developer" for message in row["messages"]):
        losses.append("that instructions are a developer's")
    return losses


def _is_default(key: str, value: object) -> bool:
    return key == "weight" and value == 1


def _plain(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Messages of text alone."""
    if row.get("tools"):
        raise Unconvertible("it has tools")
    messages = []
    for message in row["messages"]:
        if message.get("tool_calls") or message["role"] in {"tool", "function"}:
            raise Unconvertible("it calls tools")
        role = "system" if message["role"] in _INSTRUCTIONS else message["role"]
        messages.append({"role": role, "content": _only_text(message)})
    return messages


def _only_text(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, list) and any(part.get("type") != "text" for part in content):
        raise Unconvertible("it has parts that are not text")
    return text_of(content)


def _pairs(messages: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Question and answer in turn, or a refusal."""
    roles = [message["role"] for message in messages]
    if not roles or roles != ["user", "assistant"] * (len(roles) // 2):
        raise Unconvertible("users and assistant do not take turns")
    texts = [message["content"] for message in messages]
    return list(zip(texts[::2], texts[1::2], strict=True))


def _sharegpt_turns(message: Mapping[str, Any], losses: list[str]) -> list[tuple[str, str]]:
    role = message["role"]
    if role == "tool":
        return [("observation", _only_text(message))]
    calls = message.get("tool_calls") or []
    if len(calls) > 1:
        raise Unconvertible("it has parallel tool calls")
    if not calls:
        speakers = {"user": "human", "assistant": "gpt"}
        return [(speakers.get(role, "system"), _only_text(message))]
    if message.get("content"):
        losses.append("the text beside a tool call")
    losses.append("tool call ids")
    call = calls[0]["function"]
    made = {"name": call["name"], "arguments": json.loads(call["arguments"])}
    return [("function_call", json.dumps(made, ensure_ascii=False))]


def _nine(identifier: str) -> str:
    if len(identifier) == 9 and identifier.isalnum():
        return identifier
    return hashlib.sha256(identifier.encode()).hexdigest()[:9]


def _trl_call(call: Mapping[str, Any]) -> dict[str, Any]:
    function = call["function"]
    arguments = json.loads(function["arguments"])
    return {"type": "function", "function": {"name": function["name"], "arguments": arguments}}


def _calls_before(row: Mapping[str, Any], reply: Mapping[str, Any]) -> list[Any]:
    for message in row["messages"]:
        for call in message.get("tool_calls") or []:
            if call["id"] == reply.get("tool_call_id"):
                calls: list[Any] = message["tool_calls"]
                return calls
    return []
