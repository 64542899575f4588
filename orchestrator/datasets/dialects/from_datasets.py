"""Shapes of single well-known datasets and services that no trainer defined."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from orchestrator.datasets.dialects.dialects import EXCHANGE_KEYS
from orchestrator.datasets.dialects.from_messages import CONVERSATIONS, turns_of
from orchestrator.datasets.dialects.turns import (
    CallIds,
    Turned,
    Unconvertible,
    call_of,
    calling,
    exchange,
    others_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


def from_xlam(record: dict[str, Any]) -> Turned:
    """A query, the tools (their parameters without a schema around them), and the calls."""
    ids, answers, tools = CallIds(), _read(record["answers"]), _read(record["tools"])
    calls = [call_of(call["name"], call["arguments"], ids.make(call["name"])) for call in answers]
    answer = calling(calls) if calls else {"role": "assistant", "content": "[]"}
    messages = [{"role": "user", "content": record["query"]}, answer]
    turned = Turned(row={"messages": messages, "tools": list(map(_declared, tools))})
    turned.notes += ["tool call ids were made up", "the parameters were put into a JSON Schema"]
    turned.losses += others_of(record, {"query", "tools", "answers"})
    return turned


def from_cohere(record: dict[str, Any]) -> Turned:
    """preamble, chat_history, message and the response."""
    turns = [{"from": turn["role"], "value": turn["message"]} for turn in record["chat_history"]]
    turned = turns_of(turns)
    answer = next((key for key in ("response", "completion", "text") if key in record), None)
    if answer is None:
        raise Unconvertible("it has no response")
    turned.row["messages"] += exchange(record["message"], record[answer])
    if record.get("preamble"):
        turned.row["messages"].insert(0, {"role": "system", "content": record["preamble"]})
    turned.losses += others_of(record, {"preamble", "chat_history", "message", answer})
    return turned


def from_exchanges(record: dict[str, Any]) -> Turned:
    """A list of objects, each with what was asked and what was answered."""
    turned, lost = Turned(row={"messages": []}), []
    key = next(key for key in CONVERSATIONS if record.get(key))
    for each in record[key]:
        asked, answered = next(pair for pair in EXCHANGE_KEYS if set(pair) <= each.keys())
        turned.row["messages"] += exchange(each[asked], each[answered])
        lost += others_of(each, {asked, answered})
    system = next((record[name] for name in ("system", "system_prompt") if record.get(name)), None)
    if system:
        turned.row["messages"].insert(0, {"role": "system", "content": system})
    turned.losses += [f"{loss} of an exchange" for loss in dict.fromkeys(lost)]
    turned.losses += others_of(record, {key, "system", "system_prompt"})
    return turned


def from_ideal(record: dict[str, Any]) -> Turned:
    """Messages as input and the ideal answer, as OpenAI's evals have them."""
    ideal = record["ideal"]
    ideal = ideal[0] if isinstance(ideal, list) and len(ideal) == 1 else ideal
    if not isinstance(ideal, str):
        raise Unconvertible("it has several ideal answers; nothing says which to learn")
    turned = turns_of([*record["input"], {"role": "assistant", "content": ideal}])
    turned.losses += others_of(record, {"input", "ideal"})
    return turned


def from_tree(record: dict[str, Any]) -> Turned:
    """A tree of replies; the way along the best ones is the conversation."""
    turned = Turned(row={"messages": []})
    node: Any = record["prompt"]
    while node is not None:
        role = {"prompter": "user"}.get(node["role"], node["role"])
        turned.row["messages"].append({"role": role, "content": node["text"]})
        replies = node.get("replies") or []
        if len(replies) > 1:
            turned.losses.append("the other replies")
        node = min(replies, key=_rank, default=None)
    if turned.row["messages"][-1]["role"] != "assistant":
        turned.row["messages"].pop()
        turned.losses.append("a question without a reply")
    told = others_of(record, {"message_tree_id", "prompt", "tree_state"})
    turned.losses = [*dict.fromkeys(turned.losses), *told]
    return turned


def _refused(reason: str) -> Callable[[dict[str, Any]], Turned]:
    def refuse(_record: dict[str, Any]) -> Turned:
        raise Unconvertible(reason)

    return refuse


DATASET_DIALECTS: Mapping[str, Callable[[dict[str, Any]], Turned]] = {
    "xlam": from_xlam,
    "cohere.chat": from_cohere,
    "exchanges": from_exchanges,
    "openai.evals_ideal": from_ideal,
    "oasst.tree": from_tree,
    "oasst.message": _refused(
        "it is one message of a tree; the export by trees has whole conversations"
    ),
    "axolotl.segments": _refused(
        "its texts hold a chat template's own marks: nothing says who speaks"
    ),
    "openai.batch": _refused("it is a request without its answer"),
    "openai.answer": _refused(
        "it is an answer without its request: put both into one row, as request and response"
    ),
}


def _rank(reply: dict[str, Any]) -> float:
    rank = reply.get("rank")
    return float("inf") if rank is None else float(rank)


def _read(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value


_TYPES = {
    "str": "string",
    "int": "integer",
    "float": "number",
    "bool": "boolean",
    "dict": "object",
    "list": "array",
}


def _declared(tool: dict[str, Any]) -> dict[str, Any]:
    parameters = tool.get("parameters") or {}
    if "properties" not in parameters:
        listed = dict(_properties(parameters))
        required = [name for name, each in parameters.items() if not _is_optional(each)]
        parameters = {"type": "object", "properties": listed}
        if required:
            parameters["required"] = required
    function = {"name": tool["name"], "description": tool.get("description", "")}
    return {"type": "function", "function": {**function, "parameters": parameters}}


def _properties(parameters: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Python's words for types become JSON Schema's; what has none says nothing of its type."""
    for name, given in parameters.items():
        made = {key: value for key, value in given.items() if key not in {"type", "required"}}
        word = str(given.get("type", "")).split(",")[0].split("[")[0].strip().lower()
        if kind := _TYPES.get(word, word if word in _TYPES.values() else None):
            made["type"] = kind
        yield name, made


def _is_optional(given: dict[str, Any]) -> bool:
    return "default" in given or "optional" in str(given.get("type", "")).lower()
