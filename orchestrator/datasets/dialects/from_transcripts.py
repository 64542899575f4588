"""Dialects that write turns into one text: Human and Assistant, Glaive's functions, Hermes' tags."""

from __future__ import annotations

import ast
import json
import re
from typing import TYPE_CHECKING, Any

from orchestrator.datasets.dialects.turns import (
    CallIds,
    Turned,
    Unconvertible,
    call_of,
    calling,
    others_of,
    tool_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

#: How the transcripts of Anthropic's older models part their turns.
HUMAN = "\n\nHuman:"


def turns_of_transcript(text: str) -> list[dict[str, Any]]:
    """The messages of a text in which every turn starts with Human or Assistant."""
    head, *parts = re.split(r"\n\n(Human|Assistant):", text)
    if head.strip() or not parts:
        raise Unconvertible("its text does not start with Human:")
    roles = {"Human": "user", "Assistant": "assistant"}
    said = zip(parts[::2], parts[1::2], strict=True)
    return [{"role": roles[speaker], "content": each.strip()} for speaker, each in said]


def from_glaive(record: dict[str, Any]) -> Turned:
    """USER, ASSISTANT and FUNCTION RESPONSE in one text, the functions in the system text."""
    ids, turned = CallIds(), Turned(row={"messages": []})
    system, functions = _functions_apart(record["system"].removeprefix("SYSTEM:").strip())
    if system:
        turned.row["messages"].append({"role": "system", "content": system})
    _, *parts = re.split(r"(?:^|\n)\s*(USER|ASSISTANT|FUNCTION RESPONSE):", record["chat"])
    for speaker, text in zip(parts[::2], parts[1::2], strict=True):
        said = text.replace("<|endoftext|>", "").strip()
        turned.row["messages"].append(_glaive_turn(speaker, said, ids))
    if functions:
        turned.row["tools"] = [tool_of(function) for function in functions]
    turned.notes.append("functions were taken out of the system text, whitespace at edges too")
    turned.losses += others_of(record, {"system", "chat"})
    return _with_ids_told(turned, ids)


def from_hermes(record: dict[str, Any]) -> Turned:
    """ShareGPT turns with <tool_call> and <tool_response> inside their texts."""
    ids, turned = CallIds(), Turned(row={"messages": []})
    if record.get("system"):
        turned.row["messages"].append({"role": "system", "content": record["system"]})
    for turn in record["conversations"]:
        speaker = str(turn.get("from", turn.get("role"))).lower()
        turned.row["messages"] += _hermes_turns(
            speaker, turn.get("value", turn.get("content")), ids
        )
        turned.losses += others_of(turn, {"from", "role", "value", "content"})
    turned.losses = list(dict.fromkeys(turned.losses))
    declared = record.get("tools")
    listed = json.loads(declared) if isinstance(declared, str) else declared
    if listed:
        turned.row["tools"] = [tool_of(tool) for tool in listed]
    turned.notes.append("calls and replies were taken out of their tags; the system text has them")
    turned.losses += others_of(record, {"conversations", "system", "tools"})
    return _with_ids_told(turned, ids)


TRANSCRIPT_DIALECTS: Mapping[str, Callable[[dict[str, Any]], Turned]] = {
    "glaive": from_glaive,
    "sharegpt.hermes": from_hermes,
}


def _with_ids_told(turned: Turned, ids: CallIds) -> Turned:
    if ids.made:
        turned.notes.append("tool call ids were made up")
    return turned


def _functions_apart(system: str) -> tuple[str, list[dict[str, Any]]]:
    """The text before the first function, and the functions."""
    start = system.find("{")
    if start < 0:
        return system, []
    return system[:start].rstrip(" -\n"), list(_objects(system[start:]))


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """JSON objects one after the other, and nothing else."""
    decoder, at = json.JSONDecoder(), 0
    while at < len(text.rstrip()):
        value, end = decoder.raw_decode(text, at)
        yield value
        at = end + len(text[end:]) - len(text[end:].lstrip())


def _glaive_turn(speaker: str, said: str, ids: CallIds) -> dict[str, Any]:
    if speaker == "USER":
        return {"role": "user", "content": said}
    if speaker == "FUNCTION RESPONSE":
        return {"role": "tool", "tool_call_id": ids.answered(), "content": said}
    text, tag, called = said.partition("<functioncall>")
    if not tag:
        return {"role": "assistant", "content": said}
    # Arguments stand in single quotes there, as one text.
    found = re.fullmatch(
        r"\{\s*\"name\":\s*\"(.+?)\",\s*\"arguments\":\s*'?(.*?)'?\s*\}", called.strip(), re.DOTALL
    )
    if found is None:
        raise Unconvertible("a function call cannot be read")
    name, arguments = found.groups()
    return calling([call_of(name, json.loads(arguments or "{}"), ids.make(name))], text.strip())


_CALLED = re.compile(r"<tool_call>\s*(.*?)\s*</tool_call>", re.DOTALL)
_REPLIED = re.compile(r"<tool_response>\s*(.*?)\s*</tool_response>", re.DOTALL)


def _hermes_turns(speaker: str, text: str, ids: CallIds) -> list[dict[str, Any]]:
    if speaker == "tool":
        replies = _REPLIED.findall(text) or [text]
        return [
            {"role": "tool", "tool_call_id": ids.answered(), "content": reply} for reply in replies
        ]
    role = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant"}.get(
        speaker, speaker
    )
    if role not in {"system", "user", "assistant"}:
        raise Unconvertible(f"the speaker {speaker!r} is unknown")
    if role != "assistant" or not (calls := _CALLED.findall(text)):
        return [{"role": role, "content": text}]
    read = [_read(call) for call in calls]
    made = [call_of(each["name"], each["arguments"], ids.make(each["name"])) for each in read]
    return [calling(made, _CALLED.sub("", text).strip())]


def _read(call: str) -> Any:
    """JSON, or the Python some of these sets were printed with; a literal, never code."""
    try:
        return json.loads(call)
    except ValueError:
        try:
            return ast.literal_eval(call)
        except (ValueError, SyntaxError) as error:
            raise Unconvertible("a tool call cannot be read") from error
