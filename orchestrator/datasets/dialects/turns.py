"""The pieces all converters share: a row that grows, tool calls without ids, texts from parts."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


class Unconvertible(Exception):
    """There is no faithful row for the record; the message says why."""


@dataclass(kw_only=True)
class Turned:
    """A row and what was lost or made up on the way."""

    row: dict[str, Any]
    losses: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def preferred_side(self) -> Turned:
        """The supervised row of a preference pair: its input and the preferred answer."""
        source = self.row["input"]
        row = {"messages": [*source["messages"], *self.row["preferred_output"]]}
        if source.get("tools"):
            row["tools"] = source["tools"]
            if "parallel_tool_calls" in source:
                row["parallel_tool_calls"] = source["parallel_tool_calls"]
        return Turned(row=row, losses=[*self.losses, "the rejected answer"], notes=self.notes)


@dataclass
class CallIds:
    """Ids for calls that have none: call_1, call_2, ... in the order of the row."""

    made: int = 0
    waiting: list[tuple[str, str]] = field(default_factory=list)

    def make(self, name: str) -> str:
        """The id of the next call."""
        self.made += 1
        identifier = f"call_{self.made}"
        self.waiting.append((name, identifier))
        return identifier

    def answered(self, name: str | None = None) -> str:
        """The id of the oldest open call (of that name, if one is given)."""
        for entry in self.waiting:
            if name is None or entry[0] == name:
                self.waiting.remove(entry)
                return entry[1]
        raise Unconvertible("a tool answers a call that was never made")


def others_of(record: Mapping[str, Any], used: Collection[str]) -> list[str]:
    """The loss of all keys that say something and were not used; none or one."""
    others = [str(key) for key, value in record.items() if key not in used and says(value)]
    return [f"the key(s) {', '.join(others)}"] if others else []


def says(value: object) -> bool:
    """Whether a value says something: false and 0 do, null and what is empty do not."""
    return value is not None and value not in ("", [], {})


def exchange(asked: str, answered: str) -> list[dict[str, Any]]:
    """A question and its answer."""
    return [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]


def call_of(name: str, arguments: object, identifier: str) -> dict[str, Any]:
    """A tool call of our own; arguments become JSON as a text."""
    text = arguments if isinstance(arguments, str) else as_json(arguments)
    return {
        "id": identifier,
        "type": "function",
        "function": {"name": name, "arguments": text},
    }


def calling(calls: list[dict[str, Any]], text: str | None = None) -> dict[str, Any]:
    """An assistant message that calls tools."""
    return {"role": "assistant", "content": text or None, "tool_calls": calls}


def as_json(value: object) -> str:
    """JSON as OpenAI writes it in arguments; NaN is refused."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def tool_of(declared: dict[str, Any]) -> dict[str, Any]:
    """A function declaration, wrapped; a wrapped one as it is."""
    if declared.get("type") == "function" and isinstance(declared.get("function"), dict):
        return declared
    kept = {key: declared[key] for key in ("name", "description", "parameters") if key in declared}
    return {"type": "function", "function": kept}


def text_of(content: object) -> str:
    """The text of a string or of parts under any of the usual names."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise Unconvertible("a message has no text")
    texts = [part if isinstance(part, str) else _text_of_part(part) for part in content]
    return "".join(texts)


def image_of(media_type: str, data: str) -> dict[str, Any]:
    """An image part from base64."""
    return {"type": "image_url", "image_url": {"url": f"data:{media_type};base64,{data}"}}


def _text_of_part(part: dict[str, Any]) -> str:
    for key in ("text", "value", "content"):
        if isinstance(part.get(key), str):
            text: str = part[key]
            return text
    raise Unconvertible(f"a part of the type {part.get('type')} has no text")
