"""One line to a typed row: accepted fast, refused rows explained slowly."""

from __future__ import annotations

from itertools import chain
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from msgspec import UNSET

from orchestrator.datasets.checking.explain import explain_row
from orchestrator.datasets.checking.fast import has_plain_tools, plain_texts
from orchestrator.datasets.checking.rules import row_flaws
from orchestrator.datasets.checking.toolbox import Toolbox
from orchestrator.datasets.content.keys import keys_and_colons
from orchestrator.datasets.content.suspects import looker
from orchestrator.datasets.content.texts import is_unremarkable
from orchestrator.datasets.dialects.foreign import foreign_dialect
from orchestrator.datasets.files.strict import holds_object, kind_of, read_strictly
from orchestrator.datasets.findings.finding import Flaw
from orchestrator.datasets.records import (
    Chat,
    Preference,
    Reinforcement,
)
from orchestrator.domain.jobs.job import Method

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.datasets.checking.limits import Limits
    from orchestrator.datasets.checking.toolbox import Declared
    from orchestrator.datasets.records import Message, Row

_RECORDS: dict[Method, type[Chat | Preference | Reinforcement]] = {
    Method.SUPERVISED: Chat,
    Method.DPO: Preference,
    Method.REINFORCEMENT: Reinforcement,
}


class Reading(NamedTuple):
    """What one line holds.

    Attributes:
        row: the typed row; None when the line is none.
        flaws: everything wrong with it; empty for almost every line of a good file.
    """

    row: Row | None
    flaws: Sequence[Flaw]


class RowReader:
    """Reads the lines of one file.

    Attributes:
        decode: a line to a typed row; raises ValueError or RecursionError.
    """

    def __init__(self, method: Method, limits: Limits, *, content: bool = True) -> None:
        """Prepare to read.

        Args:
            method: what the rows are for.
            limits: of the target.
            content: also look for characters, tokens, secrets and personal data in the texts.
        """
        self._look = looker() if content else None
        self._method = method
        self._limits = limits
        self._toolbox = Toolbox()
        self.decode = msgspec.json.Decoder(_RECORDS[method]).decode

    def accept(self, line: bytes) -> Row | None:
        """The row of a line that surely has no flaw; None says nothing about it.

        Never raises, whatever the bytes are.
        """
        try:
            row = self.decode(line)
        except (ValueError, RecursionError):
            return None
        if type(row) is not Chat:
            return None
        if row.tools is UNSET:
            texts = plain_texts(row, line)
            if texts is None or (self._look and not self._is_clean(line, texts)):
                return None
            return row
        return row if self.has_flawless_tools(row, line) else None

    def read(self, line: bytes) -> Reading:
        """Read one line, with or without its line end, without a byte-order mark.

        Never raises, whatever the bytes are.
        """
        try:
            row = self.decode(line)
        except (ValueError, RecursionError):
            return self._explain(line)
        try:
            declared = self._declared(row)
        except _ToolsRefused:
            return self._explain(line)
        if not self._keys_are_single(row, line, declared):
            strict = read_strictly(line)
            if strict.flaws:
                return Reading(None, strict.flaws)
        return self._judge(row, declared)

    def has_flawless_tools(self, row: Chat, line: bytes) -> bool:
        """Whether a row surely has tools that are declared, called and answered in order."""
        if row.tools is UNSET or row.functions is not UNSET:
            return False
        declared = self._toolbox.declared(bytes(row.tools))
        if declared is None or not has_plain_tools(row, declared, line):
            return False
        return self._look is None or self._has_clean_tools(row, line)

    def are_clean(self, turns: list[list[Message]], lines: list[bytes]) -> bool:
        """Whether the texts of plain rows surely hold nothing that is looked for.

        Args:
            turns: the messages of each row.
            lines: the bytes they were read from.
        """
        if self._look is None:
            return True
        texts = list(map(_content, chain.from_iterable(turns)))
        return self._is_clean(b"".join(lines), texts)

    def _is_clean(self, line: bytes, texts: list[str]) -> bool:
        return (
            not self._look(line)  # type: ignore[misc]
            and texts == list(map(str.strip, texts))
            and (all(map(str.isascii, texts)) or all(map(is_unremarkable, texts)))
        )

    def _has_clean_tools(self, row: Chat, line: bytes) -> bool:
        said = [text for text in map(_content, row.messages) if type(text) is str]
        return self._is_clean(line, said)

    def _judge(self, row: Row, declared: Declared | None) -> Reading:
        content = self._look is not None
        return Reading(row, list(row_flaws(row, declared, self._limits, content=content)))

    def _declared(self, row: Row) -> Declared | None:
        holder = row.input if isinstance(row, Preference) else row
        functions = row.functions if isinstance(row, Chat) else UNSET
        listed = [
            self._toolbox.declared(bytes(raw), functions=raw is functions)
            for raw in (holder.tools, functions)
            if raw is not UNSET
        ]
        if None in listed:
            raise _ToolsRefused
        return listed[0] if listed else None

    def _keys_are_single(self, row: Row, line: bytes, declared: Declared | None) -> bool:
        if isinstance(row, Reinforcement) or (isinstance(row, Chat) and row.functions is not UNSET):
            return False  # Not every key is in the record: the strict reader must look.
        if b"\\u003" in line:
            return False  # A colon of a text may be written as an escape.
        keys, colons = keys_and_colons(row)
        return line.count(b":") == keys + colons + (declared.colons if declared else 0)

    def _explain(self, line: bytes) -> Reading:
        parsed = read_strictly(line)
        if not parsed.readable:
            return Reading(None, parsed.flaws)
        if holds_object(parsed.value):
            return Reading(None, [Flaw("row-encoded-twice")])
        if not isinstance(parsed.value, dict):
            return Reading(None, [Flaw("row-not-object", "", {"found": kind_of(parsed.value)})])
        if other := foreign_dialect(parsed.value, self._method):
            return Reading(None, [other])
        told = {flaw.pointer for flaw in parsed.flaws}
        flaws = explain_row(parsed.value, self._method)
        if parsed.flaws or flaws:
            new = [flaw for flaw in flaws if flaw.pointer not in told]
            return Reading(None, [*parsed.flaws, *new])
        return self._normalised(parsed.value)

    def _normalised(self, value: dict[str, Any]) -> Reading:
        """The schema accepts what the records did not: 1.0 for 1, or depth."""
        try:
            row = self.decode(msgspec.json.encode(_whole_numbers(value)))
            declared = self._declared(row)
        except (ValueError, RecursionError, _ToolsRefused):
            return Reading(None, [Flaw("nested-too-deep")])
        return self._judge(row, declared)


class _ToolsRefused(Exception):
    """The tools array is not what the schema asks for."""


_content = attrgetter("content")


def _whole_numbers(value: Any) -> Any:
    """1.0 becomes 1: JSON Schema takes them for the same."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_whole_numbers(item) for item in value]
    if isinstance(value, dict):
        return {key: _whole_numbers(item) for key, item in value.items()}
    return value
