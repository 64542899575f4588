"""Dialects of preference pairs, to OpenAI's input, preferred and non-preferred output."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.datasets.dialects.from_messages import from_llamafactory, from_sharegpt, turns_of
from orchestrator.datasets.dialects.turns import Turned, Unconvertible, tool_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def from_openai_pair(record: dict[str, Any]) -> Turned:
    """OpenAI's own pairs as they are."""
    keys = ("input", "preferred_output", "non_preferred_output")
    row = {key: record[key] for key in keys}
    others = [key for key in record if key not in keys]
    return Turned(row=row, losses=[f"the key(s) {', '.join(others)}"] if others else [])


def from_sharegpt_pair(record: dict[str, Any]) -> Turned:
    """conversations, chosen, rejected."""
    turned = from_sharegpt(record)
    chosen, rejected = (turns_of([record[side]]).row["messages"] for side in ("chosen", "rejected"))
    turned.row = _pair(turned.row["messages"], chosen, rejected, turned.row.get("tools"))
    return turned


def from_trl_pair(record: dict[str, Any]) -> Turned:
    """prompt, chosen, rejected; without a prompt, what both sides start with is the prompt."""
    chosen, rejected = _messages(record["chosen"]), _messages(record["rejected"])
    prompt = _messages(record["prompt"], role="user") if "prompt" in record else []
    notes = []
    if not prompt:
        while len(chosen) > 1 and len(rejected) > 1 and chosen[0] == rejected[0]:
            prompt.append(chosen.pop(0))
            rejected.pop(0)
        notes.append("the prompt is what both sides start with")
    tools = [tool_of(tool) for tool in record.get("tools") or ()]
    known = {"prompt", "chosen", "rejected", "tools"}
    losses = [f"the key(s) {', '.join(others)}"] if (others := set(record) - known) else []
    return Turned(row=_pair(prompt, chosen, rejected, tools), notes=notes, losses=losses)


def from_llamafactory_pair(record: dict[str, Any]) -> Turned:
    """chosen_messages and rejected_messages."""
    sides = [from_llamafactory({"messages": record[f"{side}_messages"]}) for side in _SIDES]
    turned = from_trl_pair(
        {side: part.row["messages"] for side, part in zip(_SIDES, sides, strict=True)}
    )
    turned.losses += [loss for part in sides for loss in part.losses]
    return turned


PREFERENCE_DIALECTS: Mapping[str, Callable[[dict[str, Any]], Turned]] = {
    "openai.dpo": from_openai_pair,
    "sharegpt.preference": from_sharegpt_pair,
    "trl.preference": from_trl_pair,
    "llamafactory.v1.preference": from_llamafactory_pair,
}

_SIDES = ("chosen", "rejected")


def _messages(value: Any, role: str = "assistant") -> list[dict[str, Any]]:
    if isinstance(value, str):
        return [{"role": role, "content": value}]
    listed = value if isinstance(value, list) else [value]
    return list(turns_of(listed).row["messages"])


def _pair(
    prompt: list[dict[str, Any]],
    chosen: list[dict[str, Any]],
    rejected: list[dict[str, Any]],
    tools: list[dict[str, Any]] | None,
) -> dict[str, Any]:
    if not prompt or len(chosen) != 1 or len(rejected) != 1:
        raise Unconvertible("the two sides do not differ in exactly one last answer")
    source: dict[str, Any] = {"messages": prompt}
    if tools:
        source["tools"] = tools
    return {"input": source, "preferred_output": chosen, "non_preferred_output": rejected}
