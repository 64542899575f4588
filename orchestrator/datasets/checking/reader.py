"""One line to a typed row: accepted fast, refused rows explained slowly."""

from __future__ import annotations

from itertools import compress, repeat
from operator import attrgetter, methodcaller
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from msgspec import UNSET

from orchestrator.datasets.checking.batches import (
    has_single_keys,
    measure_of,
    texts_of_chats,
    texts_of_pairs,
    texts_of_prompts,
)
from orchestrator.datasets.checking.explain import explain_row
from orchestrator.datasets.checking.fast import has_plain_tools, plain_texts
from orchestrator.datasets.checking.rules import row_flaws
from orchestrator.datasets.checking.toolbox import Toolbox
from orchestrator.datasets.content.keys import keys_and_colons
from orchestrator.datasets.content.suspects import looker
from orchestrator.datasets.content.texts import are_unremarkable
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
    from orchestrator.datasets.records import Row

_RECORDS: dict[Method, type[Chat | Preference | Reinforcement]] = {
    Method.SUPERVISED: Chat,
    Method.DPO: Preference,
    Method.REINFORCEMENT: Reinforcement,
}


# How the lines of a block start that are decoded at one go.
_STARTS = {
    Method.SUPERVISED: methodcaller("startswith", b'{"messages"'),
    Method.DPO: methodcaller("startswith", b'{"input"'),
}
#: Rows that are looked at together where all of a block are not plain.
_SOME = 16


class Reading(NamedTuple):
    """What one line holds.

    Attributes:
        row: the typed row; None when the line is none.
        flaws: everything wrong with it; empty for almost every line of a good file.
    """

    row: Row | None
    flaws: Sequence[Flaw]


class RowReader:
    """Reads the lines of one file."""

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
        self._measure = measure_of(method, limits.roles)
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(_RECORDS[method])

    def accept_all(self, block: bytes, lines: Sequence[bytes]) -> Sequence[Row | None]:
        """The rows of those lines that surely have no flaw; None says nothing about the others.

        Never raises, whatever the bytes are.

        Args:
            block: many lines, with their line feeds.
            lines: the same, without them.
        """
        rows = self._decode_all(block, lines)
        plain = self._without_tools(rows)
        if all(plain):
            return self._plain(rows, lines)
        sifted = iter(self._plain(list(compress(rows, plain)), list(compress(lines, plain))))
        return [
            next(sifted) if is_plain else self._with_tools(row, line)
            for row, line, is_plain in zip(rows, lines, plain, strict=True)
        ]

    def _without_tools(self, rows: Sequence[Any]) -> list[bool]:
        """Of each row, whether it surely has none."""
        if self._method is Method.SUPERVISED and None not in rows:
            return [tools is UNSET for tools in map(_tools, rows)]
        return list(map(_has_no_tools, rows))

    def accept(self, line: bytes) -> Row | None:
        """The row of a line that surely has no flaw; None says nothing about it.

        Never raises, whatever the bytes are.
        """
        row = self._decode_one(line)
        if isinstance(row, Chat):
            if row.tools is not UNSET:
                return self._with_tools(row, line)
            texts = plain_texts(row, line, self._measure)
            return row if texts is not None and self._is_clean(line, texts) else None
        return row if row is not None and self._are_plain([row], [line]) else None

    def _decode_one(self, line: bytes) -> Row | None:
        try:
            row: Row = self._decoder.decode(line)
        except (ValueError, RecursionError):
            return None
        return row

    def _decode_all(self, block: bytes, lines: Sequence[bytes]) -> Sequence[Row | None]:
        """The rows at one go where each surely has a line to itself; else line by line.

        What is many rows in as many lines, and every line starts as no part of a row does, is a row
        in each line. A reinforcement row may hold anything, also what looks like a row.
        """
        starts = _STARTS.get(self._method)
        if starts and all(map(starts, lines)):
            try:
                rows: list[Row] = self._decoder.decode_lines(block)
            except (ValueError, RecursionError):
                rows = []
            if len(rows) == len(lines):
                return rows
        return list(map(self._decode_one, lines))

    def _plain(self, rows: Sequence[Any], lines: Sequence[bytes]) -> Sequence[Row | None]:
        """All at once, then some at once: one odd row among many costs a look at few."""
        if not rows or self._are_plain(rows, lines):
            return rows
        kept: list[Row | None] = []
        for start in range(0, len(rows), _SOME):
            some = rows[start : start + _SOME]
            good = len(rows) > _SOME and self._are_plain(some, lines[start : start + _SOME])
            kept.extend(some if good else repeat(None, len(some)))
        return kept

    def _are_plain(self, rows: Sequence[Any], lines: Sequence[bytes]) -> bool:
        """Whether rows surely are plain turns without a flaw; None is no row."""
        if None in rows:
            return False
        if self._method is Method.SUPERVISED:
            texts = texts_of_chats([row.messages for row in rows], lines, self._measure)
        elif self._method is Method.DPO:
            texts = texts_of_pairs(rows, lines, self._measure)
        else:
            texts = texts_of_prompts(rows, lines, self._measure)
        return texts is not None and (
            self._look is None or self._is_clean(b"\n".join(lines), texts)
        )

    def read(self, line: bytes) -> Reading:
        """Read one line, with or without its line end, without a byte-order mark.

        Never raises, whatever the bytes are.
        """
        try:
            row = self._decoder.decode(line)
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

    def _with_tools(self, row: Row | None, line: bytes) -> Row | None:
        """The row when it surely has tools that are declared, called and answered in order."""
        if not isinstance(row, Chat) or row.tools is UNSET or row.functions is not UNSET:
            return None
        declared = self._toolbox.declared(bytes(row.tools))
        if declared is None or not has_plain_tools(row, declared, line):
            return None
        said = [text for text in map(_content, row.messages) if type(text) is str]
        return row if self._is_clean(line, said) else None

    def _is_clean(self, line: bytes, texts: list[str]) -> bool:
        """Whether texts surely hold nothing that is looked for."""
        return self._look is None or (
            not self._look(line)
            and texts == list(map(str.strip, texts))
            and are_unremarkable(texts)
        )

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
            return has_single_keys(line)  # Not every key is in the record.
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
            row = self._decoder.decode(msgspec.json.encode(_whole_numbers(value)))
            declared = self._declared(row)
        except (ValueError, RecursionError, _ToolsRefused):
            return Reading(None, [Flaw("nested-too-deep")])
        return self._judge(row, declared)


class _ToolsRefused(Exception):
    """The tools array is not what the schema asks for."""


_content, _tools = attrgetter("content"), attrgetter("tools")


def _has_no_tools(row: Row | None) -> bool:
    if row is None:
        return False
    return (row.input if type(row) is Preference else row).tools is UNSET  # type: ignore[union-attr]


def _whole_numbers(value: Any) -> Any:
    """1.0 becomes 1: JSON Schema takes them for the same."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_whole_numbers(item) for item in value]
    if isinstance(value, dict):
        return {key: _whole_numbers(item) for key, item in value.items()}
    return value
