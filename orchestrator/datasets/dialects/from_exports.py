"""Conversations as programs export them: ChatGPT, Claude, LangChain, and people's messengers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.datasets.dialects.turns import (
    Turned,
    Unconvertible,
    call_of,
    calling,
    others_of,
    says,
    text_of,
    tool_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def from_chatgpt(record: dict[str, Any]) -> Turned:
    """A tree of messages of which one branch was shown last."""
    nodes, turned = record["mapping"], Turned(row={"messages": []})
    at, shown = record.get("current_node") or _last(nodes), 0
    while at is not None:
        node = nodes[at]
        if (message := node.get("message")) and (made := _chatgpt_message(message)):
            turned.row["messages"].insert(0, made)
        shown, at = shown + 1, node.get("parent")
    if shown < len(nodes):
        turned.losses.append("other branches of the conversation")
    turned.losses += others_of(record, {"mapping", "current_node"})
    return turned


def from_claude(record: dict[str, Any]) -> Turned:
    """chat_messages of a human and the assistant."""
    roles = {"human": "user", "assistant": "assistant"}
    turned = Turned(row={"messages": []})
    for message in record["chat_messages"]:
        if message.get("attachments") or message.get("files"):
            raise Unconvertible("a message has a file, which the export does not hold")
        made = {"role": roles[message["sender"]], "content": message["text"]}
        turned.row["messages"].append(made)
    turned.losses += others_of(record, {"chat_messages"})
    return turned


def from_langchain(record: dict[str, Any]) -> Turned:
    """Messages of a type: human, ai, system and tool, plain or as LangChain writes objects."""
    turned = Turned(row={"messages": []})
    for given in record["messages"]:
        message = given.get("kwargs") or given.get("data") or given
        turned.row["messages"].append(
            _langchain_message(message, message.get("type") or given["type"])
        )
    if record.get("tools"):
        turned.row["tools"] = [tool_of(tool) for tool in record["tools"]]
    turned.losses += others_of(record, {"messages", "tools"})
    return turned


def from_people(_record: dict[str, Any]) -> Turned:
    """Nobody in a messenger is the assistant."""
    raise Unconvertible(
        "it is a chat between people: write messages, and give the role of assistant to the one "
        "whose answers are to be learned"
    )


EXPORT_DIALECTS: Mapping[str, Callable[[dict[str, Any]], Turned]] = {
    "chatgpt.export": from_chatgpt,
    "claude.export": from_claude,
    "langchain": from_langchain,
    "messenger": from_people,
}


def _last(nodes: Mapping[str, Any]) -> str:
    leaves = [name for name, node in nodes.items() if not node.get("children")]
    if len(leaves) != 1:
        raise Unconvertible("it has several branches, and current_node does not say which")
    return leaves[0]


def _chatgpt_message(message: dict[str, Any]) -> dict[str, Any] | None:
    """One message; None where it says nothing, as hidden ones do."""
    role, content = message["author"]["role"], message["content"]
    kind, parts = content.get("content_type"), content.get("parts", [])
    if not any(says(part) for part in parts) and kind in {"text", "model_editable_context"}:
        return None
    if kind != "text" or role not in {"user", "assistant", "system"}:
        raise Unconvertible(f"a message of {role} is of the kind {kind}")
    return {"role": role, "content": text_of(parts)}


_TYPES = {"human": "user", "ai": "assistant", "system": "system"}


def _langchain_message(message: dict[str, Any], kind: str) -> dict[str, Any]:
    kind = kind.removesuffix("MessageChunk").lower()
    text = text_of(message.get("content") or "")
    if kind == "tool":
        return {"role": "tool", "tool_call_id": message["tool_call_id"], "content": text}
    if kind not in _TYPES:
        raise Unconvertible(f"a message is of the type {kind}")
    calls = [
        call_of(each["name"], each["args"], each["id"]) for each in message.get("tool_calls") or ()
    ]
    return calling(calls, text) if calls else {"role": _TYPES[kind], "content": text}
