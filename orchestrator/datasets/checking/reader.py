"""One line to a typed row: accepted fast, refused rows explained slowly."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from msgspec import UNSET

from orchestrator.datasets.checking.explain import explain_row
from orchestrator.datasets.checking.fast import FastReader
from orchestrator.datasets.checking.outlines import has_single_keys
from orchestrator.datasets.checking.rules import row_flaws, texts_flaws
from orchestrator.datasets.checking.sifting import sifted
from orchestrator.datasets.checking.toolbox import Toolbox
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
        self._fast = FastReader(method, limits.roles, self._toolbox)
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(_RECORDS[method])

    def good(self, block: bytes) -> Sequence[bool]:
        """Of each line, whether it surely holds a row without a flaw of form.

        Never raises, whatever the bytes are.

        Args:
            block: lines, each with its line feed.
        """
        return self._fast.good(block)

    def texts(self, block: bytes) -> tuple[list[Row], dict[int, list[Flaw]]]:
        """The rows of lines without a flaw of form, and what is wrong with texts of some of them.

        Args:
            block: the lines.

        Returns:
            The rows, and the flaws by the numbers of their rows, from 0, in order.
        """
        rows: list[Row] = self._decoder.decode_lines(block)
        if self._look is None:
            return rows, {}
        plain = sifted(range(len(rows)), lambda some: _have_plain_texts([rows[n] for n in some]))
        worth_a_look = {*range(len(rows))}.difference(plain).union(self._look(block))
        found = ((number, list(texts_flaws(rows[number]))) for number in sorted(worth_a_look))
        return rows, {number: flaws for number, flaws in found if flaws}

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
        if not has_single_keys(line):
            strict = read_strictly(line)
            if strict.flaws:
                return Reading(None, strict.flaws)
        return self._judge(row, declared)

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


def _have_plain_texts(rows: Sequence[Row]) -> bool:
    """Whether texts of rows without a flaw of form surely have no flaw of blanks or characters."""
    texts = [
        text
        for message in chain.from_iterable(map(_turns, rows))
        if isinstance(text := message.content, str)
    ]
    return texts == list(map(str.strip, texts)) and are_unremarkable(texts)


def _turns(row: Row) -> Sequence[Any]:
    if isinstance(row, Preference):
        return (*row.input.messages, *row.preferred_output, *row.non_preferred_output)
    return row.messages


def _whole_numbers(value: Any) -> Any:
    """1.0 becomes 1: JSON Schema takes them for the same."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_whole_numbers(item) for item in value]
    if isinstance(value, dict):
        return {key: _whole_numbers(item) for key, item in value.items()}
    return value
