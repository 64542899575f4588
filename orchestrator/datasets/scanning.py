"""One pass over the lines of a file, or of a part of it; parts add up."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO

from orchestrator.datasets.codes import CATALOGUE, found
from orchestrator.datasets.collecting import Collector
from orchestrator.datasets.duplicates import ExactDuplicates, Questions
from orchestrator.datasets.finding import Severity
from orchestrator.datasets.limits import limits_of
from orchestrator.datasets.pointers import offset_of
from orchestrator.datasets.reader import RowReader
from orchestrator.datasets.reading import (
    DAMAGED,
    LONGEST_LINE,
    physical_lines,
    skip_rest_of_line,
)
from orchestrator.datasets.sniffing import BOM
from orchestrator.datasets.tally import TokenTally
from orchestrator.domain.job import Method

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from orchestrator.datasets.duplicates import Seen
    from orchestrator.datasets.finding import Finding, Flaw
    from orchestrator.datasets.reader import Reading
    from orchestrator.datasets.records import Row


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
    """

    target: str = "openai"
    method: Method = Method.SUPERVISED
    model: str | None = None
    keep: int | None = None
    count_tokens: bool = True
    content: bool = True
    compare: bool = True


@dataclass(kw_only=True)
class Listeners:
    """Who hears of rows and findings as they come."""

    training: Seen | None = None
    on_finding: Callable[[Finding], None] | None = None
    on_row: Callable[[bytes], None] | None = None
    on_typed: Callable[[int, Row], None] | None = None

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
        self.done = Tallied(
            collector=Collector(checks.keep, self._listeners.on_finding),
            tally=TokenTally(checks.model, self._limits) if checks.count_tokens else None,
        )

    def read(self, stream: BinaryIO) -> Tallied:
        """Every line to the end; damage to a gzip stream is a finding."""
        try:
            self._read_lines(stream)
        except DAMAGED as error:
            self.add("broken-gzip", line=self.done.lines + 1, reason=str(error))
        self.done.compared = self._questions.rows
        return self.done

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
        checks = self._checks
        form = not (checks.content or checks.count_tokens or self._listeners.any_rows)
        is_plain, plain, number = self._reader.is_plain, 0, 0
        for number, line in enumerate(physical_lines(stream), 1):
            if form and is_plain(line):
                plain += 1
                continue
            self.done.lines = number
            self._read_line(stream, number, line)
        self.done.lines = number
        self.done.rows += plain
        self.done.lf += plain

    def _read_line(self, stream: BinaryIO, number: int, line: bytes) -> None:
        if len(line) == LONGEST_LINE and not line.endswith(b"\n"):
            skip_rest_of_line(stream)
            self.done.rows += 1
            self.add("line-too-long", line=number, most=LONGEST_LINE)
            return
        if line[-2:-1] == b"\r":
            self.done.crlf += 1
        elif line[-1:] == b"\n":
            self.done.lf += 1
        if number == 1 and line.startswith(BOM):
            self.add("byte-order-mark", line=1, column=1)
            self._take(number, line[3:], self._reader.read(line[3:]), shift=3)
        else:
            self._take(number, line, self._reader.read(line))

    def _take(self, number: int, line: bytes, reading: Reading, shift: int = 0) -> None:
        row, flaws = reading
        if row is None and not line.strip():
            self.add("blank-line", line=number)
            return
        self.done.rows += 1
        stripped = line.strip(b" \t\r\n")
        if self._listeners.on_row:
            self._listeners.on_row(stripped)
        if flaws:
            self.report(number, flaws, line, shift)
        if row is not None:
            self._take_row(number, stripped, row, flaws)

    def _take_row(self, number: int, stripped: bytes, row: Row, flaws: Sequence[Flaw]) -> None:
        if self._checks.content:
            self.done.exact.add(number, stripped)
        if self.done.tally:
            self.report(number, self.done.tally.add(number, row))
        if not flaws:
            self._compare(number, row)
        listener = self._listeners.on_typed
        if listener and not any(self._severity(flaw.code) is Severity.ERROR for flaw in flaws):
            listener(number, row)

    def _compare(self, number: int, row: Row) -> None:
        asked = self._checks.content and self._checks.compare
        if asked and (flaw := self._questions.compare(number, row)):
            self.report(number, [flaw])
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
