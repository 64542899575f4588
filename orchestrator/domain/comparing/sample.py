"""A sample: an evaluation row, with the answer it should get."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, kw_only=True)
class Sample:
    """An evaluation row.

    Attributes:
        row: its number in the file, from 1.
        messages: the conversation up to the answer.
        reference: the answer it should get.
        slice: the part of the task it belongs to, if the rows say so.
        group: rows of one group (a document, a user) depend on each other; None when all stand alone.
        tools: tools offered with it.
        calls: the tool calls of the answer it should get, in OpenAI's shape.
        fields: whatever else the row holds.
    """

    row: int
    messages: Sequence[Mapping[str, Any]]
    reference: str
    slice: str | None = None
    group: str | None = None
    tools: Sequence[Mapping[str, Any]] | None = None
    calls: Sequence[Mapping[str, Any]] = ()
    fields: Mapping[str, Any] = field(default_factory=dict)

    @property
    def asked(self) -> str:
        """The last thing the user said."""
        said = [text_of(m) for m in self.messages if m.get("role") == "user"]
        return said[-1] if said else ""


def text_of(message: Mapping[str, Any]) -> str:
    """The text of a chat message, whatever shape its content has."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return ""
