"""How many keys a typed row was read from: more in the line means that one occurs twice.

No fast parser sees repeated keys. Every key has a colon, and texts may have some; a line with
exactly as many colons as the record has keys and its texts have colons holds no key twice. A line
with another number is read again by the strict reader, which knows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import UNSET

from orchestrator.datasets.content.texts import texts_of
from orchestrator.datasets.records import (
    Answer,
    Assistant,
    Chat,
    Function,
    ImagePart,
    Preference,
    Tool,
)

if TYPE_CHECKING:
    from orchestrator.datasets.records import Message, PreferenceInput, Reinforcement, Row


def keys_and_colons(row: Row) -> tuple[int, int]:
    """The keys of a row without those inside tools, and the colons in its texts."""
    if isinstance(row, Preference):
        holder: PreferenceInput | Chat | Reinforcement = row.input
        keys = 4
        messages = [*row.input.messages, *row.preferred_output, *row.non_preferred_output]
    else:
        holder, keys = row, 1
        messages = [*row.messages]
    keys += (holder.tools is not UNSET) + (holder.parallel_tool_calls is not UNSET)
    colons = 0
    for message in messages:
        more, inside = _of_message(message)
        keys += more
        colons += inside
    return keys, colons


def _of_message(message: Message | Answer) -> tuple[int, int]:
    keys, colons = 1 + (message.content is not UNSET), 0
    if isinstance(message.content, list):
        for part in message.content:
            keys += 2
            if isinstance(part, ImagePart):
                keys += 1 + (part.image_url.detail is not UNSET)
                colons += part.image_url.url.count(":")
    colons += sum(text.count(":") for text in texts_of(message))
    if isinstance(message, Function):
        return keys + 1, colons + message.name.count(":")
    if message.name is not UNSET:
        keys, colons = keys + 1, colons + message.name.count(":")
    if isinstance(message, Tool):
        return keys + 1, colons + message.tool_call_id.count(":")
    if isinstance(message, Assistant | Answer):
        more, inside = _of_answer(message)
        return keys + more, colons + inside
    return keys, colons


def _of_answer(message: Assistant | Answer) -> tuple[int, int]:
    keys, colons = (message.weight is not UNSET) + (message.refusal is not UNSET), 0
    if isinstance(message.refusal, str):
        colons += message.refusal.count(":")
    if message.function_call is not UNSET:
        keys += 1
    if message.function_call:
        keys += 2
        colons += message.function_call.arguments.count(":")
    if message.tool_calls is not UNSET:
        keys += 1 + 5 * len(message.tool_calls)
        for call in message.tool_calls:
            colons += call.function.arguments.count(":") + call.function.name.count(":")
            colons += call.id.count(":")
    return keys, colons
