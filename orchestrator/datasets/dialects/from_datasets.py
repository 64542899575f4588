"""Shapes of single well-known datasets and services that no trainer defined."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from orchestrator.datasets.dialects.from_messages import turns_of
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


def from_input_output(record: dict[str, Any]) -> Turned:
    """Messages as input and messages as output, as traces of calls hold them."""
    output = record["output"]
    turned = turns_of([*record["input"], *(output if isinstance(output, list) else [output])])
    turned.losses += others_of(record, {"input", "output"})
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
    "input_output": from_input_output,
    "oasst.tree": from_tree,
    "oasst.message": _refused(
        "it is one message of a tree; the export by trees has whole conversations"
    ),
    "axolotl.segments": _refused(
        "its texts hold a chat template's own marks: nothing says who speaks"
    ),
    "openai.batch": _refused("it is a request without its answer"),
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
