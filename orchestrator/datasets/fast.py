"""The rows nearly every good file is made of, accepted at the speed of the parser.

Two shapes are known here: plain turns of text, and turns with tools. What is accepted has no flaw
of form; what is not accepted is looked at by the rules, so being too careful costs time and never
a finding.
"""

from __future__ import annotations

from itertools import repeat
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

from orchestrator.datasets.records import Assistant, Chat, Developer, Function, System, Tool, User
from orchestrator.datasets.toolbox import disagreement, flat_object

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.datasets.records import Message, ToolCall
    from orchestrator.datasets.toolbox import Declared


class _System(Struct, tag_field="role", tag="system", forbid_unknown_fields=True, gc=False):
    content: str


class _Developer(Struct, tag_field="role", tag="developer", forbid_unknown_fields=True, gc=False):
    content: str


class _User(Struct, tag_field="role", tag="user", forbid_unknown_fields=True, gc=False):
    content: str


class _Assistant(Struct, tag_field="role", tag="assistant", forbid_unknown_fields=True, gc=False):
    content: str
    weight: Literal[1] | UnsetType = UNSET


class PlainChat(Struct, forbid_unknown_fields=True, gc=False):
    """Turns of text and nothing else."""

    messages: list[_System | _Developer | _User | _Assistant]


_PLAIN_ENDS = (b'"}]}\n', b'"}]}')
_decode_plain = msgspec.json.Decoder(PlainChat).decode
_contents = attrgetter("content")
_encode_into = msgspec.json.Encoder().encode_into
_buffer = bytearray()


def is_plain(line: bytes) -> bool:
    """Whether a line surely holds plain turns of text, in order, none of them empty."""
    if not line.endswith(_PLAIN_ENDS):
        return False
    try:
        row = _decode_plain(line)
    except (ValueError, RecursionError):
        return False
    messages = row.messages
    roles = tuple(map(type, messages))
    if roles not in _in_turn and not _remember(roles):
        return False
    if not all(map(str.strip, map(_contents, messages))):
        return False
    return _has_no_more_keys(line, row, 4 * len(roles)) or _has_colons_of_keys(line, messages)


def has_plain_tools(row: Chat, declared: Declared, line: bytes) -> bool:
    """Whether a row surely has tools that are declared, called and answered in order."""
    if declared.flaws or row.functions is not UNSET:
        return False
    spaces = _turns(row.messages, declared)
    if not spaces:
        return False
    spaces += 2 + 2 * (row.parallel_tool_calls is not UNSET)
    return _has_no_more_keys(line, row, spaces)


def _has_no_more_keys(line: bytes, row: PlainChat | Chat, spaces: int) -> bool:
    """Whether a line has the length its row would be written with: no room for a second key.

    A writer puts a space after every comma and colon, or nowhere; which it is shows after the first
    key. Any other spacing is left to the slower count of keys.
    """
    if not line.startswith(b'{"messages":'):
        return False
    _encode_into(row, _buffer)
    extra = len(line) - len(_buffer) - (line[-1] == 10)
    return extra == (spaces if line[12] == 32 else 0)


def _has_colons_of_keys(line: bytes, messages: Sequence[Any]) -> bool:
    """The same proof for lines with escapes or other spacing: no colon but of keys and texts."""
    if any(type(message) is _Assistant and message.weight is not UNSET for message in messages):
        return False
    colons = sum(map(str.count, map(_contents, messages), repeat(":")))
    return line.count(b":") == colons + 1 + 2 * len(messages)


_in_turn: set[tuple[type, ...]] = set()
_MOST_REMEMBERED = 1000


def _remember(roles: tuple[type, ...]) -> bool:
    """Whether instructions come first, then users and assistants in turn, an assistant last."""
    turns = roles[1:] if roles and roles[0] in {_System, _Developer} else roles
    if not turns or len(turns) % 2 or set(turns[::2]) != {_User}:
        return False
    if set(turns[1::2]) != {_Assistant}:
        return False
    if len(_in_turn) < _MOST_REMEMBERED:
        _in_turn.add(roles)
    return True


def _turns(messages: list[Message], declared: Declared) -> int:
    """The separators a writer would put spaces after; 0 when a turn is not plain."""
    spaces, previous = 4 * len(messages), None
    seen: set[str] = set()
    waiting: set[str] = set()
    for message in messages:
        role = type(message)
        if isinstance(message, Assistant):
            more = _answer(message, declared, seen, waiting, previous)
            if not more:
                return 0
            spaces += more - 4
        elif (
            isinstance(message, Function)
            or message.name is not UNSET
            or not isinstance(message.content, str)
            or not message.content.strip()
        ):
            return 0
        elif isinstance(message, Tool):
            if message.tool_call_id not in waiting:
                return 0
            waiting.discard(message.tool_call_id)
            spaces += 2
        elif waiting or (previous is User if role is User else previous is not None):
            return 0
        previous = role
    return spaces if previous is Assistant and User in set(map(type, messages)) else 0


def _answer(
    message: Assistant,
    declared: Declared,
    seen: set[str],
    waiting: set[str],
    previous: type | None,
) -> int:
    if waiting or previous in {Assistant, System, Developer, None} or message.name is not UNSET:
        return 0
    if message.function_call is not UNSET or message.refusal is not UNSET or message.weight == 0:
        return 0
    spaces = 2 + 2 * (message.weight is not UNSET) + 2 * (message.content is not UNSET)
    if message.tool_calls is UNSET:
        is_said = type(message.content) is str and bool(message.content.strip())
        return spaces if is_said else 0
    if message.content is not None and not isinstance(message.content, str | UnsetType):
        return 0
    for call in message.tool_calls:
        if not _is_plain_call(call, declared, seen):
            return 0
        waiting.add(call.id)
    return spaces + 2 + 9 * len(message.tool_calls) - 1


def _is_plain_call(call: ToolCall, declared: Declared, seen: set[str]) -> bool:
    parameters = declared.parameters.get(call.function.name)
    if call.id in seen or parameters is None:
        return False
    seen.add(call.id)
    arguments = flat_object(call.function.arguments)
    return arguments is not None and disagreement(arguments, parameters) is None
