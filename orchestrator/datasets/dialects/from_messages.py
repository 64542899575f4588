"""Dialects of messages: OpenAI's own, ShareGPT and its kin, LLaMA-Factory, TRL, KTO."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from orchestrator.datasets.dialects.turns import (
    CallIds,
    Turned,
    Unconvertible,
    call_of,
    calling,
    text_of,
    tool_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SPEAKERS = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "bot": "assistant",
    "model": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "system": "system",
    "developer": "developer",
}
_CALL_SPEAKERS = frozenset({"function_call", "tool_call", "function-call"})
_REPLY_SPEAKERS = frozenset(
    {"observation", "tool", "function_response", "function-response", "ipython"}
)
_MADE_UP_IDS = "tool call ids were made up"


def from_openai(record: dict[str, Any]) -> Turned:
    """OpenAI chat as it is, with roles under their right names; other keys are lost."""
    kept = {key: record[key] for key in _OURS if record.get(key) is not None}
    messages, losses = [], []
    for message in kept["messages"]:
        role = SPEAKERS.get(str(message["role"]).lower(), message["role"])
        messages.append({**_without_nulls(message), "role": role})
    if others := [key for key in record if key not in _OURS]:
        losses.append(f"the key(s) {', '.join(others)}")
    return Turned(row={**kept, "messages": messages}, losses=losses)


def from_legacy(record: dict[str, Any]) -> Turned:
    """Functions and function_call become tools and tool_calls; ids are made up."""
    ids, messages = CallIds(), []
    for message in record["messages"]:
        if call := message.get("function_call"):
            made = call_of(call["name"], call["arguments"], ids.make(call["name"]))
            messages.append(calling([made], message.get("content")))
            if "weight" in message:
                messages[-1]["weight"] = message["weight"]
        elif message["role"] == "function":
            identifier = ids.answered(message.get("name"))
            content = message.get("content") or ""
            messages.append({"role": "tool", "tool_call_id": identifier, "content": content})
        else:
            messages.append(_without_nulls(message))
    row = _with_tools(messages, record.get("functions"))
    return Turned(row=row, notes=[_MADE_UP_IDS] if ids.made else [])


def from_sharegpt(record: dict[str, Any]) -> Turned:
    """Conversations of from and value; function_call and observation become tool turns."""
    turned = turns_of(record.get("conversations") or record["messages"])
    messages = turned.row["messages"]
    if isinstance(record.get("system"), str) and record["system"]:
        messages.insert(0, {"role": "system", "content": record["system"]})
    turned.row = _with_tools(messages, _listed(record.get("tools")))
    known = {"conversations", "messages", "system", "tools", "chosen", "rejected"}
    if others := [key for key in record if key not in known and record[key]]:
        turned.losses.append(f"the key(s) {', '.join(others)}")
    return turned


def turns_of(conversation: list[dict[str, Any]]) -> Turned:
    """The messages of a list of from and value (or role and content)."""
    ids, turned = CallIds(), Turned(row={"messages": []})
    for turn in conversation:
        speaker = str(turn.get("from", turn.get("role"))).lower()
        value = turn.get("value", turn.get("content"))
        turned.row["messages"].append(_turn(speaker, value, ids))
        _flags(turn, speaker, turned)
    if ids.made:
        turned.notes.append(_MADE_UP_IDS)
    return turned


def from_llamafactory(record: dict[str, Any]) -> Turned:
    """Parts of type and value; loss weights become weights where they are 0 or 1."""
    turned = Turned(row={"messages": []})
    for message in record["messages"]:
        kinds = {str(part.get("type")) for part in message["content"] if isinstance(part, dict)}
        if kinds - {"text"}:
            raise Unconvertible(f"parts of the type {', '.join(sorted(kinds - {'text'}))}")
        role = SPEAKERS.get(message["role"], message["role"])
        made: dict[str, Any] = {"role": role, "content": text_of(message["content"])}
        weight = message.get("loss_weight")
        if role == "assistant" and weight is not None:
            if weight not in (0, 1):
                turned.losses.append(f"the loss weight {weight}")
            elif weight == 0:
                made["weight"] = 0
        elif weight and role != "assistant":
            turned.losses.append(f"the loss weight of a {role} message")
        turned.row["messages"].append(made)
    if others := [key for key in record if key != "messages"]:
        turned.losses.append(f"the key(s) {', '.join(others)}")
    return turned


def from_trl_tools(record: dict[str, Any]) -> Turned:
    """Calls whose arguments are objects and that have no ids; replies are found by name."""
    ids, messages = CallIds(), []
    for message in record["messages"]:
        if calls := message.get("tool_calls"):
            made = [
                call_of(
                    call["function"]["name"],
                    call["function"]["arguments"],
                    ids.make(call["function"]["name"]),
                )
                for call in calls
            ]
            messages.append(calling(made, message.get("content")))
        elif message["role"] == "tool":
            identifier = ids.answered(message.get("name"))
            content = text_of(message["content"])
            messages.append({"role": "tool", "tool_call_id": identifier, "content": content})
        else:
            messages.append(_without_nulls(message))
    row = _with_tools(messages, _listed(record.get("tools")))
    return Turned(row=row, notes=[_MADE_UP_IDS])


def from_prompt_completion(record: dict[str, Any]) -> Turned:
    """TRL prompt and completion as messages: what the prompt says is not learned."""
    messages = [dict(message) for message in record["prompt"]]
    for message in messages:
        if message["role"] == "assistant":
            message["weight"] = 0
    row = _with_tools([*messages, *record["completion"]], _listed(record.get("tools")))
    return Turned(row=row, losses=["the label"] if "label" in record else [])


def from_kto(record: dict[str, Any]) -> Turned:
    """Messages with one label for the last answer."""
    turned = turns_of(record["messages"])
    if record.get("label", record.get("kto_tag")) is False:
        raise Unconvertible("the answer is labelled as not wanted")
    turned.losses.append("the label")
    return turned


def from_items(_record: dict[str, Any]) -> Turned:
    """Prompts without an answer."""
    raise Unconvertible("it has no assistant message: the answer sits in the grader's fields")


MESSAGE_DIALECTS: Mapping[str, Callable[[dict[str, Any]], Turned]] = {
    "openai.chat": from_openai,
    "openai.chat.legacy_functions": from_legacy,
    "openai.rft": from_items,
    "openai.evals_item": from_items,
    "sharegpt": from_sharegpt,
    "axolotl.train_flags": from_sharegpt,
    "kto": from_kto,
    "llamafactory.v1": from_llamafactory,
    "trl.tools": from_trl_tools,
    "trl.prompt_completion": from_prompt_completion,
    "trl.unpaired": from_prompt_completion,
}

_OURS = ("messages", "tools", "parallel_tool_calls")


def _turn(speaker: str, value: Any, ids: CallIds) -> dict[str, Any]:
    if speaker in _CALL_SPEAKERS:
        calls = json.loads(value) if isinstance(value, str) else value
        listed = calls if isinstance(calls, list) else [calls]
        return calling(
            [call_of(call["name"], call["arguments"], ids.make(call["name"])) for call in listed]
        )
    if speaker in _REPLY_SPEAKERS:
        return {"role": "tool", "tool_call_id": ids.answered(), "content": text_of(value)}
    if speaker not in SPEAKERS:
        raise Unconvertible(f"the speaker {speaker!r} is unknown")
    return {"role": SPEAKERS[speaker], "content": text_of(value)}


def _flags(turn: dict[str, Any], speaker: str, turned: Turned) -> None:
    """Axolotl's train flags become weights; ranges inside a text cannot."""
    message = turned.row["messages"][-1]
    train = turn.get("train", turn.get("training"))
    if train is False and message["role"] == "assistant":
        message["weight"] = 0
    elif train is True and message["role"] != "assistant":
        turned.losses.append(f"training on a {speaker} message")
    if turn.get("train_detail"):
        turned.losses.append("training on ranges of a text")


def _with_tools(messages: list[dict[str, Any]], declared: Any) -> dict[str, Any]:
    row: dict[str, Any] = {"messages": messages}
    if declared:
        row["tools"] = [tool_of(tool) for tool in declared]
    return row


def _listed(tools: Any) -> Any:
    return json.loads(tools) if isinstance(tools, str) and tools.strip() else tools


def _without_nulls(message: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in message.items() if value is not None or key == "content"}
