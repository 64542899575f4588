"""Rows read by their outline: what is said in them stays the bytes it was written as.

To make texts of those bytes is half the work of reading a row, and its form can be told without.
The decoder looks at every character and escape of them; only whether they are UTF-8 is left open.
"""

from __future__ import annotations

import struct
from itertools import chain, compress
from operator import attrgetter, eq
from typing import TYPE_CHECKING, Annotated, Any, Union

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from orchestrator.datasets import records
from orchestrator.domain.jobs.job import Method

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def _outline(record: type[msgspec.Struct], *fields: Any) -> Any:
    return msgspec.defstruct(
        record.__name__,
        fields,
        bases=(record,),
        tag_field=record.__struct_config__.tag_field,
        tag=record.__struct_config__.tag,
        forbid_unknown_fields=True,
        gc=False,
    )


_CONTENT, _ANY_CONTENT = ("content", Raw), ("content", Raw | UnsetType, UNSET)
System, Developer = _outline(records.System, _CONTENT), _outline(records.Developer, _CONTENT)
User, Tool = _outline(records.User, _CONTENT), _outline(records.Tool, _CONTENT)
Assistant, Answer = (_outline(each, _ANY_CONTENT) for each in (records.Assistant, records.Answer))
_Messages = Annotated[
    list[Union[System, Developer, User, Assistant, Tool]],  # type: ignore[valid-type] # noqa: UP007
    Meta(min_length=1),
]
_Output = Annotated[list[Answer], Meta(min_length=1, max_length=1)]  # type: ignore[valid-type]
_Chat = _outline(records.Chat, ("messages", _Messages))
_Preference = _outline(
    records.Preference,
    ("input", _outline(records.PreferenceInput, ("messages", _Messages))),
    ("preferred_output", _Output),
    ("non_preferred_output", _Output),
)

#: The role that messages of each type have.
ROLES: dict[type, str] = {
    kind: records.ROLES[kind.__base__]
    for kind in (System, Developer, User, Assistant, Answer, Tool)
}
_messages, _tools, contents_of = map(attrgetter, ("messages", "tools", "content"))


class Chats:
    """How the rows of supervised files are read and looked into.

    Attributes:
        decoder: of a row.
    """

    decoder = msgspec.json.Decoder(_Chat)

    def has_tools(self, rows: Sequence[Any]) -> list[bool]:
        """Of each row, whether it declares some."""
        return [tools is not UNSET for tools in map(_tools, rows)]

    def turns(self, rows: Sequence[Any]) -> Sequence[Sequence[Any]]:
        """The messages of each row.

        Raises:
            ValueError: a row holds something else as well.
        """
        return list(map(_messages, rows))

    def colons(self, rows: Sequence[Any], turns: Sequence[Sequence[Any]]) -> int:  # noqa: ARG002
        """How many colons rows have whose keys are there once; texts were not read, nor changed."""
        return colons_of(rows)


class Pairs(Chats):
    """The same of preference pairs, whose two answers are their last turns."""

    decoder = msgspec.json.Decoder(_Preference)

    def has_tools(self, rows: Sequence[Any]) -> list[bool]:
        """Of each row, whether it declares some."""
        return [row.input.tools is not UNSET for row in rows]

    def turns(self, rows: Sequence[Any]) -> Sequence[Sequence[Any]]:
        """The messages of each row.

        Raises:
            ValueError: both answers of a row are the same.
        """
        pairs = [(*row.preferred_output, *row.non_preferred_output) for row in rows]
        answers = read_texts(list(map(contents_of, chain.from_iterable(pairs))))
        if any(map(eq, answers[::2], answers[1::2])):
            raise ValueError
        return [(*row.input.messages, *pair) for row, pair in zip(rows, pairs, strict=True)]


class Prompts(Chats):
    """The same of reinforcement prompts, where every other key is the grader's."""

    decoder: Any = msgspec.json.Decoder(dict[str, Raw])
    _turns = msgspec.json.Decoder(_Messages)

    def has_tools(self, rows: Sequence[Any]) -> list[bool]:
        """Of each row, whether it declares some."""
        return [not _WITH_TOOLS.isdisjoint(row) for row in rows]

    def turns(self, rows: Sequence[Any]) -> Sequence[Sequence[Any]]:
        """The messages of each row.

        Raises:
            ValueError: a row has none.
        """
        return [self._turns.decode(row.get("messages", b"")) for row in rows]

    def colons(self, rows: Sequence[Any], turns: Sequence[Sequence[Any]]) -> int:
        """How many colons rows have whose keys are there once; less than 0 for: hard to say."""
        others = b"[%s]" % b",".join(
            [raw for row in rows for key, raw in row.items() if key != "messages"]
        )
        if (
            b"\\u003" in others
            or _has_long_number(others)
            or any(":" in k for row in rows for k in row)
        ):
            return -1
        try:
            decoded = _decode(others)
        except (ValueError, RecursionError):  # A number out of range, say.
            return -1
        return sum(map(len, rows)) + colons_of(turns) + colons_of(decoded)


_WITH_TOOLS = {"tools", "parallel_tool_calls"}
OUTLINES = {Method.SUPERVISED: Chats(), Method.DPO: Pairs(), Method.REINFORCEMENT: Prompts()}


def are_said(contents: Sequence[Any]) -> bool:
    """Whether contents surely are texts, none of them blank.

    Args:
        contents: `Raw` of any JSON; what is none is no text.
    """
    try:
        starts = list(map(_start, contents))
        odd = set(starts) - _SURELY_SAID
        texts = read_texts(list(compress(contents, map(odd.__contains__, starts)))) if odd else []
    except (struct.error, TypeError, ValueError, RecursionError):  # None at all, or no text.
        return False
    return all(map(str.strip, texts))


_start: Callable[[Any], tuple[bytes, bytes]] = struct.Struct("cc").unpack_from
# What is blank starts with an ASCII space, an escape, or the first byte of another space.
_MAY_BE_BLANK = b' "\\\xc2\xe1\xe2\xe3'
_SURELY_SAID = {(b'"', bytes([byte])) for byte in range(0x20, 0x100) if byte not in _MAY_BE_BLANK}


def read_texts(raws: Sequence[Any]) -> list[str]:
    """The texts that JSON was written for.

    Raises:
        ValueError: one is no text.
    """
    if UNSET in raws:
        raise ValueError
    return _texts.decode(b"[%s]" % b",".join(raws))


_texts = msgspec.json.Decoder(list[str])
_decode = msgspec.json.Decoder().decode


def has_single_keys(line: bytes) -> bool:
    """Whether a line surely holds no key twice, at any depth; False says nothing."""
    try:
        value = _decode(line)
    except (ValueError, RecursionError):
        return False
    sure = b"\\u003" not in line and not _has_long_number(line)
    return sure and line.count(b":") == colons_of(value)


def colons_of(value: object) -> int:
    """The colons that JSON of a value has."""
    _encode_into(value, _buffer)
    return _buffer.count(b":")


_encode_into = msgspec.json.Encoder().encode_into
_buffer = bytearray()


def _has_long_number(line: bytes) -> bool:
    """Whether a line may hold a whole number beyond a double: the decoder takes any."""
    return len(line) > len(_LONG_NUMBER) and _LONG_NUMBER in line.translate(_DIGITS)


_LONG_NUMBER, _DIGITS = b"9" * 300, bytes.maketrans(b"012345678", b"999999999")
