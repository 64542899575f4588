"""One pass over the lines of a file, or of a part of it; parts add up."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from msgspec import UNSET

from orchestrator.datasets.checking.fast import are_plain
from orchestrator.datasets.checking.limits import limits_of
from orchestrator.datasets.checking.near import NearDuplicates
from orchestrator.datasets.checking.overview import Overview
from orchestrator.datasets.checking.reader import RowReader
from orchestrator.datasets.checking.tally import TokenTally
from orchestrator.datasets.content.duplicates import ExactDuplicates, Questions
from orchestrator.datasets.files.reading import (
    DAMAGED,
    LONGEST_LINE,
    physical_lines,
    skip_rest_of_line,
)
from orchestrator.datasets.files.sniffing import BOM
from orchestrator.datasets.findings.codes import CATALOGUE, found
from orchestrator.datasets.findings.collecting import Collector
from orchestrator.datasets.findings.finding import Severity
from orchestrator.datasets.findings.pointers import offset_of
from orchestrator.datasets.records import Chat
from orchestrator.domain.jobs.job import Method

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from orchestrator.datasets.checking.reader import Reading
    from orchestrator.datasets.content.duplicates import Seen
    from orchestrator.datasets.findings.finding import Finding, Flaw
    from orchestrator.datasets.records import Row


_LF, _CR, _SPACE = 10, 13, b" \t\r\n"
# One odd row among them costs a closer look at each.
_AT_ONCE, _LONG = 64, 1 << 17


@dataclass(frozen=True, kw_only=True)
class Checks:
    """What is asked of a file.

    Attributes:
        target: whose rules hold.
        method: what the rows are for.
        model: chooses the vocabulary that tokens are counted with.
        keep: findings held of each code; None holds all of them.
        count_tokens: also count tokens.
        content: also look into the texts, and for rows that repeat.
        compare: also compare questions, among the first rows.
        size: bytes of the file, as far as is known.
        task: classification tells how often each answer is given.
        near: also look for rows that nearly repeat, with the extra `near`.
        partial: an interruption ends the reading, and what was found is kept.
    """

    target: str = "openai"
    method: Method = Method.SUPERVISED
    model: str | None = None
    keep: int | None = None
    count_tokens: bool = True
    content: bool = True
    compare: bool = True
    size: int = 0
    task: str | None = None
    near: bool = False
    partial: bool = False


@dataclass(kw_only=True)
class Listeners:
    """Who hears of rows and findings as they come."""

    training: Seen | None = None
    on_finding: Callable[[Finding], None] | None = None
    on_row: Callable[[bytes], None] | None = None
    on_typed: Callable[[int, Row], None] | None = None
    on_bytes: Callable[[int], None] | None = None

    @property
    def any_rows(self) -> bool:
        """Whether someone wants to see every row."""
        return bool(self.training or self.on_row or self.on_typed)


@dataclass(kw_only=True)
class Tallied:
    """What a pass adds up, without its tools: small, and fit to cross processes."""

    collector: Collector
    tally: TokenTally | None
    exact: ExactDuplicates = field(default_factory=ExactDuplicates)
    rows: int = 0
    lines: int = 0
    lf: int = 0
    crlf: int = 0
    compared: int = 0
    interrupted: bool = False

    def add(self, later: Tallied) -> None:
        """Take in the part of the file that comes next; its line numbers start at 1."""
        self.collector.absorb(later.collector, self.lines)
        self.exact.absorb(later.exact, self.lines)
        if self.tally is not None and later.tally is not None:
            self.tally.absorb(later.tally, self.lines)
        self.rows += later.rows
        self.lines += later.lines
        self.lf += later.lf
        self.crlf += later.crlf


class _Batch(NamedTuple):
    """Rows that are looked at together."""

    numbers: list[int]
    lines: list[bytes]
    rows: list[Chat]


class Scan:
    """Reads lines and finds what is wrong with each."""

    def __init__(self, checks: Checks, listeners: Listeners | None = None) -> None:
        """Prepare to read.

        Args:
            checks: what is asked.
            listeners: who hears of rows and findings.
        """
        self._checks = checks
        self._listeners = listeners or Listeners()
        self._limits = limits_of(checks.target, checks.method)
        self._reader = RowReader(checks.method, self._limits, content=checks.content)
        self._questions = Questions()
        self.overview = Overview(checks.task)
        self._near = NearDuplicates() if checks.near else None
        self.done = Tallied(
            collector=Collector(checks.keep, self._listeners.on_finding),
            tally=TokenTally(checks.model, self._limits, checks.size)
            if checks.count_tokens
            else None,
        )

    def read(self, stream: BinaryIO) -> Tallied:
        """Every line to the end; damage to a gzip stream is a finding."""
        try:
            self._read_lines(stream)
        except DAMAGED as error:
            self.add("broken-gzip", line=self.done.lines + 1, reason=str(error))
        except KeyboardInterrupt:
            if not self._checks.partial:
                raise
            self.done.interrupted = True
        self.done.compared = self._questions.rows
        return self.done

    def on_bytes(self, times: int = 1) -> Callable[[int], None] | None:
        """Who is told of bytes read; each stands for several where others read as fast."""
        told = self._listeners.on_bytes
        return (lambda many: told(many * times)) if told else None

    def add(self, code: str, *, line: int | None = None, **fields: Any) -> None:
        """Add a finding with the target's own severity."""
        severity = self._severity(code)
        self.done.collector.add(found(code, line=line, severity=severity, **fields))

    def report(self, number: int, flaws: Sequence[Flaw], line: bytes = b"", shift: int = 0) -> None:
        """Add the flaws of a line.

        Args:
            number: of the line.
            flaws: what is wrong with it.
            line: its bytes, to find columns in; empty for none.
            shift: bytes before them that were left out.
        """
        for flaw in flaws:
            severity = self._severity(flaw.code)
            if not self.done.collector.wants(flaw.code):
                self.done.collector.count(flaw.code, severity)
                continue
            column = flaw.column if flaw.column is not None else _column(line, flaw.pointer)
            self.done.collector.add(
                found(
                    flaw.code,
                    line=number,
                    column=column + shift if column is not None else None,
                    pointer=flaw.pointer,
                    severity=severity,
                    **flaw.fields,
                )
            )

    def _read_lines(self, stream: BinaryIO) -> None:
        if self._is_curious() or self._checks.method is not Method.SUPERVISED:
            for number, line in enumerate(physical_lines(stream), 1):
                self._read_line(stream, number, line)
        else:
            self._read_batches(stream)

    def _read_batches(self, stream: BinaryIO) -> None:
        """Several plain rows are looked at together; a finding is worth a closer look at each.

        Rows with tools pass them by: they have nothing in common with plain rows.
        """
        decode, reader = self._reader.decode, self._reader
        many = _Batch([], [], [])
        numbers, lines, rows = many
        for number, line in enumerate(physical_lines(stream), 1):
            try:
                row: Any = decode(line)
            except (ValueError, RecursionError):
                row = None
            if row is None or len(line) > _LONG:
                self._take_many(stream, many)
                self._read_line(stream, number, line)
            elif row.tools is UNSET:  # Any other key would show in the length.
                numbers.append(number)
                lines.append(line)
                rows.append(row)
                if len(lines) == _AT_ONCE:
                    self._take_many(stream, many)
            elif line[-1] == _LF and line[-2] != _CR and reader.has_flawless_tools(row, line):
                self._take_at_once(number, line, row)
            else:
                self._take_many(stream, many)
                self._read_line(stream, number, line)
        self._take_many(stream, many)

    def _take_many(self, stream: BinaryIO, many: _Batch) -> None:
        numbers, lines, rows = many
        if not rows:
            return
        turns = [row.messages for row in rows]
        if not are_plain(turns, lines):
            for number, line in zip(numbers, lines, strict=True):
                self._read_line(stream, number, line)
        elif self._reader.are_clean(turns, lines):
            self._count_clean(numbers[-1], len(lines))
            self._look_at_all(many)
        else:
            for number, line, row in zip(numbers, lines, rows, strict=True):
                if self._reader.are_clean([row.messages], [line]):
                    self._take_at_once(number, line, row, plain=True)
                else:
                    self._read_line(stream, number, line)
        for held in many:
            held.clear()

    def _take_at_once(self, number: int, line: bytes, row: Chat, *, plain: bool = False) -> None:
        self._count_clean(number)
        self._look_at(number, line, row, plain=plain)

    def _look_at_all(self, many: _Batch) -> None:
        tally = self.done.tally
        if self._checks.content:
            for number, line, row in zip(*many, strict=True):
                self._take_row(number, line.strip(_SPACE), row, (), plain=True)
        elif tally:
            for number, row in zip(many.numbers, many.rows, strict=True):
                if cut := tally.add_plain(number, row.messages):
                    self.report(number, [cut])

    def _look_at(self, number: int, line: bytes, row: Chat, *, plain: bool) -> None:
        """What is asked of a row without flaw."""
        if self._checks.content:
            self._take_row(number, line.strip(_SPACE), row, (), plain=plain)
        else:
            self._count_tokens(number, row, plain=plain)

    def _count_clean(self, number: int, rows: int = 1) -> None:
        self.done.lines = max(self.done.lines, number)
        self.done.rows += rows
        self.done.lf += rows

    def _is_curious(self) -> bool:
        """Whether every row is wanted in the order of the lines."""
        return self._checks.near or self._listeners.any_rows

    def _count_tokens(self, number: int, row: Row, *, plain: bool) -> None:
        tally = self.done.tally
        if tally is None:
            return
        # A row without tools that was taken at first sight holds roles and texts alone.
        if plain and isinstance(row, Chat) and row.tools is UNSET:
            cut = tally.add_plain(number, row.messages)
        else:
            cut = tally.add(number, row)
        if cut:
            self.report(number, [cut])

    def _read_line(self, stream: BinaryIO, number: int, line: bytes) -> None:
        self.done.lines = max(self.done.lines, number)
        if len(line) >= LONGEST_LINE and line[-1] != _LF:
            skip_rest_of_line(stream)
            self.done.rows += 1
            self.add("line-too-long", line=number, most=LONGEST_LINE)
            return
        if line[-1] == _LF:
            if line[-2:-1] == b"\r":
                self.done.crlf += 1
            else:
                self.done.lf += 1
        row = self._reader.accept(line)
        if row is not None:
            self._take_clean(number, line, row)
        elif number == 1 and line.startswith(BOM):
            self.add("byte-order-mark", line=1, column=1)
            self._take(number, line[3:], self._reader.read(line[3:]), shift=3)
        else:
            self._take(number, line, self._reader.read(line))

    def _take_clean(self, number: int, line: bytes, row: Row) -> None:
        self.done.rows += 1
        stripped = line.strip(_SPACE)
        if self._listeners.on_row:
            self._listeners.on_row(stripped)
        self._take_row(number, stripped, row, (), plain=True)

    def _take(self, number: int, line: bytes, reading: Reading, shift: int = 0) -> None:
        row, flaws = reading
        if row is None and not line.strip():
            self.add("blank-line", line=number)
            return
        self.done.rows += 1
        stripped = line.strip(_SPACE)
        if self._listeners.on_row:
            self._listeners.on_row(stripped)
        if flaws:
            self.report(number, flaws, line, shift)
        if row is not None:
            self._take_row(number, stripped, row, flaws)

    def _take_row(
        self,
        number: int,
        stripped: bytes,
        row: Row,
        flaws: Sequence[Flaw],
        *,
        plain: bool = False,
    ) -> None:
        if self._checks.content:
            self.done.exact.add(number, stripped)
        self._count_tokens(number, row, plain=plain)
        if not flaws:
            self._compare(number, row)
        if self._checks.content and self._checks.compare:
            self.overview.add(row)
        listener = self._listeners.on_typed
        if listener and not any(self._severity(flaw.code) is Severity.ERROR for flaw in flaws):
            listener(number, row)

    def _compare(self, number: int, row: Row) -> None:
        asked = self._checks.content and self._checks.compare
        flaw = self._questions.compare(number, row) if asked else None
        near = self._near.compare(number, row) if self._near else None
        if found_first := flaw or near:
            self.report(number, [found_first])
        training = self._listeners.training
        if training and (flaw := training.leak(row)):
            self.report(number, [flaw])

    def _severity(self, code: str) -> Severity:
        return self._limits.severities.get(code) or CATALOGUE[code].severity


def _column(line: bytes, pointer: str) -> int | None:
    """The byte at which the value starts, from 1; its object's where the value is absent."""
    if not line or not pointer:
        return 1 if line else None
    text = line.decode("utf-8", "replace")
    at = offset_of(text, pointer)
    if at is None:
        at = offset_of(text, pointer.rpartition("/")[0])
    return None if at is None else len(text[:at].encode("utf-8", "surrogatepass")) + 1
