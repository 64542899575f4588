"""The rows nearly every good file is made of, known to be good at the speed of the parser.

Two shapes are known here: plain turns of text, and turns with tools. What is accepted has no flaw
of form; what is not accepted is looked at by the rules, so being too careful costs time and never
a finding.
"""

from __future__ import annotations

from itertools import repeat
from operator import attrgetter
from typing import TYPE_CHECKING

import msgspec
from msgspec import UNSET

from orchestrator.datasets.checking.batches import SPACED, bytes_around, escapes
from orchestrator.datasets.checking.toolbox import agrees, disagreement, flat_object
from orchestrator.datasets.records import (
    Assistant,
    Chat,
    Developer,
    Function,
    System,
    Tool,
    User,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.datasets.checking.batches import Measure
    from orchestrator.datasets.checking.toolbox import Declared
    from orchestrator.datasets.records import Message

#: The bytes of the shortest key there can be beside those that must be there: `,"name":""`.
SHORTEST_KEY = 10
_encode_into = msgspec.json.Encoder().encode_into
_contents = attrgetter("content")
# A buffer shrinks to what it holds: short rows and many rows at once would grow it anew each time.
_buffer, _row_buffer = bytearray(), bytearray()


def plain_texts(row: Chat, line: bytes, measure: Measure) -> list[str] | None:
    """The texts of a row that surely holds plain turns, in order, none of them blank.

    Args:
        row: the typed row.
        line: the bytes it was read from.
        measure: of chats.

    Returns:
        The text of every message; None says nothing about the row.
    """
    messages = row.messages
    shortest = bytes_around([messages], measure)
    if not shortest:
        return None
    texts: list[str] = list(map(_contents, messages))
    try:
        # The least of all texts starts with the least of all characters.
        if min(texts) < "!" and not all(map(str.strip, texts)):
            return None
        _encode_into(texts, _buffer)
        spare = len(line) - len(_buffer) - shortest + 2
        if line.startswith(SPACED):
            spare -= 4 * len(messages)
        if not _buffer.isascii():
            if not all(map(str.strip, texts)):
                return None
            spare -= escapes(texts) if spare >= SHORTEST_KEY and line.isascii() else 0
    except TypeError:  # Parts, or no content at all.
        return None
    if 0 <= spare < SHORTEST_KEY or _has_no_more_keys(row, line, spare):
        return texts
    return None


def has_plain_tools(row: Chat, declared: Declared, line: bytes) -> bool:
    """Whether a row surely has tools that are declared, called and answered in order."""
    if declared.flaws:
        return False
    spaces = _turns(row.messages, declared)
    if not spaces:
        return False
    spaces += 2 + 2 * (row.parallel_tool_calls is not UNSET)
    return _has_length(line, row, spaces)


def _has_no_more_keys(row: Chat, line: bytes, spare: int) -> bool:
    """The same proof for rows with weights, and for lines with other spacing or escapes."""
    if not (row.tools is row.functions is row.parallel_tool_calls is UNSET):
        return False
    weights = 0
    for message in row.messages:
        if message.name is not UNSET:
            return False
        if type(message) is Assistant:
            if not (message.tool_calls is message.refusal is message.function_call is UNSET):
                return False
            weights += message.weight == 1
            if message.weight == 0:
                return False
    key = len(b',"weight":1') + 2 * line.startswith(SPACED)
    return 0 <= spare - key * weights < SHORTEST_KEY or _has_colons_of_keys(
        line, row.messages, weights
    )


def _has_length(line: bytes, row: Chat, spaces: int) -> bool:
    """Whether a line has the length its row would be written with: no room for a second key.

    A writer puts a space after every comma and colon, or nowhere; which it is shows after the first
    key. Any other spacing is left to the slower count of keys.
    """
    if not line.startswith(b'{"messages":'):
        return False
    _encode_into(row, _row_buffer)
    end = (line[-1] == 10) + (line[-2] == 13)
    spare = len(line) - len(_row_buffer) - end - (spaces if line[12] == 32 else 0)
    return spare == 0 or (spare == escapes([_row_buffer.decode()]) and line.isascii())


def _has_colons_of_keys(line: bytes, messages: Sequence[Message], weights: int) -> bool:
    """Whether there is no colon but of keys and texts."""
    if b"\\u003" in line:  # A colon may be written as an escape.
        return False
    colons = sum(map(str.count, map(_contents, messages), repeat(":")))
    return line.count(b":") == colons + 1 + 2 * len(messages) + weights


def _turns(messages: Sequence[Message], declared: Declared) -> int:
    """The separators a writer would put spaces after; 0 when a turn is not plain."""
    spaces, previous, texts = 4 * len(messages), None, []
    seen: set[str] = set()
    waiting: set[str] = set()
    for message in messages:
        role = type(message)
        if isinstance(message, Tool):
            if message.tool_call_id not in waiting:
                return 0
            waiting.remove(message.tool_call_id)
            spaces += 2
        elif waiting or (previous not in _BEFORE[role]):
            return 0
        elif isinstance(message, Assistant):
            more = _calls(message, declared, seen, waiting)
            if more < 0:
                return 0
            spaces += more
        if message.content or not waiting:
            texts.append(message.content)
        if message.name is not UNSET:
            return 0
        previous = role
    if previous is not Assistant or not all(type(text) is str and text.strip() for text in texts):
        return 0
    return spaces


_BEFORE: dict[type, frozenset[type | None]] = {
    System: frozenset({None}),
    Developer: frozenset(),  # Not every target knows it.
    User: frozenset({None, System, Assistant}),
    Assistant: frozenset({User, Tool}),
    Function: frozenset(),
}


def _calls(message: Assistant, declared: Declared, seen: set[str], waiting: set[str]) -> int:
    """The separators around the calls of an answer; less than 0 when one is not plain."""
    weight, calls = message.weight, message.tool_calls
    if weight == 0 or not (message.function_call is message.refusal is UNSET):
        return -1
    spaces = 2 * (weight is not UNSET)
    if calls is UNSET:
        return spaces
    rules = declared.rules
    for call in calls:
        name, arguments = call.function.name, flat_object(call.function.arguments)
        if call.id in seen or arguments is None or name not in rules:
            return -1
        if not agrees(arguments, rules[name]) and disagreement(
            arguments, declared.parameters[name]
        ):
            return -1
        seen.add(call.id)
        waiting.add(call.id)
    return spaces + 1 + 9 * len(calls) - 2 * (message.content is UNSET)
