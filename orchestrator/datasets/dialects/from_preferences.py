"""Dialects of preference pairs, to OpenAI's input, preferred and non-preferred output."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.datasets.dialects.from_messages import from_llamafactory, from_sharegpt, turns_of
from orchestrator.datasets.dialects.from_rankings import RANKED_DIALECTS
from orchestrator.datasets.dialects.turns import Turned, Unconvertible, others_of, tool_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def from_openai_pair(record: dict[str, Any]) -> Turned:
    """OpenAI's own pairs as they are."""
    keys = ("input", "preferred_output", "non_preferred_output")
    row = {key: record[key] for key in keys}
    if not isinstance(row["input"], dict) or not isinstance(row["input"].get("messages"), list):
        raise Unconvertible("its input has no list of messages")
    row["input"] = {**row["input"], "messages": [*row["input"]["messages"]]}
    return Turned(row=row, losses=others_of(record, keys))


def from_sharegpt_pair(record: dict[str, Any]) -> Turned:
    """conversations, chosen, rejected."""
    turned = from_sharegpt(record)
    chosen, rejected = (turns_of([record[side]]).row["messages"] for side in ("chosen", "rejected"))
    turned.row = _pair(turned.row["messages"], chosen, rejected, turned.row.get("tools"))
    return turned


def from_trl_pair(record: dict[str, Any]) -> Turned:
    """prompt, chosen, rejected; without a prompt, what both sides start with is the prompt.

    LLaMA-Factory and others write the prompt as instruction and input, or as question, and may
    write a system text beside it; UltraFeedback repeats the prompt in both sides.
    """
    chosen, rejected = _messages(record["chosen"]), _messages(record["rejected"])
    key = next((key for key in _PROMPTS if key in record), None)
    given = _messages(_prompt(record, key), role="user") if key else []
    both, notes = [], []
    while len(chosen) > 1 and len(rejected) > 1 and chosen[0] == rejected[0]:
        both.append(chosen.pop(0))
        rejected.pop(0)
    if both and given and given != both and given[-1] != both[-1]:
        raise Unconvertible("the prompt is not what both sides start with")
    prompt = both or given
    if both:
        notes.append("the prompt is what both sides start with")
    if system := record.get("system") or record.get("system_prompt"):
        prompt = [{"role": "system", "content": system}, *prompt]
    tools = [tool_of(tool) for tool in record.get("tools") or ()]
    known = {str(key), "input", "chosen", "rejected", "tools", "system", "system_prompt"}
    if record.get("messages") == record["chosen"]:
        known.add("messages")
    losses = others_of(record, known)
    return Turned(row=_pair(prompt, chosen, rejected, tools), notes=notes, losses=losses)


_PROMPTS = ("prompt", "instruction", "question", "query", "input")


def _prompt(record: dict[str, Any], key: str) -> Any:
    if key != "input" and record.get("input") and isinstance(record[key], str):
        return f"{record[key]}\n{record['input']}"
    return record[key]


def from_llamafactory_pair(record: dict[str, Any]) -> Turned:
    """chosen_messages and rejected_messages."""
    sides = [from_llamafactory({"messages": record[f"{side}_messages"]}) for side in _SIDES]
    turned = from_trl_pair(
        {side: part.row["messages"] for side, part in zip(_SIDES, sides, strict=True)}
    )
    turned.losses += [loss for part in sides for loss in part.losses]
    turned.losses += others_of(record, {"chosen_messages", "rejected_messages"})
    return turned


PREFERENCE_DIALECTS: Mapping[str, Callable[[dict[str, Any]], Turned]] = {
    "openai.dpo": from_openai_pair,
    "sharegpt.preference": from_sharegpt_pair,
    "trl.preference": from_trl_pair,
    "llamafactory.v1.preference": from_llamafactory_pair,
    **RANKED_DIALECTS,
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
