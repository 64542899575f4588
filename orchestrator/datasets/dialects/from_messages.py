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
    others_of,
    says,
    text_of,
    tool_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

SPEAKERS = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "bot": "assistant",
    "model": "assistant",
    "chatbot": "assistant",
    "ai": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "system": "system",
    "developer": "developer",
}
_CALL_SPEAKERS = frozenset({"function_call", "tool_call", "function-call"})
REPLY_SPEAKERS = frozenset(
    {"observation", "tool", "function", "function_response", "function-response", "ipython"}
)
_MADE_UP_IDS = "tool call ids were made up"


def from_openai(record: dict[str, Any]) -> Turned:
    """OpenAI chat as it is, with roles under their right names; other keys are lost."""
    row = {key: record[key] for key in _OURS if record.get(key) is not None}
    listed: list[dict[str, Any]] = row["messages"]
    known: tuple[str, ...] = _OURS
    system = record.get("system_prompt")
    if isinstance(system, str) and system and listed[0].get("role") not in _INSTRUCTING:
        listed = [{"role": "system", "content": system}, *listed]
        known = (*_OURS, "system_prompt")
    turned = Turned(row=row, losses=others_of(record, known))
    row["messages"] = [_our_message(message, turned) for message in listed]
    turned.losses += _of_turns(listed, _MESSAGE_KEYS | _FLAGS)
    return turned


_INSTRUCTING = frozenset({"system", "developer"})


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
    row = _with_tools(messages, [*(record.get("functions") or ()), *(record.get("tools") or ())])
    losses = others_of(record, {"messages", "functions", "tools"})
    return Turned(row=row, notes=[_MADE_UP_IDS] if ids.made else [], losses=losses)


def from_sharegpt(record: dict[str, Any]) -> Turned:
    """Conversations of from and value; function_call and observation become tool turns."""
    turned = turns_of(next(record[key] for key in CONVERSATIONS if record.get(key)))
    messages = turned.row["messages"]
    system = record.get("system") or record.get("system_prompt")
    if isinstance(system, str) and system:
        messages.insert(0, {"role": "system", "content": system})
    turned.row = _with_tools(messages, _listed(record.get("tools")))
    known = {*CONVERSATIONS, "system", "system_prompt", "tools", "chosen", "rejected"}
    turned.losses += others_of(record, known)
    return turned


def turns_of(conversation: list[dict[str, Any]]) -> Turned:
    """The messages of a list of from and value (or role and content)."""
    ids, turned = CallIds(), Turned(row={"messages": []})
    for turn in conversation:
        speaker = str(turn.get("from", turn.get("role"))).lower()
        value = turn.get("value", turn.get("content"))
        turned.row["messages"].append(_turn(speaker, value, ids))
        _flags(turn, turned.row["messages"][-1], turned)
    turned.losses = list(dict.fromkeys([*turned.losses, *_of_turns(conversation, _TURN_KEYS)]))
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
    turned.losses += others_of(record, {"messages"})
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
    return Turned(row=row, notes=[_MADE_UP_IDS], losses=others_of(record, {"messages", "tools"}))


def from_prompt_completion(record: dict[str, Any]) -> Turned:
    """TRL prompt and completion, texts or messages: what the prompt says is not learned."""
    asked, answered = record["prompt"], record["completion"]
    asked = [{"role": "user", "content": asked}] if isinstance(asked, str) else asked
    answered = (
        [{"role": "assistant", "content": answered}] if isinstance(answered, str) else answered
    )
    messages = [dict(message) for message in asked]
    for message in messages:
        if message["role"] == "assistant":
            message["weight"] = 0
    row = _with_tools([*messages, *answered], _listed(record.get("tools")))
    losses = ["the label"] if "label" in record else []
    losses += others_of(record, {"prompt", "completion", "tools", "label"})
    return Turned(row=row, losses=losses)


def from_kto(record: dict[str, Any]) -> Turned:
    """Messages with one label for the last answer."""
    turned = turns_of(record["messages"])
    turned.losses.append("the label")
    turned.losses += others_of(record, {"messages", "label", "kto_tag"})
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
#: Under which keys a list of turns stands, in the order they are looked for.
CONVERSATIONS = ("conversations", "conversation", "items", "messages")
_MESSAGE_KEYS = frozenset(
    {"role", "content", "name", "tool_calls", "tool_call_id", "function_call", "refusal"}
)
_FLAGS = frozenset({"weight", "train", "training", "train_detail"})
_TURN_KEYS = frozenset({"from", "value", "role", "content", *_FLAGS})


def _our_message(message: dict[str, Any], turned: Turned) -> dict[str, Any]:
    """One message with what OpenAI knows of it; all else is a loss."""
    made = {key: message[key] for key in message if key in _MESSAGE_KEYS}
    made = _without_nulls(made)
    made["role"] = SPEAKERS.get(str(message["role"]).lower(), message["role"])
    if isinstance(calls := made.get("tool_calls"), list):
        made["tool_calls"] = [_typed(call) for call in calls]
    _flags(message, made, turned)
    return made


def _typed(call: Any) -> Any:
    """Mistral leaves the only type there is out."""
    return {**call, "type": call.get("type", "function")} if "function" in call else call


def _of_turns(turns: list[dict[str, Any]], known: Collection[str]) -> list[str]:
    """The loss of what single turns say beside what is known; none or one."""
    every = {key: value for turn in turns for key, value in turn.items() if says(value)}
    return [f"{loss} of a message" for loss in others_of(every, known)]


def _turn(speaker: str, value: Any, ids: CallIds) -> dict[str, Any]:
    if speaker in _CALL_SPEAKERS:
        calls = json.loads(value) if isinstance(value, str) else value
        listed = calls if isinstance(calls, list) else [calls]
        return calling(
            [call_of(call["name"], call["arguments"], ids.make(call["name"])) for call in listed]
        )
    if speaker in REPLY_SPEAKERS:
        return {"role": "tool", "tool_call_id": ids.answered(), "content": text_of(value)}
    if speaker not in SPEAKERS:
        raise Unconvertible(f"the speaker {speaker!r} is unknown")
    return {"role": SPEAKERS[speaker], "content": text_of(value)}


def _flags(turn: dict[str, Any], message: dict[str, Any], turned: Turned) -> None:
    """Train flags and weights become weights; ranges inside a text cannot."""
    train = turn.get("train", turn.get("training", turn.get("weight")))
    role = message["role"]
    if role == "assistant" and train is not None:
        if train in (0, 1):
            weight = {"weight": int(train)} if "weight" in turn or not train else {}
            message.update(weight)
        else:
            turned.losses.append(f"the weight {train}")
    elif train:
        turned.losses.append(f"training on a {role} message")
    if says(turn.get("train_detail")):
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
